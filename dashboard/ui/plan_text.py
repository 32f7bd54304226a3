"""The reasons why a stage would run, in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dashboard.text import formatting, translations
from dashboard.ui.locale import t, word

CHANGED_PATH = re.compile(r"(?P<path>.+) is (?P<change>[\w ]+)")
NONE = "(none)"


def reasons_text(reasons: Iterable[Mapping[str, Any]]) -> str:
    """All reasons of a stage of a plan, each by its kind and what its text names."""
    return "; ".join(_reason_text(str(reason.get("kind", "")), str(reason.get("text", ""))) for reason in reasons)


def _reason_text(kind: str, text: str) -> str:
    if kind == "params":
        return text.replace(" -> ", " → ").replace(NONE, t("plan_reason.nothing"))
    if kind == "upstream":
        return t("plan_reason.upstream", stages=text.removeprefix("after "))
    if match := CHANGED_PATH.fullmatch(text):
        return t("plan_reason.path", path=match["path"], change=word("change", match["change"].replace(" ", "_")))
    key = f"plan_reason.{kind}"
    return t(key) if translations.has(key) else formatting.clean(text, 200)
