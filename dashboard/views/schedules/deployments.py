"""The deployments in Prefect: their schedules, their runs, and buttons to pause or start them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

import streamlit as st

from dashboard.readers import prefect_api
from dashboard.readers.prefect_api import Deployment, FlowRun, RequestRefused, Schedule, Server
from dashboard.readers.project_files import Unreadable
from dashboard.text import cron_text, formatting
from dashboard.text.cron_text import Description
from dashboard.ui import locale, page_context
from dashboard.ui.locale import t, word
from dashboard.views.schedules import schedule_form
from tasks.core.storage.atomic_files import hash_json

REFRESH_S = 5.0


def show(root: Path) -> None:
    """A card for each deployment, or how to start a server; looks again every few seconds."""

    @st.fragment(run_every=REFRESH_S)
    def cards() -> None:
        with page_context.error_boundary():
            server = prefect_api.server(root)
            if server is None:
                st.info(t("schedules.none"), icon=":material/cloud_off:")
                st.code("bonsai up", language=None)
            else:
                _cards(server)

    cards()


def _cards(server: Server) -> None:
    try:
        deployments = server.deployments()
    except RequestRefused as refusal:
        st.warning(formatting.escape(str(refusal), 300), icon=":material/block:")
        return
    if not deployments:
        page_context.empty_state("schedules.empty")
        return
    st.caption(t("schedules.your_zone", zone=formatting.escape(locale.zone_name())))
    with st.grid(2, min_column_width=380):
        for deployment in deployments:
            with st.container(border=True, height="stretch", key=f"card_{deployment.id}"):
                _card(server, deployment)


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
        if schedule.active and not deployment.paused and (when := _next_time(schedule)):
            st.caption(when)
    try:
        upcoming, past = server.flow_runs(deployment, ahead=True), server.flow_runs(deployment, ahead=False)
    except RequestRefused as refusal:
        st.caption(t("run.refused", reason=formatting.escape(refusal, 300)))
        upcoming, past = [], []
    st.caption(t("schedules.next", times=_times(upcoming)))
    st.caption(t("schedules.last", times=_times(past, states=True)))
    with st.container(horizontal=True):
        st.button(
            t("schedules.run"),
            icon=":material/play_arrow:",
            key=f"run_{deployment.id}",
            on_click=_run_action,
            args=("schedules.requested", _start, server, deployment, past),
        )
        paused = deployment.paused
        st.button(
            t("schedules.resume" if paused else "schedules.pause"),
            icon=":material/play_circle:" if paused else ":material/pause_circle:",
            key=f"pause_{deployment.id}",
            on_click=_run_action,
            args=("schedules.done", _pause, server, deployment),
        )
        box = st.popover(t("schedules.edit"), icon=":material/edit_calendar:", key=f"edit_{deployment.id}", on_change="rerun")
        if box.open:
            with box:
                schedule_form.edit(server, deployment)


def in_words(schedule: Schedule) -> str:
    """A schedule in words."""
    if schedule.cron:
        text = _when_text(cron_text.describe(schedule.cron))
        return f"{text} ({formatting.escape(schedule.timezone)})" if schedule.timezone else text
    if schedule.interval_s:
        return t("cron.every", time=formatting.duration(schedule.interval_s))
    return formatting.escape(schedule.rrule or formatting.NOTHING, 120)


def _next_time(schedule: Schedule) -> str:
    """When a cron schedule starts a run next, in its own zone, and in the reader's where that is another one."""
    at = cron_text.next_time(schedule.cron, schedule.timezone, datetime.now(UTC)) if schedule.cron else None
    if at is None:
        return ""
    zone = schedule.timezone or "UTC"
    there = t("schedules.next_there", time=formatting.local_time(at.isoformat(), at.tzinfo), zone=formatting.escape(zone, 60))
    here = formatting.local_time(at.isoformat(), locale.zone())
    if here == formatting.local_time(at.isoformat(), at.tzinfo):
        return there
    return f"{there} · {t('schedules.next_here', time=here, zone=formatting.escape(locale.zone_name(), 60))}"


def _when_text(when: Description) -> str:
    values = dict(when.values)
    if when.days:
        values["day"] = _join_words([t(f"weekday.d{day}") for day in when.days])
    if when.at:
        values["time"] = _join_words(when.at)
    if when.times:
        values["times"] = _when_text(when.times)
    return t(when.key, **values)


def _join_words(words: Sequence[str]) -> str:
    """The words as a list in a sentence, such as "Monday, Thursday and Friday"."""
    *first, last = words
    if not first:
        return last
    return t("cron.and", first=reduce(lambda before, word: t("cron.then", first=before, next=word), first), last=last)


def _start(server: Server, deployment: Deployment, past: list[FlowRun]) -> None:
    newest = past[0].id if past else ""
    server.start(deployment, {}, hash_json([deployment.id, newest, "now"]))


def _pause(server: Server, deployment: Deployment) -> None:
    server.pause(deployment, paused=not deployment.paused)


def _run_action(done: str, action: object, *arguments: object) -> None:
    """Call the action, and show a toast with `done` or with the reason of the failure."""
    assert callable(action)
    try:
        action(*arguments)
    except RequestRefused as refusal:
        st.toast(t("run.refused", reason=formatting.escape(refusal, 300)), icon=":material/error:")
    except Unreadable as error:
        st.toast(page_context.error_message(error), icon=":material/cloud_off:")
    else:
        st.toast(t(done), icon=":material/check:")


def _times(flow_runs: list[FlowRun], *, states: bool = False) -> str:
    lines = []
    for each in flow_runs:
        state = f" {word('flow_state', each.state)}" if states else ""
        lines.append(formatting.escape(f"{formatting.local_time(each.at, locale.zone())}{state}", 80))
    return ", ".join(lines) or formatting.NOTHING
