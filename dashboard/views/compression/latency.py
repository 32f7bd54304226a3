"""How long the models take: latency by batch size, and how it was measured."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts import compression_charts
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from dashboard.ui import locale, widgets
from dashboard.ui.locale import t
from tasks.core.compression import EAGER


def latency(artifacts: Artifacts, run: Run) -> None:
    """Latency of every recipe by batch size, with the measuring protocol."""
    measured = artifacts.latency()
    machine = measured.machine
    rows: list[dict[str, Any]] = [
        {
            "recipe": name,
            "batch": batch,
            "median": timing.median_ms,
            "low": timing.low_ms,
            "high": timing.high_ms,
            "p95": timing.p95_ms,
            "calls": timing.runs,
            "memory": variant.peak_memory_bytes,
        }
        for name in [EAGER, *artifacts.models()]
        if (variant := measured.variants.get(name))
        for batch, timing in variant.batches.items()
    ]
    if not rows:
        raise Unreadable("unreadable.shape", file="latency.json")
    frame = pd.DataFrame(rows)
    cpu = formatting.escape(machine.get("cpu", formatting.NOTHING), 80)
    st.caption(
        t(
            "compression.protocol",
            rounds=measured.rounds,
            processes=measured.processes,
            threads=measured.threads,
            cpu=cpu,
            cores=formatting.escape(machine.get("cores", "")),
        )
    )
    for batch in dict.fromkeys(frame["batch"]):
        with st.container(border=True):
            st.markdown(f"**{t('compression.batch', batch=formatting.escape(batch))}**")
            batch_rows = frame[frame["batch"] == batch]
            drawing = compression_charts.latency(batch_rows, median=t("compression.median_ms"), p95="p95", scheme=locale.scheme())
            widgets.chart(drawing, batch_rows, key=f"latency_{batch}", alt_text=t("compression.batch", batch=batch))
