"""The card that starts a run: recipes, parameters, the plan, and the button."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.analysis import parameter_fields
from dashboard.analysis.parameter_fields import Form
from dashboard.readers import bonsai_commands, prefect_api
from dashboard.readers.bonsai_commands import CommandError
from dashboard.readers.prefect_api import FlowRun, RequestRefused, Server
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records
from dashboard.readers.runs.run_snapshot import RunSnapshot
from dashboard.text import formatting
from dashboard.ui import page_context, parameter_form, plan_text, widgets
from dashboard.ui.locale import t, word
from dashboard.ui.page_context import PageContext
from flows.runs import run_record as records
from tasks.core.errors import UserError

PREFECT_ERROR_PREFIX = "Flow run encountered an exception: UserError: "
"""Prefect's prefix of an error message that is meant for people."""


OPEN = "new"
"""Query parameter: the card is open although there are runs already."""


def is_open(context: PageContext) -> bool:
    """Whether the card is shown: on request, before the first run, and where the URL holds settings or recipes."""
    prefix = (f"{context.use_case}.", "recipes")
    return context.run is None or OPEN in st.query_params or any(name.startswith(prefix) for name in st.query_params)


def open_card() -> None:
    """Show the card from the next run of the page on."""
    st.query_params[OPEN] = "1"


def close_card(form: Form) -> None:
    """Hide the card, and forget what was set in it."""
    for name in [OPEN, "recipes", *(parameter_form.widget_key(form, field.name) for field in form.fields)]:
        st.query_params.pop(name, None)
        st.session_state.pop(name, None)


@st.fragment
def card(context: PageContext) -> None:
    """The form of a run request. It is a fragment: an edit reruns only this part of the page."""
    with page_context.error_boundary(), st.container(border=True, key="start"):
        form = parameter_fields.form(context.root, context.use_case)
        top = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
        with top:
            preset_slot = st.container(width="content")
            with st.container(width="stretch"):
                chosen = parameter_form.choose_recipes(form)
        bottom = st.container(horizontal=True, vertical_alignment="center", gap="small")
        box = st.expander(t("run.settings"), icon=":material/tune:")
        with box:
            values = _settings(form)
        overrides = parameter_fields.changed(form, values) if values is not None else {}
        with preset_slot:
            _presets(form, overrides, chosen)
        with top:
            pressed = st.button(
                t("run.start"), type="primary", icon=":material/play_arrow:", key="start_run", disabled=values is None
            )
        with bottom:
            if overrides:
                st.badge(t("run.changed", count=len(overrides)), color="yellow", icon=":material/edit:")
                st.button(t("run.reset"), type="tertiary", icon=":material/undo:", key="reset", on_click=_reset, args=(form,))
            else:
                st.badge(t("run.unchanged"), color="gray", icon=":material/check:")
            if context.run is not None and st.button(t("run.close"), type="tertiary", icon=":material/close:", key="close_card"):
                close_card(form)
                st.rerun()
            if st.button(t("run.plan"), type="tertiary", icon=":material/checklist:", key="plan", disabled=values is None):
                show_plan(context, overrides, chosen)
            with st.popover(t("run.terminal"), type="tertiary", icon=":material/terminal:", key="terminal"):
                st.code(parameter_fields.terminal_command([context.use_case], overrides, chosen), language=None, wrap_lines=True)
                st.caption(t("run.terminal_note"))
        if overrides:
            with box:
                st.markdown(f"**{t('run.differs')}**")
                parameter_form.show_overrides(form, overrides)
        if pressed:
            request_run(context.root, [context.use_case], chosen, overrides)


def request_run(root: Path, use_cases: Sequence[str], recipes: Sequence[str], overrides: Mapping[str, Any]) -> None:
    """Request a run from Prefect and show it; show the reason when that is impossible."""
    if flow_run := requested(root, use_cases, recipes, overrides):
        st.query_params["flow"] = flow_run
        st.rerun()


