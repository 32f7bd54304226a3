"""Records exchanges in the request log, off the path of the answer: statistics, sampling, and the challenger in shadow."""

from __future__ import annotations

import json
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from flows.monitoring import references
from flows.request_log import feedback
from flows.request_log.records import LogSettings
from flows.request_log.writer import LogWriter
from flows.serving.interfaces import Exchange, ModelSource
from flows.serving.requests import Refused
from tasks.core.errors import UserError
from tasks.monitoring.statistics import Profile, measure_inputs

MAX_WAITING = 2000
"""Exchanges that wait to be recorded; further ones are dropped and counted."""
PROFILE_CHECK_S = 10.0
REFUSED = -1
"""The position of the row of a request that was refused as a whole."""


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """What is kept, and the share of the kept requests that a challenger is asked too, 0..1."""

    log: LogSettings = field(default_factory=LogSettings)
    shadow_share: float = 0.1


class RequestRecorder:
    """A recorder with a thread of its own, which takes many exchanges at once: statistics of many rows cost little more than of
    one. While it cannot follow the server, exchanges are dropped, never delayed."""

    def __init__(self, root: Path, models: ModelSource, settings: RecorderSettings, log: Callable[[str], None] = print) -> None:
        self.root, self.models, self.settings, self.say = root, models, settings, log
        self.dropped = 0
        self._draw = random.Random()
        self._queue: queue.Queue[Exchange | None] = queue.Queue(MAX_WAITING)
        self._writers = {name: LogWriter(root, name, settings.log) for name in models.names()}
        self._profiles: dict[str, tuple[float, Profile | None]] = {}
        self._helper: subprocess.Popen[bytes] | None = None
        self._requested: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="request log", daemon=True)
        self._started = False

    def record(self, exchange: Exchange) -> None:
        """Put an exchange in the queue; the first one starts the thread."""
        if self.settings.log.keep == "none" or self._draw.random() >= self.settings.log.share:
            return
        if not self._started:
            self._started = True
            self._thread.start()
        exchange.at = datetime.now(UTC)
        try:
            self._queue.put_nowait(exchange)
        except queue.Full:
            self.dropped += 1

    def feedback(self, entries: list[dict[str, Any]]) -> None:
        if self.settings.log.keep == "none":
            raise Refused(409, "nothing_kept", "this server keeps nothing of requests (--log none), so no answer to one either")
        feedback.append(self.root, entries)

    def close(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(30)
        if self._helper and self._helper.poll() is None:
            self._helper.terminate()
            self._helper.wait()

    def _work(self) -> None:
        reported, ended = 0, False
        while not ended:
            exchanges, ended = self._take()
            for use_case, writer in self._writers.items():
                own = [each for each in exchanges if each.use_case == use_case]
                if own:
                    self._guarded(partial(self._write, writer, own))
            if self.dropped > 2 * reported:
                reported = self.dropped
                self.say(f"request log: {reported:,} requests were not kept so far, they came faster than they are recorded")

    def _take(self) -> tuple[list[Exchange], bool]:
        """The exchanges of the next `flush_s` seconds, or `flush_rows` rows, and whether they are the last ones."""
        taken, rows, until = list[Exchange](), 0, time.monotonic() + self.settings.log.flush_s
        while rows < self.settings.log.flush_rows and (left := until - time.monotonic()) > 0:
            try:
                exchange = self._queue.get(timeout=left)
            except queue.Empty:
                break
            if exchange is None:
                return taken, True
            taken.append(exchange)
            rows += max(len(exchange.answers), 1)
        return taken, False

    def _guarded(self, act: Callable[[], object]) -> None:
        """Run one step of the recording; a full disk or a fault in it is said and must not end the thread."""
        try:
            act()
        except Exception as error:
            self.say(f"request log: {type(error).__name__}: {str(error)[:200]}")

    def _make_reference(self, use_case: str, name: str) -> None:
        """Let a process of its own make the reference of a version, once, so that statistics that need one are computed."""
        if name in self._requested or (self._helper and self._helper.poll() is None):
            return
        self._requested.add(name)
        self._helper = subprocess.Popen(
            ["nice", sys.executable, "-m", "flows.monitoring.references", use_case],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _write(self, writer: LogWriter, exchanges: list[Exchange]) -> None:
        """Write the rows of exchanges of one use case to a file."""
        statistics = self._statistics(exchanges)
        challenger, shadows = self._ask_challenger(exchanges)
        for number, exchange in enumerate(exchanges):
            common = {
                "request_id": exchange.request_id,
                "at": exchange.at,
                "model": exchange.model,
                "status": exchange.status,
                "latency_ms": exchange.latency_ms,
                "share": self.settings.log.share,
            }
            if not exchange.answers:
                writer.append({**common, "position": REFUSED, "error": exchange.error or f"status {exchange.status}"})
            for place, answer in enumerate(exchange.answers):
                row = {**common, "position": place + 1, **answer_columns(answer)}
                if place < len(exchange.observed):
                    observed, position = exchange.observed[place]
                    row |= statistics.get((id(observed), position), {})
                    if self.settings.log.keep == "inputs":
                        row["input"] = input_bytes(exchange.inputs[place])
                if number in shadows:
                    other = answer_columns(shadows[number][place])
                    row |= {f"shadow_{name}": other[name] for name in ("predicted", "value", "confidence")}
                    row["shadow_model"] = challenger
                writer.append(row)
        writer.flush()

    def _ask_challenger(self, exchanges: list[Exchange]) -> tuple[str, dict[int, list[dict[str, Any]]]]:
        """The challenger's name and, for a share of the exchanges, its answers by the exchange's place."""
        challenger = self.models.challenger(exchanges[0].use_case)
        if challenger is None:
            return "", {}
        shares = (
            place for place, each in enumerate(exchanges) if each.observed and self._draw.random() < self.settings.shadow_share
        )
        answers: dict[int, list[dict[str, Any]]] = {}
        for place in shares:
            try:
                answers[place] = challenger.model.predict(exchanges[place].inputs)
            except UserError as error:
                self.say(f"{challenger.name} in shadow: {error}")
        return challenger.name, answers

    def _statistics(self, exchanges: list[Exchange]) -> dict[tuple[int, int], dict[str, Any]]:
        """The columns `numbers` and `categories` of inputs, by the call that answered and the position in it."""
        served = self.models.of(exchanges[0].use_case)
        calls = {id(call): call for each in exchanges if each.model == served.name for call, _ in each.observed}
        keys = [(key, int(row)) for key, call in calls.items() for block in call.blocks for row in block.rows["row"]]
        blocks = [block for call in calls.values() for block in call.blocks]
        if not blocks:
            return {}
        profile = self._profile(served.model.case.name, served.name)
        table = measure_inputs(served.model, blocks, profile)
        is_number = [table[name].dtype.kind == "f" for name in table]
        numbers = table.loc[:, is_number].to_dict("records")
        categories = table.loc[:, [not number for number in is_number]].to_dict("records")
        return {
            key: {
                "numbers": {str(name): float(value) for name, value in own.items()},
                "categories": {str(name): value for name, value in texts.items() if isinstance(value, str)},
            }
            for key, own, texts in zip(keys, numbers, categories, strict=True)
        }

    def _profile(self, use_case: str, name: str) -> Profile | None:
        checked, profile = self._profiles.get(name, (-PROFILE_CHECK_S, None))
        if profile is None and time.monotonic() - checked > PROFILE_CHECK_S:
            reference = references.read_reference(self.root, use_case, name)
            if reference is None:
                self._make_reference(use_case, name)
            profile = reference.profile if reference else None
            self._profiles[name] = time.monotonic(), profile
        return profile


def answer_columns(answer: dict[str, Any]) -> dict[str, Any]:
    """The columns of the log that an answer fills."""
    predicted = answer.get("predicted")
    value = answer.get("value", answer.get("variance"))
    probabilities = answer.get("probabilities") or {}
    return {
        "error": str(answer.get("error", "")).partition(":")[0][:80],
        "predicted": predicted if isinstance(predicted, str | None) else json.dumps(predicted, ensure_ascii=False),
        "value": float(value) if isinstance(value, int | float) else None,
        "confidence": answer.get("confidence"),
        "classes": list(probabilities) if isinstance(probabilities, dict) else None,
        "probabilities": list(probabilities.values()) if isinstance(probabilities, dict) else None,
        "abstains": answer.get("abstains"),
    }


def input_bytes(value: Any) -> bytes:
    """An input as it is kept: the bytes of a picture, a text or a record as UTF-8."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value, ensure_ascii=False).encode()


def input_of(content: bytes, kind: str) -> Any:
    """The input that `input_bytes` kept, for a model of this kind of input."""
    if kind == "picture":
        return content
    return content.decode() if kind == "text" else json.loads(content)
