"""What is the text about, whom does it name, what comes next? Sentences of any source, by networks that know few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tasks.core import registry
from tasks.core.settings import settings
from tasks.core.splits import row_keys, stratified_split
from tasks.core.use_case import PreprocessingState, UseCase
from tasks.data import sources
from tasks.text import normalization, tokenization
from tasks.use_cases.nlp.data import augmentation, conll_files, datasets, docstring_sentences
from tasks.use_cases.nlp.data.augmentation import TextAugment
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.ner import entity_metrics
from tasks.use_cases.nlp.problems import PROBLEMS
from tasks.use_cases.nlp.settings import TextClean, TextModel
from tasks.use_cases.nlp.text_problem import TextProblem

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.use_case import Array


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
    def problem(self) -> TextProblem:  # type: ignore[override]
        """The problem of the task; texts that are tagged ask for entities."""
        return PROBLEMS["names" if self.fetch.tagged else self.model.task]

    @property
    def architecture(self) -> str:
        return self.model.architecture or self.problem.architecture

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
        if not self.problem.augmented:  # noise would part words from their tags
            return rows.head(0)
        return augmentation.augment_rows(self.augment, rows, row_keys(rows, self.unique_key), seed)

    def preview_augmentation(self, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        """A few texts of each class beside noisy variants of them."""
        few = augmentation.preview_rows(rows)
        return augmentation.preview_augmentation(self.augment, few, row_keys(few, self.unique_key), seed)

    def fit_preprocessing(self, rows: pd.DataFrame) -> PreprocessingState:
        """Class names or tags, and the vocabulary of the train rows."""
        return self.problem.fit_preprocessing(rows, self.model, self.architecture, self.fetch.classes)

    def encode(self, rows: pd.DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """N texts to token numbers, int32 (N, L) or (N, L, F), 0 behind the end, and int64 targets, as the problem has them."""
        return self.problem.encode(rows, state)

    def build_model(self, state: PreprocessingState) -> nn.Module:
        """The architecture by name, with room for the vocabulary and the classes of the train rows."""
        fields: dict[str, Any] = {"width": self.model.width} if self.model.width else {}
        if self.architecture == "text_transformer":
            fields["length"] = state["vocabulary"]["length"]
        return self._build(self.architecture, state, fields)

    def initialize_weights(self, network: nn.Module, inputs: Array, targets: Array) -> None:
        """A bag may begin with what naive Bayes tells of the train rows."""
        if self.architecture == "bag" and self.model.head_start:
            network.initialize_weights(inputs, targets, self.model.head_start)  # type: ignore[operator]

    def build_student(self, state: PreprocessingState, width_share: float) -> nn.Module:
        """The student that the problem names."""
        fields: dict[str, Any] = self.build_model(state).fields  # type: ignore[assignment]
        architecture, shape = self.problem.student(self.architecture, fields, state, width_share, self.model)
        return self._build(architecture, state, shape)

    def export_state(self, state: PreprocessingState, network: nn.Module) -> PreprocessingState:
        """Without the entries of the vocabulary that the network has no room for."""
        fields: dict[str, Any] = network.fields  # type: ignore[assignment]
        return {**state, "vocabulary": tokenization.truncate_vocabulary(state["vocabulary"], fields["tokens"])}

    def _build(self, architecture: str, state: PreprocessingState, shape: dict[str, Any]) -> nn.Module:
        fields = {"tokens": tokenization.vocabulary_size(state["vocabulary"])}
        if answers := state.get("classes") or state.get("tags"):
            fields["classes"] = len(answers)
        network: nn.Module = registry.build_network(self.name, architecture, {**fields, **shape})
        return network

    def sample_outputs(self, network: nn.Module, state: PreprocessingState) -> dict[str, Any]:
        """What the problem shows of a fitted network, such as texts it writes."""
        return self.problem.sample_outputs(network, state, self.training.seed)

    def explain(
        self, rows: pd.DataFrame, state: PreprocessingState, answer: Callable[[Array], Array]
    ) -> list[list[dict[str, Any]]]:
        """The weight of each word for the answer, for topics; empty lists for the other problems."""
        return self.problem.explain(rows["text"].to_list(), state, answer)
