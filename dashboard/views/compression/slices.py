"""What compression forgot: groups of rows on which a recipe is shown to be worse than dense."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.readers.artifact_models import Slice
from dashboard.readers.artifacts import Artifacts
from dashboard.text import formatting
from dashboard.ui import locale, widgets
from dashboard.ui.locale import t
from tasks.core.compression import DENSE


def slices(artifacts: Artifacts) -> None:
    """The confirmed slices of every recipe, or a sentence that there are none; nothing for runs that did not look for slices."""
    by_recipe = {name: artifacts.metrics(name).worse_slices for name in artifacts.recipes() if name != DENSE}
    measured = {name: each for name, each in by_recipe.items() if each is not None}
    if not measured:
        return
    with st.container(border=True):
        st.markdown(f"**{t('compression.slices')}**")
        tested, candidates = (
            sum(each.tested for each in measured.values()),
            max(each.candidates for each in measured.values()),
        )
        st.caption(t("compression.slices_note", tested=tested, candidates=candidates))
        confirmed = [(name, each) for name, slices in measured.items() for each in slices.confirmed]
        if confirmed:
            widgets.table(_table(confirmed), key="slices", alt_text=t("compression.slices"))
            return
        nearest = min(
            ((name, each) for name, slices in measured.items() for each in slices.nearest),
            key=lambda pair: pair[1].p,
            default=None,
        )
        sentence = t("compression.no_slices")
        if nearest:
            name, each = nearest
            sentence += " " + t(
                "compression.nearest_slice",
                recipe=formatting.escape(name),
                slice=formatting.escape(_words(each)),
                drop=formatting.number(each.drop.value, 4),
                rows=formatting.number(each.rows),
                p=formatting.p_value(each.adjusted_p),
            )
        st.markdown(sentence)


def _table(rows: list[tuple[str, Slice]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "recipe": name,
            t("compression.slice"): _words(each),
            "rows": each.rows,
            t("compression.slice_dense"): each.dense,
            t("compression.slice_own"): each.own,
            "drop": each.drop.value,
            "low": each.drop.low,
            "high": each.drop.high,
            t("compression.adjusted_p"): formatting.p_value(each.adjusted_p),
        }
        for name, each in rows
    )


def _words(each: Slice) -> str:
    """The slice in words, with the name of its column in the reader's language."""
    return locale.word("column", each.column) + each.slice.removeprefix(each.column)
