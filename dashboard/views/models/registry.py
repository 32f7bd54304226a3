"""The registry of a use case's models: its champion, its versions, its history, and snippets that use the champion."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.readers import models
from dashboard.readers.runs import run_records, verdicts
from dashboard.text import formatting
from dashboard.ui import locale, metric_text, model_actions, page_context, widgets
from dashboard.ui.locale import t, word
from dashboard.ui.page_context import PageContext
from flows.registry.history import CHAMPION, POINTED, History, Version

SEARCHED = 20
"""Runs among which the newest release is looked for."""
BODIES = {"vision": "-F files=@photo.jpg {address}/files", "nlp": '-d \'{{"inputs": ["a sentence"]}}\' {address}'}
"""What `curl` sends for a use case whose inputs are files or texts; others send a table."""
POINTED_TEXTS = {"promotion": "models.event_promotion", "rollback": "models.event_rollback"}
TABLE_BODY = "-F files=@rows.csv {address}/files"


def show(context: PageContext) -> None:
    """The page."""
    registered = models.registered(context.root, context.use_case)
    model_actions.show_message()
    _champion(context, registered)
    if not registered.versions:
        return
    with st.container(border=True):
        st.markdown(f"**{t('models.versions')}**")
        _versions(context, registered)
    with st.container(border=True):
        st.markdown(f"**{t('models.history')}**")
        _history(registered)


def _champion(context: PageContext, registered: History) -> None:
    """The champion with its buttons, and the newest release where it is another one."""
    champion, newest = registered.at(CHAMPION), newest_release(context)
    if champion is None:
        page_context.empty_state("models.none" if newest is None else "models.no_champion")
    else:
        facts = champion.facts
        with st.container(border=True, key="champion"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.badge(t("models.champion", name=champion.name), color="green", icon=":material/workspace_premium:")
                at = formatting.local_time(_since(registered, champion), locale.zone())
                st.caption(t("models.since", time=at, who=formatting.escape(facts.get("by", ""), 60)), width="content")
            widgets.cards(
                {
                    t("results.recipe"): (formatting.escape(facts["released"], 60), ""),
                    metric_text.metric_name(str(facts.get("metric"))): (
                        metric_text.metric_value(str(facts.get("metric")), facts.get("value")),
                        t("results.test"),
                    ),
                    t("results.size"): (formatting.size(facts.get("bytes")), ""),
                },
                columns=3,
            )
            with st.container(horizontal=True):
                model_actions.download(
                    models.release_files(context.root, champion), champion.name.replace("@", "-"), key="champion_download"
                )
                if models.can_roll_back(registered):
                    model_actions.roll_back(context.root, context.use_case)
        _snippets(context.use_case)
    if newest and (champion is None or champion.facts.get("run") != newest.id):
        with st.container(border=True, key="candidate"), st.container(horizontal=True, vertical_alignment="center"):
            when = formatting.local_time(newest.at, locale.zone())
            released = formatting.escape(verdicts.of_run(newest, context.use_case).released or "", 60)
            st.markdown(t("models.candidate", time=when, recipe=released), width="content")
            model_actions.promote(context.root, context.use_case, newest.id, key="promote_newest", primary=True)


def newest_release(context: PageContext) -> run_records.Run | None:
    """The newest run that released a model of the use case."""
    runs = run_records.latest(context.root, context.use_case, SEARCHED)
    return next((run for run in runs if verdicts.of_run(run, context.use_case).released), None)


def _since(registered: History, champion: Version) -> str:
    """When the champion became it."""
    events = [each for each in registered.events if each["event"] == POINTED and each["alias"] == CHAMPION]
    return str(events[-1].get("at", "")) if events else str(champion.facts.get("at", ""))


def _versions(context: PageContext, registered: History) -> None:
    numbers = sorted(registered.versions, reverse=True)
    rows: list[dict[str, Any]] = []
    for number in numbers:
        version = registered.versions[number]
        facts = version.facts
        rows.append(
            {
                "version": version.name,
                "alias": ", ".join(word("alias", alias) for alias in models.aliases_of(registered, version)),
                "recipe": facts["released"],
                "metric": metric_text.metric_name(str(facts.get("metric"))),
                "value": metric_text.metric_value(str(facts.get("metric")), facts.get("value")),
                "bytes": facts.get("bytes"),
                "at": formatting.local_time(facts.get("at"), locale.zone()),
                "by": facts.get("by", ""),
                "run": facts.get("run", ""),
            }
        )
    labels = ("version", "alias", "recipe", "metric", "value", "bytes", "at", "by", "run")
    columns: dict[str, Any] = {name: st.column_config.TextColumn(t(f"models.{name}")) for name in labels if name != "bytes"}
    columns["bytes"] = st.column_config.NumberColumn(t("results.size"))
    event = widgets.table(
        pd.DataFrame(rows),
        key="model_versions",
        alt_text=t("models.versions"),
        columns=columns,
        formats={"bytes": formatting.size},
        on_select="rerun",
        selection_mode="single-row",
    )
    picked = event.selection.rows if event else []
    if not picked or picked[0] >= len(numbers):
        st.caption(t("models.pick"))
        return
    version = registered.versions[numbers[picked[0]]]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{formatting.escape(version.name)}**", width="content")
        model_actions.download(
            models.release_files(context.root, version), version.name.replace("@", "-"), key="version_download"
        )
        if registered.at(CHAMPION) != version:
            model_actions.promote(context.root, context.use_case, str(version.number), key="promote_version")


def _history(registered: History) -> None:
    """What happened to the models, newest first."""
    for event in reversed(registered.events):
        pointed = event["event"] == POINTED
        key = POINTED_TEXTS[event["why"]] if pointed else "models.event_registered"
        who, at = formatting.escape(event.get("by", ""), 60), formatting.local_time(event.get("at"), locale.zone())
        name = f"{registered.use_case}@{event['version']}"
        alias = word("alias", str(event.get("alias", ""))) if pointed else ""
        line = t(key, name=formatting.escape(name), alias=formatting.escape(alias), who=who)
        st.markdown(f"{at} · {line}")
        if compared := str(event.get("comparison") or ""):
            st.caption(formatting.capitalized(formatting.escape(compared, 400)))


def _snippets(use_case: str) -> None:
    """Commands that use the champion."""
    with st.expander(t("models.snippets"), icon=":material/terminal:"):
        address = f"http://127.0.0.1:8080/{use_case}/predict"
        body = BODIES.get(use_case, TABLE_BODY).format(address=address)
        st.code(f"bonsai predict {use_case} rows.csv", language=None, wrap_lines=True)
        st.code(f"bonsai serve {use_case}\ncurl {body}", language=None, wrap_lines=True)
        st.code(f"bonsai bundle {use_case}", language=None, wrap_lines=True)
        st.caption(t("models.snippets_note"))
