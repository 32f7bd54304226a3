"""Sentences of the readers of raw data in the reader's language, as far as their wording is fixed; others stay as they are."""

from __future__ import annotations

import re

from dashboard.text import formatting
from dashboard.ui.locale import t

PARTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?P<count>[\d,]+) class(?:es)?"), "remark.classes"),
    (re.compile(r"no splits of its own"), "remark.no_splits"),
    (re.compile(r"own splits (?P<splits>.+)"), "remark.splits"),
    (re.compile(r"(?P<count>[\d,]+) rows in no split"), "remark.no_split"),
    (re.compile(r"column `(?P<column>[^`]+)` read as number with (?P<form>.+)"), "remark.number"),
    (re.compile(r"(?P<file>\S+): read as (?P<encoding>\S+)"), "remark.encoding"),
)
"""Patterns of the parts of a sentence, and the texts that say the same."""


def remark_text(sentence: str) -> str:
    """The sentence, escaped for Markdown; part by part where every part has a known form."""
    worded = [_part(part) for part in re.split(r", (?=no splits|own splits|[\d,]+ rows in no split)", sentence)]
    if all(worded):
        return t("remark.comma").join(worded)
    return formatting.capitalized(formatting.escape(sentence, 400))


def _part(part: str) -> str:
    for pattern, key in PARTS:
        if match := pattern.fullmatch(part):
            return t(key, **{name: formatting.escape(value, 200) for name, value in match.groupdict().items()})
    return ""
