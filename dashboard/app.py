"""The dashboard's entry script: the language, the pages, and the use case and run of a page, all kept in the URL."""

from __future__ import annotations

import gc
from pathlib import Path

import streamlit as st

from dashboard.components.page_history import page_history
from dashboard.page_files import PAGES, script
from dashboard.readers.runs import run_records
from dashboard.readers.runs.sample_run import SAMPLE
from dashboard.text import translations
from dashboard.ui import page_context, pickers, url_state
from dashboard.ui.locale import t
from dashboard.ui.page_context import PageContext
from dashboard.views.run import welcome
from flows import settings

ICON = Path(__file__).with_name("icon.svg")
STYLES = Path(__file__).with_name("styles.css")
RUN_PAGES = ("run", "data", "labels", "results", "compression", "try_it")
FIRST = "first"  # URL path of the default page
CARRIED = ("lang", "uc", "run")  # query parameters that every page keeps
USE_CASE_PAGES = (*RUN_PAGES, "compare", "recipes", "models", "monitoring", "versions")


@st.cache_resource(show_spinner=False)
def freeze_loaded_objects(page: str) -> None:
    """Exclude the libraries that a page has loaded from garbage collection, once per page.

    Otherwise the collector would scan all of them from time to time, in the middle of a refresh.
    """
    gc.freeze()


st.set_page_config(page_title="Bonsai", page_icon=str(ICON), layout="wide")
url_state.carry_query_params(CARRIED)
st.logo(str(ICON), size="large")
st.html(STYLES)
with st.sidebar:
    st.segmented_control(
        t("app.language"),
        list(translations.LANGUAGES),
        required=True,
        format_func=translations.LANGUAGES.__getitem__,
        label_visibility="collapsed",
        **url_state.query_param("lang", list(translations.LANGUAGES), "en"),
    )
    page_history()
pages = {
    t(f"nav.{section}"): [
        st.Page(
            script(name),
            title=t(f"page.{name}"),
            icon=icon,
            help=t(f"page_help.{name}"),
            url_path=FIRST if name == "run" else name,
            default=name == "run",
        )
        for name, icon in section_pages.items()
    ]
    for section, section_pages in PAGES.items()
}
run_page = st.Page(script("run"), title=t("page.run"), url_path="run", visibility="hidden")  # the default page has "/"
page = st.navigation({**pages, "": [run_page]}, expanded=True)
root = page_context.project()
settings.apply(root)
name = page.url_path or "run"

flow_run_id = st.query_params.get("flow")  # a requested run; its folder appears when Prefect starts it
if flow_run_id and (started := run_records.find_by_flow_run(root, flow_run_id)):
    st.query_params["run"] = started.id
    del st.query_params["flow"]
    st.query_params.pop("stage", None)

heading, choices = st.columns([2, 5], vertical_alignment="bottom")
with heading:
    st.title(page.title, anchor=False)
use_case, run, stale, skipped = "", None, "", ""
with choices, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="bottom"):
    if name in USE_CASE_PAGES:
        use_case = pickers.choose_use_case(root)
    if name in RUN_PAGES:
        with page_context.error_boundary():
            stale = pickers.drop_stale_run(root, use_case)
            run, skipped = pickers.choose_run(root, use_case, name)
url_state.remember_query_params(CARRIED)
for remark in filter(None, (stale, skipped)):
    st.caption(remark)
st.session_state["context"] = PageContext(root, use_case, run)
if run and run.id == SAMPLE:
    welcome.sample_note()
with page_context.error_boundary():
    page.run()
freeze_loaded_objects(name)
