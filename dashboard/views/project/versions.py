"""The score as DVC sees it: up to date or not, and why; and which data and models earlier runs had."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.analysis.graph_layout import lay_out
from dashboard.components.graph import Node, graph, spoken
from dashboard.readers import project_files, run_records, run_status
from dashboard.readers.project_files import Unreadable
from dashboard.readers.run_records import StageEntry, StageState
from dashboard.text import formatting
from dashboard.ui import page_context, pickers, widgets
from dashboard.ui.locale import t, word
from dashboard.ui.page_context import Context

TIMEOUT_S = 120
OFFERED = 60
VERSIONED = ("clean", "train", "release")


def status(context: Context) -> None:
    """Every stage of the project's own folder: what would run now, and why."""
    needs = {
        name: wanted
        for name, wanted in run_status.planned(context.root).items()
        if run_records.parts(name)[1] == context.use_case
    }
    if not needs:
        page_context.nothing("versions.no_score")
        return
    with st.spinner(t("run.plan_wait")):
        steps = _plan(context.root, context.use_case, _stamp(context.root))
    verdicts = {str(step["stage"]): step for step in steps}
    nodes = {name: _node(name, verdicts.get(name, {})) for name in needs}
    late = [step for step in steps if step["verdict"] == "Run"]
    if late:
        st.markdown(t("versions.late", late=len(late), total=len(steps)))
    else:
        st.success(t("versions.current", total=len(steps)), icon=":material/check_circle:")
    graph(lay_out(needs), nodes, key="score", alt=t("versions.graph_alt"))
    frame = pd.DataFrame(
        {
            t("run.stage"): [step["stage"] for step in steps],
            t("run.verdict"): [word("verdict", step["verdict"]) for step in steps],
            t("run.reason"): ["; ".join(str(reason["text"]) for reason in step["reasons"]) for step in steps],
        }
    )
    widgets.table(frame, key="status", alt_text=t("versions_view.status"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(t("versions.terminal"), width="content")
        st.code(f"bonsai plan {context.use_case}", language=None, width="content", wrap_lines=True)


def versions(context: Context) -> None:
    """The versions of data and models, newest first, with the runs that hold them."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for run in run_records.latest(context.root, context.use_case, OFFERED):
        for name, entry in run.stages(context.use_case).items():
            verb, output = run_records.parts(name)[0], _out(entry)
            if verb not in VERSIONED or output is None:
                continue
            path, facts = output
            whole = str(facts.get("md5", ""))
            fresh: dict[str, Any] = {
                "kind": t(f"versions.{verb}"),
                "hash": whole[:12],
                "size": facts.get("size"),
                "path": path,
                "runs": [],
            }
            known = rows.setdefault((verb, whole), fresh)
            known["runs"].append(run.id)
            known["first"] = run.at
    if not rows:
        st.caption(t("versions.none"))
        return
    frame = pd.DataFrame(rows.values())
    frame["first"] = pd.to_datetime(frame["first"].map(formatting.moment), utc=True)
    frame["held"] = [len(held) for held in frame["runs"]]
    frame["newest"] = [held[0] for held in frame["runs"]]
    columns = {
        "kind": st.column_config.TextColumn(t("versions.kind")),
        "hash": st.column_config.TextColumn(t("drawer.hash")),
        "size": st.column_config.NumberColumn(t("drawer.size"), format="bytes"),
        "first": st.column_config.DatetimeColumn(t("versions.first"), format="D MMM, HH:mm", timezone=st.context.timezone),
        "held": st.column_config.NumberColumn(t("versions.held")),
        "newest": st.column_config.TextColumn(t("versions.newest")),
        "path": st.column_config.TextColumn(t("drawer.path")),
    }
    shown = frame[["kind", "hash", "size", "first", "held", "newest", "path"]]
    widgets.table(shown, key="versions", alt_text=t("versions_view.versions"), columns=columns)
    st.markdown(f"**{t('versions.restore')}**")
    st.caption(t("versions.restore_note"))
    options = list(dict.fromkeys(frame["newest"]))
    chosen = pickers.choose_from("restore", options, t("pick.run"), options[0])
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.popover(t("versions.restore_now"), icon=":material/settings_backup_restore:", key="restore_now"):
            st.markdown(t("versions.restore_sure", run=formatting.code(chosen)))
            if st.button(t("versions.restore_yes"), type="primary", key="restore_yes"):
                with st.spinner(t("versions.restoring")):
                    done, said = _restored(context.root, project_files.slug(chosen))
                (st.success if done else st.warning)(formatting.sentence(formatting.escape(said, 1500)))
        st.code(f"bonsai restore {chosen}", language=None, wrap_lines=True)


def _restored(root: Path, run_id: str) -> tuple[bool, str]:
    """Whether a run was put into the project's folder, and what was said; what is saved nowhere else is never overwritten."""
    command = [sys.executable, "-m", "flows.cli.main", "restore", run_id]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    lines = [*done.stdout.strip().splitlines(), *done.stderr.strip().splitlines()]
    return done.returncode == 0, " · ".join(line.removeprefix("error: ") for line in lines)


@st.cache_data(max_entries=16, show_spinner=False)
def _plan(root: Path, use_case: str, stamp: tuple[int, ...]) -> list[dict[str, Any]]:
    """What a run without overrides would do. In a process of its own: DVC works in the current directory."""
    command = [sys.executable, "-m", "flows.cli.main", "plan", use_case, "--json"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unreadable("run.plan_failed", reason=str(error)) from None
    if done.returncode:
        raise Unreadable("run.plan_failed", reason=(done.stderr.strip().splitlines() or ["?"])[-1].removeprefix("error: "))
    steps: list[dict[str, Any]] = json.loads(done.stdout)
    return steps


def _stamp(root: Path) -> tuple[int, ...]:
    """What the answer depends on, as times of change: parameters, score, lock, code and the newest run."""
    paths = [root / "params.yaml", root / "dvc.yaml", root / "dvc.lock", *sorted((root / "tasks").rglob("*.py"))]
    newest = [root / "runs" / name / "run.json" for name in run_records.names(root)[:1]]
    return tuple(path.stat().st_mtime_ns for path in (*paths, *newest) if path.exists())


def _node(name: str, step: dict[str, Any]) -> Node:
    verb, _, recipe = run_records.parts(name)
    verdict = str(step.get("verdict", ""))
    said = word("versions_verdict", verdict) if verdict else ""
    title = recipe or word("stage", verb)
    sub = f"{word('stage', verb)} · {said}" if recipe else said
    states: dict[str, StageState] = {"Unchanged": "unchanged", "Restored": "restored"}
    return Node(title, sub, states.get(verdict, "waiting"), spoken(title, sub, said))


def _out(entry: StageEntry) -> tuple[str, dict[str, Any]] | None:
    return next(((path, facts) for path, facts in entry.outs.items() if isinstance(facts, dict) and facts.get("md5")), None)
