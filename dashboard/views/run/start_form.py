"""The card that starts a run: what is set, what that would do, and the one button."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.analysis import parameter_fields
from dashboard.analysis.parameter_fields import Form
from dashboard.readers import prefect_api, run_records
from dashboard.readers.prefect_api import FlowRun, Refused, Server
from dashboard.readers.project_files import Unreadable
from dashboard.readers.run_snapshot import RunSnapshot
from dashboard.text import formatting
from dashboard.ui import page_context, parameter_form, widgets
from dashboard.ui.locale import t, word
from dashboard.ui.page_context import Context
from flows.runs import run_record as records
from tasks.core.errors import UserError

PLAN_TIMEOUT_S = 120
PREFECTS_OWN = "Flow run encountered an exception: UserError: "
"""What Prefect puts before a sentence that was written for people."""


@st.fragment
def card(context: Context) -> None:
    """Everything a run can be asked for. Only this part of the page reacts while it is filled in."""
    with page_context.or_say(), st.container(border=True, key="start"):
        form = parameter_fields.form(context.root, context.use_case)
        first = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
        with first:
            preset = st.container(width="content")
            with st.container(width="stretch"):
                chosen = parameter_form.recipes(form)
        second = st.container(horizontal=True, vertical_alignment="center", gap="small")
        box = st.expander(t("run.settings"), icon=":material/tune:")
        with box:
            values = _settings(form)
        overrides = parameter_fields.changed(form, values) if values is not None else {}
        with preset:
            _presets(form, overrides, chosen)
        with first:
            pressed = st.button(
                t("run.start"), type="primary", icon=":material/play_arrow:", key="start_run", disabled=values is None
            )
        with second:
            if overrides:
                st.badge(t("run.changed", count=len(overrides)), color="yellow", icon=":material/edit:")
                st.button(t("run.reset"), type="tertiary", icon=":material/undo:", key="reset", on_click=_reset, args=(form,))
            else:
                st.badge(t("run.unchanged"), color="gray", icon=":material/check:")
            if st.button(t("run.plan"), type="tertiary", icon=":material/checklist:", key="plan", disabled=values is None):
                plan(context, overrides, chosen)
            with st.popover(t("run.terminal"), type="tertiary", icon=":material/terminal:", key="terminal"):
                st.code(parameter_fields.command([context.use_case], overrides, chosen), language=None, wrap_lines=True)
                st.caption(t("run.terminal_note"))
        if overrides:
            with box:
                st.markdown(f"**{t('run.differs')}**")
                parameter_form.differences(form, overrides)
        if pressed:
            ask(context.root, [context.use_case], chosen, overrides)


def ask(root: Path, use_cases: Sequence[str], recipes: Sequence[str], overrides: Mapping[str, Any]) -> None:
    """Ask the conductor for a run and go and watch it; what stands in the way is said in a sentence."""
    try:
        flow_run = prefect_api.request_run(root, use_cases, recipes, overrides)
    except Refused as refusal:
        st.error(t("run.refused", reason=formatting.escape(refusal, 800)))
        return
    except Unreadable as trouble:
        st.warning(
            t("run.no_server") if trouble.key == "conductor.none" else page_context.why(trouble), icon=":material/cloud_off:"
        )
        st.code(parameter_fields.command(use_cases, overrides, recipes), language=None, wrap_lines=True)
        return
    st.query_params["flow"] = flow_run
    st.rerun()


def awaited(root: Path, flow_run_id: str) -> None:
    """A run that was asked for and has not begun: looked for until it has."""

    @st.fragment(run_every=1.0)
    def wait() -> None:
        if run_records.of_flow(root, flow_run_id):
            st.rerun()
        with page_context.or_say(), st.container(border=True):
            server = prefect_api.server(root)
            if server is None:
                raise Unreadable("conductor.none")
            try:
                flow_run = server.flow_run(flow_run_id)
            except (Refused, ValueError) as refusal:
                st.error(t("run.refused", reason=formatting.escape(refusal, 400)))
            else:
                _expected(server, flow_run)
        if st.button(t("run.dismiss"), key="dismiss"):
            del st.query_params["flow"]
            st.rerun()

    wait()


def _expected(server: Server, flow_run: FlowRun) -> None:
    """How a run that has no folder yet stands with Prefect, and a way to call it off."""
    if flow_run.state == "Completed":
        st.info(t("run.asked_gone"), icon=":material/info:")
    elif flow_run.state in records.FINAL_STATES:
        st.error(
            t("run.asked_failed", reason=formatting.escape(flow_run.message.removeprefix(PREFECTS_OWN) or flow_run.state, 800))
        )
    else:
        st.markdown(f":material/hourglass_top: {t('run.asked')}")
        waited = formatting.seconds_between(flow_run.at, pd.Timestamp.now("UTC").isoformat()) if flow_run.at else None
        for_now = t("run.for_now", time=formatting.duration(max(0.0, waited))) if waited is not None else ""
        st.caption(" · ".join(filter(None, [t("run.asked_state", state=formatting.escape(flow_run.state)), for_now])))
        if flow_run.state == "Late":
            st.caption(t("run.asked_late"))
        with st.popover(t("run.cancel"), icon=":material/stop_circle:", key="call_off"):
            st.markdown(t("run.call_off_sure"))
            if st.button(t("run.call_off"), type="primary", key="call_off_yes"):
                server.cancel(flow_run.id)


def edit(snapshot: RunSnapshot) -> None:
    """Fill the form with a run's settings; called before the form is drawn."""
    form = parameter_fields.form(snapshot.run.root, snapshot.use_case)
    parameter_form.put(form, _use_case_overrides(snapshot))
    parameter_form.put_recipes(form, snapshot.record.recipes)


