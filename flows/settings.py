"""The project's folder, the environment of Prefect and DVC, and the search for a Prefect server; imports neither of the two."""

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
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from tasks.core.errors import UserError

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
HEARTBEAT_S = 30
"""Interval of a run's heartbeats. `bonsai up` marks a run as crashed after three missed ones; Prefect's default is 180."""
PREFECT_DEFAULTS = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # the default, pickle, executes code when a result is read
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # the default, 20 s, is too short on a busy machine
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts of this machine."""
CONNECT_TIMEOUT_S, POLL_INTERVAL_S = 10.0, 0.5


def project_root(start: Path | None = None) -> Path:
    """The nearest folder with dvc.yaml and params.yaml at or above `start`. Folders of runs, which hold a run.json, do not count.

    Raises `UserError` when there is none.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file() and (folder / "params.yaml").is_file() and not (folder / "run.json").exists():
            return folder
    raise UserError(f"no dvc.yaml and params.yaml in {start} or above; change to the project's folder")


def apply(root: Path) -> None:
    """Set the environment variables of Prefect and DVC that are not set yet, for this process and its children."""
    bypass_proxies()
    prefect_home = {"PREFECT_HOME": str(root / ".prefect")}
    for name, value in {**TELEMETRY_OFF, **PREFECT_DEFAULTS, **prefect_home}.items():
        os.environ.setdefault(name, value)


def bypass_proxies() -> None:
    """Let connections to this machine bypass any proxy, for this process and its children.

    A SOCKS proxy that the Prefect client has no package for is unset: the client would fail for addresses that bypass it too.
    """
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host.strip()]
        if "*" not in hosts:
            os.environ[name] = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])
    if find_spec("socksio") is None:
        for name in [name for name in os.environ if name.lower().endswith("_proxy") and name.lower() != "no_proxy"]:
            if os.environ[name].lower().startswith("socks"):
                del os.environ[name]


def find_server(root: Path) -> str:
    """Configure Prefect to use PREFECT_API_URL or else the project's own server; returns the API URL, "" when there is none.

    Raises `UserError` when PREFECT_API_URL names a server on this machine that does not answer.
    """
    api_url = os.environ.get("PREFECT_API_URL", "")
    if api_url:
        if urlsplit(api_url).hostname in LOOPBACK and not is_healthy(api_url):
            raise UserError(f"no Prefect server answers at PREFECT_API_URL={api_url}; start it, or unset the variable")
    elif server := project_server(root):
        api_url = os.environ["PREFECT_API_URL"] = server["api_url"]
        if server.get("auth_string"):
            os.environ.setdefault("PREFECT_API_AUTH_STRING", server["auth_string"])
    return api_url


def project_server(root: Path) -> dict[str, str]:
    """Address and authentication of the project's own server; empty when it does not answer."""
    server = read_server_file(root)
    return server if server.get("api_url") and is_healthy(server["api_url"]) else {}


def read_server_file(root: Path) -> dict[str, str]:
    """`.prefect/server.json` as `bonsai up` writes it: api_url, auth_string, dashboard_url; empty when there is no such file."""
    try:
        server = json.loads((root / ".prefect" / "server.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return server if isinstance(server, dict) else {}


def is_healthy(api_url: str, timeout_s: float = 1.0) -> bool:
    """Whether a Prefect server at this API URL reports that it is healthy."""
    return responds(f"{api_url}/health", timeout_s)


def responds(url: str, timeout_s: float = 1.0) -> bool:
    """Whether a GET request to this URL returns status 200."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def accepts_connections(api_url: str, timeout_s: float) -> bool:
    """Whether a server accepts TCP connections, now or within `timeout_s`. One too busy to answer requests accepts them too."""
    address, deadline = urlsplit(api_url), time.monotonic() + timeout_s
    endpoint = (address.hostname or "127.0.0.1", address.port or (443 if address.scheme == "https" else 80))
    while True:
        try:
            socket.create_connection(endpoint, CONNECT_TIMEOUT_S).close()
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_INTERVAL_S)
        else:
            return True


@contextmanager
def import_without_gc() -> Iterator[None]:
    """Import with garbage collection off, then freeze the imported objects; saves a quarter of Prefect's import time."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()
