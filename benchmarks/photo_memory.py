"""Peak memory of each stage for many photos: by default 20,000 of 500 x 375 pixels, or as many as BONSAI_PHOTOS says.

Measured is the sum over all processes of a stage, Dask's included, four times a second: their proportional set sizes, which
count a shared page once (Linux, /proc/<pid>/smaps_rollup).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from benchmarks import record
from benchmarks.stage_workspace import temporary_workspace
from tasks.__main__ import STAGES

COUNT = int(os.environ.get("BONSAI_PHOTOS", "20000"))
SIZE = (500, 375)
CLASSES = ("amber", "blue", "cyan")
TEXTURES = 40
RECIPES = ("dense", "int8")
MEBIBYTE = 2**20


def main() -> None:
    settings = {
        "clean.alike": 3.5,
        "training.epochs": 1,
        "training.min_steps": 1,
        **{f"clean.{name}": value for name, value in (("side", int(os.environ.get("BONSAI_SIDE", "0"))),) if value},
    }
    rows = []
    with temporary_workspace("vision", settings, RECIPES) as workspace:
        photos = workspace.root / "photos"
        write_photos(photos, COUNT)
        text = (workspace.root / "params.yaml").read_text()
        (workspace.root / "params.yaml").write_text(text.replace("source: packaged", f"path: {photos}"))
        for stage, takes_recipe in STAGES.items():
            for recipe in RECIPES if takes_recipe else ("",):
                rows.append({"stage": f"{stage} {recipe}".strip(), **measured(workspace.root, stage, recipe)})
                print(rows[-1], flush=True)
    record.write(
        "photo_memory", f"{COUNT:,} photos of {SIZE[0]} x {SIZE[1]} pixels; peak of all processes of a stage together.", rows
    )


def write_photos(folder: Path, count: int) -> None:
    """Distinct JPEGs: a smooth random picture in the tint of its class, with one of some textures."""
    generator = np.random.default_rng(0)
    textures = [generator.normal(0, 9, (SIZE[1], SIZE[0], 1)).astype(np.float32) for _ in range(TEXTURES)]
    tints = np.eye(3) * 40
    for number in range(count):
        kind = number % len(CLASSES)
        (folder / CLASSES[kind]).mkdir(parents=True, exist_ok=True)
        coarse = (generator.integers(0, 216, (8, 8, 3)) + tints[kind]).astype(np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC), np.float32)
        photo = np.clip(smooth + textures[number % TEXTURES], 0, 255).astype(np.uint8)
        Image.fromarray(photo).save(folder / CLASSES[kind] / f"{number:05d}.jpg", quality=85)


def measured(root: Path, stage: str, recipe: str) -> dict[str, Any]:
    """Wall time, CPU time and peak memory of a stage and the processes that it starts."""
    command = [sys.executable, "-m", "tasks", stage, "vision", *([recipe] if recipe else [])]
    began, peak = time.monotonic(), 0
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        tree = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, sum(_proportional_bytes(each) for each in [tree, *_children(tree)]))
            time.sleep(0.25)
    finally:
        process.kill()
    if process.returncode:
        assert process.stderr
        raise RuntimeError(f"{' '.join(command[1:])} ended with {process.returncode}: {process.stderr.read().strip()[-2000:]}")
    return {"wall_s": round(time.monotonic() - began, 1), "peak_memory_mib": round(peak / MEBIBYTE)}


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _proportional_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):
        return 0


if __name__ == "__main__":
    main()
