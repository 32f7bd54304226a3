"""CPU, memory, GPU and disk during a run, below the stages that used them."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts import machine_charts
from dashboard.readers.runs import machine_usage
from dashboard.readers.runs.run_snapshot import RunSnapshot
from dashboard.text import formatting
from dashboard.ui import widgets
from dashboard.ui.locale import t

GB, MB = 1e9, 1e6
CHARTS: dict[str, tuple[str, float, dict[str, str]]] = {
    "machine.cpu": (".0%", 1.0, {"cpu_share": "machine.whole", "run_cpu_share": "machine.run"}),
    "machine.memory": (".1f", GB, {"memory_bytes": "machine.whole", "run_memory_bytes": "machine.run"}),
    "machine.gpu": (".0%", 1.0, {"gpu_share": "machine.gpus"}),
    "machine.gpu_memory": (".1f", GB, {"gpu_memory_bytes": "machine.gpus"}),
    "machine.disk": (".1f", MB, {"disk_read_bytes_per_s": "machine.read", "disk_written_bytes_per_s": "machine.written"}),
}
"""The charts by title: the format of the axis, the unit, and the measured figures with their names."""


def seconds(snapshot: RunSnapshot) -> float:
    """The seconds from the run's start to the last measurement; 0 without any."""
    figures = machine_usage.of_run(snapshot.run)
    return 0.0 if figures.empty else float(figures["seconds"].max())


def show(snapshot: RunSnapshot, end: float) -> None:
    """The charts, over the seconds from the run's start to `end`."""
    figures = machine_usage.of_run(snapshot.run)
    if figures.empty:
        st.caption(t("machine.none"))
        return
    titles = [title for title, (_, _, names) in CHARTS.items() if any(name in figures for name in names)]
    for title in titles:
        axis_format, unit, names = CHARTS[title]
        parts = [
            pd.DataFrame({"seconds": figures["seconds"], "series": t(key), "value": figures[name] / unit})
            for name, key in names.items()
            if name in figures
        ]
        drawing = machine_charts.usage(
            pd.concat(parts, ignore_index=True).dropna(),
            title=t(title),
            order=[t(key) for name, key in names.items() if name in figures],
            seconds=t("run.seconds") if title == titles[-1] else "",
            end=end,
            axis_format=axis_format,
        )
        st.altair_chart(drawing, key=title.replace(".", "_"), alt=t("machine.alt", title=t(title)))
    last = figures.iloc[-1]
    total = formatting.size(int(last["memory_total_bytes"])) if "memory_total_bytes" in last else formatting.NOTHING
    free = formatting.size(int(last["disk_free_bytes"])) if "disk_free_bytes" in last else formatting.NOTHING
    st.caption(t("machine.note", memory=total, free=free))
    widgets.chart_data(figures, key="machine", alt_text=t("machine.title"))
