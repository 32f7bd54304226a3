"""`bonsai up`: starts, watches and stops the Prefect server, the dashboard and the deployment runner on this machine."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flows import settings
from flows.reporting.console import stdout
from flows.runs import recovery, run_record
from flows.services import model_server
from flows.services.model_server import TOKEN_FILE, ModelServer, new_token
from flows.services.prefect_server import PrefectServer, bound_socket, last_log_line
from flows.system import os_processes
from flows.system.file_locks import HeldLock, try_lock
from tasks.core.errors import UserError

PREFECT_PORT = 4200
DASHBOARD_PORT = 8501
START_TIMEOUT_S = 180.0
"""Time in which each service must answer, also on a busy machine."""
STOP_TIMEOUT_S = 20.0
"""Time a service has to stop before it is killed. The runner cancels its runs in it; a stage has five seconds of it."""
POLL_INTERVAL_S = 0.5
MAX_RESTARTS_PER_MINUTE = 5
"""Restarts of one service. A service that ends more often has a fault that a restart does not repair."""
DASHBOARD_OPTIONS = {
    "server.address": "127.0.0.1",
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.enableCORS": "true",
    "server.enableXsrfProtection": "true",
    "server.enableStaticServing": "false",
    "server.maxUploadSize": "20",
    "browser.gatherUsageStats": "false",
    "browser.serverAddress": "127.0.0.1",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "client.toolbarMode": "viewer",
    "client.disableDataExport": "true",
}
"""What the dashboard's safety depends on, whether or not there is a .streamlit/config.toml."""
REPOSITORY = Path(__file__).parents[2]
TOKEN_LENGTH = 32
"""Random bytes of the dashboard's token."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class Service:
    """One supervised process: how to launch it, and how to check that it answers."""

    name: str
    launch: Callable[[], subprocess.Popen[bytes]]
    answers: Callable[[], bool]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    start_times: list[float] = field(default_factory=list)

    @property
    def exited(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def start(self) -> None:
        self.start_times = [at for at in self.start_times if at > time.monotonic() - 60] + [time.monotonic()]
        if len(self.start_times) > MAX_RESTARTS_PER_MINUTE:
            raise UserError(f"{self.name} ends again after each restart; see {self.log}")
        self.process = self.launch()

    def wait_until_ready(self, stop: threading.Event) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not stop.is_set() and not self.answers():
            if self.exited or time.monotonic() > deadline:
                reason = last_log_line(self.log) or "no output"
                raise UserError(f"{self.name} does not start ({reason}); see {self.log} and `bonsai doctor`")
            stop.wait(0.2)


class Supervisor:
    """The services of `bonsai up`, their addresses and the password of the Prefect server."""

    def __init__(self, root: Path, prefect_port: int, dashboard_port: int, serve_port: int = 0) -> None:
        settings.apply(root)
        self.root = root
        self.prefect_home = root / ".prefect"
        self.prefect_home.mkdir(exist_ok=True)
        self.password = read_or_create_password(self.prefect_home / "password")
        self.prefect_url = f"http://127.0.0.1:{free_port(prefect_port)}"
        self.dashboard_url = f"http://127.0.0.1:{free_port(dashboard_port)}"
        self.token = read_or_create_token(self.prefect_home / "dashboard-token")
        self.services = [
            Service("the Prefect server", self.launch_server, self.server_answers, self.prefect_home / "server.log"),
            Service("the dashboard", self.launch_dashboard, self.dashboard_answers, self.prefect_home / "dashboard.log"),
            Service("the deployment runner", self.launch_runner, self.runner_answers, self.prefect_home / "runner.log"),
        ]

        token = os.environ.get("BONSAI_SERVE_TOKEN") or read_or_create(self.prefect_home / TOKEN_FILE, new_token)
        self.model_server = ModelServer(root, free_port(serve_port), token, self.launch_model_server)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every service: address and authentication of Prefect, and a PYTHONPATH on which `flows` lies."""
        path = os.pathsep.join(filter(None, [str(self.root), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
        address = {"PREFECT_API_URL": f"{self.prefect_url}/api", "PREFECT_API_AUTH_STRING": self.password}
        return {**os.environ, **address, "PYTHONPATH": path}

    def launch_server(self) -> subprocess.Popen[bytes]:
        port = int(self.prefect_url.rpartition(":")[2])
        options = {
            "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": self.dashboard_url,
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_UI_API_URL": "/api",
        }
        server = PrefectServer(self.root, port=port, password=self.password, log_name="server.log", extra_environment=options)
        return server.detach()

    def launch_runner(self) -> subprocess.Popen[bytes]:
        (self.prefect_home / "runner.json").unlink(missing_ok=True)
        return self._popen([sys.executable, "-m", "flows.services.flow_runner", str(os.getpid())], "runner.log")

    def launch_dashboard(self) -> subprocess.Popen[bytes]:
        port = self.dashboard_url.rpartition(":")[2]
        options = {
            **DASHBOARD_OPTIONS,
            "server.port": port,
            "browser.serverPort": port,
            "client.allowedOrigins": self.dashboard_url,
        }
        flags = [word for name, value in options.items() for word in (f"--{name}", value)]
        streamlit = [sys.executable, "-m", "streamlit", "run", str(REPOSITORY / "dashboard" / "server.py"), *flags]
        command = [sys.executable, "-m", "flows.system.exec_with_parent", str(os.getpid()), *streamlit]
        access = {"BONSAI_DASHBOARD_TOKEN": self.token, "BONSAI_DASHBOARD_ADDRESS": f"127.0.0.1:{port}"}
        return self._popen(command, "dashboard.log", access)

    @property
    def dashboard_link(self) -> str:
        """The address with the token, which a browser keeps in a cookie."""
        return f"{self.dashboard_url}/?token={self.token}"

    def launch_model_server(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        return self._popen(command, log, {"BONSAI_SERVE_TOKEN": self.model_server.token})

    def server_answers(self) -> bool:
        return settings.is_healthy(f"{self.prefect_url}/api")

    def dashboard_answers(self) -> bool:
        return settings.responds(f"{self.dashboard_url}/_stcore/health", timeout_s=2)

    def runner_answers(self) -> bool:
        """Whether the running process has written `runner.json`, which it does when it serves the deployments."""
        process = self.services[-1].process
        try:
            content = json.loads((self.prefect_home / "runner.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        return process is not None and content.get("pid") == process.pid

    def write_server_file(self) -> None:
        """Write `.prefect/server.json`, from which the CLI and the dashboard take address and authentication of the server."""
        address = {"api_url": f"{self.prefect_url}/api", "auth_string": self.password, "dashboard_url": self.dashboard_url}
        address |= {"serve_url": self.model_server.url, "serve_token": self.model_server.token}
        write_private_file(self.prefect_home / "server.json", json.dumps(address))

    def stop_services(self) -> None:
        """Stop the model server and the runner, which cancels its runs, then the others; kill every process that is left."""
        self.model_server.stop()
        (self.prefect_home / "server.json").unlink(missing_ok=True)
        descendants = psutil.Process().children(recursive=True)
        for service in reversed(self.services):
            if service.process and service.process.poll() is None:
                service.process.terminate()
                try:
                    service.process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    service.process.kill()
                    service.process.wait()
        for process in psutil.wait_procs(descendants, timeout=0.5)[1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(descendants, timeout=5)

    def _popen(self, command: list[str], log: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        with (self.prefect_home / log).open("wb") as file:
            return subprocess.Popen(
                command,
                cwd=self.root,
                env={**self.environment, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                process_group=0,  # Ctrl-C reaches the supervisor only, which stops the services in order
            )


def up(
    root: Path, prefect_port: int = PREFECT_PORT, dashboard_port: int = DASHBOARD_PORT, serve_port: int = model_server.PORT
) -> int:
    """Run the services until Ctrl-C or a termination signal; returns exit code 0."""
    console = stdout()
    os.umask(0o077)  # what the services write is this user's alone
    with single_instance(root), stop_on_signal() as stop:
        for line in recovery.recover(root):
            console.print(line, style="yellow", markup=False)
        supervisor = Supervisor(root, prefect_port, dashboard_port, serve_port)
        console.print("starting the Prefect server, the dashboard and the deployment runner", style="dim")
        try:
            for service in supervisor.services:
                service.start()
            wait_until_ready(supervisor, stop)
            while not stop.wait(POLL_INTERVAL_S):
                for service in supervisor.services:
                    if service.exited:
                        console.print(f"{service.name} ended; restarting it", style="yellow")
                        service.start()
                if line := supervisor.model_server.tend():
                    console.print(line, soft_wrap=True, markup=False, highlight=False)
            console.print("stopping: active runs have a few seconds to clean up", style="dim")
        finally:
            supervisor.stop_services()
            for run in run_record.active_runs(root):
                if not os_processes.is_alive(run.record.get("process")):
                    recovery.mark_crashed(root, run)
    return 0


def wait_until_ready(supervisor: Supervisor, stop: threading.Event) -> None:
    """Wait for each service and print its address as soon as it answers: the dashboard's first, which is there long before."""
    server, dashboard, runner = supervisor.services
    console = stdout()
    dashboard.wait_until_ready(stop)
    if not stop.is_set():
        console.print(f"dashboard    {supervisor.dashboard_link}", soft_wrap=True, highlight=False)
    server.wait_until_ready(stop)
    supervisor.write_server_file()
    if not stop.is_set():
        password = f"password: {supervisor.password}"
        console.print(f"Prefect      {supervisor.prefect_url}    {password}", soft_wrap=True, highlight=False)
        console.print(f"its API      {supervisor.prefect_url}/api/docs    Ctrl-C stops everything", soft_wrap=True)
    runner.wait_until_ready(stop)
    if not stop.is_set():
        console.print("ready        runs can be started", soft_wrap=True)


@contextmanager
def single_instance(root: Path) -> Iterator[None]:
    """Hold the project's lock of `bonsai up`; raises `UserError` with the dashboard's address when another process holds it."""
    lock: HeldLock | None = try_lock(root / ".bonsai" / "locks" / "up")
    if lock is None:
        address = settings.read_server_file(root)
        where = f": dashboard {address['dashboard_url']}" if address.get("dashboard_url") else " and is starting"
        raise UserError(f"bonsai up is already running here{where}; press Ctrl-C in its terminal to stop it")
    with lock:
        yield


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that `STOP_SIGNALS` set. Further signals change nothing. The earlier handlers are restored at the end."""
    stop = threading.Event()
    handlers = {sig: signal.signal(sig, lambda *_: stop.set()) for sig in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for sig, handler in handlers.items():
            signal.signal(sig, handler)


def free_port(preferred: int) -> int:
    """The preferred port, or any free one when it is taken; raises `UserError` when there is none."""
    for port in (preferred, 0):
        with suppress(OSError), bound_socket(port) as listener:
            return int(listener.getsockname()[1])
    raise UserError("no free port on 127.0.0.1")


def read_or_create_password(path: Path) -> str:
    """The project's Prefect password. It is created once, so a browser that stored it stays logged in."""
    return read_or_create(path, lambda: f"bonsai:{secrets.token_hex(16)}")


def read_or_create(path: Path, create: Callable[[], str]) -> str:
    """The text of a private file, which is created once."""
    if not path.exists():
        write_private_file(path, create())
    return path.read_text(encoding="utf-8").strip()


def read_or_create_token(path: Path) -> str:
    """The dashboard's token, created once, so that a browser that has it stays logged in. Delete the file for a new one."""
    if not path.exists() or len(path.read_text(encoding="utf-8").strip()) < TOKEN_LENGTH:
        write_private_file(path, secrets.token_urlsafe(TOKEN_LENGTH))
    return path.read_text(encoding="utf-8").strip()


def write_private_file(path: Path, text: str) -> None:
    """Write a file atomically, readable by the current user only."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)
