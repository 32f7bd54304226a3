"""The dashboard's texts in English and Chinese, from translations.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

LANGUAGES = {"en": "English", "zh": "中文"}
CATALOGUE = Path(__file__).with_name("translations.toml")


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Texts by key, such as `run.start`, and language."""
    return dict(_flat("", tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))))


def text(language: str, key: str, **values: object) -> str:
    """The text of a key with its placeholders filled; English for an unknown language."""
    translations = catalogue()[key]
    return translations.get(language, translations["en"]).format(**values)


def has(key: str) -> bool:
    """Whether the catalogue has the key; names from outside, such as a stage's verb, may be missing."""
    return key in catalogue()


def _flat(prefix: str, tree: dict[str, object]) -> list[tuple[str, dict[str, str]]]:
    flat: list[tuple[str, dict[str, str]]] = []
    for name, value in tree.items():
        key = f"{prefix}.{name}" if prefix else name
        if isinstance(value, dict) and "en" in value:
            flat.append((key, value))
        elif isinstance(value, dict):
            flat += _flat(key, value)
        else:
            raise ValueError(f"{CATALOGUE.name}: {key} is no sentence; write {{en = '...', zh = '...'}}")
    return flat
