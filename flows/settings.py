"""Where the project stands and how Prefect and DVC behave in it; applied before either is imported."""

from __future__ import annotations

import gc
import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tasks.core.errors import UserError

QUIET = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
HEARTBEAT_S = 30
"""How often a run says that it lives; `bonsai up` takes one for crashed that misses three, so 180, the default, is too seldom."""
SAFE = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # the default is pickle, which runs code on the next read
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # 20 s, the default, is missed on a busy machine
}


CONNECT_S, LOOK_S = 10.0, 0.5


def project_root(start: Path | None = None) -> Path:
    """The folder with dvc.yaml and params.yaml at or above `start`; a run's own folder is passed over."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() and (folder / "params.yaml").is_file() and not (folder / "run.json").exists():
            return folder
    raise UserError(f"no dvc.yaml and params.yaml in {here} or above; go to the project's folder")


def apply(root: Path) -> None:
    """Set what is not set yet, for this process and those it starts."""
    home = {"PREFECT_HOME": str(root / ".prefect")}
    for name, value in {**QUIET, **SAFE, **home}.items():
        os.environ.setdefault(name, value)


def find_server(root: Path) -> str:
    """Point Prefect at the server there is and say where: what PREFECT_API_URL names, or the project's own if it answers.

    Empty when there is none; a `UserError` when the one named is this machine's and does not answer.
    """
    named = os.environ.get("PREFECT_API_URL", "")
    if named:
        if urlsplit(named).hostname in ("127.0.0.1", "localhost", "::1") and not answers(named):
            raise UserError(f"no Prefect server answers at PREFECT_API_URL={named}; start it, or unset the variable")
    elif own := own_server(root):
        named = os.environ["PREFECT_API_URL"] = own["api_url"]
        if own.get("auth_string"):
            os.environ.setdefault("PREFECT_API_AUTH_STRING", own["auth_string"])
    return named


def own_server(root: Path) -> dict[str, str]:
    """Address and authentication of the project's server from .prefect/server.json, or nothing when it does not answer."""
    found = read_own_server(root)
    return found if found.get("api_url") and answers(found["api_url"]) else {}


def read_own_server(root: Path) -> dict[str, str]:
    """What `bonsai up` wrote down of its server: api_url, auth_string, dashboard_url; nothing when it does not run."""
    try:
        found = json.loads((root / ".prefect" / "server.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def answers(api_url: str, timeout_s: float = 1.0) -> bool:
    """Whether a Prefect server says it is healthy there."""
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=timeout_s) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def listens(api_url: str, patience_s: float) -> bool:
    """Whether anyone takes connections there, or begins to within `patience_s`; one too busy to answer does take them."""
    address, deadline = urlsplit(api_url), time.monotonic() + patience_s
    door = (address.hostname or "127.0.0.1", address.port or (443 if address.scheme == "https" else 80))
    while True:
        try:
            socket.create_connection(door, CONNECT_S).close()
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
        else:
            return True


@contextmanager
def only_growing() -> Iterator[None]:
    """Import without looking for garbage, and never look at what was imported again: a quarter of Prefect's start."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()
