"""What is the text about, whom does it name, what comes next? Sentences of any source, by networks that know few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tasks.core import registry
from tasks.core.settings import Contract, Training, settings
from tasks.core.splits import row_keys, stratified_split
from tasks.core.use_case import PreprocessingState, UseCase
from tasks.data import sources
from tasks.text import normalization, tokenization
from tasks.use_cases.nlp import language_modeling
from tasks.use_cases.nlp.data import augmentation, conll_files, datasets, docstring_sentences
from tasks.use_cases.nlp.data.augmentation import Augment
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.ner import entity_metrics, token_features
from tasks.use_cases.nlp.settings import Model, TextClean
from tasks.use_cases.nlp.topics import classification, occlusion

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.core.use_case import Array

FORETOLD, FEATURES = 2_000, 60_000
"""Most pieces of words that are foretold, and most features that words are known by, unless another number is asked for."""
OWN = {"topics": "bag", "names": "text_tagger", "words": "text_writer"}
"""The architecture of each task unless another is named."""
WIDTH, STUDENT_WIDTH, STUDENT_TOKENS = 16, 32, 1000
"""Widths of a bag, and of the bag that another network is taught to (at `width_share` 1); tokens a student knows at least."""


@settings
class Nlp(UseCase):
    fetch: TextFetch = Field(default_factory=TextFetch)
    clean: TextClean = Field(default_factory=TextClean)
    augment: Augment = Field(default_factory=Augment)
    model: Model = Field(default_factory=Model)
    training: Training = Field(default_factory=Training)
    contract: Contract = Field(default_factory=Contract)

    class Schema(pa.DataFrameModel):
        text: str = pa.Field(str_length={"min_value": 1})
        label: str = pa.Field(str_length={"min_value": 1, "max_value": 100})
        subset: str = pa.Field(isin=["", "train", "validation", "test"])
        """The split its source put it in, empty if none."""
        truth: str
        """The right label where `label` is known to be doubtful, else empty."""
        tags: str
        """One tag per word in the IOB2 form, with blanks between; empty where texts are not tagged."""

    summary: ClassVar[str] = (
        "What is the text about, whom does it name, what comes next? Sentences of any source, by networks that know few words."
    )
    unique_key: ClassVar[tuple[str, ...]] = ("text",)

    @property
    def label_column(self) -> str:  # type: ignore[override]
        """Topics are classes; kinds of names and next words are not."""
        return "label" if self.task == "topics" else ""

    @property
    def task(self) -> Literal["topics", "names", "words"]:
        """What is asked of a text."""
        return "names" if self.fetch.tagged else self.model.task

    @property
    def architecture(self) -> str:
        return self.model.architecture or OWN[self.task]

    def load(self) -> Iterator[pd.DataFrame]:
        """Texts with `label`, `subset` and `truth`, as they come."""
        fetch = self.fetch
        if fetch.tagged:
            return conll_files.read_path(sources.verified_path(fetch.path, fetch.expected_fingerprint("path")), fetch.limit)
        if fetch.source == "path":
            return datasets.read_path(
                sources.verified_path(fetch.path, fetch.expected_fingerprint("path")), fetch.layout, fetch.limit
            )
        if fetch.source == "packaged":
            return docstring_sentences.read_sentences(fetch.limit)
        return datasets.read_dataset(fetch.dataset, fetch.limit)

    def clean_partition(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Every text mended; what is empty, damaged or too short, or has no possible label, gets a fault."""
        named = [rows[name] for name in ("text", "label", "subset", "truth")]
        tags = rows["tags"] if "tags" in rows else [""] * len(rows)
        verdicts = [self._judged(*row) for row in zip(*named, tags, strict=True)]
        columns = ["text", "label", "subset", "truth", "tags", "fault", "fix"]
        return pd.DataFrame(verdicts, columns=columns, index=rows.index)

    def _judged(self, raw: str, label: str, subset: str, truth: str, tags: str) -> tuple[str, str, str, str, str, str, str]:
        """One row's verdict, in the order of the columns `judge` gives."""
        known = self.fetch.classes
        mended, fixes = (raw, []) if tags else normalization.repair(raw)  # a tagged text keeps its words as they are counted
        try:
            normalization.check_usable(mended, self.clean.min_words, self.clean.max_characters)
            if tags:
                whole = entity_metrics.to_iob2(tags.split())
                tags, fixes = " ".join(whole), ["tags"] * (whole != tags.split())
                label = next((kind for kind, _, _ in entity_metrics.entity_spans(whole)), "none")
            if not label:
                raise normalization.UnusableText("empty-label: the row names no class")
            if (known and label not in known) or len(label) > 100 or not label.isprintable():
                raise normalization.UnusableText(
                    f"impossible-label: {label[:40]!r}" + (f", there is {', '.join(known)}" if known else "")
                )
        except normalization.UnusableText as fault:
            return mended, label, subset, truth, tags, str(fault), ""
        return mended, label, subset, truth, tags, "", "; ".join(fixes)

    def duplicate_group(self, rows: pd.DataFrame) -> pd.Series:
        """A key that texts with the same letters and digits share."""
        if not self.clean.alike:
            return row_keys(rows, self.unique_key)
        return pd.Series(normalization.text_keys(rows["text"]), index=rows.index, dtype=object)

    def assign_split(self, rows: pd.DataFrame, duplicate_group: pd.Series) -> pd.Series:
        """The source's own test and validation rows stay that; what it does not have is taken by hash from each class."""
        own = set(rows["subset"])
        dealt = stratified_split(
            duplicate_group,
            rows["label"],
            0.0 if "validation" in own else self.clean.validation_share,
            0.0 if "test" in own else self.clean.test_share,
        )
        return dealt.mask(rows["subset"].isin(["test", "validation"]), rows["subset"])

    def augment_rows(self, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        """Noisy copies of train rows, those that changed; a row gives the same ones in whatever partition it stands."""
        if self.task != "topics":  # noise would part words from their tags
            return rows.head(0)
        return augmentation.augment_rows(self.augment, rows, row_keys(rows, self.unique_key), seed)

    def preview_augmentation(self, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        """A few texts of each class beside noisy variants of them."""
        few = augmentation.preview_rows(rows)
        return augmentation.preview_augmentation(self.augment, few, row_keys(few, self.unique_key), seed)

    def fit_preprocessing(self, rows: pd.DataFrame) -> PreprocessingState:
        """Class names or tags, and the vocabulary of the train rows."""
        model = self.model
        if self.task == "names":
            return token_features.fit_preprocessing(rows, model.entries or FEATURES, model.min_count, model.length)
        if self.task == "words":
            return language_modeling.fit_preprocessing(rows, model.entries or FORETOLD, model.min_count, model.length)
        kind = classification.VOCABULARY_KINDS.get(self.architecture, "words") if model.tokens == "auto" else model.tokens
        return classification.fit_preprocessing(rows, self.fetch.classes, kind, model.entries, model.min_count, model.length)

    def encode(self, rows: pd.DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """N texts to numbers of tokens or features, int32 (N, L) or (N, L, F), 0 behind the end, and int64 targets, as in
        `topics`, `tagging` and `next_words`.
        """
        numbers: tuple[Array, Array] = self._reader.encode(rows, state)
        return numbers

    def build_model(self, state: PreprocessingState) -> nn.Module:
        """The architecture by name, with room for the vocabulary and the classes of the train rows."""
        fields: dict[str, Any] = {"width": self.model.width} if self.model.width else {}
        if self.architecture == "text_transformer":
            fields["length"] = state["vocabulary"]["length"]
        return self._grown(self.architecture, state, fields)

    def initialize_weights(self, network: nn.Module, inputs: Array, targets: Array) -> None:
        """A bag may begin with what naive Bayes says of the train rows."""
        if self.task == "topics" and self.architecture == "bag" and self.model.head_start:
            network.initialize_weights(inputs, targets, self.model.head_start)  # type: ignore[operator]

    def build_student(self, state: PreprocessingState, width_share: float) -> nn.Module:
        """For topics a bag whatever the architecture: for short texts it beats every smaller network of the same kind.

        For names and words the same architecture, narrower. Of a bag's tokens it has `width_share`, the commonest ones, and no
        more width than tells the classes apart.
        """
        if self.task != "topics":
            wide: dict[str, Any] = self.build_model(state).fields  # type: ignore[assignment]
            shape = {name: max(4, round(wide[name] * width_share)) for name in ("width", "hidden")}
            return self._grown(self.architecture, state, shape)
        if self.architecture != "bag":
            return self._grown("bag", state, {"width": max(4, round(STUDENT_WIDTH * width_share))})
        tokens, classes = tokenization.vocabulary_size(state["vocabulary"]), len(state["classes"])
        kept = min(tokens, max(STUDENT_TOKENS, round(tokens * width_share)))
        return self._grown("bag", state, {"width": min(self.model.width or WIDTH, classes), "tokens": kept})

    def export_state(self, state: PreprocessingState, network: nn.Module) -> PreprocessingState:
        """Without the entries of the vocabulary that the network has no room for."""
        fields: dict[str, Any] = network.fields  # type: ignore[assignment]
        return {**state, "vocabulary": tokenization.truncate_vocabulary(state["vocabulary"], fields["tokens"])}

    def _grown(self, architecture: str, state: PreprocessingState, shape: dict[str, Any]) -> nn.Module:
        fields = {"tokens": tokenization.vocabulary_size(state["vocabulary"])}
        if answers := state.get("classes") or state.get("tags"):
            fields["classes"] = len(answers)
        network: nn.Module = registry.build_network(self.name, architecture, {**fields, **shape})
        return network

    def distillation_loss(self, outputs: Tensor, teacher_outputs: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """As for all; but a teacher who only says how likely the next word was cannot say what else it might have been."""
        if self.task == "words":
            return self.loss(outputs, targets)
        return UseCase.distillation_loss(self, outputs, teacher_outputs, targets, temperature)

    def sample_outputs(self, network: nn.Module, state: PreprocessingState) -> dict[str, Any]:
        """What a network that foretells words writes by itself."""
        if self.task != "words":
            return {}
        import torch

        def scores(numbers: Array) -> Array:
            with torch.inference_mode():
                found: Array = network.scores(torch.from_numpy(numbers))[0, -1].numpy()  # type: ignore[operator]
            return found

        return {"written": language_modeling.generate_samples(scores, state, self.training.seed)}

    def explain(
        self, rows: pd.DataFrame, state: PreprocessingState, answer: Callable[[Array], Array]
    ) -> list[list[dict[str, Any]]]:
        """For topics, what each word was worth to the answer, by leaving it out."""
        if self.task != "topics":
            return [[] for _ in range(len(rows))]
        return occlusion.word_importance(
            rows["text"].to_list(), lambda texts: answer(tokenization.encode(texts, state["vocabulary"]))
        )

    @property
    def _reader(self) -> Any:
        """The module that turns texts to numbers and back."""
        return {"topics": classification, "names": token_features, "words": language_modeling}[self.task]

    @property
    def _judge(self) -> Any:
        """The module that says how good predictions are."""
        return {"topics": classification, "names": entity_metrics, "words": language_modeling}[self.task]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of logits (B, K) and class numbers (B,), with label smoothing; for names and words, per word in nats."""
        if self.task == "names":
            from tasks.use_cases.nlp.ner import crf_loss

            return crf_loss.negative_log_likelihood(outputs.float(), targets)
        if self.task == "words":
            return -outputs.float().sum() / targets.sum()
        from torch.nn import functional

        return functional.cross_entropy(outputs.float(), targets, label_smoothing=self.training.label_smoothing)

    def decode(self, rows: pd.DataFrame, outputs: Array, state: PreprocessingState) -> pd.DataFrame:
        """Logits to the class predicted, its confidence and all probabilities; to tags; or to what the next words were worth."""
        answers: pd.DataFrame = self._reader.decode(rows, outputs, state)
        return answers

    def metrics(self, predictions: pd.DataFrame) -> dict[str, float]:
        """Accuracy, F1 averaged over classes (plain and weighted), log loss, expected calibration error.

        For names the F1 of whole entities; for words the log-likelihood of a piece, and perplexity.
        """
        scores: dict[str, float] = self._judge.metrics(predictions)
        return scores

    def per_row_metric(self, predictions: pd.DataFrame) -> Array:
        """1 where the prediction is right, else 0; for names and words what the row adds to the first score."""
        values: Array = self._judge.per_row_metric(predictions)
        return values

    def report(self, predictions: pd.DataFrame) -> dict[str, Any]:
        """Confusion, precision, recall and F1 per class or per kind of name, and what else the task has to tell."""
        told: dict[str, Any] = self._judge.report(predictions)
        return told

    def baselines(self, train: pd.DataFrame, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """The classic rivals of the task: linear machines on tf-idf, the tag a word had most often, runs of words counted."""
        if self.task == "words":
            return language_modeling.baselines(self.fit_preprocessing(train), train, rows)
        if self.task == "names":
            return token_features.baselines(train, rows)
        return classification.baselines(train, rows, self.fetch.classes)
