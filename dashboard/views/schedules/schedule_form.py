"""Forms that add, change or remove the cron schedules of a deployment."""

from __future__ import annotations

import zoneinfo
from difflib import get_close_matches

import streamlit as st

from dashboard.readers.prefect_api import Deployment, RequestRefused, Schedule, Server
from dashboard.text import cron_text, formatting
from dashboard.ui import locale
from dashboard.ui.locale import t

NIGHTLY = "0 3 * * *"
MAX_CHARS = 80


def edit(server: Server, deployment: Deployment) -> None:
    """A form for each cron schedule of the deployment, and one for a new schedule."""
    timed = [schedule for schedule in deployment.schedules if schedule.cron]
    for schedule in timed:
        _form(server, deployment, schedule)
    if not timed:
        _form(server, deployment, None)
        return
    more = st.expander(t("schedules.add"), icon=":material/add:", key=f"more_{deployment.id}", on_change="rerun")
    if more.open:
        with more:
            _form(server, deployment, None)


def _form(server: Server, deployment: Deployment, schedule: Schedule | None) -> None:
    """The form of one cron schedule; `None` stands for a new one."""
    key = schedule.id if schedule else f"new_{deployment.id}"
    with st.form(f"form_{key}", border=False, enter_to_submit=False):
        line = st.text_input(
            t("schedules.cron"),
            schedule.cron if schedule else NIGHTLY,
            help=t("schedules.cron_help"),
            max_chars=MAX_CHARS,
            key=f"cron_{key}",
        )
        zone = st.text_input(
            t("schedules.zone"),
            (schedule.timezone or "UTC") if schedule else locale.zone_name(),
            help=t("schedules.zone_help"),
            max_chars=MAX_CHARS,
            key=f"zone_{key}",
        )
        active = st.toggle(t("schedules.on"), schedule.active if schedule else True, key=f"on_{key}")
        with st.container(horizontal=True):
            saved = st.form_submit_button(
                t("schedules.save" if schedule else "schedules.add_it"), type="primary", key=f"save_{key}"
            )
            removed = schedule is not None and st.form_submit_button(
                t("schedules.remove"), icon=":material/delete:", type="tertiary", key=f"remove_{key}"
            )
    if not (saved or removed):
        return
    line, zone = " ".join(str(line or "").split()), str(zone or "").strip() or "UTC"
    if saved and (problem := validate(line, zone)):
        st.error(problem)
        return
    try:
        if schedule is None:
            server.add_schedule(deployment, cron=line, timezone=zone, active=bool(active))
        elif removed:
            server.remove_schedule(deployment, schedule)
        else:
            server.set_schedule(deployment, schedule, cron=line, timezone=zone, active=bool(active))
    except RequestRefused as refusal:
        st.error(t("run.refused", reason=formatting.escape(refusal, 400)))
    else:
        st.rerun(scope="fragment")


def validate(line: str, zone: str) -> str:
    """The error in a cron expression or a time zone, with the nearest valid value; "" if both are valid."""
    if problem := cron_text.find_error(line):
        key, values = problem
        if "field" in values:
            values["field"] = t(f"cron.{values['field']}")
        return t(key, **{name: formatting.escape(value, MAX_CHARS) for name, value in values.items()})
    zones = zoneinfo.available_timezones()
    if zone in zones:
        return ""
    near = get_close_matches(zone, sorted(zones), n=1, cutoff=0.5)
    return t("schedules.no_zone", zone=formatting.escape(zone, MAX_CHARS), near=near[0] if near else "UTC")
