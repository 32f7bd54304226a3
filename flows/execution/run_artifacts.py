"""A run's artifacts on the Prefect server: stages, metrics, training curves, row counts, and a link to the dashboard."""

from __future__ import annotations

import json
import logging
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate

from flows import settings
from flows.reporting import verdicts
from flows.reporting.console import format_duration
from flows.reporting.results_table import table_cells
from flows.reporting.verdicts import Verdict
from flows.runs.run_record import Run

log = logging.getLogger("bonsai.artifacts")

WIDTH, HEIGHT, MARGIN = 640, 300, 36
COLOURS = ("#1D4ED8", "#C2560C")
"""Of the curves of the train and the validation loss."""


def create_artifacts(run: Run, flow_run_id: UUID) -> None:
    """Create the run's artifacts on the server; one that it refuses is logged and skipped."""
    with get_client(sync_client=True) as client:
        for kind, key, description, data in run_artifacts(run):
            try:
                client.create_artifact(
                    ArtifactCreate(key=artifact_key(key), type=kind, description=description, data=data, flow_run_id=flow_run_id)
                )
            except Exception as error:  # the work does not need the server
                log.warning("Prefect's server did not accept %s: %s", key, error)


def run_artifacts(run: Run) -> Iterator[tuple[str, str, str, Any]]:
    """(type, key, description, data) of each artifact for which the run has data."""
    yield "table", "stages", f"The stages of run {run.id}", json.dumps(stage_rows(run.record["stages"]))
    if dashboard := settings.read_server_file(run.folder.parent.parent).get("dashboard_url"):
        yield "markdown", "dashboard", "Where to look closer", f"[Run {run.id}]({dashboard}/?{urlencode({'run': run.id})})"
    decisions = verdicts.of_record(run.record)
    if rows := verdict_rows(decisions):
        yield "table", "verdict", f"The verdict: {verdicts.summary(decisions)}", json.dumps(rows)
    for verdict in decisions:
        use_case = verdict.use_case
        if rows := run.record["results"].get(use_case, {}).get("table", {}).get("rows"):
            yield "table", f"metrics-{use_case}", f"{use_case}: {verdict.line}", json.dumps(table_cells(rows))
        data = run.folder / "data" / use_case
        if curves := _read_json(data / "model" / "curves.json"):
            yield "image", f"curves-{use_case}", f"{use_case}: loss by epoch, train and validation", loss_curves_image(curves)
        if report := _read_json(data / "clean" / "ledger.json"):
            yield "markdown", f"quarantine-{use_case}", f"{use_case}: where each raw row ended", quality_report_markdown(report)


def verdict_rows(decisions: Sequence[Verdict]) -> list[dict[str, Any]]:
    """A row per use case that has a verdict: the word, what was released, and the sentence."""
    return [
        {"use case": each.use_case, "verdict": each.word, "released": each.released or "", "why": each.sentence}
        for each in decisions
        if each.word
    ]


def stage_rows(stages: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per stage: state, attempt, duration, and the reasons why it was run, or its error."""
    return [
        {
            "stage": name,
            "state": entry["state"],
            "attempt": entry.get("attempt", ""),
            "time": format_duration(entry["wall_s"]) if entry.get("wall_s") is not None else "",
            "why": entry.get("error") or "; ".join(reason["text"] for reason in entry.get("reasons", ())),
        }
        for name, entry in stages.items()
    ]


def quality_report_markdown(report: Mapping[str, Any]) -> str:
    """The row counts of the data quality report, and those of each reason for quarantine, as a Markdown table."""
    counts = [(name, value) for name, value in report.items() if isinstance(value, int)]
    reasons = [(f"reason: {name}", value) for name, value in (report.get("reasons") or {}).items()]
    rows = [f"| {str(name).replace('_', ' ').replace('|', '/')} | {value:,} |" for name, value in counts + reasons]
    return "\n".join(["| rows | count |", "| --- | ---: |", *rows])


def loss_curves_image(curves: Sequence[Mapping[str, Any]]) -> str:
    """The losses by epoch as a data URL of an SVG image, since Prefect shows images by URL; empty without a loss."""
    lines = {
        name: [float(point[name]) for point in curves if point.get(name) is not None] for name in ("loss", "validation_loss")
    }
    values = [value for line in lines.values() for value in line]
    if not values:
        return ""
    low, high = min(values), max(values)
    elements = []
    for colour, (name, line) in zip(COLOURS, lines.items(), strict=True):
        x_step = (WIDTH - 2 * MARGIN) / max(len(line) - 1, 1)
        y_scale = (HEIGHT - 2 * MARGIN) / ((high - low) or 1.0)
        points = " ".join(
            f"{MARGIN + x_step * step:.1f},{MARGIN + y_scale * (high - value):.1f}" for step, value in enumerate(line)
        )
        elements.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if line:
            label = f"{name.replace('_', ' ')} {line[-1]:.4g}"
            elements.append(f'<text x="{MARGIN + 170 * len(elements) // 2}" y="20" fill="{colour}">{escape(label)}</text>')
    y_labels = f'<text x="4" y="{MARGIN}">{high:.3g}</text><text x="4" y="{HEIGHT - MARGIN}">{low:.3g}</text>'
    x_label = f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 10}" text-anchor="end">{len(curves)} epochs</text>'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(elements)}{y_labels}{x_label}</svg>'
    )
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"


def artifact_key(text: str) -> str:
    """The text as a key that Prefect accepts: lower-case letters, digits and dashes."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")


def _read_json(path: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
