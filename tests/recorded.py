"""A project with recorded runs, as the stages and the conductor would have left it, made in a second without any training."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

from flows import runs
from tasks import classification, evaluate, export, images, measure, release
from tasks.contracts import Contract
from tasks.use_cases.vision import Vision
from tasks.workspace import CHECKSUMS, hash_file, write_json

REPOSITORY = Path(__file__).resolve().parent.parent
CLASSES = ("0", "1", "2", "3")
RECIPES = ("dense", "int8", "pruned")
SIDE = 12
ROWS = 160
NEEDS = {
    "fetch@vision": [],
    "clean@vision": ["fetch@vision"],
    "augment@vision": ["clean@vision"],
    "train@vision": ["augment@vision", "clean@vision"],
    **{f"compress@vision-{name}": ["clean@vision", "train@vision"] for name in RECIPES},
    **{
        f"evaluate@vision-{name}": sorted({"clean@vision", "train@vision", "compress@vision-dense", f"compress@vision-{name}"})
        for name in RECIPES
    },
    "release@vision": [f"{verb}@vision-{name}" for verb in ("compress", "evaluate") for name in RECIPES],
}
PARAMS = """
use_cases:
  vision:
    fetch: {source: packaged}
    clean: {}
    augment: {}
    model: {}
    training: {seed: 7}
    contract: {max_drop: 0.05, min_speedup: 2.0, max_size_share: 0.5}
recipes:
  dense: []
  int8: [{quantize: {}}]
  pruned: [{prune: {}}]
"""
CONTRACT = Contract(max_drop=0.05, min_speedup=2.0, max_size_share=0.5)
BEGAN = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def project(root: Path) -> Path:
    """A project in which nothing has run yet."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy2(REPOSITORY / "dvc.yaml", root)
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n", encoding="utf-8")
    return root


def run(root: Path, state: str, *, number: int = 0, overrides: dict[str, Any] | None = None, whole: bool = True) -> Path:
    """A run in the state given: Running, Failed, Cancelled or Completed. Its artifacts are those its stages finished."""
    began = BEGAN + timedelta(minutes=17 * number)
    folder = root / "runs" / f"{began:%Y%m%d-%H%M%S}-vision-{number:04x}"
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(PARAMS.replace("seed: 7", f"seed: {7 + number}"), encoding="utf-8")
    reached = {"Running": 4, "Failed": 4, "Cancelled": 5}.get(state, len(NEEDS))
    last = {"Running": "Running", "Failed": "Failed", "Cancelled": "Cancelled"}.get(state, "Completed")
    if reached > 1:
        data(folder)
    if reached > 4:
        model(folder, number)
    if reached == len(NEEDS):
        evaluations(folder, number)
    stages = {}
    for position, (name, needs) in enumerate(NEEDS.items()):
        stages[name] = _stage(folder, name, needs, began, position, reached, last)
    _record(folder, state, began, stages, overrides or {}, number)
    return folder


def finished(root: Path, **more: Any) -> Path:
    return run(root, "Completed", **more)


def data(folder: Path) -> None:
    """raw, clean and augmented, as the first three stages leave them."""
    place = folder / "data" / "vision"
    rows = _rows()
    raw = rows[["file", "row", "image", "label"]]
    _table(place / "raw", raw)
    write_json(place / "raw" / "report.json", {"rows": len(raw), "partitions": 1, "source": "packaged"})
    kept = rows.drop(columns="subset").assign(fix="", likeness=rows["pixels"], subset="")
    _table(place / "clean" / "rows", kept)
    dirt = raw.head(6).assign(
        reason=["blank: one colour all over", "duplicate of digits.csv:4", "unreadable: 0 bytes"] * 2,
        label=["<b>7</b>", "=1+1", "‮evil", "x" * 5000, "a\x00b", "9"],
    )
    dirt["image"] = [b"", b"not a picture", *dirt["image"].tolist()[2:]]
    _table(place / "clean" / "quarantine", dirt)
    write_json(place / "clean" / "ledger.json", _ledger(kept, len(dirt)))
    _table(place / "augmented" / "rows", kept.head(0))
    originals = kept.head(4)[["image", "label"]].assign(original=range(4), variant=0)
    preview = pd.concat([originals, originals.assign(variant=1), originals.assign(variant=2)]).sort_values(
        ["original", "variant"]
    )
    _table(place / "augmented" / "preview", preview)
    write_json(place / "augmented" / "report.json", {"variants": 0, "preview": len(preview), "seed": 7})


