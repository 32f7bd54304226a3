"""`bonsai up`: Prefect's server, the deployments and the dashboard, together on this machine only, and together gone again."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flows import settings
from flows.reporting.console import stdout
from flows.runs import recovery, run_record
from flows.services.prefect_server import Server
from flows.system import os_processes
from flows.system.file_locks import Held, try_lock
from tasks.core.errors import UserError

PREFECT_PORT = 4200
DASHBOARD_PORT = 8501
PATIENCE_S = 180.0
"""How long a busy machine may take to start any of them."""
GRACE_S = 20.0
"""How long the runs at work may take to be cancelled; a stage has five seconds of it."""
LOOK_S = 0.5
MOST_RESTARTS = 5
"""Of one part within a minute; then something is wrong that a restart does not mend."""
REPOSITORY = Path(__file__).parents[2]
SIGNS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class Service:
    """One of the three processes: how to start it, and how to know that it answers."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    answers: Callable[[], bool]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    began: list[float] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def begin(self) -> None:
        self.began = [at for at in self.began if at > time.monotonic() - 60] + [time.monotonic()]
        if len(self.began) > MOST_RESTARTS:
            raise UserError(f"{self.name} ends again and again; {self.log} says why")
        self.process = self.start()

    def wait_until_it_answers(self, told: threading.Event) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not told.is_set() and not self.answers():
            if self.ended or time.monotonic() > deadline:
                raise UserError(f"{self.name} does not start ({last_line(self.log)}); see {self.log} and `bonsai doctor`")
            told.wait(0.2)


