"""A project with recorded runs, as the stages and the orchestrator leave it, built in a second without any training."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from flows.runs import run_record
from flows.system import os_processes
from tasks.core.splits import EVALUATION_SPLITS
from tasks.core.storage.artifacts import CHECKSUMS
from tasks.core.storage.atomic_files import hash_file, write_json
from tasks.evaluation import comparison, latency, slices
from tasks.release import assessment, decision, model_card, sentences
from tasks.stages import evaluate
from tests.support import dashboard_scenarios

REPOSITORY = Path(__file__).resolve().parents[2]
STATES = ("Running", "Failed", "Cancelled", "Completed")
RECIPES = ("dense", "int8", "pruned")
VARIED = 3
"""Runs have the same models if their numbers are equal modulo this."""
BEGAN = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
CLASSES, SIDE = dashboard_scenarios.CLASSES, dashboard_scenarios.SIDE


def needs(use_case: str) -> dict[str, list[str]]:
    """The stages of a use case in execution order, each with those it depends on."""
    clean, train = f"clean@{use_case}", f"train@{use_case}"
    compress = {name: f"compress@{use_case}-{name}" for name in RECIPES}
    evaluate = {name: f"evaluate@{use_case}-{name}" for name in RECIPES}
    return {
        f"fetch@{use_case}": [],
        clean: [f"fetch@{use_case}"],
        f"augment@{use_case}": [clean],
        train: [f"augment@{use_case}", clean],
        **{compress[name]: [clean, train] for name in RECIPES},
        **{evaluate[name]: sorted({clean, train, compress["dense"], compress[name]}) for name in RECIPES},
        f"latency@{use_case}": [clean, *compress.values()],
        f"release@{use_case}": [*compress.values(), *evaluate.values(), f"latency@{use_case}"],
    }


NEEDS = needs("vision")


def params(use_case: str = "", seed: int = 7) -> str:
    """params.yaml, with that seed for that use case."""
    stanzas = {
        name: {
            **{section: dashboard_scenarios.STANZAS[name].get(section, {}) for section in ("fetch", "clean", "augment", "model")},
            "training": {"seed": seed if name == use_case else 7},
            "contract": dict(dashboard_scenarios.CONTRACT),
        }
        for name in dashboard_scenarios.names()
    }
    recipes: dict[str, Any] = {"dense": [], "int8": [{"quantize": {}}], "pruned": [{"prune": {}}]}
    return yaml.safe_dump({"use_cases": stanzas, "recipes": recipes, "seeds": []}, sort_keys=False)


def project(root: Path) -> Path:
    """A project in which nothing has run yet."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy2(REPOSITORY / "dvc.yaml", root)
    (root / "params.yaml").write_text(params(), encoding="utf-8")
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n", encoding="utf-8")
    return root


def run(
    root: Path,
    state: str,
    *,
    number: int = 0,
    overrides: dict[str, Any] | None = None,
    whole: bool = True,
    use_case: str = "vision",
    scene: str = "",
) -> Path:
    """A run in a state: Running, Failed, Cancelled or Completed. It has the artifacts of its completed stages.

    They are those of the use case's scene, or of another `scene` of the same use case.
    """
    began = BEGAN + timedelta(minutes=17 * number)
    folder = root / "runs" / f"{began:%Y%m%d-%H%M%S}-{use_case}-{number:04x}"
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(params(use_case, 7 + number), encoding="utf-8")
    stage_needs = needs(use_case)
    reached = {"Running": 4, "Failed": 4, "Cancelled": 5}.get(state, len(stage_needs))
    last = {"Running": "Running", "Failed": "Failed", "Cancelled": "Cancelled"}.get(state, "Completed")
    if reached > 1:
        data(folder, use_case, scene or use_case)
    if reached > 4:
        model(folder, use_case, number, scene or use_case)
    if reached == len(stage_needs):
        evaluations(folder, use_case, number, scene or use_case)
    stages = {}
    for position, (name, required) in enumerate(stage_needs.items()):
        stages[name] = _stage(folder, name, required, began, position, reached, last)
    _record(folder, state, began, stages, overrides or {}, number, use_case)
    return folder


