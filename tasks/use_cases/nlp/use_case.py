"""What is the text about, whom does it name, what comes next? Topics, named entities and language modeling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.problem import PreprocessingState
from tasks.core.settings import PretrainedModel, PretrainedTeacher, Training, settings
from tasks.core.splits import UNLABELLED, row_keys, split_beside_source
from tasks.core.use_case import Corruption, Suggestion, UseCase
from tasks.data import sources
from tasks.text import normalization, pretrained_encoder, tokenization, word_vectors
from tasks.use_cases.nlp.data import (
    augmentation,
    conll_files,
    corruptions,
    datasets,
    docstring_sentences,
    tagged_tables,
    unlabelled_texts,
)
from tasks.use_cases.nlp.data.augmentation import TextAugment
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.ner import entity_metrics
from tasks.use_cases.nlp.problems import PROBLEMS, problem_of
from tasks.use_cases.nlp.settings import PACKAGED_TRAINING, TextClean, TextModel
from tasks.use_cases.nlp.text_problem import TextProblem
from tasks.use_cases.nlp.topics import classification, linear_start, topic_classification

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.use_case import Array

MAX_BAG_WIDTH = 128
"""The widest bag that is built for texts of the user's own by default: as wide as there are classes, up to this."""


@settings
class Nlp(UseCase):
    fetch: TextFetch = Field(default_factory=TextFetch)
    clean: TextClean = Field(default_factory=TextClean)
    augment: TextAugment = Field(default_factory=TextAugment)
    model: TextModel = Field(default_factory=TextModel)

    class Schema(pa.DataFrameModel):
        text: str = pa.Field(str_length={"min_value": 1})
        label: str = pa.Field(str_length={"min_value": 1, "max_value": 100})
        subset: str = pa.Field(isin=["", "train", "validation", "test"])
        """The split that the source names, empty if none."""
        truth: str
        """The correct label where the source knows `label` to be unreliable, else empty."""
        tags: str
        """One IOB2 tag per word, joined by blanks; empty for untagged texts."""

    summary: ClassVar[str] = (
        "What is the text about, whom does it name, what comes next? Sentences of any source, by networks that know few words."
    )
    unique_key: ClassVar[tuple[str, ...]] = ("text",)

    @property
    def problem(self) -> TextProblem:  # type: ignore[override]
        """The problem of the task; that of tagged texts is entity tagging."""
        return PROBLEMS["names" if self.fetch.tagged else self.model.task]

    @property
    def architecture(self) -> str:
        """The configured architecture, or the default one of the problem."""
        return self.model.architecture or self.problem.architecture

    def load(self) -> Iterator[pd.DataFrame]:
        """Yield raw texts with `label`, `subset` and `truth`."""
        fetch = self.fetch
        if fetch.tagged:
            return conll_files.read_path(fetch)
        if fetch.source == "path":
            return datasets.read_path(fetch)
        if fetch.source == "packaged":
            return docstring_sentences.read_sentences(fetch.limit)
        return datasets.read_dataset(fetch.dataset, fetch.limit)

    def load_unlabelled(self, path: Path, state: PreprocessingState) -> Iterator[pd.DataFrame]:
        """The texts of a table, or each line of a .txt file."""
        for block in unlabelled_texts.read_path(path, self.fetch.layout):
            yield self._unlabelled(block, state)

    def unlabelled_rows(self, inputs: Sequence[Any], state: PreprocessingState) -> pd.DataFrame:
        """Raw rows of N texts (str)."""
        if wrong := [value for value in inputs if not isinstance(value, str)]:
            raise UserError(f"expected a text, got {type(wrong[0]).__name__}: {str(wrong[0])[:40]}")
        texts = pd.DataFrame({"text": list(inputs), "file": "", "row": range(1, len(inputs) + 1)})
        return self._unlabelled(texts, state)

    def _unlabelled(self, texts: pd.DataFrame, state: PreprocessingState) -> pd.DataFrame:
        """Raw rows of texts, with the first class as label where the problem has classes."""
        label = next(iter(state.get("classes") or ()), "none")
        return texts.assign(label=label, subset="", truth="", tags="")

    def answer_table(self, rows: pd.DataFrame, outputs: Array, state: PreprocessingState) -> pd.DataFrame:
        """The answers of the problem: `predicted`, `confidence` and probabilities of topics, or entities, or perplexity."""
        if "classes" in state:
            return super().answer_table(rows, outputs, state)
        return pd.DataFrame(self.problem.answers(rows["text"].to_list(), outputs, state))

    def load_teaching_rows(self) -> Iterator[pd.DataFrame]:
        """Yield the raw texts of `fetch.unlabelled`, with the columns of `load`."""
        fetch = self.fetch
        if not fetch.unlabelled:
            return
        if not self.problem.labelled or fetch.tagged:
            raise UserError("fetch.unlabelled is for topics of texts; leave it empty for tagged texts and for the task words")
        place = sources.verified_path(fetch.unlabelled, fetch.expected_fingerprint("unlabelled"))
        for block in unlabelled_texts.read_path(place, fetch.layout):
            yield block.assign(label="", subset="", truth="", doubt="")[list(datasets.COLUMNS)]

    def suggested_settings(self) -> Suggestion:
        """The form of the user's own texts, where words have tags in files of another name than .conll."""
        if self._looks_tagged():
            return Suggestion({"fetch.form": "columns"}, "words have tags: names are to be found")
        return Suggestion()

    def _looks_tagged(self) -> bool:
        """Whether the user's own files hold tagged words by their content, and no setting says what they hold."""
        fetch = self.fetch
        place, named = fetch.path or fetch.train, fetch.text or fetch.label or fetch.columns
        is_open = bool(place) and fetch.form == "auto" and not fetch.tagged and not named and self.model.task == "topics"
        return is_open and tagged_tables.looks_tagged(place, fetch.layout.reading)

    def check_head(self) -> None:
        """Raise a `UserError` for a source without texts, and for tables without the columns of text and label."""
        if self._looks_tagged():
            raise UserError(f"{self.fetch.path or self.fetch.train} holds words with tags; set fetch.form=columns to find names")
        if self.fetch.tagged:
            conll_files.check_head(self.fetch)
        else:
            datasets.check_head(self.fetch)

    def clean_partition(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Repair each text; one that is empty, damaged or too short, or has an impossible label, is invalid."""
        labels = rows["label"].mask(rows[UNLABELLED], UNLABELLED) if UNLABELLED in rows else rows["label"]
        columns_of_rows = [rows["text"], labels, rows["subset"], rows["truth"]]
        tags = rows["tags"] if "tags" in rows else [""] * len(rows)
        cleaned = [self._clean_row(*row) for row in zip(*columns_of_rows, tags, strict=True)]
        columns = ["text", "label", "subset", "truth", "tags", "fault", "fix"]
        return pd.DataFrame(cleaned, columns=columns, index=rows.index)

    def _clean_row(self, raw: str, label: str, subset: str, truth: str, tags: str) -> tuple[str, str, str, str, str, str, str]:
        """The values of one row, in the order of the columns of `clean_partition`."""
        classes = self.fetch.classes
        # the words of a tagged text must stay: each has a tag
        repaired, repairs = (raw, []) if tags else normalization.repair(raw)
        try:
            # a tagged text has no least length: every sentence of a column file counts
            if error := normalization.usability_error(repaired, 0 if tags else self.clean.min_words, self.clean.max_characters):
                if not repaired or subset != "test" or self.clean.official_test != "all":
                    raise normalization.UnusableText(error)
                repairs = [*repairs, f"seen {error}"]
            if tags:
                iob2_tags = entity_metrics.to_iob2(tags.split())
                tags, repairs = " ".join(iob2_tags), [*repairs, *["tags"] * (iob2_tags != tags.split())]
                label = next((kind for kind, _, _ in entity_metrics.entity_spans(iob2_tags)), "none")
            if not label:
                raise normalization.UnusableText("empty-label: the row names no class")
            if (classes and label not in (*classes, UNLABELLED)) or len(label) > 100 or not label.isprintable():
                raise normalization.UnusableText(
                    f"impossible-label: {label[:40]!r}" + (f", there is {', '.join(classes)}" if classes else "")
                )
        except normalization.UnusableText as fault:
            return repaired, label, subset, truth, tags, str(fault), ""
        return repaired, label, subset, truth, tags, "", "; ".join(repairs)

    def target_column(self, rows: pd.DataFrame) -> str:
        """The tags of tagged texts, else the label."""
        return "tags" if self.fetch.tagged else self.label_column(rows)

    def duplicate_group(self, rows: pd.DataFrame) -> pd.Series:
        """A key that texts with the same letters and digits share."""
        if not self.clean.alike:
            return row_keys(rows, self.unique_key)
        return pd.Series(normalization.text_keys(rows["text"]), index=rows.index, dtype=object)

    def assign_split(self, rows: pd.DataFrame, duplicate_group: pd.Series) -> pd.Series:
        """The source's test and validation rows keep their split; a split that it lacks is taken by hash from each class."""
        shares = self.clean.validation_share, self.clean.test_share
        return split_beside_source(rows["subset"], duplicate_group, rows["label"], *shares)

    def augment_rows(self, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        """Noisy copies of train rows, without unchanged ones; they do not depend on how rows are partitioned."""
        if not self.problem.augmented:  # noise would shift words against their tags
            return rows.head(0)
        return augmentation.augment_rows(self.augment, rows, row_keys(rows, self.unique_key), seed)

    def preview_augmentation(self, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        """A few texts of each class and noisy variants of them."""
        few = augmentation.preview_rows(rows)
        return augmentation.preview_augmentation(self.augment, few, row_keys(few, self.unique_key), seed)

    def corruptions(self) -> tuple[Corruption, ...]:
        """Typing errors, case and truncation; none for language modeling, whose targets are the text itself."""
        return corruptions.corruptions() if self.problem.labelled else ()

    def fit_preprocessing(self, rows: pd.DataFrame) -> PreprocessingState:
        """Fit the vocabulary of the train rows, and the class names or tags."""
        architecture, model = "own_network" if self.model.file else self.architecture, self.model
        if self._is_own_bag and not model.vectors and model.tokens == "auto":
            model = replace(model, tokens=classification.own_vocabulary_kind(rows["text"].to_list()))
        return self.problem.fit_preprocessing(rows, model, architecture, self.fetch.classes)

    @property
    def _is_own_bag(self) -> bool:
        """Whether a bag is fitted to texts of the user's own, for which no setting was tuned."""
        return self.fetch.source == "path" and self.architecture == "bag" and not self.model.file

    def encode(self, rows: pd.DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """Encode N texts as token numbers, int32 (N, L) or (N, L, F), 0 as padding, and int64 targets of the problem."""
        return self.problem.encode(rows, state)

    def input_notes(self, inputs: Array, state: PreprocessingState) -> list[str]:
        """The share of train texts that are cut, if it is more than one in a hundred."""
        cut = float((inputs[:, -1] != 0).mean()) if inputs.ndim == 2 and self.problem.labelled else 0.0
        if cut <= 0.01:
            return []
        length = state["vocabulary"]["length"]
        return [f"{cut:.1%} of the train texts have {length:,} tokens or more; what follows is not read (model.length)."]

    def slice_columns(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The label, and the length of the text in characters."""
        return super().slice_columns(rows).assign(length=rows["text"].str.len())

    def build_model(self, state: PreprocessingState) -> nn.Module:
        """The configured architecture for the vocabulary and the classes of the train rows."""
        fields: dict[str, Any] = {"width": self.model.width} if self.model.width else {}
        if self.architecture == "text_encoder":
            return self._pretrained(self.model, state)
        if self.architecture == "text_transformer":
            fields["length"] = state["vocabulary"]["length"]
        if self._is_own_bag and not fields:
            fields["width"] = min(MAX_BAG_WIDTH, max(topic_classification.BAG_WIDTH, len(state["classes"])))
        if not self.model.vectors:
            return self._build(self.architecture, state, fields)
        source = word_vectors.read_vectors(self.model.vectors)
        network = self._build(self.architecture, state, {**fields, "width": source.vectors.shape[1]})
        word_vectors.start_embedding(network.embedding, state["vocabulary"], source)  # type: ignore[arg-type]
        return network

    def own_network(self, state: PreprocessingState) -> dict[str, Any]:
        """Token numbers (B, L), 0 for padding; `tokens` (size of the vocabulary), `length` (L), `classes`. For topics only."""
        if not state.get("classes"):
            raise UserError("model.file is for the task topics; leave it empty for tagged texts and for the task words")
        keywords = {"tokens": tokenization.vocabulary_size(state["vocabulary"]), "length": state["vocabulary"]["length"]}
        classes = len(state["classes"])
        return {"inputs": "tokens", "keywords": {**keywords, "classes": classes}, "outputs": classes}

    def initialize_weights(self, network: nn.Module, inputs: Array, targets: Array) -> None:
        """Initialize a bag from weights of the train rows: naive Bayes if `head_start` says so, or those of linear classifiers
        if the texts are one's own and it says nothing."""
        scale = self.model.head_start
        if self.architecture != "bag" or self.model.file or not scale:
            return
        if scale > 0:
            network.initialize_weights(inputs, targets, scale)  # type: ignore[operator]
        elif self._is_own_bag and not self.model.vectors:
            bag: Any = network
            bag.start_from_linear(*linear_start.fit(inputs, targets, bag.token_weights(), bag.fields["classes"]))

    def build_student(self, state: PreprocessingState, width_share: float) -> nn.Module:
        """The student of the problem."""

        def teacher_fields() -> dict[str, Any]:
            fields: dict[str, Any] = self.build_model(state).fields  # type: ignore[assignment]
            return fields

        architecture, shape = self.problem.student_network(self.architecture, teacher_fields, state, width_share, self.model)
        return self._build(architecture, state, shape)

    def start_student(self, student: nn.Module, teacher: nn.Module) -> bool:
        """Start a student of a bag of one's own from its teacher: its steps are too few and small to begin from nothing."""
        if self._is_own_bag:
            student.start_from_bag(teacher)  # type: ignore[operator]
        return False

    def suited_training(self) -> Training:
        """The problem's settings for its default network, where the ones given are still those of the packaged sentences."""
        if self.architecture != self.problem.architecture or self.model.file:
            return self.training
        suited = self.problem.own_training.items()
        unchosen = {name: value for name, value in suited if getattr(self.training, name) == getattr(PACKAGED_TRAINING, name)}
        return replace(self.training, **unchosen)

    def transfer_learning(self) -> PretrainedModel | None:
        """The mode of a pretrained text encoder."""
        return self.model if self.architecture == "text_encoder" else None

    def build_teacher(self, state: PreprocessingState, settings: PretrainedTeacher) -> tuple[nn.Module, PreprocessingState]:
        """A pretrained text encoder with a new head, and the state with its vocabulary."""
        files = pretrained_encoder.read_encoder(settings.weights)
        vocabulary = pretrained_encoder.vocabulary(files, self.model.length or topic_classification.MAX_LENGTH)
        teacher_state = {**state, "vocabulary": vocabulary}
        return self._pretrained(settings, teacher_state), teacher_state

    def _pretrained(self, model: PretrainedModel, state: PreprocessingState) -> nn.Module:
        """A text encoder with pretrained weights and a new head, of which only what the mode names can be trained."""
        files = pretrained_encoder.read_encoder(model.weights)
        network = self._build("text_encoder", state, files.fields())
        network.load_pretrained(files.tensors())  # type: ignore[operator]
        network.freeze(model.trained_blocks if model.mode == "last_blocks" else len(network.fields["hidden"]))  # type: ignore[operator, index]
        return network

    def export_state(self, state: PreprocessingState, network: nn.Module) -> PreprocessingState:
        """The state without vocabulary entries beyond the network's embedding."""
        fields: dict[str, Any] = network.fields  # type: ignore[assignment]
        if "tokens" not in fields:  # a network of a person's own, which keeps its vocabulary
            return state
        return {**state, "vocabulary": tokenization.truncate_vocabulary(state["vocabulary"], fields["tokens"])}

    def _build(self, architecture: str, state: PreprocessingState, shape: dict[str, Any]) -> nn.Module:
        fields: dict[str, Any] = {"tokens": tokenization.vocabulary_size(state["vocabulary"])}
        if classes := state.get("classes") or state.get("tags"):
            fields["classes"] = len(classes)
        fields |= problem_of(state).network_fields(architecture, state)
        network: nn.Module = registry.build_network(self.name, architecture, {**fields, **shape})
        return network

    def sample_outputs(self, network: nn.Module, state: PreprocessingState) -> dict[str, Any]:
        """Texts that a trained language model generates; none for the other problems."""
        return self.problem.sample_outputs(network, state, self.training.seed)

    def explain(self, rows: pd.DataFrame, state: PreprocessingState, run: Callable[[Array], Array]) -> list[list[dict[str, Any]]]:
        """The weight of each word for the answer, for topics; empty lists for the other problems."""
        return self.problem.explain(rows["text"].to_list(), state, run)
