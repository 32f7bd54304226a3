"""What Prefect keeps of a run to look at: its stages, metrics, training curves, quarantine, and the way to the dashboard."""

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
from flows.reporting.console import format_duration
from flows.reporting.results_table import table_cells
from flows.runs.run_record import Run

log = logging.getLogger("bonsai.keepsakes")

WIDTH, HEIGHT, EDGE = 640, 300, 36
COLOURS = ("#1D4ED8", "#C2560C")
"""Of the curves of train and validation loss."""


def keep(run: Run, flow_run_id: UUID) -> None:
    """Hand all of it to the server; what it does not take, the run's own folder has."""
    with get_client(sync_client=True) as client:
        for kind, key, description, data in found(run):
            try:
                client.create_artifact(
                    ArtifactCreate(key=slug(key), type=kind, description=description, data=data, flow_run_id=flow_run_id)
                )
            except Exception as error:  # the server is not needed for the work
                log.warning("Prefect's server took no %s: %s", key, error)


def found(run: Run) -> Iterator[tuple[str, str, str, Any]]:
    """Kind, key, description and data of each artifact there is something for."""
    yield "table", "stages", f"The stages of run {run.id}", json.dumps(stage_rows(run.record["stages"]))
    if dashboard := settings.read_server_file(run.folder.parent.parent).get("dashboard_url"):
        yield "markdown", "dashboard", "Where to look closer", f"[Run {run.id}]({dashboard}/?{urlencode({'run': run.id})})"
    for use_case in run.record["use_cases"]:
        release = run.record["results"].get(use_case, {})
        if rows := release.get("table", {}).get("rows"):
            reason = str(release.get("verdict", {}).get("reason", ""))
            yield "table", f"metrics-{use_case}", f"{use_case}: {reason}", json.dumps(table_cells(rows))
        data = run.folder / "data" / use_case
        if curves := _read(data / "model" / "curves.json"):
            yield "image", f"curves-{use_case}", f"{use_case}: loss by epoch, train and validation", image(curves)
        if ledger := _read(data / "clean" / "ledger.json"):
            yield "markdown", f"quarantine-{use_case}", f"{use_case}: where each raw row ended", in_markdown(ledger)


def stage_rows(stages: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per stage: state, attempt, time, and why it was played or what went wrong."""
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


def in_markdown(ledger: Mapping[str, Any]) -> str:
    """The ledger's counts, and the reasons for which rows were set aside."""
    counts = [(name, value) for name, value in ledger.items() if isinstance(value, int)]
    reasons = [(f"reason: {name}", value) for name, value in (ledger.get("reasons") or {}).items()]
    rows = [f"| {str(name).replace('_', ' ').replace('|', '/')} | {value:,} |" for name, value in counts + reasons]
    return "\n".join(["| rows | count |", "| --- | ---: |", *rows])


def image(curves: Sequence[Mapping[str, Any]]) -> str:
    """The losses by epoch as an SVG picture inside an address, since Prefect shows pictures by address."""
    lines = {
        name: [float(point[name]) for point in curves if point.get(name) is not None] for name in ("loss", "validation_loss")
    }
    values = [value for line in lines.values() for value in line]
    if not values:
        return ""
    low, high = min(values), max(values)
    drawn = []
    for colour, (name, line) in zip(COLOURS, lines.items(), strict=True):
        across = (WIDTH - 2 * EDGE) / max(len(line) - 1, 1)
        down = (HEIGHT - 2 * EDGE) / ((high - low) or 1.0)
        points = " ".join(f"{EDGE + across * step:.1f},{EDGE + down * (high - value):.1f}" for step, value in enumerate(line))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if line:
            label = f"{name.replace('_', ' ')} {line[-1]:.4g}"
            drawn.append(f'<text x="{EDGE + 170 * len(drawn) // 2}" y="20" fill="{colour}">{escape(label)}</text>')
    scale = f'<text x="4" y="{EDGE}">{high:.3g}</text><text x="4" y="{HEIGHT - EDGE}">{low:.3g}</text>'
    feet = f'<text x="{WIDTH - EDGE}" y="{HEIGHT - 10}" text-anchor="end">{len(curves)} epochs</text>'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(drawn)}{scale}{feet}</svg>'
    )
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"


def slug(text: str) -> str:
    """A key as Prefect wants it: small letters, digits and dashes."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")


def _read(path: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
