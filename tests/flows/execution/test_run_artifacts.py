"""Artifacts that a run publishes in Prefect: tables, curves and links."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from xml.etree import ElementTree

from flows.execution import run_artifacts
from flows.runs.run_record import Run
from tasks.core.storage.atomic_files import write_json


def test_a_run_leaves_its_stages_metrics_curves_and_quarantine_with_prefect(toy: Path) -> None:
    folder = toy / "runs" / "20260101-000000-toy-aaaa"
    for path, content in (
        (
            "model/curves.json",
            [{"epoch": 1, "loss": 2.0, "validation_loss": 2.5}, {"epoch": 2, "loss": 1.0, "validation_loss": None}],
        ),
        ("clean/ledger.json", {"rows_in": 20, "kept": 19, "quarantined": 1, "reasons": {"too | dark": 1}}),
    ):
        write_json(folder / "data" / "toy" / path, content)
    stages = {
        "fetch@toy": {"state": "Unchanged"},
        "train@toy": {"state": "Completed", "attempt": 2, "wall_s": 61.0, "reasons": [{"text": "epochs: 1 -> 2"}]},
    }
    table = {"rows": [{"recipe": "dense", "metric": "accuracy", "value": 0.98}]}
    record = {"stages": stages, "use_cases": ["toy"], "results": {"toy": {"table": table, "verdict": {"reason": "released"}}}}
    write_json(toy / ".prefect" / "server.json", {"dashboard_url": "http://127.0.0.1:8501"})
    kept = {key: (kind, data) for kind, key, _, data in run_artifacts.run_artifacts(Run(folder, record))}
    assert json.loads(kept["stages"][1])[1] == {
        "stage": "train@toy",
        "state": "Completed",
        "attempt": 2,
        "time": "1 min 01 s",
        "why": "epochs: 1 -> 2",
    }
    assert json.loads(kept["metrics-toy"][1]) == [{"recipe": "dense", "accuracy": "0.9800"}]
    picture = b64decode(kept["curves-toy"][1].removeprefix("data:image/svg+xml;base64,")).decode()
    assert picture.count("<polyline") == 2
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "| reason: too / dark | 1 |" in kept["quarantine-toy"][1]
    assert kept["dashboard"][1] == f"[Run {folder.name}](http://127.0.0.1:8501/?run={folder.name})"