def requested(root: Path, use_cases: Sequence[str], recipes: Sequence[str], overrides: Mapping[str, Any]) -> str:
    """Request a run from Prefect; returns the id of its flow run. Shows the reason when that is impossible, and returns ""."""
    try:
        return prefect_api.request_run(root, use_cases, recipes, overrides)
    except RequestRefused as refusal:
        st.error(t("run.refused", reason=formatting.escape(refusal, 800)))
    except Unreadable as error:
        st.warning(
            t("run.no_server") if error.key == "prefect.none" else page_context.error_message(error),
            icon=":material/cloud_off:",
        )
        st.code(parameter_fields.terminal_command(use_cases, overrides, recipes), language=None, wrap_lines=True)
    return ""


def pending_run(root: Path, flow_run_id: str) -> None:
    """A requested run that has not started yet; refreshes until it has."""

    @st.fragment(run_every=1.0)
    def wait() -> None:
        if run_records.find_by_flow_run(root, flow_run_id):
            st.rerun()
        with page_context.error_boundary(), st.container(border=True):
            server = prefect_api.server(root)
            if server is None:
                raise Unreadable("prefect.none")
            try:
                flow_run = server.flow_run(flow_run_id)
            except (RequestRefused, ValueError) as refusal:
                st.error(t("run.refused", reason=formatting.escape(refusal, 400)))
            else:
                _flow_run_state(server, flow_run)
        if st.button(t("run.dismiss"), key="dismiss"):
            del st.query_params["flow"]
            st.rerun()

    wait()


def _flow_run_state(server: Server, flow_run: FlowRun) -> None:
    """The state in Prefect of a run without a folder, and a button to cancel it."""
    if flow_run.state == "Completed":
        st.info(t("run.requested_gone"), icon=":material/info:")
    elif flow_run.state in records.FINAL_STATES:
        st.error(
            t(
                "run.requested_failed",
                reason=formatting.escape(flow_run.message.removeprefix(PREFECT_ERROR_PREFIX) or flow_run.state, 800),
            )
        )
    else:
        st.markdown(f":material/hourglass_top: {t('run.requested')}")
        waited = formatting.seconds_between(flow_run.at, pd.Timestamp.now("UTC").isoformat()) if flow_run.at else None
        for_now = t("run.running_for", time=formatting.duration(max(0.0, waited))) if waited is not None else ""
        st.caption(" · ".join(filter(None, [t("run.requested_state", state=formatting.escape(flow_run.state)), for_now])))
        if flow_run.state == "Late":
            st.caption(t("run.requested_late"))
        with st.popover(t("run.cancel"), icon=":material/stop_circle:", key="call_off"):
            st.markdown(t("run.cancel_request_sure"))
            if st.button(t("run.cancel_request"), type="primary", key="call_off_yes"):
                server.cancel(flow_run.id)


def edit(snapshot: RunSnapshot) -> None:
    """Fill the form with a run's settings; called before the form is drawn."""
    form = parameter_fields.form(snapshot.run.root, snapshot.use_case)
    overrides = _use_case_overrides(snapshot)
    parameter_form.fill(form, overrides)
    parameter_form.fill_recipes(form, snapshot.record.recipes)
    for field in form.fields:  # widgets that are new on the page take their values over, but do not write them to the URL
        if field.name in overrides and overrides[field.name] != field.default:
            st.query_params[parameter_form.widget_key(form, field.name)] = parameter_fields.format_value(overrides[field.name])


def _use_case_overrides(snapshot: RunSnapshot) -> dict[str, Any]:
    """The run's overrides for this use case, named as the form names them."""
    prefix = f"use_cases.{snapshot.use_case}."
    seeds = snapshot.record.overrides.get("seeds")
    return {
        **({parameter_fields.SEEDS: 1 + len(seeds)} if isinstance(seeds, list) else {}),
        **{
            name.removeprefix(prefix): value
            for name, value in snapshot.record.overrides.items()
            if name.startswith((prefix, "recipes.")) and not name.endswith(".fingerprint")
        },
    }


