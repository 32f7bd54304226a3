"""Which parameters matter: the share of the variance that each explains, with how much it is based on."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from dashboard.charts import search_charts
from dashboard.ui import widgets
from dashboard.ui.locale import t

WEAK_TRIALS = 20
"""With fewer completed trials the shares are weak evidence."""


def chart(shares: Mapping[str, float], trials: int, *, key: str) -> None:
    """The shares by the parameters' translated names."""
    st.caption(t("recipes.importance_weak" if trials < WEAK_TRIALS else "recipes.importance_note", count=trials))
    frame = pd.DataFrame({"parameter": list(shares), "share": list(shares.values())})
    drawing = search_charts.importances(frame, title=t("recipes.importance_axis"))
    widgets.chart(drawing, frame, key=key, alt_text=t("recipes.importance"))
