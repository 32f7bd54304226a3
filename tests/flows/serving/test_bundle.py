"""A bundle runs with nothing but its own requirements, and answers what the model answers in the project."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import venv
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from flows.serving.bundle import BILL_FILE, write_bundle
from tasks.core.storage.artifacts import Table, read_split
from tasks.core.storage.atomic_files import hash_file
from tasks.inference.released_model import ReleasedModel, to_records
from tests.support import dashboard_scenarios, recorded_runs
from tests.support.bonsai_process import wait_for
from tests.tasks.inference.test_released_model import BARS, expected_table, inputs_of, release


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = recorded_runs.project(tmp_path_factory.mktemp("bundles") / "p")
    return {
        name: recorded_runs.finished(root, number=number, use_case=name)
        for number, name in enumerate(dashboard_scenarios.names())
    }


def write_inputs(runs: dict[str, Path], name: str, place: Path) -> Path:
    """All test rows of a use case as a person would bring them: a folder of pictures, or a table; for prices all bars."""
    data = runs[name] / "data" / name
    rows = read_split(Table(data / "clean" / "rows"), "test")
    if name == "vision":
        (place / "photos").mkdir()
        for number, image in enumerate(rows["image"]):
            (place / "photos" / f"{number:03d}.png").write_bytes(image)
        return place / "photos"
    path = place / f"{name}.csv"
    if name == "finance":
        pd.concat(list(Table(data / "raw").partitions()))[BARS].to_csv(path, index=False)
    elif name == "nlp":
        rows[["text"]].to_csv(path, index=False)
    else:
        pd.DataFrame(inputs_of(name, rows)).to_csv(path, index=False)
    return path


def test_a_bundle_holds_the_model_its_code_and_exact_requirements_and_no_training_code(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    folder = write_bundle(release(runs, "vision", tmp_path), "vision@7", tmp_path / "bundle")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "model",
        "tasks",
        "flows",
        "predict.py",
        "serve.py",
        "requirements.txt",
        "Dockerfile",
        "README.md",
        BILL_FILE,
    }
    bill = json.loads((folder / BILL_FILE).read_text())
    listed = {part["name"]: part for part in bill["components"]}
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert listed["model/model.onnx"]["hashes"][0]["content"] == hash_file(folder / "model" / "model.onnx")
    assert {"numpy", "onnxruntime", "protobuf", "fastapi"} <= set(listed), "what the requirements need is listed too"
    assert "torch" not in listed
    assert len(listed["onnx"]["hashes"][0]["content"]) == 64
    requirements = (folder / "requirements.txt").read_text().split()
    assert all("==" in line for line in requirements)
    assert not any(line.startswith(("torch", "scikit-learn")) for line in requirements)
    assert "vision@7" in (folder / "README.md").read_text()
    assert "@" not in (folder / "Dockerfile").read_text()
    assert not (folder / "tasks" / "training").exists()
    assert not list(folder.rglob("__pycache__"))
    with pytest.raises(Exception, match="exists already; name a new folder"):
        write_bundle(release(runs, "nlp", tmp_path), "nlp@1", folder)


def test_the_command_writes_the_release_of_the_project_where_no_champion_was_promoted(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bonsai: Any
) -> None:
    root = recorded_runs.project(tmp_path / "p")
    release(runs, "nlp", root / "data").folder.rename(root / "data" / "release")
    (root / "data" / "nlp").mkdir()
    (root / "data" / "release").rename(root / "data" / "nlp" / "release")
    monkeypatch.chdir(root)
    code, out, _ = bonsai("bundle", "nlp")
    assert (code, out.split(" to ")[0]) == (0, "wrote nlp@release")
    assert (root / "nlp-release" / "serve.py").exists()
    code, _, err = bonsai("bundle", "nlp", "other", "--version", "3")
    assert (code, err) == (2, "error: nlp has no version '3'; there is none yet; `bonsai promote` makes one\n")
    assert not (root / "other").exists()


MAX_INSTALLED_BYTES = 400_000_000
"""What the requirements may take on disk, compiled code included."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_in_an_empty_environment_every_use_case_answers_all_test_rows_as_evaluate_recorded_them(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    models: dict[str, ReleasedModel] = {name: release(runs, name, tmp_path) for name in runs}
    assert set(models) == {"vision", "nlp", "finance", "credit"}
    bundles = {name: write_bundle(model, f"{name}@1", tmp_path / f"bundle-{name}") for name, model in models.items()}
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    before = size_of(tmp_path / "venv")
    options = [part for folder in bundles.values() for part in ("-r", str(folder / "requirements.txt"))]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *options], check=True, timeout=600)
    installed = size_of(tmp_path / "venv") - before
    print(f"the requirements of all four bundles take {installed / 1e6:.0f} MB")
    assert installed < MAX_INSTALLED_BYTES
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for name, folder in bundles.items():
        path = write_inputs(runs, name, tmp_path)
        command = [str(python), "predict.py", str(path)]
        asked = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False)
        blocks = list(models[name].predict_path(path))
        expected = [record for block in blocks for record in to_records(block.rows)]
        assert [json.loads(line) for line in asked.stdout.splitlines()] == expected, asked.stderr
        assert asked.returncode == (3 if any(len(block.rejected) for block in blocks) else 0)
        check_recorded(runs, name, models[name], expected)
        check_server(folder, python, environment, name, path, expected)


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def check_recorded(runs: dict[str, Path], name: str, model: ReleasedModel, answers: list[dict[str, Any]]) -> None:
    """Every test row has the answer that evaluate decodes for it."""
    rows = read_split(Table(runs[name] / "data" / name / "clean" / "rows"), "test")
    recorded = expected_table(model, rows)
    if name == "finance":
        by_day = {(answer["ticker"], answer["date"][:10]): answer["variance"] for answer in answers}
        own = [by_day[ticker, f"{day:%Y-%m-%d}"] for ticker, day in recorded[["ticker", "date"]].itertuples(index=False)]
        assert own == pytest.approx(recorded["variance"].tolist(), rel=1e-6)
        return
    assert len(answers) == len(rows) >= 20
    assert [answer["predicted"] for answer in answers] == recorded["predicted"].tolist()
    assert [answer["confidence"] for answer in answers] == pytest.approx(recorded["confidence"].tolist(), abs=1e-7)


def check_server(
    folder: Path, python: Path, environment: dict[str, str], name: str, path: Path, expected: list[dict[str, Any]]
) -> None:
    """The server of a bundle answers uploaded files as expected, and refuses to be public without a token."""
    public = subprocess.run(
        [python, "serve.py"], cwd=folder, env={**environment, "BONSAI_SERVE_HOST": "0.0.0.0"}, capture_output=True, check=False
    )
    assert (public.returncode, b"BONSAI_SERVE_TOKEN" in public.stderr) == (2, True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([python, "serve.py", str(port)], cwd=folder, env=environment, stderr=subprocess.DEVNULL)

    def is_ready() -> bool:
        try:
            return httpx.get(f"{address}/ready").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_for(is_ready, 100)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        answers = httpx.post(
            f"{address}/{name}/predict/files", files=[("files", (each.name, each.read_bytes())) for each in files], timeout=60
        ).json()["answers"]
        whole = [{key: value for key, value in answer.items() if key != "row"} for answer in answers if "error" not in answer]
        assert whole == [{key: value for key, value in answer.items() if key != "row"} for answer in expected]
    finally:
        process.terminate()
        process.wait(40)
