"""Hostile requests: each gets its refusal with a code, and the memory of the server stays flat."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import httpx
import psutil

from flows.serving.app import create_app
from flows.serving.interfaces import FixedModels, ServedModel
from flows.serving.recorder import RecorderSettings, RequestRecorder
from flows.serving.requests import Limits
from tests.support import dashboard_scenarios, hostile_requests, recorded_runs
from tests.support.hostile_requests import Hostile
from tests.tasks.inference.test_released_model import release

TURNS = 5
MAX_GROWTH_BYTES = 60_000_000


def wrong(request: Hostile, response: httpx.Response) -> str:
    """What is wrong with a response, empty if nothing is."""
    content = response.json()
    said = content["error"]["code"] if "error" in content else ""
    if response.status_code == request.status == 200:
        said = content["answers"][0].get("error", "")
        return "" if bool(said) == bool(request.code) and said.startswith(request.code) else f"{request.name}: {said!r}"
    fits = (response.status_code, said) == (request.status, request.code)
    return "" if fits else f"{request.name}: {response.status_code} {response.text[:200]}"


def test_more_than_a_hundred_hostile_requests_are_refused_with_a_code_and_memory_stays_flat(tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    runs = {
        name: recorded_runs.finished(root, number=number, use_case=name)
        for number, name in enumerate(dashboard_scenarios.names())
    }
    models = FixedModels([ServedModel(name, f"{name}@1", release(runs, name, tmp_path / "releases")) for name in runs])
    recorder = RequestRecorder(root, models, RecorderSettings())
    app = create_app(models, limits=Limits(hostile_requests.BODY_BYTES, hostile_requests.ROWS), recorder=recorder)
    requests = list(hostile_requests.corpus())
    assert len(requests) >= 100
    faults, sizes = list[str](), list[int]()

    async def talk() -> None:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            for _ in range(TURNS):
                for each in requests:
                    url = client.base_url.copy_with(raw_path=each.path.encode())
                    response = await client.request(each.method, url, content=each.body, headers=each.headers)
                    faults.extend(filter(None, [wrong(each, response)]))
                gc.collect()
                sizes.append(psutil.Process().memory_info().rss)
            assert (await client.get("/ready")).status_code == 200

    asyncio.run(talk())
    assert faults[: len(requests)] == []
    assert sizes[-1] - sizes[0] < MAX_GROWTH_BYTES
