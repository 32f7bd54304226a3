"""Packaged sentences: English from the docstrings of Python and of installed libraries.

Source files are read, never imported. A sentence's label is the field of its library; names that reveal the field are masked.
The same installed versions give the same rows in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from importlib.util import find_spec
from inspect import cleandoc
from itertools import islice
from pathlib import Path

import pandas as pd

from tasks.core.errors import UserError
from tasks.use_cases.nlp.data.datasets import COLUMNS

FIELD_PACKAGES: dict[str, tuple[str, ...]] = {
    "data frames": ("pandas", "dask/dataframe", "pyarrow", "pandera"),
    "databases": ("sqlalchemy", "alembic", "sqlite3"),
    "deep learning": ("torch", "onnxruntime", "onnx"),
    "language": ("ast", "dis", "inspect", "typing", "importlib", "collections", "functools", "unittest", "argparse", "pydantic"),
    "machine learning": ("sklearn", "mlxtend"),
    "mathematics": ("sympy", "mpmath"),
    "networks": ("networkx",),
    "numerics": ("scipy", "numpy"),
    "orchestration": ("prefect", "dvc", "distributed"),
    "plotting": ("matplotlib", "altair"),
    "web": ("starlette", "fastapi", "httpx", "aiohttp", "tornado", "requests", "urllib3", "http", "urllib", "email", "asyncio"),
}
"""Each field's packages or folders of packages, as the import system finds them, Python's own library included."""

LIBRARY_NAMES = (
    "alembic",
    "aiohttp",
    "altair",
    "dask",
    "dvc",
    "fastapi",
    "httpx",
    "ipython",
    "jupyter",
    "keras",
    "matplotlib",
    "mlxtend",
    "mpmath",
    "narwhals",
    "networkx",
    "numba",
    "numpy",
    "onnx",
    "pandas",
    "pandera",
    "polars",
    "prefect",
    "pyarrow",
    "pydantic",
    "pyplot",
    "scikit",
    "scipy",
    "seaborn",
    "sklearn",
    "sqlalchemy",
    "sqlite",
    "starlette",
    "streamlit",
    "sympy",
    "tensorflow",
    "tornado",
    "torch",
    "urllib",
    "vega",
    "xarray",
)
IMPORT_ALIAS = re.compile(r"\b(?:mpl|np|nx|pa|pd|plt|sa)\b")
LIBRARY_NAME = re.compile(rf"\b(?:\w*(?i:{'|'.join(LIBRARY_NAMES)})\w*|{IMPORT_ALIAS.pattern})(?:[-./]\w+)*\b(?:\(\))?")
"""A word with a library's name in it, and the path that hangs on it."""
MASK = "NAME"

MAX_FIELD_SENTENCES = 4500
MAX_FILE_BYTES = 400_000
SKIPPED_PARTS = {
    "test",
    "tests",
    "testing",
    "_vendor",
    "vendored",
    "site-packages",
    "externals",
    "conftest.py",
    "idlelib",
    "lib2to3",
}
DOCSTRING = re.compile(r"""(\"{3}|'{3})(.*?)(?<!\\)\1""", re.DOTALL)
ROLE = re.compile(r":[\w:+.-]+:`~?([^`<]*?)(?:\s*<[^`>]*>)?`")
LITERAL = re.compile(r"`{1,2}~?([^`]*?)(?:\s*<[^`>]*>)?`{1,2}_{0,2}")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
SENTENCE = re.compile(r"[A-Z][^|{}\\=<>#@\[\]]{30,400}[.!?]")
PROSE_WORD = re.compile(r"[A-Za-z][a-z]*(?:['’-][A-Za-z]+)*[,.;:!?)]*")
LIST_ENTRY = re.compile(r"(?:Args|Arguments|Attributes|Examples?|Note|Notes|Parameters|Raises|Returns|Usage|Yields)\b *:|.*\):")
"""The head of a list, or an entry of one: `axis (int): ...`."""
MIN_PROSE_SHARE = 0.8
MIN_WORDS = 6
NO_PROSE_PREFIXES = (" ", ">>>", "..", ":", "-", "*", "|", "+")
HEADING_RULE = re.compile(r"^\s*([-=~^*#.+_])\1{2,}\s*$", re.MULTILINE)
"""A line drawn under a heading; what it heads is a list of parameters more often than prose."""
BLOCK_ROWS = 2500


