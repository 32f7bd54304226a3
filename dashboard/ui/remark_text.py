"""Sentences of stages and of the orchestrator in the reader's language, as far as their wording is fixed; others stay."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dashboard.text import formatting, translations
from dashboard.ui import locale
from dashboard.ui.locale import t
from tasks.cleaning.quality_report import reason_code

PARTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?P<count>[\d,]+) class(?:es)?"), "remark.classes"),
    (re.compile(r"no splits of its own"), "remark.no_splits"),
    (re.compile(r"own splits (?P<splits>.+)"), "remark.splits"),
    (re.compile(r"(?P<count>[\d,]+) rows in no split"), "remark.no_split"),
    (re.compile(r"column `(?P<column>[^`]+)` read as number with (?P<form>.+)"), "remark.number"),
    (re.compile(r"(?P<file>\S+): read as (?P<encoding>\S+)"), "remark.encoding"),
    (re.compile(r"each term shown on test rows, Holm over (?P<tried>\d+) of (?P<count>\d+) candidates"), "remark.holm"),
    (re.compile(r"duplicate of (?P<row>[^,]+), which is labelled '(?P<label>.*)'"), "remark.contradicts"),
    (re.compile(r"duplicate of (?P<row>[^,]+)"), "remark.duplicate"),
)
"""Patterns of the parts of a sentence, and the texts that say the same."""


def remark_text(sentence: str) -> str:
    """The sentence, escaped for Markdown; part by part where every part has a known form."""
    worded = [_part(part) for part in re.split(r", (?=no splits|own splits|[\d,]+ rows in no split)", sentence)]
    if all(worded):
        return t("remark.comma").join(worded)
    return formatting.capitalized(formatting.escape(sentence, 400))


def reason_text(reason: str) -> str:
    """Why a row was not kept, escaped for Markdown; in another language than English, what its code says."""
    if sentence := _part(reason):
        return sentence
    code = reason_code(reason)
    if locale.language() != "en" and translations.has(f"reason.{code}"):
        return t(f"reason.{code}")
    return formatting.escape(reason, 160)


def reason_label(code: str) -> str:
    """The code of a reason as a label: the code itself in English, what it says in another language."""
    key = f"reason.{code}"
    return t(key) if locale.language() != "en" and translations.has(key) else formatting.clean(code, 60)


def requester_text(request: Mapping[str, object]) -> str:
    """Who requested a run, and by which way; empty where the record does not say. Not escaped."""
    who, how = formatting.clean(request.get("who") or "", 60), str(request.get("how") or "")
    way, _, deployment = ("command_line", "", "") if how == "command line" else how.partition(" ")
    worded = t(f"requested_by.{way}") if translations.has(f"requested_by.{way}") else formatting.clean(way, 60)
    return ", ".join(filter(None, [who, f"{worded} {formatting.clean(deployment, 60)}".strip()]))


def _part(part: str) -> str:
    for pattern, key in PARTS:
        if match := pattern.fullmatch(part):
            return t(key, **{name: formatting.escape(value, 200) for name, value in match.groupdict().items()})
    return ""
