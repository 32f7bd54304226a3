"""The example of docs/add-a-use-case.md: recordings become a compressed model, with vision's network and no copy of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.io import wavfile

from tasks.core.storage.artifacts import Artifact, Table

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "spoken_digits.py"
RATE = 8000
TONES = {"zero": (300, 400), "one": (500, 900), "two": (1200, 700)}
"""Start and end of the glide, in Hz, that stands for a digit."""


def record(folder: Path, each: int = 40) -> Path:
    """Short glides of tone in noise, a folder per digit; one file that is no sound and one that is silent."""
    noise = np.random.default_rng(0)
    for digit, (first, last) in TONES.items():
        (folder / digit).mkdir(parents=True)
        for number in range(each):
            seconds = np.arange(int(RATE * noise.uniform(0.3, 0.6))) / RATE
            hertz = np.linspace(first, last, len(seconds)) * noise.uniform(0.92, 1.08)
            samples = np.sin(2 * np.pi * np.cumsum(hertz) / RATE) + noise.normal(0, 0.2, len(seconds))
            wavfile.write(folder / digit / f"{number:03}.wav", RATE, (samples * 8000).astype(np.int16))
    (folder / "one" / "broken.wav").write_bytes(b"RIFF but no sound")
    wavfile.write(folder / "two" / "silent.wav", RATE, np.zeros(RATE, np.int16))
    return folder


def install(project: Path) -> None:
    """What the page of the documentation says: the file into a package of its own, a link to the network."""
    for package in ("use_cases", "models"):
        folder = project / "tasks" / package / "spoken_digits"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text('"""Spoken digits."""\n')
    shutil.copy2(EXAMPLE, project / "tasks" / "use_cases" / "spoken_digits" / "use_case.py")
    (project / "tasks" / "models" / "spoken_digits" / "cnn.py").symlink_to("../vision/cnn.py")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "tasks", folder / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    install(folder)
    record(folder / "recordings")
    stanza = {
        "fetch": {"path": "recordings"},
        "training": {"epochs": 6, "batch_size": 16, "learning_rate": 0.01, "seed": 7},
        "clean": {"validation_share": 0.25, "test_share": 0.25},
        "contract": {"max_drop": 1.0, "min_speedup": 0.01, "max_size_share": 1.0},
    }
    recipes: dict[str, list[Any]] = {"dense": [], "int8": [{"quantize": {}}], "distilled": [{"distill": {}}]}
    (folder / "params.yaml").write_text(yaml.safe_dump({"use_cases": {"spoken_digits": stanza}, "recipes": recipes}))
    return folder


def play(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tasks", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_the_example_has_at_most_a_hundred_lines() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 100


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_recordings_become_a_compressed_model(project: Path) -> None:
    commands = [[stage] for stage in ("fetch", "clean", "augment", "train", "baselines")]
    commands += [[stage, recipe] for recipe in ("dense", "int8", "distilled") for stage in ("compress", "evaluate")]
    for stage, *recipe in [*commands, ["latency"], ["release"]]:
        done = play(project, stage, "spoken_digits", *recipe)
        assert done.returncode == 0, done.stderr[-2000:]
    data = project / "data" / "spoken_digits"
    report = Artifact(data / "clean").json("ledger.json")
    assert report["rows_in"] == 3 * 40 + 2
    assert report["reasons"] == {"silent": 1, "unreadable": 1}
    metrics = Artifact(data / "evaluations" / "int8").json("metrics.json")
    assert metrics["splits"]["test"]["scores"]["accuracy"] > 0.85
    assert Artifact(data / "release").json("verdict.json")["released"] in ("int8", "distilled")
    rows = pd.concat(Table(Artifact(data / "clean").open() / "rows").partitions(), ignore_index=True)
    assert set(rows["label"]) == set(TONES)


def test_a_folder_without_recordings_is_refused_in_one_line(tmp_path: Path, project: Path) -> None:
    (project / "nothing").mkdir(exist_ok=True)
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["use_cases"]["spoken_digits"]["fetch"] = {"path": "nothing"}
    other = tmp_path / "other"
    other.mkdir()
    (other / "nothing").mkdir()
    (other / "params.yaml").write_text(yaml.safe_dump(params))
    environment = {**os.environ, "PYTHONPATH": str(project)}
    command = [sys.executable, "-m", "tasks", "fetch", "spoken_digits"]
    done = subprocess.run(command, cwd=other, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nothing holds no .wav file; expected one folder of recordings per digit" in done.stderr
    assert "Traceback" not in done.stderr
