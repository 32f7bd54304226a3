"""What is the text about, whom does it name, what comes next? Sentences of any source, by networks that know few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tasks import (
    column_files,
    corpora,
    entities,
    explaining,
    library,
    next_words,
    sentences,
    sources,
    tagging,
    text,
    text_noise,
    topics,
    vocabulary,
)
from tasks.contracts import Clean, Contract, Learnt, Training, UseCase, settings
from tasks.split import row_keys, stratified
from tasks.text_fetch import TextFetch
from tasks.text_noise import Augment

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.contracts import Array

FORETOLD, FEATURES = 2_000, 60_000
"""Most pieces of words that are foretold, and most features that words are known by, unless another number is asked for."""
OWN = {"topics": "bag", "names": "text_tagger", "words": "text_writer"}
"""The architecture of each task unless another is named."""
WIDTH, STUDENT_WIDTH, STUDENT_TOKENS = 16, 32, 1000
"""Widths of a bag, and of the bag that another network is taught to (at `width_share` 1); tokens a student knows at least."""


@settings
class TextClean(Clean):
    min_words: Annotated[int, Field(ge=1, le=1000)] = 1
    """Texts with fewer words that hold a letter are quarantined."""
    max_characters: Annotated[int, Field(ge=10, le=1_000_000)] = 20_000
    alike: bool = True
    """Whether texts with the same letters and digits count as near-duplicates and stay in one split."""


@settings
class Model:
    task: Literal["topics", "words"] = "topics"
    """What a table of texts is for: to tell its labels, or to foretell each next word. Tagged texts are for finding names."""
    architecture: str = ""
    """A file of tasks/models, empty for the task's own: for topics bag, text_lstm or text_transformer (the last two want
    learning_rate 0.002 and weight_decay 0.05), for names text_tagger, for words text_writer (learning_rate 0.005 or so, and
    weight_decay 0.01)."""
    tokens: Literal["auto", "grams", "letters", "words", "subwords"] = "auto"
    """What is looked up: grams are words and pairs of neighbours, letters are these and runs of letters, then there are words
    and pieces of words; `auto` takes grams for a bag, else subwords."""
    entries: Annotated[int, Field(ge=0, le=2_000_000)] = 0
    """Largest vocabulary, 0 for 150,000 grams or letters, 30,000 words, 8,000 subwords (2,000 to foretell) or 60,000 features
    of words."""
    min_count: Annotated[int, Field(ge=1, le=1000)] = 2
    """Train texts a token must stand in to be known."""
    length: Annotated[int, Field(ge=1, le=8192)] = 256
    """Tokens read of a text at most."""
    head_start: Annotated[float, Field(ge=0, le=10)] = 0.0
    """How much of what naive Bayes says of the train rows a bag begins with; 0 begins with nothing, 0.3 is a good start where
    rows are few."""
    width: Annotated[int, Field(ge=0, le=4096)] = 0
    """Width of the token vectors, 0 for the architecture's own."""


