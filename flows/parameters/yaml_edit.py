"""Turn some numbers of params.yaml and leave every other letter of it, comments included, as a person wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from dvc.utils.serialize import loads_yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from tasks.core.atomic_files import write_bytes

Edit = tuple[int, int, str]
"""From this letter to that one, put these words."""


def replace_sections(path: Path, wanted: Mapping[str, Any]) -> None:
    """Make the use cases that `wanted` names, and the recipes if it names any, what `wanted` says; whole or not at all."""
    values = loads_yaml(path.read_text(encoding="utf-8"))
    values["use_cases"] |= wanted.get("use_cases", {})
    values["recipes"] = wanted.get("recipes", values.get("recipes", {}))
    rewrite_values(path, values)


def set_values(path: Path, numbers: Mapping[str, Any]) -> None:
    """Set each number, by its full dotted name: `{"use_cases.vision.training.epochs": 3}`."""
    values = loads_yaml(path.read_text(encoding="utf-8"))
    for dotted, value in numbers.items():
        *way, last = dotted.split(".")
        at = values
        for word in way:
            at = at[int(word)] if isinstance(at, list) else at.setdefault(word, {})
        at[int(last) if isinstance(at, list) else last] = value
    rewrite_values(path, values)


def rewrite_values(path: Path, wanted: Mapping[str, Any]) -> None:
    """Make the file say `wanted`, changing only the places where it says something else."""
    text = path.read_text(encoding="utf-8")
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert node is not None
    for start, end, words in sorted(_edits(text, node, loads_yaml(text), wanted), reverse=True):
        text = text[:start] + words + text[end:]
    if loads_yaml(text) != wanted:
        raise AssertionError(f"{path} would not say what it should; it is left as it was")
    write_bytes(path, text.encode())


def _edits(text: str, node: Node, known: Any, wanted: Any) -> Iterator[Edit]:
    if known == wanted and type(known) is type(wanted):
        return
    if isinstance(node, MappingNode) and isinstance(wanted, Mapping) and wanted:
        block = not node.flow_style
        if block or all(word in wanted for word in known):
            yield from _in_mapping(text, node, known, wanted)
            return
    if isinstance(node, SequenceNode) and isinstance(wanted, list) and len(wanted) == len(node.value):
        for inner, old, new in zip(node.value, known, wanted, strict=True):
            yield from _edits(text, inner, old, new)
        return
    start, end = node.start_mark.index, _end(node)
    yield start, end, ("" if end > start else " ") + _flow(wanted)


def _in_mapping(text: str, node: MappingNode, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[Edit]:
    for key, value in node.value:
        if key.value in wanted:
            yield from _edits(text, value, known[key.value], wanted[key.value])
        else:  # only in a block: the whole of its lines
            yield text.rfind("\n", 0, key.start_mark.index) + 1, _line_end(text, _end(value)), ""
    new = {word: value for word, value in wanted.items() if word not in known}
    if not new:
        return
    if node.flow_style:
        at = node.end_mark.index - 1
        yield at, at, (", " if node.value else "") + ", ".join(f"{_flow(word)}: {_flow(value)}" for word, value in new.items())
    else:
        at = _line_end(text, _end(node))
        begun = "" if text[:at].endswith("\n") else "\n"
        indent = " " * node.start_mark.column
        yield at, at, begun + "".join(f"{indent}{_flow(word)}: {_flow(value)}\n" for word, value in new.items())


def _end(node: Node) -> int:
    """Where the node's last letter is; a block's own mark lies after the blank lines and comments that follow it."""
    if isinstance(node, MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _flow(value: Any) -> str:
    """A value on one line, so that readers of YAML 1.1 and 1.2 agree on it: 1.0e-05, for 1e-05 is text to the former."""
    return yaml.safe_dump([value], default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9).strip()[1:-1]
