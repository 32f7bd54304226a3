"""Choosers of a use case, a run and a view."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.readers import run_records
from dashboard.readers.project_files import Unreadable
from dashboard.readers.run_records import Run
from dashboard.text import formatting, translations
from dashboard.ui.locale import t, word, zone
from dashboard.ui.url_state import addressed
from tasks.core import params_file, registry
from tasks.core.errors import UserError

FEW = 6
NEWEST = 30
"""Runs offered by name; older ones are found on the Runs page."""


def choose_use_case(root: Path) -> str:
    """The use case the page is about: chosen above every page, kept in the address."""
    names = use_cases(root)
    if (asked := st.query_params.get("uc")) and asked not in names:
        st.caption(t("pick.no_use_case", name=formatting.escape(asked, 40)))
    tied = addressed("uc", names, names[0] if names else None)
    look = {"format_func": title, "label_visibility": "collapsed", **tied}
    chosen: str | None
    if len(names) > 5:
        chosen = st.selectbox(t("pick.use_case"), names, width=220, **look)
    else:
        chosen = st.segmented_control(t("pick.use_case"), names, required=True, **look)
    return str(chosen or (names[0] if names else ""))


def drop_stale_run(root: Path, use_case: str) -> str:
    """Take a run that cannot be shown out of the address, and say why; "" where there is none."""
    asked = st.query_params.get("run", "")
    if not asked or asked == run_records.WORKSPACE:
        return ""
    name = formatting.escape(asked, 80)
    try:
        if use_case in run_records.load(root, asked).record.use_cases:
            return ""
        said = t("pick.not_of", run=name, use_case=title(use_case))
    except Unreadable:
        said = t("pick.gone", run=name)
    del st.query_params["run"]
    return said


def choose_run(root: Path, use_case: str) -> Run | None:
    """The run the page is about: the use case's that was chosen, or else its newest."""
    found = run_records.latest(root, use_case, NEWEST)
    asked = st.query_params.get("run", "")
    if asked and asked != run_records.WORKSPACE and all(run.id != asked for run in found):
        found.append(run_records.load(root, asked))
    by_id = {run.id: run for run in found}
    has_own = (root / "journal").is_dir() or (root / "data" / use_case).is_dir()
    options = [*by_id, *([run_records.WORKSPACE] if has_own else [])]
    chosen = st.selectbox(
        t("pick.run"),
        options,
        placeholder=" · ".join([t("pick.newest"), *[run_label(run) for run in found[:1]]]),
        format_func=lambda run_id: run_label(by_id.get(run_id)),
        disabled=not options,
        label_visibility="collapsed",
        width=340,
        index=None,
        **addressed("run", options, None),
    )
    if chosen == run_records.WORKSPACE or (not by_id and has_own):
        return run_records.load(root, run_records.WORKSPACE)
    return by_id.get(str(chosen)) or next(iter(by_id.values()), None)


def choose_from(
    name: str, options: Sequence[str], label: str, default: str, say: Callable[[str], str] = str, *, few: bool = False
) -> str:
    """One of several, kept in the address under that name: in a list, or side by side if they are few and `few` is set."""
    tied = addressed(name, options, default if default in options else options[0])
    if few and len(options) <= FEW:
        look: dict[str, Any] = {"format_func": lambda name: formatting.escape(say(name), 60), "wrap": True}  # read as Markdown
        return str(st.segmented_control(label, options, required=True, **look, **tied))
    return str(st.selectbox(label, options, format_func=say, **tied))


def choose_view(options: Iterable[str], page: str) -> str:
    """Which part of a page to see."""
    names = list(options)
    look: dict[str, Any] = {"label_visibility": "collapsed", "format_func": lambda name: t(f"{page}_view.{name}"), "wrap": True}
    return str(st.segmented_control(t("pick.view"), names, required=True, **look, **addressed("view", names, names[0])))


def use_cases(root: Path) -> list[str]:
    """The use cases params.yaml registers, then the others on the shelf, which run when they are asked for."""
    shelf = registry.registered_names("use_cases")
    try:
        return list(params_file.with_default_stanzas(params_file.read_params(root / "params.yaml"), shelf).use_cases)
    except UserError:
        return shelf


def title(name: str) -> str:
    """A use case's name for people."""
    return (
        word("use_case", name)
        if translations.has(f"use_case.{name}")
        else formatting.clean(name, 40).replace("_", " ").capitalize()
    )


def run_label(run: Run | None) -> str:
    """A run in a list: when, what was set, how it stands."""
    if run is None:
        return t("pick.workspace")
    changes = ", ".join(f"{name.rpartition('.')[2]}={value}" for name, value in run.record.overrides.items())
    state = t(f"state.{run.state}")
    return formatting.clean(" · ".join(filter(None, [formatting.clock(run.at, zone()), state, changes])), 90)