def finished(root: Path, **more: Any) -> Path:
    return run(root, "Completed", **more)


def data(folder: Path, use_case: str, scene_name: str) -> None:
    """Artifacts of the first three stages: raw, clean and augmented."""
    place, scene = folder / "data" / use_case, dashboard_scenarios.of(scene_name)
    _table(place / "raw", scene.raw)
    write_json(place / "raw" / "report.json", {"rows": len(scene.raw), "partitions": 1, "source": "packaged"})
    _table(place / "clean" / "rows", scene.kept)
    _table(place / "clean" / "quarantine", scene.quarantined)
    write_json(place / "clean" / "ledger.json", scene.quality_report)
    _table(place / "augmented" / "rows", scene.kept.head(0))
    _table(place / "augmented" / "preview", scene.preview)
    write_json(place / "augmented" / "report.json", {"variants": 0, "preview": len(scene.preview), "seed": 7})


def model(folder: Path, use_case: str, number: int, scene_name: str) -> None:
    """Artifacts of the train stage, without the weights."""
    place = folder / "data" / use_case / "model"
    write_json(place / "config.json", {"architecture": "cnn", "fields": {}, "learnt": dashboard_scenarios.of(scene_name).state})
    write_json(
        place / "curves.json",
        [{"epoch": epoch, "loss": 2 / epoch, "validation_accuracy": 1 - 1 / (epoch + 2 + number)} for epoch in range(1, 6)],
    )
    write_json(place / "report.json", {"epochs": 5, "best_epoch": 5, "parameters": 1000})


