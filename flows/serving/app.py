"""The HTTP application: answers, health, metrics and documentation for the released models."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from flows.serving.batching import BatchAnswer, Batcher, Predict
from flows.serving.exchanges import ExchangeMiddleware
from flows.serving.feedback import add_feedback
from flows.serving.interfaces import Exchange, ModelSource, Recorder
from flows.serving.metrics import ServerMetrics
from flows.serving.openapi import describe_files, describe_inputs
from flows.serving.requests import Limits, Refused, check_count, parse_inputs, read_body
from flows.serving.uploads import check_upload, safe_suffix
from tasks.core.errors import UserError
from tasks.core.registry import unknown_name
from tasks.inference.checked_rows import needs_other_rows
from tasks.inference.released_model import Observed, to_records

REFRESH_S = 1.0
"""How often the server looks for a new champion."""


def create_app(
    models: ModelSource,
    *,
    token: str = "",
    limits: Limits | None = None,
    log: Callable[[str], None] = print,
    recorder: Recorder | None = None,
) -> FastAPI:
    """The application for these models. With a token, every request but /health and /ready must carry it as bearer.

    A recorder is told of every request to a use case, and takes the right answers that clients send.
    """
    limits = limits or Limits()
    metrics = ServerMetrics()
    batchers = {
        name: Batcher(_predictor(models, name), together=not needs_other_rows(models.of(name).model.case))
        for name in models.names()
    }

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watcher = asyncio.create_task(_watch(models, metrics, log))
        yield
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
        for batcher in batchers.values():
            await batcher.close()
        if recorder:
            await asyncio.to_thread(recorder.close)

    app = FastAPI(title="Bonsai", description="Answers of released models; raw inputs in.", version="1", lifespan=lifespan)

    app.add_middleware(ExchangeMiddleware, use_cases=batchers, metrics=metrics, token=token, recorder=recorder)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        request.state.exchange.error = error.code
        return JSONResponse(error.as_json(), error.status)

    @app.exception_handler(UserError)
    async def wrong_inputs(request: Request, error: Exception) -> Response:
        request.state.exchange.error = "wrong_inputs"
        return JSONResponse(Refused(422, "wrong_inputs", str(error)).as_json(), 422)

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        request.state.exchange.error = "not_found"
        message = str(error.detail)
        if error.status_code == 404:
            message = unknown_name("nothing is served at", request.url.path, [f"/{name}/predict" for name in models.names()])
        return JSONResponse(Refused(error.status_code, "not_found", message).as_json(), error.status_code)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        """An error of the server itself: uvicorn writes its traceback, the client gets the id to report."""
        exchange: Exchange = request.state.exchange
        refused = Refused(500, "failed", f"the server failed ({type(error).__name__}); its log says more")
        return JSONResponse(refused.as_json(), 500, headers={"X-Request-ID": exchange.request_id})

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("/docs")

    @app.get("/health", summary="Whether the server runs")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready", summary="The models that are loaded")
    async def ready() -> dict[str, str]:
        return {name: models.of(name).name for name in models.names()}

    @app.get("/metrics", summary="Counters in the format of Prometheus", response_class=Response)
    async def prometheus() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    if recorder:
        add_feedback(app, recorder, {name: models.of(name).model.model.classes for name in models.names()}, limits)
    for name, batcher in batchers.items():
        _add_routes(app, models, name, batcher, metrics, limits)
    return app


def _add_routes(app: FastAPI, models: ModelSource, name: str, batcher: Batcher, metrics: ServerMetrics, limits: Limits) -> None:
    """The two ways to ask one use case: a JSON list of inputs, and uploaded files."""
    served = models.of(name)

    async def predict(request: Request) -> Response:
        body = await read_body(request.stream(), request.headers, limits)
        inputs = parse_inputs(body, models.of(name).model.kind, limits)
        answered = await batcher.predict(inputs)
        _note(request, inputs, answered)
        return _respond(request, answered.model, answered.answers, metrics)

    async def predict_files(request: Request) -> Response:
        files = await _uploaded(request, limits)
        check_count(len(files), limits)
        if served.model.kind == "picture":
            inputs = [content for _, content in files]
            answered = await batcher.predict(inputs)
            _note(request, inputs, answered)
            model = answered.model
            answers = [{"file": file, **answer} for (file, _), answer in zip(files, answered.answers, strict=True)]
        else:
            model, answers = await asyncio.to_thread(_answer_files, models, name, files, limits)
        return _respond(request, model, answers, metrics)

    app.post(f"/{name}/predict", summary=served.model.case.summary, openapi_extra=describe_inputs(served.model))(predict)
    app.post(f"/{name}/predict/files", summary="The same for uploaded files", openapi_extra=describe_files())(predict_files)


def _predictor(models: ModelSource, name: str) -> Predict:
    def predict(inputs: Sequence[Any]) -> tuple[str, Observed]:
        served = models.of(name)
        return served.name, served.model.observe(inputs)

    return predict


def _note(request: Request, inputs: Sequence[Any], answered: BatchAnswer) -> None:
    """Let the exchange hold what the recorder needs of an answer."""
    exchange: Exchange = request.state.exchange
    exchange.inputs = inputs
    exchange.observed = [(answered.observed, answered.first + place) for place in range(1, len(inputs) + 1)]


def _respond(request: Request, model: str, answers: list[dict[str, Any]], metrics: ServerMetrics) -> Response:
    exchange: Exchange = request.state.exchange
    exchange.model, exchange.answers, use_case = model, answers, exchange.use_case
    failed = sum("error" in answer for answer in answers)
    metrics.rows.labels(use_case, "answered").inc(len(answers) - failed)
    metrics.rows.labels(use_case, "rejected").inc(failed)
    metrics.rows.labels(use_case, "abstained").inc(sum(bool(answer.get("abstains")) for answer in answers))
    for answer in answers:
        if isinstance(predicted := answer.get("predicted"), str):
            metrics.answers.labels(use_case, model, predicted).inc()
    return JSONResponse({"model": model, "request_id": exchange.request_id, "answers": answers})


def _answer_files(
    models: ModelSource, name: str, files: list[tuple[str, bytes]], limits: Limits
) -> tuple[str, list[dict[str, Any]]]:
    """The answers for uploaded tables or texts, row by row."""
    served, answers = models.of(name), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        for number, (file, content) in enumerate(files):
            path = Path(folder) / f"{number}{safe_suffix(file)}"
            path.write_bytes(content)
            check_upload(path, file, limits)
            try:
                for block in served.model.predict_path(path):
                    rejected = [{"row": row, "error": reason} for _, row, reason in block.rejected.itertuples(index=False)]
                    answers += [{**answer, "file": file} for answer in [*to_records(block.rows), *rejected]]
                    check_count(max(len(answers), 1), limits)
            except UserError as error:
                raise UserError(str(error).replace(str(path), file)) from None
    return served.name, answers


async def _uploaded(request: Request, limits: Limits) -> list[tuple[str, bytes]]:
    """The name and content of each uploaded file."""
    body = await read_body(request.stream(), request.headers, limits)

    async def chunks() -> AsyncIterator[bytes]:
        yield body
        yield b""

    try:
        if not body.rstrip().endswith(b"--"):
            raise ValueError("its end is missing")
        form = await MultiPartParser(request.headers, chunks(), max_files=limits.rows).parse()  # type: ignore[arg-type]
    except (MultiPartException, KeyError, ValueError) as error:
        raise Refused(
            400, "no_form", f"the body is no multipart form ({str(error)[:80]}); upload files as multipart/form-data"
        ) from None
    files = [
        (str(value.filename or name), await value.read()) for name, value in form.multi_items() if not isinstance(value, str)
    ]
    await form.close()
    return files


async def _watch(models: ModelSource, metrics: ServerMetrics, log: Callable[[str], None]) -> None:
    """Replace models whose champion changed."""
    while True:
        await asyncio.sleep(REFRESH_S)
        for line in await asyncio.to_thread(models.refresh):
            metrics.swaps.labels(line.partition(":")[0]).inc()
            log(line)
