"""What a person sees before the first run: what Bonsai is for, what each use case answers, and three steps to a verdict."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard.analysis import parameter_fields
from dashboard.readers.runs.sample_run import SAMPLE, USE_CASE
from dashboard.text import translations
from dashboard.ui import locale, pickers
from dashboard.ui.locale import t
from dashboard.ui.page_context import PageContext
from dashboard.views.run import start_form
from dashboard.views.run.run_table import open_page

PICTURES = Path(__file__).with_name("pictures")
STEPS = ("choose", "start", "use")


def show(context: PageContext) -> None:
    """Purpose, use cases and steps, with buttons for the demo, the sample run and one's own data."""
    with st.container(border=True, key="welcome"):
        st.subheader(t("welcome.purpose"), anchor=False)
        st.caption(t("welcome.promise"))
        with st.grid(4, min_column_width=200):
            for name in pickers.use_cases(context.root):
                if translations.has(f"question.{name}"):
                    _use_case(name)
        st.markdown("\n".join(f"{number}. {t(f'welcome.{step}')}" for number, step in enumerate(STEPS, 1)))
        with st.container(horizontal=True):
            if st.button(t("welcome.demo"), type="primary", icon=":material/play_arrow:", key="demo", help=t("run.demo_help")):
                start_form.request_run(context.root, [USE_CASE], parameter_fields.DEMO_RECIPES, parameter_fields.DEMO[USE_CASE])
            if st.button(t("welcome.sample"), icon=":material/visibility:", key="see_sample"):
                open_page("run", {"uc": USE_CASE, "run": SAMPLE})
            if st.button(t("welcome.own"), icon=":material/upload:", key="bring_data"):
                open_page("own_data", {})


def _use_case(name: str) -> None:
    """A card with the picture of a use case and what it answers."""
    with st.container(border=True, height="stretch"):
        picture = PICTURES / f"{name}.svg"
        if picture.is_file():
            st.image(picture.read_text(encoding="utf-8"), width=160, alt=t("welcome.picture", use_case=pickers.title(name)))
        if st.button(f"**{pickers.title(name)}**", type="tertiary", key=f"choose_{name}"):
            st.query_params["uc"] = name
            st.rerun()
        st.caption(t(f"question.{name}"))


def sample_note() -> None:
    """Says that the page shows the sample run, and what to do for one's own."""
    st.info(t("welcome.is_sample"), icon=":material/visibility:")


def is_first(context: PageContext) -> bool:
    """Whether the page greets a person who has no run yet."""
    return context.run is None and locale.language() in translations.LANGUAGES