@settings
class Nlp(UseCase):
    fetch: TextFetch = Field(default_factory=TextFetch)
    clean: TextClean = Field(default_factory=TextClean)
    augment: Augment = Field(default_factory=Augment)
    model: Model = Field(default_factory=Model)
    training: Training = Field(default_factory=Training)
    contract: Contract = Field(default_factory=Contract)

    class Rows(pa.DataFrameModel):
        text: str = pa.Field(str_length={"min_value": 1})
        label: str = pa.Field(str_length={"min_value": 1, "max_value": 100})
        subset: str = pa.Field(isin=["", "train", "validation", "test"])
        """The split its source put it in, empty if none."""
        truth: str
        """The right label where `label` is known to be doubtful, else empty."""
        tags: str
        """One tag per word in the IOB2 form, with blanks between; empty where texts are not tagged."""

    key: ClassVar[tuple[str, ...]] = ("text",)

    @property
    def classes(self) -> str:  # type: ignore[override]
        """Topics are classes; kinds of names and next words are not."""
        return "label" if self.task == "topics" else ""

    @property
    def task(self) -> Literal["topics", "names", "words"]:
        """What is asked of a text."""
        return "names" if self.fetch.tagged else self.model.task

    @property
    def architecture(self) -> str:
        return self.model.architecture or OWN[self.task]

    def raw(self) -> Iterator[pd.DataFrame]:
        """Texts with `label`, `subset` and `truth`, as they come."""
        fetch = self.fetch
        if fetch.tagged:
            return column_files.own(sources.own(fetch.path, fetch.held("path")), fetch.limit)
        if fetch.source == "path":
            return corpora.own(sources.own(fetch.path, fetch.held("path")), fetch.layout, fetch.limit)
        if fetch.source == "packaged":
            return sentences.sentences(fetch.limit)
        return corpora.named(fetch.dataset, fetch.limit)

    def judge(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Every text mended; what is empty, damaged or too short, or has no possible label, gets a fault."""
        named = [rows[name] for name in ("text", "label", "subset", "truth")]
        tags = rows["tags"] if "tags" in rows else [""] * len(rows)
        verdicts = [self._judged(*row) for row in zip(*named, tags, strict=True)]
        columns = ["text", "label", "subset", "truth", "tags", "fault", "fix"]
        return pd.DataFrame(verdicts, columns=columns, index=rows.index)

    def _judged(self, raw: str, label: str, subset: str, truth: str, tags: str) -> tuple[str, str, str, str, str, str, str]:
        """One row's verdict, in the order of the columns `judge` gives."""
        known = self.fetch.classes
        mended, fixes = (raw, []) if tags else text.mend(raw)  # a tagged text keeps its words as they are counted
        try:
            text.usable(mended, self.clean.min_words, self.clean.max_characters)
            if tags:
                whole = entities.mend(tags.split())
                tags, fixes = " ".join(whole), ["tags"] * (whole != tags.split())
                label = next((kind for kind, _, _ in entities.spans(whole)), "none")
            if not label:
                raise text.Unusable("empty-label: the row names no class")
            if (known and label not in known) or len(label) > 100 or not label.isprintable():
                raise text.Unusable(f"impossible-label: {label[:40]!r}" + (f", there is {', '.join(known)}" if known else ""))
        except text.Unusable as fault:
            return mended, label, subset, truth, tags, str(fault), ""
        return mended, label, subset, truth, tags, "", "; ".join(fixes)

    def likeness(self, rows: pd.DataFrame) -> pd.Series:
        """A key that texts with the same letters and digits share."""
        if not self.clean.alike:
            return row_keys(rows, self.key)
        return pd.Series(text.alike(rows["text"]), index=rows.index, dtype=object)

    def split(self, rows: pd.DataFrame, likeness: pd.Series) -> pd.Series:
        """The source's own test and validation rows stay that; what it does not have is taken by hash from each class."""
        own = set(rows["subset"])
        dealt = stratified(
            likeness,
            rows["label"],
            0.0 if "validation" in own else self.clean.validation_share,
            0.0 if "test" in own else self.clean.test_share,
        )
        return dealt.mask(rows["subset"].isin(["test", "validation"]), rows["subset"])

    def variants(self, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        """Noisy copies of train rows, those that changed; a row gives the same ones in whatever partition it stands."""
        if self.task != "topics":  # noise would part words from their tags
            return rows.head(0)
        return text_noise.variants(self.augment, rows, row_keys(rows, self.key), seed)

    def preview(self, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        """A few texts of each class beside noisy variants of them."""
        few = text_noise.few_of_each(rows)
        return text_noise.preview(self.augment, few, row_keys(few, self.key), seed)

    def learn(self, rows: pd.DataFrame) -> Learnt:
        """Class names or tags, and the vocabulary of the train rows."""
        model = self.model
        if self.task == "names":
            return tagging.learn(rows, model.entries or FEATURES, model.min_count, model.length)
        if self.task == "words":
            return next_words.learn(rows, model.entries or FORETOLD, model.min_count, model.length)
        kind = topics.KINDS.get(self.architecture, "words") if model.tokens == "auto" else model.tokens
        return topics.learn(rows, self.fetch.classes, kind, model.entries, model.min_count, model.length)

    def encode(self, rows: pd.DataFrame, learnt: Learnt) -> tuple[Array, Array]:
        """N texts to numbers of tokens or features, int32 (N, L) or (N, L, F), 0 behind the end, and int64 targets, as in
        `topics`, `tagging` and `next_words`.
        """
        numbers: tuple[Array, Array] = self._reader.encode(rows, learnt)
        return numbers

    def network(self, learnt: Learnt) -> nn.Module:
        """The architecture by name, with room for the vocabulary and the classes of the train rows."""
        fields: dict[str, Any] = {"width": self.model.width} if self.model.width else {}
        if self.architecture == "text_transformer":
            fields["length"] = learnt["vocabulary"]["length"]
        return self._grown(self.architecture, learnt, fields)

    def begin(self, network: nn.Module, inputs: Array, targets: Array) -> None:
        """A bag may begin with what naive Bayes says of the train rows."""
        if self.task == "topics" and self.architecture == "bag" and self.model.head_start:
            network.begin(inputs, targets, self.model.head_start)  # type: ignore[operator]

    def student(self, learnt: Learnt, width_share: float) -> nn.Module:
        """For topics a bag whatever the architecture: for short texts it beats every smaller network of the same kind.

        For names and words the same architecture, narrower. Of a bag's tokens it has `width_share`, the commonest ones, and no
        more width than tells the classes apart.
        """
        if self.task != "topics":
            wide: dict[str, Any] = self.network(learnt).fields  # type: ignore[assignment]
            shape = {name: max(4, round(wide[name] * width_share)) for name in ("width", "hidden")}
            return self._grown(self.architecture, learnt, shape)
        if self.architecture != "bag":
            return self._grown("bag", learnt, {"width": max(4, round(STUDENT_WIDTH * width_share))})
        tokens, classes = vocabulary.size(learnt["vocabulary"]), len(learnt["classes"])
        kept = min(tokens, max(STUDENT_TOKENS, round(tokens * width_share)))
        return self._grown("bag", learnt, {"width": min(self.model.width or WIDTH, classes), "tokens": kept})

    def shipped(self, learnt: Learnt, network: nn.Module) -> Learnt:
        """Without the entries of the vocabulary that the network has no room for."""
        fields: dict[str, Any] = network.fields  # type: ignore[assignment]
        return {**learnt, "vocabulary": vocabulary.shortened(learnt["vocabulary"], fields["tokens"])}

    def _grown(self, architecture: str, learnt: Learnt, shape: dict[str, Any]) -> nn.Module:
        fields = {"tokens": vocabulary.size(learnt["vocabulary"])}
        if answers := learnt.get("classes") or learnt.get("tags"):
            fields["classes"] = len(answers)
        network: nn.Module = library.network(architecture, {**fields, **shape})
        return network

    def imitation(self, outputs: Tensor, teacher_outputs: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """As for all; but a teacher who only says how likely the next word was cannot say what else it might have been."""
        if self.task == "words":
            return self.loss(outputs, targets)
        return UseCase.imitation(self, outputs, teacher_outputs, targets, temperature)

    def shown(self, network: nn.Module, learnt: Learnt) -> dict[str, Any]:
        """What a network that foretells words writes by itself."""
        if self.task != "words":
            return {}
        import torch

        def scores(numbers: Array) -> Array:
            with torch.inference_mode():
                found: Array = network.scores(torch.from_numpy(numbers))[0, -1].numpy()  # type: ignore[operator]
            return found

        return {"written": next_words.written(scores, learnt, self.training.seed)}

    def explain(self, rows: pd.DataFrame, learnt: Learnt, answer: Callable[[Array], Array]) -> list[list[dict[str, Any]]]:
        """For topics, what each word was worth to the answer, by leaving it out."""
        if self.task != "topics":
            return [[] for _ in range(len(rows))]
        return explaining.words_worth(
            rows["text"].to_list(), lambda texts: answer(vocabulary.encode(texts, learnt["vocabulary"]))
        )

    @property
    def _reader(self) -> Any:
        """The module that turns texts to numbers and back."""
        return {"topics": topics, "names": tagging, "words": next_words}[self.task]

    @property
    def _judge(self) -> Any:
        """The module that says how good predictions are."""
        return {"topics": topics, "names": entities, "words": next_words}[self.task]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of logits (B, K) and class numbers (B,), with label smoothing; for names and words, per word in nats."""
        if self.task == "names":
            from tasks import crf

            return crf.unlikeliness(outputs.float(), targets)
        if self.task == "words":
            return -outputs.float().sum() / targets.sum()
        from torch.nn import functional

        return functional.cross_entropy(outputs.float(), targets, label_smoothing=self.training.label_smoothing)

    def decode(self, rows: pd.DataFrame, outputs: Array, learnt: Learnt) -> pd.DataFrame:
        """Logits to the class predicted, its confidence and all probabilities; to tags; or to what the next words were worth."""
        answers: pd.DataFrame = self._reader.decode(rows, outputs, learnt)
        return answers

    def score(self, predictions: pd.DataFrame) -> dict[str, float]:
        """Accuracy, F1 averaged over classes (plain and weighted), log loss, expected calibration error.

        For names the F1 of whole entities; for words the log-likelihood of a piece, and perplexity.
        """
        scores: dict[str, float] = self._judge.score(predictions)
        return scores

    def goodness(self, predictions: pd.DataFrame) -> Array:
        """1 where the prediction is right, else 0; for names and words what the row adds to the first score."""
        values: Array = self._judge.goodness(predictions)
        return values

    def report(self, predictions: pd.DataFrame) -> dict[str, Any]:
        """Confusion, precision, recall and F1 per class or per kind of name, and what else the task has to tell."""
        told: dict[str, Any] = self._judge.report(predictions)
        return told

    def baselines(self, train: pd.DataFrame, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """The classic rivals of the task: linear machines on tf-idf, the tag a word had most often, runs of words counted."""
        if self.task == "words":
            return next_words.baselines(self.learn(train), train, rows)
        if self.task == "names":
            return tagging.baselines(train, rows)
        return topics.baselines(train, rows, self.fetch.classes)