def model(folder: Path, number: int = 0) -> None:
    """model/, as train leaves it, without its tensors."""
    place = folder / "data" / "vision" / "model"
    write_json(place / "config.json", {"architecture": "cnn", "fields": {}, "learnt": _learnt()})
    write_json(
        place / "curves.json",
        [{"epoch": epoch, "loss": 2 / epoch, "validation_accuracy": 1 - 1 / (epoch + 2 + number)} for epoch in range(1, 6)],
    )
    write_json(place / "report.json", {"epochs": 5, "best_epoch": 5, "parameters": 1000})


def evaluations(folder: Path, number: int = 0) -> None:
    """compressed/, evaluations/ and release/, with figures computed as the stages compute them."""
    place, case, rows = folder / "data" / "vision", Vision(contract=CONTRACT), _rows()
    shown = {split: rows[rows["split"] == split].reset_index(drop=True) for split in evaluate.SPLITS}
    answers = {
        name: {split: _answers(found, position + number) for split, found in shown.items()}
        for position, name in enumerate(RECIPES)
    }
    metrics: dict[str, dict[str, Any]] = {}
    latencies: dict[str, dict[str, Any]] = {}
    for position, name in enumerate(RECIPES):
        content = tiny_model(seed=position)
        target = place / "compressed" / name
        target.mkdir(parents=True)
        (target / "model.onnx").write_bytes(content)
        size = 9000 // (position + 1)
        write_json(target / "report.json", {"recipe": name, "bytes": size, "parameters": size // 4, "macs": size * 10})
        judged = {split: evaluate.appraisal(case, found) for split, found in answers[name].items()}
        own: dict[str, Any] = {"recipe": name, "rows": {"train": 100}, "splits": judged}
        for key, whole in (("bytes", 9000), ("parameters", 2250), ("macs", 90000)):
            own |= {key: whole // (position + 1), f"{key}_share": 1 / (position + 1)}
        if name == "dense":
            own["baselines"] = {
                "majority": {split: {"scores": {"accuracy": 0.25}, "interval": judged[split]["interval"]} for split in shown}
            }
        else:
            own["against_dense"] = {
                split: evaluate.comparison(case, answers[name][split], answers["dense"][split], shown[split]) for split in shown
            }
        metrics[name], latencies[name] = own, _latency(name, position)
        target = place / "evaluations" / name
        _table(target / "predictions", pd.concat([answers[name][split] for split in shown]))
        write_json(target / "metrics.json", own)
        write_json(target / "latency.json", latencies[name])
    candidates = [release.weighed(name, metrics[name], latencies[name], case.contract, 1) for name in RECIPES if name != "dense"]
    verdict = release.decided(candidates, case.contract)
    verdict |= {"released": "int8", "reason": "released 'int8': of 2 recipes 1 keeps the contract"}
    table = [release.row(name, metrics[name], latencies[name], candidates, "int8") for name in RECIPES]
    target = place / "release"
    write_json(target / "verdict.json", verdict)
    write_json(target / "table.json", {"rows": table, "baselines": [], "machine": latencies["dense"]["machine"], "threads": 1})
    (target / "card.md").write_text(
        "---\nlicense: mit\n---\n\n# A card\n\n<script>alert(1)</script> Made for tests.\n", encoding="utf-8"
    )
    shutil.copyfile(place / "compressed" / "int8" / "model.onnx", target / "model.onnx")
    write_json(
        target / CHECKSUMS, {name: hash_file(target / name) for name in ("verdict.json", "table.json", "model.onnx", "card.md")}
    )


def tiny_model(seed: int = 0) -> bytes:
    """An ONNX file that answers pictures (N, 1, side, side) with logits, and carries what a shipped one carries."""
    numbers = np.random.default_rng(seed)
    weights = numbers.normal(0, 0.01, (SIDE * SIDE, len(CLASSES))).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["inputs"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["real"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["outputs"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("inputs", TensorProto.UINT8, ["batch", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", len(CLASSES)])],
        [numpy_helper.from_array(weights, "weights")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    export.finish(made, {"use_case": "vision", "architecture": "cnn", "fields": {}, "learnt": _learnt()})
    return export.to_bytes(onnx.load_from_string(made.SerializeToString()))


def journal(folder: Path, stage: str, events: list[dict[str, Any]], at: datetime = BEGAN) -> Path:
    """A stage's journal with these events, a second apart."""
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
        path = f"data/vision/{name.partition('@')[0]}"
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
    journal(folder, name, events, at)
    (folder / "journal" / f"{name}.out").write_text("printed\n", encoding="utf-8")
    return entry


def _record(folder: Path, state: str, began: datetime, stages: dict[str, Any], overrides: dict[str, Any], number: int) -> None:
    ended = "" if state == "Running" else (began + timedelta(seconds=60)).isoformat(timespec="milliseconds")
    record = {
        "state": state,
        "error": "train@vision: the loss is not finite at epoch 1, step 3" if state == "Failed" else "",
        "use_cases": ["vision"],
        "recipes": list(RECIPES),
        "overrides": overrides,
        "whole": not overrides,
        "force": False,
        "asked": {"who": "ann", "how": "command line", "command": ["bonsai", "run", "vision"]},
        "created_at": began.isoformat(timespec="milliseconds"),
        "started_at": began.isoformat(timespec="milliseconds"),
        "ended_at": ended,
        "process": runs.identity(),
        "prefect": {"flow_run_id": f"00000000-0000-0000-0000-{number:012x}"},
        "code": {"commit": "0123456789abcdef", "dirty": False},
        "machine": {"host": "here", "processor": "A processor", "cores": 2},
        "stages": stages,
        "results": runs.results(folder, ["vision"]),
        "reflected": False,
    }
    write_json(folder / "run.json", record)


def _rows() -> pd.DataFrame:
    lines = []
    for number in range(ROWS):
        label = CLASSES[number % len(CLASSES)]
        canvas = Image.new("L", (SIDE, SIDE))
        ImageDraw.Draw(canvas).rectangle((2, 2, 4 + number % 5, 3 + int(label) * 2), fill=120 + number % 120)
        file = BytesIO()
        canvas.save(file, "PNG")
        split = "train" if number < 80 else "validation" if number < 120 else "test"
        lines.append(
            (
                "digits.csv",
                number,
                file.getvalue(),
                label,
                "",
                images.pixel_key(canvas) + f"{number:04}",
                images.look(canvas),
                split,
            )
        )
    return pd.DataFrame(lines, columns=["file", "row", "image", "label", "subset", "pixels", "look", "split"])


def _answers(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    numbers = np.random.default_rng(seed)
    logits = numbers.normal(0, 1, (len(rows), len(CLASSES)))
    logits[np.arange(len(rows)), rows["label"].astype(int)] += 2.2 - 0.2 * seed
    return classification.judged(rows, classification.softmax(logits), CLASSES, ("file", "row", "pixels", "split", "label"))


def _latency(name: str, position: int) -> dict[str, Any]:
    numbers = np.random.default_rng(3)
    typical = {"eager PyTorch": 1.2, "dense": 0.4, name: 0.4 / (1 + position)}
    rounds = {variant: numbers.normal(ms, ms / 50, measure.ROUNDS).clip(0.01).tolist() for variant, ms in typical.items()}
    return {
        "machine": {"cpu": "A processor", "cores": 2},
        "threads": 1,
        "rounds": measure.ROUNDS,
        "variants": {
            variant: {
                "peak_memory_bytes": 100_000_000,
                "batches": {
                    batch: measure._summary([[ms * int(batch) ** 0.8] for ms in times], [ms * int(batch) ** 0.8 for ms in times])
                    for batch in ("1", "64")
                },
                "speedup_over": {
                    other: {batch: measure._speedup(rounds[other], times) for batch in ("1", "64")}
                    for other in typical
                    if other != variant
                },
            }
            for variant, times in rounds.items()
        },
    }


def _ledger(kept: pd.DataFrame, dirty: int) -> dict[str, Any]:
    classes = pd.crosstab(kept["label"], kept["split"])
    return {
        "rows_in": len(kept) + dirty,
        "kept": len(kept),
        "fixed": 0,
        "quarantined": dirty - 2,
        "duplicates": 2,
        "reasons": {"blank": 2, "duplicate": 2, "unreadable": 2},
        "fixes": {},
        "contradictions": 1,
        "near_duplicates": {"groups": 2, "rows": 5},
        "splits": {split: int((kept["split"] == split).sum()) for split in ("train", "validation", "test")},
        "classes": {str(name): {split: int(count) for split, count in row.items()} for name, row in classes.iterrows()},
        "files": {"digits.csv": {"rows_in": len(kept) + dirty, "kept": len(kept), "quarantined": dirty - 2, "duplicates": 2}},
    }


def _learnt() -> dict[str, Any]:
    return {"classes": list(CLASSES), "channels": 1, "side": SIDE, "mean": [0.2], "std": [0.3]}


def _table(folder: Path, rows: pd.DataFrame) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows.reset_index(drop=True).to_parquet(folder / "part-00000.parquet", index=False)
