"""Change values in params.yaml in place; every other character, comments included, stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from dvc.utils.serialize import loads_yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from tasks.core.storage.atomic_files import write_bytes

Edit = tuple[int, int, str]
"""Start and end offset of a span of characters, and the text that replaces it."""


def replace_sections(path: Path, sections: Mapping[str, Any]) -> None:
    """Replace the stanza of each use case in `sections`, and recipes and seeds by those of `sections`; the write is atomic.

    Without recipes they stay; a run from before there were seeds had no additional ones.
    """
    values = loads_yaml(path.read_text(encoding="utf-8"))
    values["use_cases"] |= sections.get("use_cases", {})
    values["recipes"] = sections.get("recipes", values.get("recipes", {}))
    if "seeds" in values or sections.get("seeds"):
        values["seeds"] = sections.get("seeds", [])
    rewrite_values(path, values)


def set_values(path: Path, updates: Mapping[str, Any]) -> None:
    """Set each parameter by its full dotted name: `{"use_cases.vision.training.epochs": 3}`."""
    values = loads_yaml(path.read_text(encoding="utf-8"))
    for dotted, value in updates.items():
        *keys, last = dotted.split(".")
        node = values
        for key in keys:
            node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
        node[int(last) if isinstance(node, list) else last] = value
    rewrite_values(path, values)


def rewrite_values(path: Path, values: Mapping[str, Any]) -> None:
    """Edit the file so that it parses to `values`; only the spans of values that differ change."""
    write_bytes(path, rewritten(path.read_text(encoding="utf-8"), values).encode())


def rewritten(text: str, values: Mapping[str, Any]) -> str:
    """The text of a YAML file, edited so that it parses to `values`; only the spans of values that differ change."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert node is not None
    edited = text
    for start, end, replacement in sorted(_edits(text, node, loads_yaml(text), values), reverse=True):
        edited = edited[:start] + replacement + edited[end:]
    if loads_yaml(edited) != values:
        raise AssertionError("the edits do not give the expected values; nothing was changed")
    return edited


def _edits(text: str, node: Node, old: Any, new: Any) -> Iterator[Edit]:
    if old == new and type(old) is type(new):
        return
    if isinstance(node, MappingNode) and isinstance(new, Mapping) and new:
        block = not node.flow_style
        if block or all(key in new for key in old):
            yield from _mapping_edits(text, node, old, new)
            return
    if isinstance(node, SequenceNode) and isinstance(new, list) and len(new) == len(node.value):
        for inner, old_item, new_item in zip(node.value, old, new, strict=True):
            yield from _edits(text, inner, old_item, new_item)
        return
    start, end = node.start_mark.index, _end(node)
    block = isinstance(node, SequenceNode | MappingNode) and not node.flow_style  # may stand in the same column as its key
    yield start, end, ("  " if block else "" if end > start else " ") + _flow(new)


def _mapping_edits(text: str, node: MappingNode, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    for key, value in node.value:
        if key.value in new:
            yield from _edits(text, value, old[key.value], new[key.value])
        else:  # only in a block mapping: remove the entry's lines
            yield text.rfind("\n", 0, key.start_mark.index) + 1, _line_end(text, _end(value)), ""
    added = {key: value for key, value in new.items() if key not in old}
    if not added:
        return
    if node.flow_style:
        at = node.end_mark.index - 1
        yield at, at, (", " if node.value else "") + ", ".join(f"{_flow(key)}: {_flow(value)}" for key, value in added.items())
    else:
        at = _line_end(text, _end(node))
        line_break = "" if text[:at].endswith("\n") else "\n"
        indent = " " * node.start_mark.column
        yield at, at, line_break + "".join(f"{indent}{_flow(key)}: {_flow(value)}\n" for key, value in added.items())


def _end(node: Node) -> int:
    """Offset behind the node's last character. A block's own end mark lies behind the blank lines and comments after it."""
    if isinstance(node, MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def _line_end(text: str, offset: int) -> int:
    """Offset of the start of the next line, or of the end of the text."""
    end = text.find("\n", offset)
    return len(text) if end < 0 else end + 1


def _flow(value: Any) -> str:
    """The value as YAML on one line that YAML 1.1 and 1.2 read alike: 1.0e-05, as 1.1 reads 1e-05 as text."""
    return yaml.safe_dump([value], default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9).strip()[1:-1]
