"""What a server keeps of requests: what was asked of it and no more, with the right answers that clients send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from flows import promotion
from flows.monitoring import references
from flows.request_log import feedback, reader
from flows.request_log.records import Kept, LogSettings, requests_folder
from flows.serving.interfaces import Exchange, FixedModels, ServedModel
from flows.serving.recorder import MAX_WAITING, RecorderSettings, RequestRecorder, input_bytes, input_of
from flows.serving.served_models import ServedModels
from tasks.core.storage.artifacts import Table, read_split
from tests.flows.serving.test_app import encoded, pictures, with_server
from tests.flows.test_promotion import run
from tests.support import recorded_requests, recorded_runs
from tests.support.bonsai_process import wait_for
from tests.support.toy_project import REPOSITORY
from tests.tasks.inference.test_released_model import BARS, inputs_of, release


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = recorded_runs.project(tmp_path / "p")
    monkeypatch.chdir(root)
    promotion.promote(root, "vision", run(root, 0))
    return root


def recorder(root: Path, keep: Kept, **more: Any) -> RequestRecorder:
    settings = RecorderSettings(LogSettings(keep, flush_s=0.1, **more))
    return RequestRecorder(root, ServedModels(root, ["vision"]), settings)


def test_answers_refusals_and_uploads_are_recorded_with_the_ids_that_clients_got(project: Path) -> None:
    images, ids = pictures(project)[:3], list[str]()

    async def talk(client: httpx.AsyncClient) -> None:
        for content in (json.dumps({"inputs": [encoded(image) for image in images]}).encode(), b"{"):
            response = await client.post("/vision/predict", content=content)
            ids.append(response.headers["x-request-id"])
        answer = (await client.post("/vision/predict", json={"inputs": [encoded(b"no picture")]})).json()
        ids.append(answer["request_id"])
        files = [("files", ("a.png", images[0]))]
        ids.append((await client.post("/vision/predict/files", files=files)).json()["request_id"])
        assert (await client.get("/ready")).status_code == 200

    with_server(project, talk, recorder=recorder(project, "features"))
    rows = reader.read_requests(project, "vision").set_index("request_id")
    assert set(rows.index) == set(ids)
    first = rows.loc[ids[0]].sort_values("position")
    assert first["position"].tolist() == [1, 2, 3]
    assert (first["model"] == "vision@1").all()
    assert first["predicted"].notna().all()
    assert all({"brightness", "contrast"} <= set(numbers) for numbers in first["numbers"])
    assert (rows["latency_ms"] > 0).all()
    assert (rows["input"].isna()).all()
    refused = rows.loc[ids[1]]
    assert (refused["position"], refused["status"], refused["error"], refused["model"]) == (-1, 400, "not_json", "")
    assert rows.loc[ids[2], "error"] == "unreadable"
    assert rows.loc[ids[3], "numbers"] == first["numbers"].iloc[0]


def test_feedback_is_stored_or_refused_with_a_code(project: Path) -> None:
    number = "0" * 32

    async def talk(client: httpx.AsyncClient) -> None:
        stored = await client.post("/feedback", json={"request_id": f"vision-{number}", "label": " 3 ", "source": "ann"})
        assert stored.json() == {"stored": 1, "unknown_classes": {}}
        several = [
            {"request_id": f"vision-{number}", "label": 7, "position": 2},
            {"request_id": f"vision-{number}", "label": "x"},
        ]
        answer = await client.post("/feedback", json={"feedback": several})
        assert answer.json() == {"stored": 2, "unknown_classes": {"vision": ["7", "x"]}}
        for body, status, code in (
            (b"{", 400, "not_json"),
            (b"[]", 422, "no_feedback"),
            (b'{"feedback": [1]}', 422, "no_feedback"),
            (b'{"feedback": []}', 422, "no_inputs"),
            (b'{"request_id": "../../vision", "label": "3"}', 422, "no_request_id"),
            (f'{{"request_id": "nlp-{number}", "label": "3"}}'.encode(), 422, "no_request_id"),
            (f'{{"request_id": "vision-{number}"}}'.encode(), 422, "no_label"),
            (f'{{"request_id": "vision-{number}", "label": " "}}'.encode(), 422, "no_label"),
            (f'{{"request_id": "vision-{number}", "label": ["3"]}}'.encode(), 422, "no_label"),
            (f'{{"request_id": "vision-{number}", "label": "3", "position": 0}}'.encode(), 422, "no_position"),
            (b" " * 21_000_000, 413, "too_large"),
        ):
            refused = await client.post("/feedback", content=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), body[:60]

    with_server(project, talk, recorder=recorder(project, "features"))
    entries = feedback.read_feedback(project, "vision")
    assert entries[["position", "label", "source"]].to_numpy().tolist() == [[1, "3", "ann"], [2, "7", ""], [1, "x", ""]]


def test_a_server_that_keeps_nothing_writes_nothing_and_takes_no_feedback(project: Path) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        answer = await client.post("/vision/predict", json={"inputs": [encoded(pictures(project)[0])]})
        entry = {"request_id": answer.json()["request_id"], "label": "3"}
        refused = await client.post("/feedback", json=entry)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "nothing_kept")

    with_server(project, talk, recorder=recorder(project, "none"))
    assert not (project / "monitoring").exists()


def test_a_share_of_the_requests_is_kept_and_the_share_is_in_the_log(project: Path) -> None:
    own = recorder(project, "features", share=0.3)
    for number in range(400):
        own.record(Exchange("vision", f"vision-{number:032x}", status=400, error="not_json"))
    own.close()
    rows = reader.read_requests(project, "vision")
    assert 70 < len(rows) < 180
    assert set(rows["share"]) == {0.3}


def test_requests_that_come_faster_than_they_are_recorded_are_dropped_and_counted_not_delayed(project: Path) -> None:
    said: list[str] = []
    models = ServedModels(project, ["vision"])
    own = RequestRecorder(project, models, RecorderSettings(LogSettings(flush_s=60, flush_rows=10**9)), said.append)
    for number in range(3 * MAX_WAITING):
        own.record(Exchange("vision", f"vision-{number:032x}", status=400, error="not_json"))
    own.close()
    assert len(reader.read_requests(project, "vision", columns=["request_id"])) + own.dropped == 3 * MAX_WAITING


def test_a_full_disk_is_said_and_does_not_end_the_recording(project: Path) -> None:
    said: list[str] = []
    folder = requests_folder(project, "vision")
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    settings = RecorderSettings(LogSettings(flush_s=0.05))
    own = RequestRecorder(project, ServedModels(project, ["vision"]), settings, said.append)
    own.record(Exchange("vision", f"vision-{1:032x}", status=400, error="not_json"))
    own.close()
    assert said[0].startswith("request log: ")


@pytest.mark.parametrize(
    ("name", "number", "category"),
    [("nlp", "characters", ("script", "LATIN")), ("credit", "income", ("sex", None)), ("finance", "input 1 recently", None)],
)
def test_texts_records_and_prices_are_recorded_with_their_numbers_and_categories(
    tmp_path: Path, name: str, number: str, category: tuple[str, str | None] | None
) -> None:
    said: list[str] = []
    root = recorded_runs.project(tmp_path / "p")
    runs = {name: recorded_runs.finished(root, use_case=name)}
    model = release(runs, name, tmp_path)
    inputs = (
        pd.concat(list(Table(runs[name] / "data" / name / "raw").partitions()))[BARS].astype(str).to_dict("records")
        if name == "finance"
        else inputs_of(name, read_split(Table(runs[name] / "data" / name / "clean" / "rows"), "test").head(3))
    )
    own = RequestRecorder(
        root, FixedModels([ServedModel(name, f"{name}@1", model)]), RecorderSettings(LogSettings(flush_s=0.05)), said.append
    )
    observed = model.observe(inputs)
    exchange = Exchange(name, f"{name}-{1:032x}", f"{name}@1", inputs=inputs, answers=observed.answers)
    exchange.observed = [(observed, place) for place in range(1, len(inputs) + 1)]
    own.record(exchange)
    own.close()
    rows = reader.read_requests(root, name)
    assert said == []
    assert len(rows) == len(inputs)
    answered = rows[rows["error"] == ""]
    assert all(number in numbers for numbers in answered["numbers"])
    if category:
        key, value = category
        assert {categories.get(key) for categories in answered["categories"]} <= ({value} if value else {"male", "female"})
        assert not any(key in numbers for numbers in answered["numbers"])


@pytest.mark.parametrize(("value", "kind"), [(b"\x89PNG", "picture"), ("Ein Satz.", "text"), ({"age": 3, "sex": "ä"}, "table")])
def test_an_input_is_read_back_as_it_was(value: Any, kind: str) -> None:
    assert input_of(input_bytes(value), kind) == value


def test_the_reference_of_a_version_that_has_none_is_made_while_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = recorded_runs.project(tmp_path / "q")
    folder = recorded_requests.project_with_champion(root)
    images = recorded_requests.drawn(recorded_requests.held_out(folder), 2)
    models = ServedModels(root, ["vision"])
    own = RequestRecorder(root, models, RecorderSettings(LogSettings(flush_s=0.05)))
    observed = models.of("vision").model.observe(images)
    exchange = Exchange("vision", f"vision-{1:032x}", "vision@1", inputs=images, answers=observed.answers)
    exchange.observed = [(observed, 1), (observed, 2)]
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    own.record(exchange)
    wait_for(lambda: references.read_reference(root, "vision", "vision@1") is not None, 60)
    own.close()