class Supervisor:
    """What `bonsai up` runs: addresses, password, and the three parts."""

    def __init__(self, root: Path, prefect_port: int, dashboard_port: int) -> None:
        settings.apply(root)
        self.root = root
        self.home = root / ".prefect"
        self.home.mkdir(exist_ok=True)
        self.password = kept_password(self.home / "password")
        self.prefect_url = f"http://127.0.0.1:{free_port(prefect_port)}"
        self.dashboard_url = f"http://127.0.0.1:{free_port(dashboard_port)}"
        self.parts = [
            Service(
                "Prefect's server", self.server, lambda: settings.answers(f"{self.prefect_url}/api"), self.home / "server.log"
            ),
            Service("the dashboard", self.dashboard, self.dashboard_answers, self.home / "dashboard.log"),
            Service("the runner of the deployments", self.runner, self.runner_answers, self.home / "runner.log"),
        ]

    @property
    def environment(self) -> dict[str, str]:
        """What the parts have in common: where Prefect is, how to be let in, and where `flows` is found, installed or not."""
        path = os.pathsep.join(filter(None, [str(self.root), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
        address = {"PREFECT_API_URL": f"{self.prefect_url}/api", "PREFECT_API_AUTH_STRING": self.password}
        return {**os.environ, **address, "PYTHONPATH": path}

    def server(self) -> subprocess.Popen[bytes]:
        port = int(self.prefect_url.rpartition(":")[2])
        guarded = {
            "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": self.dashboard_url,
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_UI_API_URL": "/api",
        }
        return Server(self.root, port=port, password=self.password, log_name="server.log", more=guarded).let_start()

    def runner(self) -> subprocess.Popen[bytes]:
        (self.home / "runner.json").unlink(missing_ok=True)
        return self._popen([sys.executable, "-m", "flows.services.flow_runner", str(os.getpid())], "runner.log")

    def dashboard(self) -> subprocess.Popen[bytes]:
        port = self.dashboard_url.rpartition(":")[2]
        options = {
            "server.address": "127.0.0.1",
            "server.port": port,
            "server.headless": "true",
            "server.fileWatcherType": "none",
            "browser.gatherUsageStats": "false",
            "browser.serverAddress": "127.0.0.1",
            "browser.serverPort": port,
        }
        flags = [word for name, value in options.items() for word in (f"--{name}", value)]
        streamlit = [sys.executable, "-m", "streamlit", "run", str(REPOSITORY / "dashboard" / "app.py"), *flags]
        return self._popen([sys.executable, "-m", "flows.system.exec_with_parent", str(os.getpid()), *streamlit], "dashboard.log")

    def dashboard_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.dashboard_url}/_stcore/health", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def runner_answers(self) -> bool:
        """Whether it has written down that it serves."""
        process = self.parts[-1].process
        try:
            found = json.loads((self.home / "runner.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        return process is not None and found.get("pid") == process.pid

    def tell(self) -> None:
        """Write down where the server is and how to be let in, for the command line and the dashboard; for this user only."""
        address = {"api_url": f"{self.prefect_url}/api", "auth_string": self.password, "dashboard_url": self.dashboard_url}
        private(self.home / "server.json", json.dumps(address))

    def end(self) -> None:
        """End the runner first, which cancels its runs, then the rest, and see that no process is left."""
        (self.home / "server.json").unlink(missing_ok=True)
        family = psutil.Process().children(recursive=True)
        for part in reversed(self.parts):
            if part.process and part.process.poll() is None:
                part.process.terminate()
                try:
                    part.process.wait(GRACE_S)
                except subprocess.TimeoutExpired:
                    part.process.kill()
                    part.process.wait()
        for process in psutil.wait_procs(family, timeout=0.5)[1]:
            with_grace(process.kill)
        psutil.wait_procs(family, timeout=5)

    def _popen(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self.home / log).open("wb") as file:
            return subprocess.Popen(
                command,
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                process_group=0,  # a person's Ctrl-C is ours to pass on, in order
            )


def up(root: Path, prefect_port: int = PREFECT_PORT, dashboard_port: int = DASHBOARD_PORT) -> int:
    """Run the house until Ctrl-C, or until told to end; 0 when it was."""
    console = stdout()
    with the_only_one(root), told_to_end() as told:
        for line in recovery.recover(root):
            console.print(line, style="yellow", markup=False)
        house = Supervisor(root, prefect_port, dashboard_port)
        console.print("starting Prefect's server, the runner of the deployments and the dashboard", style="dim")
        try:
            for part in house.parts:
                part.begin()
            for part in house.parts:
                part.wait_until_it_answers(told)
                if part is house.parts[0]:
                    house.tell()
            if not told.is_set():
                console.print(f"dashboard    {house.dashboard_url}", soft_wrap=True)
                console.print(f"Prefect      {house.prefect_url}    password: {house.password}", soft_wrap=True, highlight=False)
                console.print(f"its API      {house.prefect_url}/api/docs    Ctrl-C ends everything", soft_wrap=True)
            while not told.wait(LOOK_S):
                for part in house.parts:
                    if part.ended:
                        console.print(f"{part.name} has ended; starting it again", style="yellow")
                        part.begin()
            console.print("ending: the runs at work have a few seconds to tidy up", style="dim")
        finally:
            house.end()
            for run in run_record.active_runs(root):
                if not os_processes.alive(run.record.get("process")):
                    recovery.mark_crashed(root, run)
    return 0


@contextmanager
def the_only_one(root: Path) -> Iterator[None]:
    """One `bonsai up` for a project; a `UserError` with its address when there is one already."""
    lock: Held | None = try_lock(root / ".bonsai" / "locks" / "up")
    if lock is None:
        found = settings.read_own_server(root)
        where = f": dashboard {found['dashboard_url']}" if found.get("dashboard_url") else " and is starting"
        raise UserError(f"bonsai up runs here already{where}; Ctrl-C in its terminal ends it")
    with lock:
        yield


@contextmanager
def told_to_end() -> Iterator[threading.Event]:
    """An event that Ctrl-C and its like set; pressed again they change nothing, the end is on its way."""
    told = threading.Event()
    before = {sign: signal.signal(sign, lambda *_: told.set()) for sign in SIGNS}
    try:
        yield told
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def free_port(wanted: int) -> int:
    """The port wanted, or any other when it is taken."""
    for port in (wanted, 0):
        with socket.socket() as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                door.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(door.getsockname()[1])
    raise UserError("no free port on 127.0.0.1")


def kept_password(path: Path) -> str:
    """The project's password for Prefect, made once, so that a browser that knows it need not be told again."""
    if not path.exists():
        private(path, f"bonsai:{secrets.token_hex(16)}")
    return path.read_text(encoding="utf-8").strip()


def private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)


def last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1].strip() if lines else "it said nothing"


def with_grace(end: Callable[[], None]) -> None:
    """End a process that may have ended by itself."""
    try:
        end()
    except psutil.NoSuchProcess:
        return
