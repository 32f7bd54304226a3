"""The state of the pipeline's stages in DVC, and the versions of data and models that earlier runs produced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.analysis.graph_layout import compute_layout
from dashboard.components.graph import Node, accessible_label, graph
from dashboard.readers import bonsai_commands, project_files, stage_plans
from dashboard.readers.bonsai_commands import CommandError
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records, run_status, verdicts
from dashboard.readers.runs.run_records import Run, StageEntry, StageState
from dashboard.text import formatting
from dashboard.ui import page_context, pickers, plan_text, verdict_view, widgets
from dashboard.ui.locale import t, word
from dashboard.ui.page_context import PageContext

OFFERED = 60
VERSIONED = ("clean", "train", "release")


def status(context: PageContext) -> None:
    """Every stage of the project's own folder: whether it would run now, and why."""
    needs = run_status.planned_stages(context.root, context.use_case)
    if not needs:
        page_context.empty_state("versions.no_pipeline")
        return
    with st.spinner(t("run.plan_wait")):
        steps = _plan(context.root, context.use_case)
    verdicts = {str(step["stage"]): step for step in steps}
    nodes = {name: _node(name, verdicts.get(name, {})) for name in needs}
    outdated = [step for step in steps if step["verdict"] == "Run"]
    if outdated:
        st.markdown(t("versions.late", late=len(outdated), total=len(steps)))
    else:
        st.success(t("versions.current", total=len(steps)), icon=":material/check_circle:")
    graph(compute_layout(needs), nodes, key="pipeline", alt=t("versions.graph_alt"))
    frame = pd.DataFrame(
        {
            t("run.stage"): [step["stage"] for step in steps],
            t("run.verdict"): [word("verdict", step["verdict"]) for step in steps],
            t("run.reason"): [plan_text.reasons_text(step["reasons"]) for step in steps],
        }
    )
    widgets.table(frame, key="status", alt_text=t("versions_view.status"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(t("versions.terminal"), width="content")
        st.code(f"bonsai plan {context.use_case}", language=None, width="content", wrap_lines=True)


def versions(context: PageContext) -> None:
    """The versions of data and models, newest first, with the runs that have them."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for run in run_records.latest(context.root, context.use_case, OFFERED):
        for name, entry in run.stages(context.use_case).items():
            verb, output = run_records.stage_parts(name)[0], _first_output(entry)
            if verb not in VERSIONED or output is None:
                continue
            path, facts = output
            full_hash = str(facts.get("md5", ""))
            fresh: dict[str, Any] = {
                "kind": t(f"versions.{verb}"),
                "hash": full_hash[:12],
                "size": facts.get("size"),
                "path": path,
                "verdict": _verdict(run, context.use_case) if verb == "release" else "",
                "runs": [],
            }
            version = rows.setdefault((verb, full_hash), fresh)
            version["runs"].append(run.id)
            version["first"] = run.at
    if not rows:
        st.caption(t("versions.none"))
        return
    frame = pd.DataFrame(rows.values())
    frame["first"] = pd.to_datetime(frame["first"].map(formatting.parse_time), utc=True)
    frame["held"] = [len(runs) for runs in frame["runs"]]
    frame["newest"] = [runs[0] for runs in frame["runs"]]
    columns = {
        "kind": st.column_config.TextColumn(t("versions.kind")),
        "hash": st.column_config.TextColumn(t("stage_details.hash")),
        "verdict": st.column_config.TextColumn(t("history.verdict")),
        "size": st.column_config.NumberColumn(t("stage_details.size")),
        "first": st.column_config.DatetimeColumn(t("versions.first"), format="D MMM, HH:mm", timezone=st.context.timezone),
        "held": st.column_config.NumberColumn(t("versions.runs")),
        "newest": st.column_config.TextColumn(t("versions.newest")),
        "path": st.column_config.TextColumn(t("stage_details.path")),
    }
    shown = frame[["kind", "hash", "verdict", "size", "first", "held", "newest", "path"]]
    widgets.table(shown, key="versions", alt_text=t("versions_view.versions"), columns=columns, formats={"size": formatting.size})
    st.markdown(f"**{t('versions.restore')}**")
    st.caption(t("versions.restore_note"))
    options = list(dict.fromkeys(frame["newest"]))
    chosen = pickers.choose_from("restore", options, t("pick.run"), options[0])
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.popover(t("versions.restore_now"), icon=":material/settings_backup_restore:", key="restore_now"):
            st.markdown(t("versions.restore_sure", run=formatting.code(chosen)))
            if st.button(t("versions.restore_yes"), type="primary", key="restore_yes"):
                with st.spinner(t("versions.restoring")):
                    done, message = _restore(context.root, project_files.slug(chosen))
                (st.success if done else st.warning)(formatting.capitalized(formatting.escape(message, 1500)))
        st.code(f"bonsai restore {chosen}", language=None, wrap_lines=True)


def _restore(root: Path, run_id: str) -> tuple[bool, str]:
    """Restore a run into the project's folder; returns success and the output. Unsaved changes are never overwritten."""
    try:
        done = bonsai_commands.run(root, "restore", run_id)
    except CommandError as error:
        return False, str(error)
    lines = [*done.stdout.strip().splitlines(), *done.stderr.strip().splitlines()]
    return done.returncode == 0, " · ".join(line.removeprefix("error: ") for line in lines)


def _plan(root: Path, use_case: str) -> list[dict[str, Any]]:
    """The plan of a run without overrides."""
    try:
        return stage_plans.of_use_case(root, use_case)
    except CommandError as error:
        raise Unreadable("run.plan_failed", reason=str(error)) from None


def _node(name: str, step: dict[str, Any]) -> Node:
    verb, _, recipe = run_records.stage_parts(name)
    verdict = str(step.get("verdict", ""))
    state = word("versions_verdict", verdict) if verdict else ""
    title = recipe or word("stage", verb)
    sub = f"{word('stage', verb)} · {state}" if recipe else state
    states: dict[str, StageState] = {"Unchanged": "unchanged", "Restored": "restored"}
    return Node(title, sub, states.get(verdict, "waiting"), accessible_label(title, sub, state))


def _verdict(run: Run, use_case: str) -> str:
    """The verdict's word and what was released."""
    decided = verdicts.of_use_cases(run, use_case)
    return " ".join(filter(None, [verdict_view.cell(decided), verdict_view.released_cell(decided)]))


def _first_output(entry: StageEntry) -> tuple[str, dict[str, Any]] | None:
    """The path and the facts of the stage's first output with a hash; None without any."""
    return next(((path, facts) for path, facts in entry.outs.items() if isinstance(facts, dict) and facts.get("md5")), None)
