"""Settings of the source of texts: data set or file, its layout and its columns."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from tasks.core import registry
from tasks.core.settings import Fetch, settings
from tasks.data.tables import text_lines
from tasks.use_cases.nlp.data import conll_files, datasets


@settings
class TextFetch(Fetch):
    path_settings: ClassVar[tuple[str, ...]] = ("path", "unlabelled")

    unlabelled: str = ""
    """A file or folder of texts without a label, which teach a student through a pretrained teacher (teacher: pretrained in
    'distill') and are in no split: tables with a column of texts, or .txt with a text on each line."""
    text: str = ""
    """Column that holds the text, or several with commas between, read as one; empty for text, sentence, content, body ..."""
    label: str = ""
    """Column that holds the class; empty for label, class, category, target ..."""
    truth: str = ""
    """Column with the correct classes if those of `label` are unreliable; only reports read it."""
    split: str = ""
    """Column that holds train, validation or test; empty for split, subset, set ... if all its values are such words."""
    columns: str = ""
    """Names of the columns, with commas between, of files without a header."""
    separator: str = ""
    """What stands between values; empty to find it (comma, semicolon, tab or vertical bar)."""
    encoding: str = ""
    """Encoding of text files, such as cp1252 or gb18030; empty for UTF-8."""
    form: Literal["auto", "table", "columns"] = "auto"
    """`columns` holds a word and its tags on each line, as CoNLL 2003 does, or tables of words and tags; `auto` takes it for
    .conll, .bio, .iob and .ner, and a run that names other files looks into them."""
    quotes: bool = True
    """Whether quotation marks hold values together; set it to false where they are letters like any other."""

    def __post_init__(self) -> None:
        Fetch.__post_init__(self)
        text_lines.check_encoding(self.encoding)
        if self.source != "path" and self.dataset:
            if self.dataset not in datasets.DATASETS:
                raise ValueError(registry.unknown_name("no data set", self.dataset, datasets.DATASETS))
            object.__setattr__(self, "source", "download" if datasets.DATASETS[self.dataset].parts else "packaged")
        if self.source == "download" and not self.dataset:
            raise ValueError(f"source is 'download' but dataset is empty; there is {', '.join(datasets.DATASETS)}")

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of a data set with a name, empty for a person's own."""
        return datasets.DATASETS[self.dataset].classes if self.source == "download" else ()

    @property
    def tagged(self) -> bool:
        """Whether every word comes with a tag: then names are to be found, not topics."""
        place = self.path or self.train
        return bool(place) and (self.form == "columns" or (self.form == "auto" and conll_files.is_conll(Path(place))))

    @property
    def layout(self) -> datasets.TableLayout:
        """How a person's own table is to be read."""
        return datasets.TableLayout(
            text=_names(self.text),
            whole_text=self.text,
            label=self.label,
            truth=self.truth,
            names=_names(self.columns),
            separator=self.separator,
            quotes=self.quotes,
            encoding=self.encoding,
        )


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in listed.split(",") if name.strip())
