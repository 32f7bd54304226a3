"""The recipes over several seeds: what is skill and what is luck."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.readers.artifacts import Artifacts
from dashboard.readers.report_models import SeedRow
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from dashboard.ui import widgets
from dashboard.ui.locale import t


def seeds(artifacts: Artifacts, run: Run) -> None:
    """Mean and spread of every recipe, its drop against dense of the same seed, and whether the variance explains it."""
    report = artifacts.seed_report()
    tau = report.rank_stability.get("test")
    with st.container(border=True):
        st.markdown(f"**{t('compression.seeds', count=len(report.seeds))}**")
        st.caption(
            t(
                "compression.seeds_note",
                seeds=", ".join(map(str, report.seeds)),
                chosen=report.chosen,
                tau=formatting.NOTHING if tau is None else f"{tau:.2f}",
            )
        )
        frame = pd.DataFrame([_row(row, report.metric) for row in report.recipes])
        each = pd.DataFrame(
            [
                {"recipe": row.recipe, "seed": seed, "validation": validation, "test": test}
                for row in report.recipes
                for seed, validation, test in zip(report.seeds, row.validation.values, row.test.values, strict=False)
            ]
        )
        widgets.table(frame, key="seeds", alt_text=t("compression.seeds", count=len(report.seeds)), csv=each)


def _row(row: SeedRow, metric: str) -> dict[str, str]:
    drop = row.test_drop
    verdict = "compression.seed_skill" if row.beyond_seed_variance else "compression.seed_chance"
    return {
        "recipe": row.recipe,
        formatting.clean(metric): f"{row.test.mean:.4f} ± {row.test.sd:.4f}",
        t("compression.seed_drop"): f"{drop.mean:+.4f} ± {drop.sd:.4f}" if drop else "",
        t("compression.seed_interval"): formatting.interval(drop.low, drop.high, 4) if drop else "",
        t("compression.seed_loss"): "" if row.beyond_seed_variance is None else t(verdict),
    }
