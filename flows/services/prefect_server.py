"""A Prefect server as a child process, for one run or for `bonsai up`. It ends with its parent, however that ends."""

from __future__ import annotations

import atexit
import gc
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows import settings
from flows.reporting.console import stderr
from flows.services import prefect_database
from flows.system.file_locks import hold_lock
from tasks.__main__ import die_with_parent
from tasks.core.errors import UserError

START_TIMEOUT_S = 180
"""Time in which a busy machine must have started it."""
STOP_TIMEOUT_S = 5.0
COLLECT_INTERVAL_S, COLLECT_THRESHOLD, FULL_COLLECTION_EVERY = 0.5, 2000, 20
"""Garbage collection: seconds between checks, new objects that start one, and every which collection covers all generations."""
MINIMAL_SERVER = {
    "PREFECT__SERVER_EPHEMERAL": "1",  # no scheduler, no late runs, no automations
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_UI_ENABLED": "0",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # a single run needs no blocks; another server on
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",  # the same database may, so do not record them as registered
}
"""Settings that switch off what a server for a single run does not need."""


class PrefectServer:
    """The server's process, started on construction, and its address, which is known before it answers."""

    def __init__(
        self,
        root: Path,
        *,
        port: int = 0,
        password: str = "",
        log_name: str = "run-server.log",
        extra_environment: Mapping[str, str] = MINIMAL_SERVER,
    ) -> None:
        settings.apply(root)
        self._starting = ExitStack()  # one at a time: two servers must not create the same database
        self._starting.enter_context(hold_lock(root / ".bonsai" / "locks" / "server"))
        if damage := prefect_database.set_aside_if_damaged(root):
            stderr().print(damage, style="yellow", markup=False, soft_wrap=True)
        self.password = password or f"bonsai:{secrets.token_hex(16)}"
        with bound_socket(port) as listener:
            listener.listen(128)
            self.api_url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
            self.log = root / ".prefect" / log_name
            self.log.parent.mkdir(exist_ok=True)
            with self.log.open("wb") as log:
                self.process: subprocess.Popen[bytes] = subprocess.Popen(
                    [sys.executable, "-m", "flows.services.prefect_server", str(listener.fileno()), str(os.getpid())],
                    cwd=Path(__file__).parents[2],  # `flows` can be imported from here, installed or not
                    env={**os.environ, **extra_environment, "PREFECT_SERVER_API_AUTH_STRING": self.password},
                    pass_fds=(listener.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=0,
                )

    def wait_until_healthy(self) -> None:
        """Block until the server answers; raises `UserError` with the last line of its log when it does not."""
        # The connection stays in the socket's backlog until the server accepts it, and is refused when the process is gone.
        healthy = settings.is_healthy(self.api_url, START_TIMEOUT_S)
        self._starting.close()
        if not healthy:
            reason = last_log_line(self.log) or f"no answer in {START_TIMEOUT_S} s, is the machine very busy?"
            raise UserError(f"the Prefect server does not start ({reason}); see `bonsai doctor`")

    def detach(self) -> subprocess.Popen[bytes]:
        """The process, which the caller supervises and stops from now on."""
        self._starting.close()
        return self.process

    def stop(self) -> None:
        """Terminate the process; kill it when it has not ended after `STOP_TIMEOUT_S`."""
        self._starting.close()
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def bound_socket(port: int) -> socket.socket:
    """A TCP socket bound to this port of 127.0.0.1, to any free port for 0; raises `OSError` when the port is taken."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise
    return listener


def last_log_line(log: Path) -> str:
    """The last line of a log file, empty when there is none."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1].strip() if lines else ""


@contextmanager
def running_server(root: Path) -> Iterator[PrefectServer]:
    """A server for the duration of the block."""
    server = PrefectServer(root)
    try:
        yield server
    finally:
        server.stop()


def start_for_this_process(root: Path) -> PrefectServer:
    """Start a server and point this process's Prefect client at it. Call it before Prefect is imported.

    The server stops when the process exits, after Prefect's threads have sent the last logs.
    """
    server = PrefectServer(root)
    atexit.register(server.stop)
    os.environ["PREFECT_API_URL"] = server.api_url
    os.environ["PREFECT_API_AUTH_STRING"] = server.password
    return server


def collect_garbage_in_background() -> None:
    """Disable automatic garbage collection and collect in a thread of its own, so that no request waits for a finalizer.

    An SQLite cursor can be freed only while its connection is idle. A connection that waits for the write lock is busy for up
    to a minute. A cursor collected during a request blocks the server for that time, and the request that holds the lock
    cannot finish either.
    """
    gc.disable()
    threading.Thread(target=_collect, name="garbage", daemon=True).start()


def _collect() -> None:
    collections = 0
    while True:
        time.sleep(COLLECT_INTERVAL_S)
        if gc.get_count()[0] >= COLLECT_THRESHOLD:
            collections += 1
            gc.collect(1 if collections % FULL_COLLECTION_EVERY else 2)


def serve(listener_fd: int, parent: int) -> None:
    """Serve Prefect's API on the inherited socket, until a signal or the end of the parent process."""
    die_with_parent()
    if os.getppid() != parent:
        return  # the parent ended before `die_with_parent` took effect
    with settings.import_without_gc():
        import uvicorn
        from prefect.server.api.server import create_app

    collect_garbage_in_background()
    prefect_database.take_write_locks_at_once()
    config = uvicorn.Config(create_app, factory=True, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=listener_fd)])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(int(sys.argv[1]), int(sys.argv[2]))
