"""Tune hyperparameters from the page: start trials, watch them, see which matter, and write the best to params.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.analysis import parameter_fields, search_points
from dashboard.analysis.parameter_fields import Field
from dashboard.charts import search_charts
from dashboard.readers.searches import search_process, tuning_trials
from dashboard.readers.searches.tuning_trials import StudyReport, TuningTrial
from dashboard.text import formatting
from dashboard.ui import page_context, parameter_form, pickers, widgets
from dashboard.ui.locale import t
from dashboard.views.recipes import importance, params_change, search_status
from flows.parameters import params_edits
from tasks.core.errors import UserError

SECTIONS = ("training", "model")
LEFT_OUT = ("training.seed", "training.seeds", "training.threads", "training.device")
"""Settings that no search tries: they choose a machine or a seed, not a model."""
VARIED = ("whole", "number", "switch")
"""Kinds of settings with more than one value; of others only those with choices are offered."""
DEFAULTS = ("training.learning_rate", "training.weight_decay")
DEFAULT_TRIALS, MAX_TRIALS = 10, 500
FACTOR = 10.0
"""A range goes by default from the value divided by this to the value times this."""
MAX_LISTED = 20


def show(root: Path, use_case: str) -> None:
    """The form that starts trials, the state of the search, and what the study has found."""
    search = search_process.read(root, use_case, "tune")
    running = search is not None and search.is_running
    if not running:
        _start_form(root, use_case)

    @st.fragment(run_every=search_status.REFRESH_S if running else None, key="tuning")
    def live() -> None:
        with page_context.error_boundary():
            now = search_process.read(root, use_case, "tune")
            if running and not (now and now.is_running):
                st.rerun()
            report = tuning_trials.read(root, use_case)
            if now:
                share = None
                if report:
                    share = (report.ended - now.facts["before"]) / max(1, now.facts["trials"])
                search_status.show(now, _summary(report), share)
            if report and report.trials:
                _results(root, use_case, report)
            elif not now:
                page_context.empty_state("recipes.tuning_none")

    live()


def _start_form(root: Path, use_case: str) -> None:
    form = parameter_fields.form(root, use_case)
    offered = {
        field.name: field
        for field in form.fields
        if field.section in SECTIONS
        and field.name not in LEFT_OUT
        and (field.kind in ("whole", "number", "switch") or field.choices)
    }
    with st.container(border=True, key="start_tuning"):
        st.markdown(t("recipes.tuning_note", use_case=pickers.title(use_case)))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            chosen = st.multiselect(
                t("recipes.parameters"),
                list(offered),
                default=[name for name in DEFAULTS if name in offered and offered[name].default],
                format_func=lambda name: _name(name),
                key=f"tuned_{use_case}",
            )
            count = st.number_input(
                t("recipes.trials"), 1, MAX_TRIALS, DEFAULT_TRIALS, key="tuning_trials", help=t("recipes.trials_help"), width=140
            )
            start_slot = st.container(width="content")
        spaces = [space for name in chosen if (space := _space(use_case, offered[name]))]
        complete = bool(chosen) and len(spaces) == len(chosen)
        pressed = start_slot.button(
            t("recipes.start_tuning"), type="primary", icon=":material/play_arrow:", key="start_tuning_now", disabled=not complete
        )
    if pressed:
        with page_context.error_boundary():
            report = tuning_trials.read(root, use_case)
            before = report.ended if report else 0
            options = [part for space in spaces for part in ("--over", space)]
            facts = {"before": before, "trials": int(count)}
            search_process.start(root, use_case, "tune", [*options, "--trials", str(before + int(count))], facts)
            st.rerun()


def _space(use_case: str, field: Field) -> str:
    """The widgets of a parameter's range or choices; returns it as `bonsai tune --over` takes it, empty if it holds one value."""
    key = f"space_{use_case}_{field.name}"
    label = _name(field.name)
    if field.choices or field.kind == "switch":
        options = [str(value) for value in field.choices] or ["true", "false"]
        picked = st.multiselect(label, options, default=options, key=key)
        return f"{field.name}={','.join(picked)}" if len(picked) > 1 else ""
    whole = field.kind == "whole"
    cast: Any = int if whole else float
    low, high = default_range(field)
    shared: dict[str, Any] = {"step": 1} if whole else {"step": parameter_form.step_size(field), "format": "%g"}
    for name, bound in (("min_value", field.low), ("max_value", field.high)):
        shared[name] = None if bound is None else cast(bound)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        least = st.number_input(t("recipes.from", name=label), value=cast(low), key=f"{key}_low", width=260, **shared)
        most = st.number_input(t("recipes.to", name=label), value=cast(high), key=f"{key}_high", width=260, **shared)
    if least is None or most is None or least >= most:
        st.caption(t("recipes.range_empty", name=label))
        return ""
    return f"{field.name}={least!r}..{most!r}"