def _use_case_overrides(snapshot: RunSnapshot) -> dict[str, Any]:
    """The run's overrides for this use case, named as the form names them."""
    prefix = f"use_cases.{snapshot.use_case}."
    return {
        name.removeprefix(prefix): value
        for name, value in snapshot.record.overrides.items()
        if name.startswith((prefix, "recipes.")) and not name.endswith(".fingerprint")
    }


def _settings(form: Form) -> dict[str, Any] | None:
    """What the form holds; None when something in it cannot be understood."""
    try:
        return parameter_form.settings(form)
    except UserError as mistake:
        st.error(formatting.escape(mistake, 600))
        return None


def _presets(form: Form, overrides: Mapping[str, Any], chosen: Sequence[str]) -> None:
    """Which preset the form is at; choosing one fills it in."""
    quick = {name: value for name, value in parameter_fields.QUICK.items() if any(field.name == name for field in form.fields)}
    quickly = dict(overrides) == quick and list(chosen) == [
        name for name in form.recipes if name in parameter_fields.QUICK_RECIPES
    ]
    now = "full" if not overrides and not chosen else "quick" if quickly else "own"
    st.session_state["preset"] = now
    st.segmented_control(
        t("run.preset"),
        ["quick", "full", *(["own"] if now == "own" else [])],
        required=True,
        format_func=lambda name: t(f"run.{name}"),
        key="preset",
        help=t("run.preset_help"),
        on_change=_take_preset,
        args=(form, quick),
    )


def _take_preset(form: Form, quick: Mapping[str, Any]) -> None:
    taken = st.session_state["preset"]
    if taken != "own":
        parameter_form.put(form, quick if taken == "quick" else {})
        parameter_form.put_recipes(form, parameter_fields.QUICK_RECIPES if taken == "quick" else ())


def _reset(form: Form) -> None:
    parameter_form.put(form, {})
    parameter_form.put_recipes(form, ())


def plan(context: Context, overrides: Mapping[str, Any], chosen: Sequence[str]) -> None:
    """What the run would do, asked of the conductor's own planner when somebody wants to know."""

    @st.dialog(t("run.plan"), width="large", icon=":material/checklist:")
    def show() -> None:
        with st.spinner(t("run.plan_wait")):
            steps, trouble = _planned(context.root, context.use_case, overrides, chosen)
        if trouble:
            st.warning(t("run.plan_failed", reason=formatting.escape(trouble, 800)))
            return
        ahead = [step for step in steps if step["verdict"] == "Run"]
        known = [step["seconds"] for step in ahead if step["seconds"] is not None]
        told = [t("run.plan_time", time=formatting.duration(sum(known)))] if known else []
        told += [t("run.plan_untimed", count=len(ahead) - len(known))] if len(ahead) > len(known) else []
        st.markdown(t("run.plan_sum", run=len(ahead), total=len(steps), time=" ".join(told)))
        shown = pd.DataFrame(
            {
                t("run.stage"): [step["stage"] for step in steps],
                t("run.verdict"): [word("verdict", step["verdict"]) for step in steps],
                t("run.before"): [formatting.duration(step["seconds"]) for step in steps],
                t("run.reason"): ["; ".join(str(reason["text"]) for reason in step["reasons"]) for step in steps],
            }
        )
        widgets.table(shown, key="plan_table", alt_text=t("run.plan"))

    show()


def _planned(root: Path, use_case: str, overrides: Mapping[str, Any], chosen: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
    """The plan, or why there is none. A process of its own: DVC works in the current directory."""
    command = [sys.executable, "-m", "flows.cli.main", "plan", use_case, "--json"]
    for name, value in overrides.items():
        command += ["--set", f"{name}={parameter_fields.in_words(value)}"]
    for recipe in chosen:
        command += ["--recipe", recipe]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=PLAN_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], str(error)
    if done.returncode:
        return [], (done.stderr.strip().splitlines() or ["?"])[-1].removeprefix("error: ")
    steps: list[dict[str, Any]] = json.loads(done.stdout)
    return steps, ""
