"""Dynamic micro-batching: inputs of requests that arrive together are predicted in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tasks.core.errors import UserError
from tasks.inference.released_model import Observed

MAX_BATCH = 64
"""The most inputs that are put together; a request with more is a batch of its own."""

Predict = Callable[[Sequence[Any]], tuple[str, Observed]]
"""Inputs to the name of the model that answered, and what it saw and answered."""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answers for one request."""

    model: str
    answers: list[dict[str, Any]]
    observed: Observed
    """The call that answered the batch."""
    first: int
    """The position of the request's first input in it, from 0."""


@dataclass(slots=True)
class Waiting:
    """The inputs of one request, and the future of its answers."""

    inputs: Sequence[Any]
    answers: asyncio.Future[BatchAnswer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """Predicts in one thread; what arrives while it works makes the next batch. So a lone request never waits for others."""

    def __init__(self, predict: Predict, *, together: bool) -> None:
        """`together` says whether inputs of different requests may share a call: not where the rows of one need each other."""
        self._predict, self._together = predict, together
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1)
        self._task: asyncio.Task[None] | None = None

    async def predict(self, inputs: Sequence[Any]) -> BatchAnswer:
        """The answers; raises the `UserError` of these inputs, not of others in the batch."""
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        waiting = Waiting(inputs)
        await self._queue.put(waiting)
        return await waiting.answers

    async def close(self) -> None:
        """Answer what waits, then stop."""
        await self._queue.join()
        if self._task:
            self._task.cancel()
        self._thread.shutdown(wait=False)

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while self._together and not self._queue.empty() and sum(len(each.inputs) for each in batch) < MAX_BATCH:
                batch.append(self._queue.get_nowait())
            await self._answer(batch)
            for _ in batch:
                self._queue.task_done()

    async def _answer(self, batch: list[Waiting]) -> None:
        loop = asyncio.get_running_loop()
        inputs = [value for each in batch for value in each.inputs]
        try:
            name, observed = await loop.run_in_executor(self._thread, self._predict, inputs)
        except UserError as error:
            if len(batch) > 1:  # one request's inputs are wrong: the others must not suffer
                for each in batch:
                    await self._answer([each])
            else:
                _finish(batch[0], error=error)
            return
        except Exception as error:
            for each in batch:
                _finish(each, error=error)
            return
        start = 0
        for each in batch:
            end = start + len(each.inputs)
            _finish(each, result=BatchAnswer(name, observed.answers[start:end], observed, start))
            start = end


def _finish(waiting: Waiting, *, result: BatchAnswer | None = None, error: Exception | None = None) -> None:
    if waiting.answers.done():  # the client has gone
        return
    if error is not None:
        waiting.answers.set_exception(error)
    elif result is not None:
        waiting.answers.set_result(result)
