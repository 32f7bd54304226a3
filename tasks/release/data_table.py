"""The card's table of data: which, how many rows, what was done to them; and what is inside the released file and what is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.core.settings import Fetch

MAX_REASONS = 4
"""The most reasons or repairs that a row of the table lists."""


def data_section(name: str, fetch: Fetch, counts: Mapping[str, int], quality: Mapping[str, Any]) -> str:
    """A table with name, hash and rows of the data, and the outcome of every row; `quality` is clean's report, perhaps empty."""
    lines = ["| data | |", "|---|---|", f"| name | {_cell(name)} |"]
    own = [getattr(fetch, setting) for setting in ("path", "train", "validation", "test") if getattr(fetch, setting)]
    if own:
        lines.append(f"| files | {_cell(', '.join(Path(path).name for path in own))} |")
    if fetch.fingerprint:
        lines.append(f"| SHA-256 | {fetch.fingerprint.replace('+', ', ')} |")
    if quality:
        lines.append(f"| rows read | {quality['rows_in']:,} |")
        lines.append(f"| kept | {quality['kept']:,}, {quality['fixed']:,} of them repaired{_listed(quality['fixes'])} |")
        lines.append(f"| quarantined | {quality['quarantined']:,}{_listed(quality['reasons'], leave_out='duplicate')} |")
        lines.append(f"| duplicates left out | {quality['duplicates']:,} |")
        if leaks := sum(quality.get("leaks", {}).values()):
            lines.append(f"| left out because a like row is in another split | {leaks:,} |")
        if official := quality.get("official_test"):
            repeats = f", {official['repeats']:,} of them repeat another one"
            lines.append(f"| the source's own test split | {official['kept']:,} of {official['rows']:,} rows kept{repeats} |")
        if rare := quality.get("rare_classes"):
            lines.append(f"| classes left out for want of rows | {_cell(', '.join(rare))} |")
    lines.append(f"| splits | {', '.join(f'{count:,} {split}' for split, count in sorted(counts.items()))} |")
    return "\n".join(lines) + (
        "\n\nNear-duplicates are in the same split; test rows decide on the release and chose nothing before."
    )


def contents(state: Mapping[str, Any]) -> str:
    """What the file does by itself and what its caller does before, by the state that was fitted on the train rows."""
    inside, outside = "the network and the scaling of its inputs", "the cleaning of raw rows"
    if "vocabulary" in state:
        inside, outside = "the network", "the repair of a text and its tokens: `inputs` are token numbers, not text"
    elif "channels" in state:
        inside, outside = "the network and the scaling of pixels", "decoding a picture's file"
    elif "categories" in state:
        inside, outside = "the network and the scaling of numbers", "reading numbers from text, and the codes of categories"
    return (
        f"One file, `model.onnx`: `inputs` in, `outputs` out. Inside: {inside}. Not inside: {outside}. What was fitted on its "
        "data, such as vocabulary, codes and class names, is in the file's metadata under `bonsai.learnt`."
    )


def _listed(counts: Mapping[str, int], leave_out: str = "") -> str:
    names = [f"{name} {count:,}" for name, count in counts.items() if name != leave_out]
    return f" ({_cell(', '.join(names[:MAX_REASONS]))}{', …' * (len(names) > MAX_REASONS)})" if names else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
