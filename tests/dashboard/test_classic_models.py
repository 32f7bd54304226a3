"""Classic models stand beside the recipes: their metrics, latency, predictions and files are read where evaluate put them."""

from pathlib import Path

import pandas as pd
import pytest

from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from tasks.core.storage.atomic_files import write_bytes, write_json, write_parquet

INTERVAL = {"value": 0.9, "low": 0.8, "high": 1.0}
SPLIT = {"rows": 3, "scores": {"accuracy": 0.9}, "first": "accuracy", "interval": INTERVAL}
BATCH = {"1": {"median_ms": 0.2, "p95_ms": 0.3}}


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    data = tmp_path / "data" / "vision"
    common = {"bytes": 10, "bytes_share": 1.0, "parameters": 5, "macs": 7, "splits": {"test": SPLIT}}
    classic = {**common, "recipe": "kernel-machine", "bytes": 4, "parameters": None, "macs": None}
    write_json(data / "evaluations/dense/metrics.json", {**common, "recipe": "dense", "classic": {"kernel-machine": classic}})
    variants = {name: {"batches": BATCH} for name in ("dense", "kernel-machine")}
    write_json(data / "latency/latency.json", {"variants": variants})
    write_json(data / "evaluations/int8/metrics.json", {**common, "recipe": "int8"})
    for name, label in (("predictions", "a"), ("baselines/kernel-machine/predictions", "b")):
        rows = pd.DataFrame({"split": ["test"], "label": [label]})
        write_parquet(data / "evaluations/dense" / name / "part-00000.parquet", rows)
    for folder in ("baselines/kernel-machine", "compressed/int8"):
        write_bytes(data / folder / "model.onnx", folder.encode())
    return Artifacts(tmp_path, tmp_path, "vision")


def test_a_classic_model_is_listed_after_the_recipes(artifacts: Artifacts) -> None:
    assert artifacts.recipes() == ["dense", "int8"]
    assert artifacts.models() == ["dense", "int8", "kernel-machine"]


def test_a_classic_model_has_metrics_latency_predictions_and_a_file(artifacts: Artifacts) -> None:
    metrics = artifacts.metrics("kernel-machine")
    assert (metrics.recipe, metrics.bytes, metrics.parameters, metrics.macs) == ("kernel-machine", 4, None, None)
    assert artifacts.latency().variants["kernel-machine"].batches["1"].median_ms == 0.2
    assert artifacts.predictions("kernel-machine", "test", ("label",))["label"].tolist() == ["b"]
    assert artifacts.predictions("dense", "test", ("label",))["label"].tolist() == ["a"]
    for name, folder in (("kernel-machine", "baselines/kernel-machine"), ("int8", "compressed/int8")):
        assert artifacts.file(artifacts.model_file(name)).read_bytes().decode() == folder


def test_without_metrics_of_dense_there_are_no_classic_models(tmp_path: Path) -> None:
    empty = Artifacts(tmp_path, tmp_path, "vision")
    assert empty.models() == []
    with pytest.raises(Unreadable):
        empty.metrics("kernel-machine")
