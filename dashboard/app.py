"""The dashboard's frame: language, pages, and what every page is about, all of it in the address."""

from __future__ import annotations

import gc
from pathlib import Path

import streamlit as st

from dashboard.readers import run_records
from dashboard.text import translations
from dashboard.ui import page_context, pickers, url_state
from dashboard.ui.locale import t
from dashboard.ui.page_context import Context
from flows import settings

ICON = Path(__file__).with_name("icon.svg")
LOOK = Path(__file__).with_name("styles.css")
PAGES = {
    "pipeline": {
        "run": ":material/play_circle:",
        "history": ":material/history:",
        "compare": ":material/compare_arrows:",
        "schedules": ":material/calendar_clock:",
    },
    "findings": {
        "data": ":material/fact_check:",
        "results": ":material/query_stats:",
        "compression": ":material/compress:",
        "try_it": ":material/draw:",
    },
    "project": {"versions": ":material/account_tree:", "about": ":material/info:"},
}
ABOUT_A_RUN = ("run", "data", "results", "compression", "try_it")
FIRST = "first"
CARRIED = ("lang", "uc", "run")  # choices that hold on every page
ABOUT_A_USE_CASE = (*ABOUT_A_RUN, "compare", "versions")


@st.cache_resource(show_spinner=False)
def keep_what_is_loaded(page: str) -> None:
    """After a page's first visit, let the libraries it has loaded rest.

    Python looks through all that lives long from time to time, in the middle of somebody's refresh.
    """
    gc.freeze()


st.set_page_config(page_title="Bonsai", page_icon=str(ICON), layout="wide")
url_state.keep_address(CARRIED)
st.logo(str(ICON), size="large")
st.html(LOOK)
with st.sidebar:
    st.segmented_control(
        t("app.language"),
        list(translations.LANGUAGES),
        required=True,
        format_func=translations.LANGUAGES.__getitem__,
        label_visibility="collapsed",
        **url_state.addressed("lang", list(translations.LANGUAGES), "en"),
    )
pages = {
    t(f"nav.{section}"): [
        st.Page(
            f"app_pages/{name}.py",
            title=t(f"page.{name}"),
            icon=icon,
            help=t(f"page_help.{name}"),
            url_path=FIRST if name == "run" else name,
            default=name == "run",
        )
        for name, icon in found.items()
    ]
    for section, found in PAGES.items()
}
also = st.Page("app_pages/run.py", title=t("page.run"), url_path="run", visibility="hidden")  # the first page's address is "/"
page = st.navigation({**pages, "": [also]}, expanded=True)
root = page_context.project()
settings.apply(root)
name = page.url_path or "run"

asked = st.query_params.get("flow")  # a run that was asked for; its folder appears when the conductor begins it
if asked and (arrived := run_records.of_flow(root, asked)):
    st.query_params["run"] = arrived.id
    del st.query_params["flow"]
    st.query_params.pop("stage", None)

heading, choices = st.columns([2, 5], vertical_alignment="bottom")
with heading:
    st.title(page.title, anchor=False)
use_case, run, stale = "", None, ""
with choices, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="bottom"):
    if name in ABOUT_A_USE_CASE:
        use_case = pickers.choose_use_case(root)
    if name in ABOUT_A_RUN:
        with page_context.or_say():
            stale = pickers.drop_stale_run(root, use_case)
            run = pickers.choose_run(root, use_case)
url_state.arrived(CARRIED)
if stale:
    st.caption(stale)
st.session_state["context"] = Context(root, use_case, run)
with page_context.or_say():
    page.run()
keep_what_is_loaded(name)
