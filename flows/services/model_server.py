"""The server of models that `bonsai up` keeps: started when the first model is there, restarted when another use case has one."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flows import settings
from flows.registry import history
from tasks.core.errors import UserError

PORT = 8080
CHECK_INTERVAL_S = 5.0
"""Seconds between two looks for use cases with a model."""
STOP_TIMEOUT_S = 35.0
"""Time to answer the requests under way before the process is killed; the server itself gives them 30 seconds."""
MAX_STARTS_PER_MINUTE = 5
TOKEN_FILE = "serve-token"

Popen = Callable[[list[str], str], "subprocess.Popen[bytes]"]


class ModelServer:
    """One process of `bonsai serve` for all use cases that have a champion or a release."""

    def __init__(self, root: Path, port: int, token: str, popen: Popen) -> None:
        """`popen(command, name of the log)` starts a process in the project's folder with the token in its environment."""
        self.root, self.port, self.token, self.popen = root, port, token, popen
        self.process: subprocess.Popen[bytes] | None = None
        self.use_cases: list[str] = []
        self._problem = ""
        self._checked, self._starts, self._given_up = -CHECK_INTERVAL_S, list[float](), False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Whether the server runs and its models are loaded."""
        return self.process is not None and self.process.poll() is None and settings.responds(f"{self.url}/health", 2)

    def tend(self) -> str:
        """Start, restart or leave the server alone, as the models ask for; returns what was done, empty if nothing."""
        now = time.monotonic()
        if self._given_up or now - self._checked < CHECK_INTERVAL_S:
            return ""
        self._checked = now
        try:
            wished = history.use_cases_with_models(self.root)
        except UserError as error:  # a damaged history, which must not end the other services
            before, self._problem = self._problem, str(error)
            return "" if before == self._problem else f"models: {error}"
        ended = self.process is not None and self.process.poll() is not None
        if not wished or (wished == self.use_cases and not ended):
            return ""
        self._starts = [at for at in self._starts if at > now - 60] + [now]
        if len(self._starts) > MAX_STARTS_PER_MINUTE:
            self._given_up = True
            return "the model server ends again after each restart and is left off; see .prefect/serve.log"
        self.stop()
        command = [sys.executable, "-m", "flows.cli.main", "serve", *wished, "--port", str(self.port)]
        self.process = self.popen(
            [sys.executable, "-m", "flows.system.exec_with_parent", str(os.getpid()), *command], "serve.log"
        )
        verb = "the model server ended; restarting it for" if ended else "models"
        self.use_cases = wished
        return f"{verb:<12} {self.url}/docs    {', '.join(wished)}; token in .prefect/{TOKEN_FILE}"

    def stop(self) -> None:
        """End the server after the requests under way."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def new_token() -> str:
    return secrets.token_urlsafe(24)
