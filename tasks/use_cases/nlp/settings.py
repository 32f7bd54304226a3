"""Settings of texts: what is kept, which network reads them and through which vocabulary."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.core.settings import Clean, Model, settings


@settings
class TextClean(Clean):
    min_words: Annotated[int, Field(ge=1, le=1000)] = 1
    """Texts with fewer words that hold a letter are quarantined."""
    max_characters: Annotated[int, Field(ge=10, le=1_000_000)] = 20_000
    alike: bool = True
    """Whether texts with the same letters and digits count as near-duplicates and stay in one split."""


@settings
class TextModel(Model):
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
