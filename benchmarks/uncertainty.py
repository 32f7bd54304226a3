"""Coverage of prediction sets and abstentions of digit models, on digits and on pictures that are none, over several seeds."""

from __future__ import annotations

import gzip
import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from PIL import Image, ImageDraw, ImageFont

from benchmarks import record
from benchmarks.stage_workspace import temporary_workspace
from tasks.core import onnx_model, params_file
from tasks.core.storage.artifacts import Artifact, Table, read_split
from tasks.evaluation import uncertainty as measured
from tasks.metrics import calibration, uncertainty

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

SEEDS = (1, 2, 3, 4, 5)
RECIPES = ("dense", "int8")
PICTURES = 2000
LETTERS = "ACDEFGHJKLMNPQRTUVWXYabdefghkmnpqrtuwxy"
"""Letters that are not also digits to a reader; many still look like one."""
ANGLES, SIDE, INK = (-15, 0, 15), 28, 20


def main() -> None:
    """Train, compress and read each seed's models; Fashion-MNIST is left out where BONSAI_DATASETS names no folder."""
    rows: list[dict[str, Any]] = []
    with temporary_workspace("vision", {}, RECIPES) as workspace:
        for stage in ("fetch", "clean", "augment"):
            workspace.run_stage(stage, "vision")
        for seed in SEEDS:
            params = yaml.safe_load((workspace.root / "params.yaml").read_text())
            params["use_cases"]["vision"]["training"]["seed"] = seed
            (workspace.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
            workspace.run_stage("train", "vision")
            for recipe in RECIPES:
                workspace.run_stage("compress", "vision", recipe)
                rows.append({"seed": seed, "recipe": recipe, **model_row(workspace.root, recipe)})
    write(rows)


def write(rows: list[dict[str, Any]]) -> None:
    """Write the figures of each model, and their means by recipe."""
    figures = [name for name in rows[0] if name not in ("seed", "recipe")]
    means: list[dict[str, Any]] = []
    for recipe in RECIPES:
        own = [row for row in rows if row["recipe"] == recipe]
        means.append({"seed": "mean", "recipe": recipe, **{name: statistics.mean(row[name] for row in own) for name in figures}})
    coverage = [row["coverage"] for row in means]
    record.write(
        "uncertainty",
        f"Digit models, {len(SEEDS)} seeds: prediction sets promised for 90 % of rows hold the true class for "
        f"{min(coverage):.1%} to {max(coverage):.1%} of test rows. `log_loss_at_1` is that without the temperature, "
        "`shown_coverage` that of the sets with the most probable class in empty ones; `abstains_...` are shares of pictures "
        "that the model abstains from.",
        [*rows, *means],
    )


def model_row(root: Path, recipe: str) -> dict[str, float]:
    """The figures of one model: coverage and abstentions on test rows, and abstentions on pictures that are no such digits."""
    folder = root / "data" / "vision"
    case = params_file.build_use_case("vision", params_file.read_params(root / "params.yaml"))
    model = (Artifact(folder / "compressed" / recipe).open() / "model.onnx").read_bytes()
    calibrated = Artifact(folder / "compressed" / recipe).json("report.json")["calibration"]
    metadata = onnx_model.read_metadata(onnx_model.from_bytes(model))
    entry: Mapping[str, Any] = metadata[uncertainty.ENTRY]
    inputs, targets = case.encode(read_split(Table(folder / "clean" / "rows"), "test"), metadata["learnt"])
    outputs = onnx_model.predict(model, inputs)
    test = measured.summary(uncertainty.read(outputs, inputs, entry), np.asarray(targets, np.int64))
    row = {
        "temperature": entry["temperature"],
        "log_loss_at_1": calibration.log_loss(outputs * calibrated["temperature"], targets, "classes"),
        "log_loss": calibration.log_loss(outputs, targets, "classes"),
        "coverage": test["coverage"]["value"],
        "shown_coverage": test["prediction_set_coverage"],
        "set_size": test["mean_set_size"],
        "abstains_digits": test["abstained"],
    }
    for name, pictures in unusual_pictures(inputs).items():
        row[f"abstains_{name}"] = float(uncertainty.read(onnx_model.predict(model, pictures), pictures, entry).abstained.mean())
    return row


def unusual_pictures(digits: Any) -> dict[str, Pixels]:
    """Pictures (N, 1, 28, 28) unlike white digits on black, by name."""
    pictures = {
        "inverted": (255 - digits).astype(np.uint8),
        "letters": drawn_letters(),
        "noise": np.random.default_rng(0).integers(0, 256, (PICTURES, 1, SIDE, SIDE), dtype=np.uint8),
    }
    if folder := os.environ.get("BONSAI_DATASETS"):
        with gzip.open(Path(folder) / "fashion_mnist" / "t10k-images-idx3-ubyte.gz") as file:
            pictures["fashion"] = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, SIDE, SIDE)[:PICTURES]
    return pictures


def drawn_letters() -> Pixels:
    """Letters of Pillow's own typeface, turned by a few angles, centred and as large as digits of MNIST."""
    font, drawn = ImageFont.load_default(96), []
    for letter in LETTERS:
        for angle in ANGLES:
            page = Image.new("L", (192, 192))
            ImageDraw.Draw(page).text((64, 40), letter, 255, font=font)
            glyph = page.rotate(angle)
            glyph = glyph.crop(glyph.getbbox())
            scale = INK / max(glyph.size)
            glyph = glyph.resize(
                (max(1, round(glyph.width * scale)), max(1, round(glyph.height * scale))), Image.Resampling.LANCZOS
            )
            picture = Image.new("L", (SIDE, SIDE))
            picture.paste(glyph, ((SIDE - glyph.width) // 2, (SIDE - glyph.height) // 2))
            drawn.append(np.asarray(picture)[None])
    return np.stack(drawn)
