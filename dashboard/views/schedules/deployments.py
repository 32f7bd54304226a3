"""The deployments Prefect knows: when each runs, when it ran, and pausing or starting it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import streamlit as st

from dashboard.readers.prefect_api import Deployment, FlowRun, Refused, Schedule, Server
from dashboard.readers.project_files import Unreadable
from dashboard.text import cron_text, formatting
from dashboard.text.cron_text import When
from dashboard.ui import locale, page_context
from dashboard.ui.locale import t, word
from dashboard.views.schedules import schedule_form
from tasks.core.atomic_files import hash_json

REFRESH_S = 5.0


def deployments(server: Server) -> None:
    """Each deployment in a card; renewed every few seconds."""

    @st.fragment(run_every=REFRESH_S)
    def cards() -> None:
        with page_context.or_say():
            try:
                deployments = server.deployments()
            except Refused as refusal:
                st.warning(formatting.escape(str(refusal), 300), icon=":material/block:")
                return
            if not deployments:
                page_context.nothing("schedules.empty")
            with st.grid(2, min_column_width=380):
                for deployment in deployments:
                    with st.container(border=True, height="stretch", key=f"card_{deployment.id}"):
                        _card(server, deployment)

    cards()


def _card(server: Server, deployment: Deployment) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{formatting.escape(deployment.name, 80)}**", width="content")
        if deployment.paused:
            st.badge(t("schedules.paused"), color="orange", icon=":material/pause:")
        elif any(schedule.active for schedule in deployment.schedules):
            st.badge(t("schedules.active"), color="green", icon=":material/schedule:")
        else:
            st.badge(t("schedules.on_demand"), color="gray", icon=":material/touch_app:")
    if deployment.description:
        st.caption(formatting.escape(deployment.description.partition("\n")[0], 200))
    for schedule in deployment.schedules:
        off = "" if schedule.active else f" · {t('schedules.off')}"
        st.markdown(f":material/calendar_clock: {in_words(schedule)}{off}")
    try:
        ahead, behind = server.flow_runs(deployment, ahead=True), server.flow_runs(deployment, ahead=False)
    except Refused as refusal:
        st.caption(t("run.refused", reason=formatting.escape(refusal, 300)))
        ahead, behind = [], []
    st.caption(t("schedules.next", times=_times(ahead)))
    st.caption(t("schedules.last", times=_times(behind, states=True)))
    with st.container(horizontal=True):
        st.button(
            t("schedules.run"),
            icon=":material/play_arrow:",
            key=f"run_{deployment.id}",
            on_click=_tried,
            args=("schedules.asked", _start, server, deployment, behind),
        )
        paused = deployment.paused
        st.button(
            t("schedules.resume" if paused else "schedules.pause"),
            icon=":material/play_circle:" if paused else ":material/pause_circle:",
            key=f"pause_{deployment.id}",
            on_click=_tried,
            args=("schedules.done", _pause, server, deployment),
        )
        box = st.popover(t("schedules.edit"), icon=":material/edit_calendar:", key=f"edit_{deployment.id}", on_change="rerun")
        if box.open:
            with box:
                schedule_form.edit(server, deployment)


def in_words(schedule: Schedule) -> str:
    """When it runs, for people."""
    if schedule.cron:
        said = _said(cron_text.in_words(schedule.cron))
        return f"{said} ({formatting.escape(schedule.timezone)})" if schedule.timezone else said
    if schedule.interval_s:
        return t("cron.every", time=formatting.duration(schedule.interval_s))
    return formatting.escape(schedule.rrule or formatting.NOTHING, 120)


def _said(when: When) -> str:
    values = dict(when.values)
    if when.days:
        values["day"] = _listed([t(f"weekday.d{day}") for day in when.days])
    if when.at:
        values["time"] = _listed(when.at)
    if when.times:
        values["times"] = _said(when.times)
    return t(when.key, **values)


def _listed(words: Sequence[str]) -> str:
    """As in "Monday, Thursday and Friday"."""
    *first, last = words
    if not first:
        return last
    return t("cron.and", first=reduce(lambda before, word: t("cron.then", first=before, next=word), first), last=last)


def _start(server: Server, deployment: Deployment, behind: list[FlowRun]) -> None:
    newest = behind[0].id if behind else ""
    server.start(deployment, {}, hash_json([deployment.id, newest, "now"]))


def _pause(server: Server, deployment: Deployment) -> None:
    server.pause(deployment, paused=not deployment.paused)


def _tried(done: str, deed: object, *arguments: object) -> None:
    """Do it and say so, or say why not."""
    assert callable(deed)
    try:
        deed(*arguments)
    except Refused as refusal:
        st.toast(t("run.refused", reason=formatting.escape(refusal, 300)), icon=":material/error:")
    except Unreadable as trouble:
        st.toast(page_context.why(trouble), icon=":material/cloud_off:")
    else:
        st.toast(t(done), icon=":material/check:")


def _times(flow_runs: list[FlowRun], *, states: bool = False) -> str:
    said = []
    for each in flow_runs:
        state = f" {word('flow_state', each.state)}" if states else ""
        said.append(formatting.escape(f"{formatting.clock(each.at, locale.zone())}{state}", 80))
    return ", ".join(said) or formatting.NOTHING
