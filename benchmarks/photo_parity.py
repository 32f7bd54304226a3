"""From a JPEG to probabilities in two ways: `pixels.onnx` fed the decoded photo, and the path of training.

That path is clean, encode and the network.

The photos are 1,000 of all folders of BONSAI_DATASETS/photos, those of BONSAI_PHOTO_FOLDER (one sub-folder per class), or made
ones; the models are fitted to them quickly.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from benchmarks import record
from benchmarks.photo_memory import write_photos
from benchmarks.stage_workspace import temporary_workspace
from tasks.core import onnx_model, params_file
from tasks.core.storage.artifacts import Artifact, Checkpoint, Table
from tasks.use_cases.vision import pixel_input

COUNT, BLOCK = 1000, 100
RECIPES = ("dense", "int8")


def main() -> None:
    rows = []
    with temporary_workspace(
        "vision", {"training.epochs": 3, "training.min_steps": 1, "training.batch_size": 32}, RECIPES
    ) as workspace:
        photos = Path(os.environ.get("BONSAI_PHOTO_FOLDER") or workspace.root / "photos")
        if (datasets := os.environ.get("BONSAI_DATASETS")) and not photos.exists():
            copy_photos(Path(datasets) / "photos", photos)
        elif not photos.exists():
            write_photos(photos, COUNT)
        text = (workspace.root / "params.yaml").read_text()
        (workspace.root / "params.yaml").write_text(text.replace("source: packaged", f"path: {photos}"))
        for stage in ("fetch", "clean", "augment", "train"):
            workspace.run_stage(stage, "vision")
        case: Any = params_file.build_use_case("vision", params_file.read_params(workspace.root / "params.yaml"))
        data = workspace.root / "data/vision"
        raw = Table(Artifact(data / "raw").open()).read().head(COUNT)
        for recipe in RECIPES:
            workspace.run_stage("compress", "vision", recipe)
            folder = Artifact(data / "compressed" / recipe).open()
            rows.append({"recipe": recipe, **compare(case, raw, folder)})
            print(rows[-1], flush=True)
    record.write(
        "photo_parity",
        "A file fed raw pixels against the path of training, from the JPEG on; differences of probabilities.",
        rows,
    )


def copy_photos(source: Path, folder: Path) -> None:
    """Copy `COUNT` JPEGs of the sets of photos in `source`: all of the first ones, and evenly spaced ones of the last."""
    left = COUNT
    for photos in sorted(path for path in source.iterdir() if path.is_dir()):
        files = sorted(path for path in photos.glob("*/*") if path.suffix.lower() in (".jpg", ".jpeg"))
        for place in np.linspace(0, len(files) - 1, min(left, len(files))).astype(int):
            (folder / files[place].parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files[place], folder / files[place].parent.name / files[place].name)
            left -= 1


def compare(case: Any, raw: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """The differences on raw rows between a recipe's file for pixels, its file for squares, and the network in torch."""
    import torch

    content = (folder / "model.onnx").read_bytes()
    network, state = Checkpoint(folder / "network", "vision").read()
    temperature = json.loads((folder / "report.json").read_text())["calibration"][
        "temperature"
    ]  # is in the files, not the network
    session = onnx_model.create_session(case.release_files(content, state)["pixels.onnx"])
    differences, network_differences, same = [], [], []
    for start in range(0, len(raw), BLOCK):
        cleaned = case.clean_partition(raw.iloc[start : start + BLOCK].reset_index(drop=True))
        kept = cleaned[cleaned["fault"] == ""]
        inputs, _ = case.encode(kept, state)
        square = probabilities(onnx_model.predict(content, inputs))
        with torch.inference_mode():
            trained = probabilities(network(torch.from_numpy(inputs)).numpy() / temperature)
        decoded = [
            np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
            for data in raw["image"].iloc[kept.index + start]
        ]
        pixels = probabilities(np.concatenate([session.run(None, {pixel_input.INPUT: picture[None]})[0] for picture in decoded]))
        differences.append(np.abs(pixels - square).max(1))
        network_differences.append(np.abs(pixels - trained).max(1))
        same.append(pixels.argmax(1) == square.argmax(1))
    difference = np.concatenate(differences)
    return {
        "photos": len(difference),
        "side": state["side"],
        "same_class_share": float(np.concatenate(same).mean()),
        "max_difference": float(difference.max()),
        "median_difference": float(np.median(difference)),
        "max_difference_from_torch": float(np.concatenate(network_differences).max()),
    }


def probabilities(logits: Any) -> Any:
    odds = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


if __name__ == "__main__":
    main()
