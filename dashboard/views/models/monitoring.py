"""Requests, latency, answers, drift and alarms of a use case's model in use."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard.charts import classification_charts, monitoring_charts
from dashboard.readers import monitoring
from dashboard.readers.bonsai_commands import CommandError
from dashboard.readers.monitoring import Report
from dashboard.text import formatting
from dashboard.ui import locale, metric_text, page_context, pickers, widgets
from dashboard.ui.locale import t, word
from dashboard.ui.page_context import PageContext

MAX_REASON = 200
MAX_ANSWERS = 15


def show(context: PageContext) -> None:
    """The page."""
    report, rows = monitoring.report(context.root, context.use_case), monitoring.requests(context.root, context.use_case)
    if rows.empty and report is None:
        page_context.empty_state("monitoring.none")
        st.code(f"bonsai serve {context.use_case}\nbonsai monitor {context.use_case}", language=None)
        return
    if message := st.session_state.pop("monitoring_message", ""):
        st.warning(message)
    _alarms(context, report)
    _figures(context, report)
    if not rows.empty:
        _over_time(rows)
    if report:
        _drift(report)
        _limits(report)


def _alarms(context: PageContext, report: Report | None) -> None:
    """The open alarms, with a reason to close them; and the last look."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if report is None:
            st.caption(t("monitoring.never"), width="content")
        else:
            at = formatting.local_time(report.at, locale.zone())
            if not report.alarms:
                st.badge(t("monitoring.quiet"), color="green", icon=":material/check_circle:")
            st.caption(t("monitoring.looked", time=at, model=formatting.escape(report.model, 60)), width="content")
        if st.button(t("monitoring.look"), icon=":material/visibility:", key="look_now"):
            _act(lambda: monitoring.look_now(context.root, context.use_case))
    if not report or not report.alarms:
        return
    for alarm in report.alarms:
        name = word("statistic", alarm.name)
        at = formatting.local_time(alarm.at, locale.zone())
        st.error(
            t(f"monitoring.alarm_{alarm.kind}", name=formatting.escape(name), time=at)
            if alarm.kind in ("drift", "limit", "shadow")
            else formatting.escape(alarm.message, 300),
            icon=":material/notifications_active:",
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        why = st.text_input(t("monitoring.why"), key="why", max_chars=MAX_REASON, width=420)
        if st.button(t("monitoring.acknowledge"), icon=":material/done:", key="acknowledge", disabled=not (why or "").strip()):
            _act(lambda: monitoring.acknowledge(context.root, context.use_case, str(why).strip()))


def _act(command: Callable[[], None]) -> None:
    with st.spinner(t("monitoring.looking")):
        try:
            command()
        except CommandError as error:
            st.session_state["monitoring_message"] = formatting.capitalized(formatting.escape(error, 600))
    st.rerun()


def _figures(context: PageContext, report: Report | None) -> None:
    """The last requests in figures."""
    if report is None:
        return
    recent, latency = report.recent, report.recent.latency_ms
    wrong = sum(recent.errors.values())
    figures = {
        t("monitoring.requests"): (formatting.number(report.requests), t("monitoring.rows", rows=formatting.number(report.rows))),
        t("monitoring.p50"): (formatting.milliseconds(latency.get("p50")), t("monitoring.of_last", count=recent.requests)),
        t("monitoring.p95"): (
            formatting.milliseconds(latency.get("p95")),
            t("monitoring.p99", value=formatting.milliseconds(latency.get("p99"))),
        ),
        t("monitoring.errors"): (
            formatting.number(wrong),
            ", ".join(f"{formatting.clean(code, 40)} {count}" for code, count in recent.errors.items()),
        ),
    }
    if report.feedback.rows and report.feedback.accuracy is not None:
        low_high = formatting.interval(report.feedback.low, report.feedback.high, 4)
        figures[t("monitoring.labelled")] = (
            metric_text.metric_value("accuracy", report.feedback.accuracy),
            t("monitoring.labelled_small", rows=formatting.number(report.feedback.rows), low_high=low_high),
        )
    widgets.cards(figures, columns=len(figures))


def _over_time(rows: pd.DataFrame) -> None:
    """Requests, latency and the mix of answers."""
    table = monitoring.over_time(rows)
    left, middle, right = st.columns(3, gap="medium")
    with left, st.container(border=True):
        name = t("monitoring.requests")
        points = table[["at"]].assign(series=name, value=table["requests"])
        drawing = monitoring_charts.over_time(points, value=name, order=[name])
        widgets.chart(drawing, points, key="requests_over_time", alt_text=t("monitoring.requests_alt"))
    with middle, st.container(border=True):
        names = {"p50": t("monitoring.p50"), "p95": t("monitoring.p95")}
        points = pd.concat([table[["at"]].assign(series=label, value=table[key]) for key, label in names.items()])
        drawing = monitoring_charts.over_time(points, value=t("monitoring.ms"), order=list(names.values()))
        widgets.chart(drawing, points, key="latency_over_time", alt_text=t("monitoring.latency_alt"))
    answers = rows["predicted"].dropna().astype(str)
    if answers.empty:
        return
    with right, st.container(border=True):
        counts = answers[answers != ""].value_counts(normalize=True).head(MAX_ANSWERS)
        mix = pd.DataFrame({"class": counts.index, "share": counts.to_numpy()})
        drawing = classification_charts.bars(mix, share=t("monitoring.share"))
        widgets.chart(drawing, mix, key="answer_mix", alt_text=t("monitoring.answers_alt"))


def _drift(report: Report) -> None:
    """The evidence of drift of each statistic, and the shares of one beside the reference."""
    with st.container(border=True):
        st.markdown(f"**{t('monitoring.drift')}**")
        if not report.statistics:
            missing = str(report.reference.get("missing") or "")
            st.caption(t("monitoring.no_reference"))
            if missing:
                st.caption(formatting.capitalized(formatting.escape(missing, 300)))
            return
        st.caption(t("monitoring.drift_note", threshold=f"{report.threshold:.1f}"))
        frame = pd.DataFrame(
            {
                "statistic": [word("statistic", each.name) for each in report.statistics],
                "evidence": [each.evidence for each in report.statistics],
                "state": [t("monitoring.drifts" if each.alarm else "monitoring.alike") for each in report.statistics],
            }
        )
        columns = {
            "statistic": st.column_config.TextColumn(t("monitoring.statistic")),
            "evidence": st.column_config.NumberColumn(t("monitoring.evidence"), format="%.2f"),
            "state": st.column_config.TextColumn(t("history.state")),
        }
        left, right = st.columns(2, gap="medium")
        with left:
            widgets.table(frame, key="drift", alt_text=t("monitoring.drift"), columns=columns)
        with right:
            named = {each.name: each for each in report.statistics}
            chosen = pickers.choose_from(
                "statistic", list(named), t("monitoring.statistic"), next(iter(named)), lambda name: word("statistic", name)
            )
            statistic = named[chosen]
            order = [t("monitoring.reference"), t("monitoring.now")]
            cells = [name or t("monitoring.missing") for name in statistic.cells]
            shown = pd.concat(
                [
                    pd.DataFrame({"cell": cells, "series": label, "share": values})
                    for label, values in zip(order, (statistic.reference, statistic.recent), strict=True)
                    if len(values) == len(cells)
                ]
            )
            drawing = monitoring_charts.shares(shown, share=t("monitoring.share"), order=order)
            widgets.chart(drawing, shown, key="drift_shares", alt_text=t("monitoring.shares_alt"))


def _limits(report: Report) -> None:
    """The limits of slow, failed and refused requests."""
    if not report.limits:
        return
    frame = pd.DataFrame(
        {
            "limit_name": [word("statistic", each.name) for each in report.limits],
            "mean": [each.mean for each in report.limits],
            "limit": [each.limit for each in report.limits],
            "state": [t("monitoring.beyond" if each.alarm else "monitoring.within") for each in report.limits],
        }
    )
    columns = {
        "limit_name": st.column_config.TextColumn(t("monitoring.limit_name")),
        "mean": st.column_config.NumberColumn(t("monitoring.share")),
        "limit": st.column_config.NumberColumn(t("monitoring.limit")),
        "state": st.column_config.TextColumn(t("history.state")),
    }
    with st.container(border=True):
        st.markdown(f"**{t('monitoring.limits')}**")
        formats: dict[str, Callable[[object], str]] = {"mean": formatting.percent, "limit": formatting.percent}
        widgets.table(frame, key="limits", alt_text=t("monitoring.limits"), columns=columns, formats=formats)
