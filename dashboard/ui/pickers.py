"""Widgets that choose a use case, a run, a view or another option; each is bound to a query parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records, sample_run
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting, translations
from dashboard.ui.locale import t, word, zone
from dashboard.ui.url_state import query_param
from tasks.core import params_file, registry
from tasks.core.errors import UserError

MAX_BUTTONS = 6
"""Options that become buttons side by side; more become a list."""
MAX_RUNS = 30
"""Runs in the list; older ones are on the Runs page."""


def choose_use_case(root: Path) -> str:
    """The use case of the page, from the widget above every page; query parameter `uc`."""
    names = use_cases(root)
    if (requested := st.query_params.get("uc")) and requested not in names:
        st.caption(t("pick.no_use_case", name=formatting.escape(requested, 40)))
    binding = query_param("uc", names, names[0] if names else None)
    settings = {"format_func": title, "label_visibility": "collapsed", **binding}
    chosen: str | None
    if len(names) > 5:
        chosen = st.selectbox(t("pick.use_case"), names, width=220, **settings)
    else:
        chosen = st.segmented_control(t("pick.use_case"), names, required=True, **settings)
    return str(chosen or (names[0] if names else ""))


def drop_stale_run(root: Path, use_case: str) -> str:
    """Remove a run that cannot be shown from the query parameters; returns the reason, or "" if there is none."""
    requested = st.query_params.get("run", "")
    if not requested or requested == run_records.WORKSPACE:
        return ""
    name = formatting.escape(requested, 80)
    try:
        if use_case in run_records.load(root, requested).record.use_cases:
            return ""
        reason = t("pick.not_of", run=name, use_case=title(use_case))
    except Unreadable:
        reason = t("pick.gone", run=name)
    del st.query_params["run"]
    return reason


NEEDED = {
    "data": "clean/ledger.json",
    "labels": "clean/ledger.json",
    "results": "evaluations/dense/metrics.json",
    "compression": "release/table.json",
    "try_it": "evaluations/dense/metrics.json",
}
"""The file without which a page has nothing to show about a run."""


def choose_run(root: Path, use_case: str, page: str = "run") -> tuple[Run | None, str]:
    """The run of the page: the chosen one, or else the newest of the use case that the page can show; None without any.

    The text says so where a newer run has nothing for the page to show; it is empty otherwise.
    """
    runs = run_records.latest(root, use_case, MAX_RUNS)
    requested = st.query_params.get("run", "")
    if requested not in ("", run_records.WORKSPACE) and all(run.id != requested for run in runs):
        runs.append(run_records.load(root, requested))
    by_id = {run.id: run for run in runs}
    has_own = (root / "journal").is_dir() or (root / "data" / use_case).is_dir()
    if not by_id and not has_own and page in NEEDED and use_case == sample_run.USE_CASE:
        by_id[sample_run.SAMPLE] = run_records.load(root, sample_run.SAMPLE)
    options = [*by_id, *([run_records.WORKSPACE] if has_own else [])]
    newest = next(iter(by_id.values()), None)
    shown = (run_records.newest_with(runs, use_case, NEEDED[page]) if page in NEEDED else None) or newest
    chosen = st.selectbox(
        t("pick.run"),
        options,
        placeholder=" · ".join([t("pick.newest"), run_label(shown)] if shown else [t("pick.newest")]),
        format_func=lambda run_id: run_label(by_id.get(run_id)),
        disabled=not options,
        label_visibility="collapsed",
        width=340,
        index=None,
        **query_param("run", options, None),
    )
    if chosen == run_records.WORKSPACE or (not by_id and has_own):
        return run_records.load(root, run_records.WORKSPACE), ""
    if chosen in by_id:
        return by_id[str(chosen)], ""
    skipped = "" if shown is newest or newest is None else t("pick.skipped", run=formatting.escape(run_label(newest)))
    return shown, skipped


def choose_from(
    name: str,
    options: Sequence[str],
    label: str,
    default: str,
    label_of: Callable[[str], str] = str,
    *,
    as_buttons: bool = False,
) -> str:
    """Choose one option, bound to the query parameter `name`: as buttons if requested and not too many, else as a list."""
    binding = query_param(name, options, default if default in options else options[0])
    if as_buttons and len(options) <= MAX_BUTTONS:
        settings: dict[str, Any] = {"format_func": lambda name: formatting.escape(label_of(name), 60), "wrap": True}  # Markdown
        return str(st.segmented_control(label, options, required=True, **settings, **binding))
    return str(st.selectbox(label, options, format_func=label_of, **binding))


def choose_view(options: Iterable[str], page: str) -> str:
    """Choose one of the page's views; query parameter `view`."""
    names = list(options)
    settings: dict[str, Any] = {
        "label_visibility": "collapsed",
        "format_func": lambda name: t(f"{page}_view.{name}"),
        "wrap": True,
    }
    return str(st.segmented_control(t("pick.view"), names, required=True, **settings, **query_param("view", names, names[0])))


def use_cases(root: Path) -> list[str]:
    """The use cases listed in params.yaml, then the other registered ones, which can be run by name."""
    registered = registry.registered_names("use_cases")
    try:
        return list(params_file.with_default_stanzas(params_file.read_params(root / "params.yaml"), registered).use_cases)
    except UserError:
        return registered


def title(name: str) -> str:
    """The use case's title."""
    return (
        word("use_case", name)
        if translations.has(f"use_case.{name}")
        else formatting.clean(name, 40).replace("_", " ").capitalize()
    )


def run_label(run: Run | None) -> str:
    """A run's label in a list: start time, state and overrides."""
    if run is None:
        return t("pick.workspace")
    if run.id == sample_run.SAMPLE:
        return t("pick.sample")
    changes = ", ".join(f"{name.rpartition('.')[2]}={value}" for name, value in run.record.overrides.items())
    state = t(f"state.{run.state}")
    return formatting.clean(" · ".join(filter(None, [formatting.local_time(run.at, zone()), state, changes])), 90)
