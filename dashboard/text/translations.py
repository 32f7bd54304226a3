"""Every sentence the dashboard says, in English and Chinese, from one file."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

LANGUAGES = {"en": "English", "zh": "中文"}
CATALOGUE = Path(__file__).with_name("translations.toml")


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Key, as in `run.start`, to the sentence in each language."""
    return dict(_flat("", tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))))


def text(language: str, key: str, **values: object) -> str:
    """The sentence of that key, with the values put in; an unknown language reads English."""
    found = catalogue()[key]
    return found.get(language, found["en"]).format(**values)


def has(key: str) -> bool:
    """Whether the catalogue knows the key: names that come from outside, such as a stage's verb, may be new to it."""
    return key in catalogue()


def _flat(prefix: str, found: dict[str, object]) -> list[tuple[str, dict[str, str]]]:
    flat: list[tuple[str, dict[str, str]]] = []
    for name, value in found.items():
        key = f"{prefix}.{name}" if prefix else name
        if isinstance(value, dict) and "en" in value:
            flat.append((key, value))
        elif isinstance(value, dict):
            flat += _flat(key, value)
        else:
            raise ValueError(f"{CATALOGUE.name}: {key} is no sentence; write {{en = '...', zh = '...'}}")
    return flat
