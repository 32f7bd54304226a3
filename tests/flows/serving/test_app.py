"""The server: answers equal to those of the pipeline, refusals with a code, and a new champion without a lost request."""

from __future__ import annotations

import asyncio
import base64
import json
import resource
from collections.abc import Callable, Coroutine
from functools import partialmethod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from flows import promotion
from flows.serving.app import create_app
from flows.serving.interfaces import Exchange
from flows.serving.requests import Limits
from flows.serving.served_models import ServedModels
from tasks.core.storage.artifacts import Table, read_split
from tasks.inference.released_model import ReleasedModel
from tests.flows.test_promotion import run
from tests.support import recorded_runs

Ask = Callable[..., Coroutine[Any, Any, httpx.Response]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a promoted model of pictures."""
    root = recorded_runs.project(tmp_path / "p")
    monkeypatch.chdir(root)
    promotion.promote(root, "vision", run(root, 0))
    return root


def pictures(root: Path) -> list[bytes]:
    folder = sorted((root / "runs").iterdir())[0]
    return list(read_split(Table(folder / "data/vision/clean/rows"), "test")["image"])


def encoded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def with_server(root: Path, talk: Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]], **settings: Any) -> ServedModels:
    """Start the application in this process, and let `talk` send requests to it."""
    models = ServedModels(root, ["vision"])

    async def main() -> None:
        app = create_app(models, **settings)
        transport = httpx.ASGITransport(app=app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            await talk(client)

    asyncio.run(main())
    return models


def test_pictures_in_json_and_uploaded_get_the_answers_of_the_released_model(project: Path) -> None:
    images = pictures(project)[:5]

    async def talk(client: httpx.AsyncClient) -> None:
        assert (await client.get("/health")).json() == {"status": "ok"}
        assert (await client.get("/ready")).json() == {"vision": "vision@1"}
        answer = await client.post("/vision/predict", json={"inputs": [encoded(image) for image in images]})
        assert answer.status_code == 200
        content = answer.json()
        assert content.pop("request_id") == answer.headers["x-request-id"]
        assert content == {"model": "vision@1", "answers": expected}
        files = [("files", (f"{number}.png", image)) for number, image in enumerate(images)]
        uploaded = (await client.post("/vision/predict/files", files=files)).json()["answers"]
        assert [each.pop("file") for each in uploaded] == [f"{number}.png" for number in range(5)]
        assert uploaded == expected
        metrics = (await client.get("/metrics")).text
        assert 'bonsai_rows_total{outcome="answered",use_case="vision"} 10.0' in metrics
        assert 'bonsai_request_seconds_count{use_case="vision"} 2.0' in metrics

    expected = ServedModels(project, ["vision"]).of("vision").model.predict(images)
    with_server(project, talk)


def test_requests_that_arrive_together_get_their_own_answers(project: Path) -> None:
    images = pictures(project)
    expected = ServedModels(project, ["vision"]).of("vision").model.predict(images)

    async def talk(client: httpx.AsyncClient) -> None:
        bodies = [{"inputs": [encoded(image)] if number % 7 else [encoded(b"no picture")]} for number, image in enumerate(images)]
        answers = await asyncio.gather(*(client.post("/vision/predict", json=body) for body in bodies))
        for number, answer in enumerate(answers):
            (only,) = answer.json()["answers"]
            assert only == expected[number] if number % 7 else only["error"].startswith("unreadable")

    with_server(project, talk)


BOMB = base64.b64encode(
    b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
).decode()
HOSTILE: list[tuple[Any, int, str]] = [
    (b"", 400, "not_json"),
    (b"{", 400, "not_json"),
    (b"\xff\xfe", 400, "not_json"),
    (b"[" * 100_000, 400, "not_json"),
    (b'{"inputs": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400, "not_json"),
    ([], 422, "no_inputs"),
    (None, 422, "no_inputs"),
    ("inputs", 422, "no_inputs"),
    ({"inputs": []}, 422, "no_inputs"),
    ({"inputs": "AAAA"}, 422, "no_inputs"),
    ({"inputs": [1]}, 422, "wrong_type"),
    ({"inputs": [None]}, 422, "wrong_type"),
    ({"inputs": [["AAAA"]]}, 422, "wrong_type"),
    ({"inputs": ["../../etc/passwd"]}, 422, "not_base64"),
    ({"inputs": ["A" * 101]}, 422, "not_base64"),
    ({"inputs": ["é"]}, 422, "not_base64"),
    ({"inputs": [""] * 101}, 413, "too_many_rows"),
    (b" " * 3_000_000, 413, "too_large"),
    (b'{"inputs": [NaN]}', 422, "wrong_type"),
    (b'{"inputs": [1e999]}', 422, "wrong_type"),
]


def test_hostile_requests_are_refused_with_a_code_and_memory_stays_flat(project: Path) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        for turn in range(5):
            for body, status, code in HOSTILE:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                answer = await client.post("/vision/predict", content=content)
                assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), content[:60]
            bomb = (await client.post("/vision/predict", json={"inputs": [BOMB]})).json()
            assert "error" in bomb["answers"][0]
            if turn == 0:
                peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        form = await client.post("/vision/predict/files", content=b"no form", headers={"content-type": "multipart/form-data"})
        assert (form.status_code, form.json()["error"]["code"]) == (400, "no_form")
        missing = await client.post("/visio/predict", json={"inputs": ["AAAA"]})
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
        assert "did you mean '/vision/predict'" in missing.json()["error"]["message"]

    peaks: list[int] = []
    with_server(project, talk, limits=Limits(body_bytes=2_000_000, rows=100))
    assert peaks[1] - peaks[0] < 50_000, "kibibytes"


def test_an_error_of_the_server_itself_is_structured_and_recorded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[Exchange] = []

    def fail(self: ReleasedModel, inputs: Any) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(ReleasedModel, "observe", fail)
    monkeypatch.setattr(httpx.ASGITransport, "__init__", partialmethod(httpx.ASGITransport.__init__, raise_app_exceptions=False))

    async def talk(client: httpx.AsyncClient) -> None:
        failed = await client.post("/vision/predict", json={"inputs": [encoded(pictures(project)[0])]})
        assert (failed.status_code, failed.json()["error"]["code"]) == (500, "failed")
        assert failed.headers["x-request-id"] == recorded[0].request_id
        assert (recorded[0].status, recorded[0].error) == (500, "failed")
        assert 'bonsai_requests_total{status="500",use_case="vision"} 1.0' in (await client.get("/metrics")).text

    recorder = SimpleNamespace(record=recorded.append, close=lambda: None, feedback=None)
    with_server(project, talk, recorder=recorder)


def test_a_server_with_a_token_answers_nobody_else(project: Path) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        assert (await client.get("/health")).status_code == 200
        body = {"inputs": [encoded(pictures(project)[0])]}
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
            refused = await client.post("/vision/predict", json=body, headers=headers)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "no_token")
        right = await client.post("/vision/predict", json=body, headers={"Authorization": "Bearer secret"})
        assert right.status_code == 200
        assert right.headers["x-request-id"] == right.json()["request_id"]

    with_server(project, talk, token="secret")


def test_a_promotion_replaces_the_model_and_one_that_cannot_be_loaded_does_not(project: Path) -> None:
    models = ServedModels(project, ["vision"])
    assert models.refresh() == []
    promotion.promote(project, "vision", run(project, 1), force=True)
    assert models.refresh() == ["vision: vision@1 was replaced by vision@2"]
    assert models.of("vision").name == "vision@2"
    promotion.promote(project, "vision", run(project, 2), force=True)
    (project / "registry/vision/3/model.onnx").unlink()
    (line,) = models.refresh()
    assert line.startswith("vision: kept vision@2, since the new one cannot be loaded: ")
    assert models.of("vision").name == "vision@2"
    promotion.rollback(project, "vision")
    assert models.refresh() == []


def test_the_documentation_names_every_use_case_with_an_example_that_works(project: Path) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        paths = (await client.get("/openapi.json")).json()["paths"]
        body = paths["/vision/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]
        (answer,) = (await client.post("/vision/predict", json=body)).json()["answers"]
        assert "predicted" in answer
        assert "/vision/predict/files" in paths
        assert (await client.get("/")).headers["location"] == "/docs"

    with_server(project, talk)
