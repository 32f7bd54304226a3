"""Parts of reports that open without a server, a script or a network: document, tables, lists. All text in them is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dashboard.text import formatting
from dashboard.ui import locale

STYLE = (Path(__file__).parent / "run_report.css").read_text(encoding="utf-8")


def document(title: str, parts: Iterable[str]) -> str:
    """The whole file, of parts that are HTML."""
    return (
        f'<!doctype html><html lang="{html.escape(locale.language(), quote=True)}"><head><meta charset="utf-8">'
        f'<title>{escaped(title)}</title><meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def description_list(values: Mapping[str, str]) -> str:
    """Names with their values; those without one are left out."""
    shown = [(name, value) for name, value in values.items() if value and value != formatting.NOTHING]
    return "<dl>" + "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in shown) + "</dl>"


def html_table(columns: Sequence[str], rows: Iterable[tuple[Sequence[str], bool]]) -> str:
    """A table; the rows that are marked are emphasized."""
    head = "".join(f"<th scope=col>{escaped(name)}</th>" for name in columns)
    body = "".join(
        f"<tr{' class=strong' if strong else ''}>" + "".join(f"<td>{escaped(cell)}</td>" for cell in cells) + "</tr>"
        for cells, strong in rows
    )
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def figure(value: Any) -> str:
    """A value of a parameter as text."""
    if value is None or value == "":
        return formatting.NOTHING
    if isinstance(value, float):
        return f"{value:.6g}"
    return formatting.clean(value, 200)


def escaped(words: object, most: int = 2000) -> str:
    """Text for HTML, with at most so many characters."""
    return html.escape(formatting.clean(words, most))


def plain(words: str) -> str:
    """Text that was escaped for Markdown, without the backslashes."""
    return words.replace("\\", "")