def read_sentences(limit: int = 0) -> Iterator[pd.DataFrame]:
    """Rows as in `datasets`, field by field; `row` is a docstring's line. With `limit`, each field gives its share of it."""
    share = -(-limit // len(FIELD_PACKAGES)) if limit else MAX_FIELD_SENTENCES
    for field, folders in FIELD_PACKAGES.items():
        sentences = islice(_round_robin([_package_sentences(folder) for folder in folders]), share)
        while rows := [(text, field, "", file, line) for text, file, line in islice(sentences, BLOCK_ROWS)]:
            frame = pd.DataFrame(rows, columns=["text", "label", "subset", "file", "row"])
            yield frame.assign(truth="", doubt="")[list(COLUMNS)]


LocatedSentence = tuple[str, str, int]
"""A sentence, its file and its line."""


def _round_robin(sources: list[Iterator[LocatedSentence]]) -> Iterator[LocatedSentence]:
    """Yields one from each in turn, until all are exhausted."""
    while sources:
        for source in list(sources):
            sentence = next(source, None)
            if sentence:
                yield sentence
            else:
                sources.remove(source)


def _package_sentences(folder: str) -> Iterator[LocatedSentence]:
    """The sentences of a package or module, its files in an order that mixes its parts."""
    root, files = _files(folder)
    for path in sorted(files, key=lambda path: blake2b(path.relative_to(root).as_posix().encode()).digest()):
        for text, line in source_sentences(path.read_text(encoding="utf-8", errors="replace")):
            yield text, path.relative_to(root).as_posix(), line


def _files(folder: str) -> tuple[Path, list[Path]]:
    """The folder that holds the package, and the package's source files, tests and copies of other libraries left out."""
    top, _, below = folder.partition("/")
    spec = find_spec(top)
    if spec is None or spec.origin is None:
        raise UserError(f"the packaged sentences need {top!r}, which is not installed; install Bonsai with its dependencies")
    init_file = Path(spec.origin)
    if not spec.submodule_search_locations:
        return init_file.parent, [init_file]
    root = init_file.parent.parent
    files = [path for path in (init_file.parent / below).rglob("*.py") if not SKIPPED_PARTS & set(path.relative_to(root).parts)]
    return root, [path for path in files if path.stat().st_size <= MAX_FILE_BYTES]


def source_sentences(source: str) -> Iterator[tuple[str, int]]:
    """The sentences in the docstrings of a Python source file, each with the line its docstring begins at.

    A docstring is a string in three quotation marks that begins a line; parsing the file for it costs ten times as much.
    """
    line, position = 1, 0
    for match in DOCSTRING.finditer(source):
        if not source[source.rfind("\n", 0, match.start()) + 1 : match.start()].strip():
            line, position = line + source.count("\n", position, match.start()), match.start()
            yield from ((sentence, line) for sentence in docstring_sentences(match[2]))


def docstring_sentences(docstring: str) -> Iterator[str]:
    """Yields the sentences of plain English, without markup and with library names masked."""
    for paragraph in re.split(r"\n\s*\n", cleandoc(docstring)):
        if not paragraph.startswith(NO_PROSE_PREFIXES) and not HEADING_RULE.search(paragraph):
            plain = LITERAL.sub(r"\1", ROLE.sub(r"\1", " ".join(paragraph.split()))).replace("**", "")
            for sentence in SENTENCE_END.split(plain):
                if SENTENCE.fullmatch(sentence) and not LIST_ENTRY.match(sentence) and _is_prose(sentence.split()):
                    yield _mask_library_names(sentence)


def _mask_library_names(sentence: str) -> str:
    lowered = sentence.lower()
    gives_away = any(name in lowered for name in LIBRARY_NAMES) or IMPORT_ALIAS.search(
        sentence
    )  # far cheaper than the whole pattern
    return LIBRARY_NAME.sub(MASK, sentence) if gives_away else sentence


def _is_prose(words: list[str]) -> bool:
    return len(words) >= MIN_WORDS and sum(1 for word in words if PROSE_WORD.fullmatch(word)) >= MIN_PROSE_SHARE * len(words)