def evaluations(folder: Path, use_case: str, number: int, scene_name: str) -> None:
    """Artifacts of compress, evaluate and release, with metrics computed as in the stages."""
    place, scene = folder / "data" / use_case, dashboard_scenarios.of(scene_name)
    case, problem = scene.case, scene.case.problem_of(scene.state)
    shown = {split: scene.split(split) for split in EVALUATION_SPLITS}
    answers = {
        name: {split: scene.answers(predictions, position + number % VARIED) for split, predictions in shown.items()}
        for position, name in enumerate(RECIPES)
    }
    metrics: dict[str, dict[str, Any]] = {}
    for position, name in enumerate(RECIPES):
        target = place / "compressed" / name
        target.mkdir(parents=True)
        (target / "model.onnx").write_bytes(scene.model(position + number % VARIED))
        size = 9000 // (position + 1)
        write_json(target / "report.json", {"recipe": name, "bytes": size, "parameters": size // 4, "macs": size * 10})
        split_metrics = {split: evaluate.split_metrics(problem, predictions) for split, predictions in answers[name].items()}
        own: dict[str, Any] = {"recipe": name, "rows": {"train": len(scene.split("train"))}, "splits": split_metrics}
        for key, whole in (("bytes", 9000), ("parameters", 2250), ("macs", 90000)):
            own |= {key: whole // (position + 1), f"{key}_share": 1 / (position + 1)}
        if name == "dense":
            own |= _baselines(scene, shown, answers[name])
        else:
            own["against_dense"] = {
                split: comparison.compare_with_dense(
                    problem, case.label_column(rows), answers[name][split], answers["dense"][split], rows
                )
                for split, rows in shown.items()
            }
            own["slices"] = slices.find_slices(
                case,
                problem,
                *(slices.PairedPredictions(rows, answers["dense"][split], answers[name][split]) for split, rows in shown.items()),
            )
        metrics[name] = own
        target = place / "evaluations" / name
        _table(target / "predictions", pd.concat([answers[name][split] for split in shown]))
        write_json(target / "metrics.json", own)
    timing = _latency()
    write_json(place / "latency" / "latency.json", timing)
    _release(place, case, problem, answers, metrics, timing)


def _baselines(scene: dashboard_scenarios.Scene, shown: dict[str, pd.DataFrame], own: dict[str, pd.DataFrame]) -> dict[str, Any]:
    problem = scene.case.problem_of(scene.state)
    baselines: dict[str, dict[str, Any]] = {}
    comparisons: dict[str, dict[str, Any]] = {}
    for split, rows in shown.items():
        gains = {}
        for name, predictions in scene.baselines(rows).items():
            split_metrics = evaluate.split_metrics(problem, predictions)
            baselines.setdefault(name, {})[split] = {key: split_metrics[key] for key in ("scores", "interval")}
            gain = problem.compare_to_baseline(own[split], predictions)
            gains[name] = gain or comparison.paired_gain(problem, own[split], predictions)
        comparisons[split] = {"headline": "", "gains": gains}
    return {"baselines": baselines, "against_rivals": comparisons}


def _release(
    place: Path,
    case: Any,
    problem: Any,
    answers: dict[str, dict[str, pd.DataFrame]],
    metrics: dict[str, dict[str, Any]],
    timing: dict[str, Any],
) -> None:
    candidates = [
        assessment.assess(
            assessment.Measured(
                name=name,
                kind="recipe",
                metrics=metrics[name],
                times=timing["variants"][name],
                predictions=answers[name],
            ),
            answers["dense"],
            None,
            problem,
            case.contract,
            problem.label_column,
        )
        for name in RECIPES
        if name != "dense"
    ]
    first = metrics["dense"]["splits"]["test"]
    outcome = decision.decide(candidates, case.contract, first["rows"])
    verdict = decision.as_json(outcome, sentences.describe(outcome, first["first"]))
    verdict |= {"verdict": "released", "released": "int8", "reason": "released 'int8': of 2 recipes 1 keeps the contract"}
    table = [model_card.table_row(name, metrics[name], timing, candidates, "int8") for name in RECIPES]
    target = place / "release"
    write_json(target / "verdict.json", verdict)
    write_json(target / "table.json", {"rows": table, "baselines": [], "machine": timing["machine"], "threads": 1})
    (target / "card.md").write_text(
        "---\nlicense: mit\n---\n\n# A card\n\n<script>alert(1)</script> Made for tests.\n", encoding="utf-8"
    )
    shutil.copyfile(place / "compressed" / "int8" / "model.onnx", target / "model.onnx")
    seal(target)


def seal(artifact: Path) -> None:
    """Write the checksums of an artifact as its files are now."""
    files = [path for path in sorted(artifact.rglob("*")) if path.is_file() and path.name != CHECKSUMS]
    write_json(artifact / CHECKSUMS, {str(path.relative_to(artifact)): hash_file(path) for path in files})


def event_log(folder: Path, stage: str, events: list[dict[str, Any]], at: datetime = BEGAN) -> Path:
    """A stage's event log with these events, one second apart."""
    path = folder / "journal" / f"{stage}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"seq": seq, "at": (at + timedelta(seconds=seq)).isoformat(timespec="milliseconds"), **event})
        for seq, event in enumerate(events)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _stage(folder: Path, name: str, needs: list[str], began: datetime, position: int, reached: int, last: str) -> dict[str, Any]:
    at = began + timedelta(seconds=3 * position)
    state = "Completed" if position < reached - 1 else last if position == reached - 1 else "Pending"
    if last in ("Failed", "Cancelled") and state == "Pending":
        state = "NotRun"
    entry: dict[str, Any] = {"state": state, "needs": needs}
    if state in ("Pending", "NotRun"):
        return entry
    events: list[dict[str, Any]] = [{"event": "started", "pid": os.getpid(), "argv": [name], "attempt": 1}]
    events += [{"event": "log", "level": "info", "message": "computes on cpu in fp32 <script>alert(1)</script>"}]
    if name.startswith("train"):
        events += [
            {
                "event": "metric",
                "step": step,
                "values": {"loss": 2 / step, "validation_loss": 2.2 / step, "validation_accuracy": 1 - 1 / (step + 2)},
            }
            for step in range(1, 6)
        ]
    events += [{"event": "progress", "done": 30, "total": 100, "unit": "steps"}]
    entry |= {"attempt": 1, "started_at": at.isoformat(timespec="milliseconds"), "error": "", "details": "", "process": None}
    if state == "Running":
        entry["started_at"] = (datetime.now(UTC) - timedelta(seconds=20)).isoformat(timespec="milliseconds")
    else:
        entry["ended_at"] = (at + timedelta(seconds=2)).isoformat(timespec="milliseconds")
    if state == "Completed":
        events += [{"event": "finished", "wall_s": 2.0, "cpu_s": 1.5, "peak_memory_bytes": 200_000_000}]
        path = f"data/{name.partition('@')[2].partition('-')[0]}/{name.partition('@')[0]}"
        entry |= {
            "wall_s": 2.0,
            "cpu_s": 1.5,
            "peak_memory_bytes": 200_000_000,
            "outs": {path: {"md5": f"{position:032x}.dir", "size": 12345, "nfiles": 3}},
        }
    if state == "Failed":
        error, details = "the loss is not finite at epoch 1, step 3", "Traceback (most recent call last):\n  boom"
        events += [{"event": "failed", "error": error, "details": details}]
        entry |= {"error": error, "details": details}
    event_log(folder, name, events, at)
    (folder / "journal" / f"{name}.out").write_text("printed\n", encoding="utf-8")
    return entry


def _record(
    folder: Path, state: str, began: datetime, stages: dict[str, Any], overrides: dict[str, Any], number: int, use_case: str
) -> None:
    ended = "" if state == "Running" else (began + timedelta(seconds=60)).isoformat(timespec="milliseconds")
    record = {
        "state": state,
        "error": f"train@{use_case}: the loss is not finite at epoch 1, step 3" if state == "Failed" else "",
        "use_cases": [use_case],
        "recipes": list(RECIPES),
        "overrides": overrides,
        "whole": not overrides,
        "force": False,
        "asked": {"who": "ann", "how": "command line", "command": ["bonsai", "run", use_case]},
        "created_at": began.isoformat(timespec="milliseconds"),
        "started_at": began.isoformat(timespec="milliseconds"),
        "ended_at": ended,
        "process": os_processes.identity(),
        "prefect": {"flow_run_id": f"00000000-0000-0000-0000-{number:012x}"},
        "code": {"commit": "0123456789abcdef", "dirty": False},
        "machine": {"host": "here", "processor": "A processor", "cores": 2},
        "stages": stages,
        "results": run_record.read_results(folder, [use_case]),
        "reflected": False,
    }
    write_json(folder / "run.json", record)


def _latency() -> dict[str, Any]:
    numbers = np.random.default_rng(3)
    typical = {"eager PyTorch": 1.2, **{name: 0.4 / (1 + position) for position, name in enumerate(RECIPES)}}
    rounds = {
        variant: numbers.normal(ms, ms / 50, (latency.PROCESSES, latency.MIN_ROUNDS)).clip(0.01).tolist()
        for variant, ms in typical.items()
    }
    return {
        "machine": {"cpu": "A processor", "cores": 2},
        "threads": 1,
        "processes": latency.PROCESSES,
        "rounds": latency.PROCESSES * latency.MIN_ROUNDS,
        "variants": {
            variant: {
                "peak_memory_bytes": 100_000_000,
                "batches": {
                    batch: latency.summary([[[ms * int(batch) ** 0.8] for ms in process] for process in times])
                    for batch in ("1", "64")
                },
                "speedup_over": {
                    other: {batch: latency.speedup(rounds[other], times) for batch in ("1", "64")}
                    for other in typical
                    if other != variant
                },
            }
            for variant, times in rounds.items()
        },
    }


def _table(folder: Path, rows: pd.DataFrame) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows.reset_index(drop=True).to_parquet(folder / "part-00000.parquet", index=False)