def _settings(form: Form) -> dict[str, Any] | None:
    """The values of the form; None when one of them cannot be parsed."""
    try:
        return parameter_form.setting_widgets(form)
    except UserError as error:
        st.error(formatting.escape(error, 600))
        return None


def _presets(form: Form, overrides: Mapping[str, Any], chosen: Sequence[str]) -> None:
    """The preset that matches the form; a click on another fills the form."""
    presets = _preset_values(form)
    preset = "full" if not overrides and not chosen else "own"
    for name, (values, recipes) in presets.items():
        if dict(overrides) == values and list(chosen) == recipes:
            preset = name
    st.session_state["preset"] = preset
    st.segmented_control(
        t("run.preset"),
        [*presets, "full", *(["own"] if preset == "own" else [])],
        required=True,
        format_func=lambda name: t(f"run.{name}"),
        key="preset",
        help=t("run.preset_help"),
        on_change=_apply_preset,
        args=(form, presets),
    )


def _preset_values(form: Form) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """The settings and the recipes of each preset of the use case: `demo` where there is one, and `quick`."""
    names = {field.name for field in form.fields}
    settings = {"demo": parameter_fields.DEMO.get(form.use_case, {}), "quick": parameter_fields.QUICK}
    recipes = {"demo": parameter_fields.DEMO_RECIPES, "quick": parameter_fields.QUICK_RECIPES}
    return {
        preset: (
            {name: value for name, value in values.items() if name in names},
            [name for name in form.recipes if name in recipes[preset]],
        )
        for preset, values in settings.items()
        if values
    }


def _apply_preset(form: Form, presets: Mapping[str, tuple[dict[str, Any], list[str]]]) -> None:
    preset = st.session_state["preset"]
    if preset != "own":
        values, recipes = presets.get(preset, ({}, []))
        parameter_form.fill(form, values)
        parameter_form.fill_recipes(form, recipes)


def _reset(form: Form) -> None:
    parameter_form.fill(form, {})
    parameter_form.fill_recipes(form, ())


def show_plan(context: PageContext, overrides: Mapping[str, Any], chosen: Sequence[str]) -> None:
    """A dialog with the stages that the run would execute, from `bonsai plan`."""

    @st.dialog(t("run.plan"), width="large", icon=":material/checklist:")
    def show() -> None:
        with st.spinner(t("run.plan_wait")):
            steps, error = _plan_steps(context.root, context.use_case, overrides, chosen)
        if error:
            st.warning(t("run.plan_failed", reason=formatting.escape(error, 800)))
            return
        to_run = [step for step in steps if step["verdict"] == "Run"]
        seconds = [step["seconds"] for step in to_run if step["seconds"] is not None]
        sentences = [t("run.plan_time", time=formatting.duration(sum(seconds)))] if seconds else []
        sentences += [t("run.plan_untimed", count=len(to_run) - len(seconds))] if len(to_run) > len(seconds) else []
        st.markdown(t("run.plan_sum", run=len(to_run), total=len(steps), time=" ".join(sentences)))
        shown = pd.DataFrame(
            {
                t("run.stage"): [step["stage"] for step in steps],
                t("run.verdict"): [word("verdict", step["verdict"]) for step in steps],
                t("run.before"): [formatting.duration(step["seconds"]) for step in steps],
                t("run.reason"): [plan_text.reasons_text(step["reasons"]) for step in steps],
            }
        )
        widgets.table(shown, key="plan_table", alt_text=t("run.plan"))

    show()


def _plan_steps(
    root: Path, use_case: str, overrides: Mapping[str, Any], chosen: Sequence[str]
) -> tuple[list[dict[str, Any]], str]:
    """The steps of the plan, or the reason why there are none."""
    options = [part for name, value in overrides.items() for part in ("--set", f"{name}={parameter_fields.format_value(value)}")]
    options += [part for recipe in chosen for part in ("--recipe", recipe)]
    try:
        return bonsai_commands.plan(root, use_case, options), ""
    except CommandError as error:
        return [], str(error)
