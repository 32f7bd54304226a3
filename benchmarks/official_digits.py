"""Dense and compressed networks for digits, trained on the packaged rows and judged on the 10,000 official test rows of MNIST.

The packaged digits are 5,000 of MNIST's train rows, so none of the official test rows was seen.
"""

from __future__ import annotations

import gzip
import os
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import record
from benchmarks.stage_workspace import StageWorkspace, kept_workspace, temporary_workspace
from tasks.core import onnx_model
from tasks.core.storage.artifacts import Artifact
from tasks.evaluation import statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEEDS = (7, 8, 9)
RECIPES = ("dense", "int8", "distilled-int4")
FOLDER = "BONSAI_DIGITS_FOLDER"
"""The environment variable that names a folder in which stages that have finished are kept, so that the measurement goes on."""


def main() -> None:
    folder = Path(os.environ.get("BONSAI_DATASETS", "")) / "mnist"
    if not os.environ.get("BONSAI_DATASETS") or not folder.is_dir():
        print("skipped: BONSAI_DATASETS names no folder with mnist/*.gz, and benchmarks do not download")
        return
    images, labels = read_idx(folder / "t10k-images-idx3-ubyte.gz")[:, None], read_idx(folder / "t10k-labels-idx1-ubyte.gz")
    rows: list[dict[str, Any]] = []
    for seed in SEEDS:
        with ExitStack() as stack:
            settings = {"training.seed": seed}
            if folder := os.environ.get(FOLDER):
                workspace = kept_workspace(Path(folder), "vision", settings, RECIPES)
            else:
                workspace = stack.enter_context(temporary_workspace("vision", settings, RECIPES))
            rows += measure(workspace, seed, images, labels)
    drop = fmean(row["drop"] for row in rows if row["recipe"] == RECIPES[-1])
    record.write(
        "official_digits",
        f"Accuracy on the {len(labels):,} official test rows, {len(SEEDS)} seeds; {RECIPES[-1]} loses {drop:.4f} on average.",
        rows,
        drop=drop,
    )


def measure(workspace: StageWorkspace, seed: int, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Run the pipeline up to the latencies; one row per recipe."""
    for stage in ("fetch", "clean", "augment", "train", "baselines"):
        workspace.resume_stage(stage, "vision")
    cost = {recipe: workspace.resume_stage("compress", "vision", recipe)["cpu_s"] for recipe in RECIPES}
    workspace.resume_stage("latency", "vision")
    data, correct = workspace.root / "data" / "vision", dict[str, Any]()
    times = Artifact(data / "latency").json("latency.json")["variants"]
    rows = []
    for recipe in RECIPES:
        content = (data / "compressed" / recipe / "model.onnx").read_bytes()
        classes = np.array(onnx_model.read_metadata(onnx_model.from_bytes(content))["learnt"]["classes"], int)
        correct[recipe] = (classes[onnx_model.predict(content, images).argmax(1)] == labels).astype(np.float64)
        interval, drop = statistics.mean_interval(correct[recipe]), statistics.paired_drop(correct["dense"], correct[recipe])
        speedups = times[recipe]["speedup_over"].get("dense", {})
        rows.append(
            {
                "seed": seed,
                "recipe": recipe,
                "accuracy": interval.value,
                "low": interval.low,
                "high": interval.high,
                "drop": drop.value,
                "bytes": len(content),
                **{f"b{batch}_times_dense": speedups[batch]["ratio"] if speedups else 1.0 for batch in ("1", "64")},
                "compress_cpu_s": cost[recipe],
            }
        )
    return rows


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an IDX file of bytes."""
    with gzip.open(path) as file:
        content = file.read()
    shape = [int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(content[3])]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


if __name__ == "__main__":
    main()
