"""The settings of a use case as plain JSON values, for the release: with them its model can prepare raw inputs anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic

from tasks.core.use_case import UseCase


def settings_of(case: UseCase) -> dict[str, Any]:
    """The settings that differ from their defaults. Of the user's own files only the name is kept, not where they lie."""
    values: dict[str, Any] = pydantic.TypeAdapter(type(case)).dump_python(case, mode="json", exclude_defaults=True)
    fetch = values.get("fetch", {})
    for name in case.fetch.path_settings:
        if fetch.get(name):
            fetch[name] = Path(fetch[name]).name
    fetch.pop("fingerprint", None)
    for name in (*case.clean.path_settings, "fingerprint"):
        values.get("clean", {}).pop(name, None)
    model = values.get("model", {})
    if model.get("file"):
        model["file"] = Path(model["file"]).name
    model.pop("fingerprint", None)
    return values