def default_range(field: Field) -> tuple[float, float]:
    """A range around the present value, within the bounds of the setting."""
    value = float(field.default)
    low, high = value / FACTOR, value * FACTOR
    if field.kind == "whole":
        low, high = max(value // 2, 1.0), max(2 * value, 2.0)
    if not value:
        low, high = 0.0, min(1.0, field.high or 1.0)
    least = field.low if field.low is not None else low
    most = field.high if field.high is not None else high
    return max(low, least), min(high, most)


def _name(name: str) -> str:
    return parameter_form.label_of(name)


def _summary(report: StudyReport | None) -> str:
    if report is None or not report.trials:
        return t("recipes.preparing_trials")
    states = [each.state for each in report.trials]
    counts = {"completed": len(report.completed), "pruned": states.count("pruned"), "failed": states.count("fail")}
    return t("recipes.trials_done", **counts)


def _results(root: Path, use_case: str, report: StudyReport) -> None:
    if not report.completed:
        st.caption(t("recipes.no_trial_completed"))
        return
    left, right = st.columns([5, 3], gap="medium")
    with left, st.container(border=True, height="stretch"):
        points = search_points.tuning_points(report)
        st.caption(t("recipes.trials_note"))
        metric = t("recipes.metric_up" if report.higher_is_better else "recipes.metric_down")
        drawing = search_charts.trials(points, titles=(t("recipes.trial"), metric), best=t("recipes.best_so_far"))
        widgets.chart(drawing, points, key="tuning_trials_chart", alt_text=t("recipes.trials_alt"))
    with right, st.container(border=True, height="stretch"):
        _use(root, use_case, report)
    if report.importances:
        with st.container(border=True):
            _importances(report)


def _importances(report: StudyReport) -> None:
    st.markdown(f"**{t('recipes.importance')}**")
    shares = {_name(name): share for name, share in report.importances.items()}
    importance.chart(shares, len(report.completed), key="importances")


def _use(root: Path, use_case: str, report: StudyReport) -> None:
    """A completed trial with its parameters, and the button that writes them to params.yaml."""
    sign = -1.0 if report.higher_is_better else 1.0
    ordered = sorted(report.completed, key=lambda each: sign * float(each.value or 0.0))[:MAX_LISTED]
    by_number = {each.number: each for each in ordered}
    number = st.selectbox(
        t("recipes.trial_of"),
        list(by_number),
        format_func=lambda number: _label(by_number[number], ordered[0]),
        key=f"trial_{use_case}",
    )
    trial = by_number[number]
    st.metric(t("recipes.metric_validation"), f"{trial.value:.4f}")
    lines = [f"- {_name(name)}: **{formatting.escape(_text(value))}**" for name, value in trial.params.items()]
    st.markdown("\n".join(lines))
    st.caption(t("recipes.validation_tuned"))
    try:
        edit = params_edits.with_settings(root, use_case, trial.params)
    except UserError as error:
        st.warning(formatting.capitalized(formatting.escape(error, 800)), icon=":material/warning:")
        return
    if edit.before == edit.after:
        st.caption(t("recipes.already_set"))
    elif st.button(t("recipes.use_settings"), type="primary", icon=":material/check:", key="use_settings"):
        params_change.write(root, edit, t("recipes.settings_written", use_case=pickers.title(use_case)))
        st.rerun()


def _label(trial: TuningTrial, best: TuningTrial) -> str:
    name = f"{t('recipes.trial')} {trial.number} · {trial.value:.4f}"
    return f"{t('recipes.best')} · {name}" if trial is best else name


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value) if isinstance(value, str) else json.dumps(value)
