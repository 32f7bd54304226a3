"""A Prefect server for one run or for as long as `bonsai up`: gone when the process that started it is, however that ends."""

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
from flows.system.file_locks import locked
from tasks.__main__ import die_with_parent
from tasks.core.errors import UserError

PATIENCE_S = 180
"""How long a busy machine may take to start it."""
GRACE_S = 5.0
COLLECT_S, COLLECT_FROM, COLLECT_ALL = 0.5, 2000, 20
"""How often garbage is looked for, from how many new objects on, and every how many rounds among the old ones too."""
SPARE = {
    "PREFECT__SERVER_EPHEMERAL": "1",  # nothing to schedule, no late runs, no automations
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_UI_ENABLED": "0",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # it needs none, and another server on the same database may,
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",  # so do not note that they are registered
}
"""What a server for one run does without."""


class Server:
    """The process, and the address it was given before it began."""

    def __init__(
        self, root: Path, *, port: int = 0, password: str = "", log_name: str = "run-server.log", more: Mapping[str, str] = SPARE
    ) -> None:
        settings.apply(root)
        self._starting = ExitStack()  # one at a time: two that make the same new database get in each other's way
        self._starting.enter_context(locked(root / ".bonsai" / "locks" / "server"))
        self.password = password or f"bonsai:{secrets.token_hex(16)}"
        with socket.socket() as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(("127.0.0.1", port))
            door.listen(128)
            self.api_url = f"http://127.0.0.1:{door.getsockname()[1]}/api"
            self.log = root / ".prefect" / log_name
            self.log.parent.mkdir(exist_ok=True)
            with self.log.open("wb") as log:
                self.process: subprocess.Popen[bytes] = subprocess.Popen(
                    [sys.executable, "-m", "flows.services.prefect_server", str(door.fileno()), str(os.getpid())],
                    cwd=Path(__file__).parents[2],  # where `flows` is found, installed or not
                    env={**os.environ, **more, "PREFECT_SERVER_API_AUTH_STRING": self.password},
                    pass_fds=(door.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=0,
                )

    def wait_until_healthy(self) -> None:
        """Come back when it answers; a `UserError` with its last words if it does not."""
        # The connection waits at the door until someone listens, or is refused when the process is gone.
        healthy = settings.answers(self.api_url, PATIENCE_S)
        self._starting.close()
        if not healthy:
            words = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            why = words[-1] if words else f"no answer in {PATIENCE_S} s, is the machine very busy?"
            raise UserError(f"Prefect's server does not start ({why}); see `bonsai doctor`")

    def let_start(self) -> subprocess.Popen[bytes]:
        """The process, for those who look after it themselves."""
        self._starting.close()
        return self.process

    def end(self) -> None:
        """Ask it to go, and see that it does."""
        self._starting.close()
        self.process.terminate()
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def started(root: Path) -> Iterator[Server]:
    """A server while the block runs."""
    server = Server(root)
    try:
        yield server
    finally:
        server.end()


def for_this_process(root: Path) -> Server:
    """A server for all that this process will ask of Prefect, which is pointed at it; call before importing Prefect.

    It is ended at the very end, after Prefect's threads have sent the last logs.
    """
    server = Server(root)
    atexit.register(server.end)
    os.environ["PREFECT_API_URL"] = server.api_url
    os.environ["PREFECT_API_AUTH_STRING"] = server.password
    return server


def collect_aside() -> None:
    """From now on only a thread of its own collects garbage, so that nothing else waits for what happens to be freed.

    A cursor of SQLite is freed only when its connection is not at work, and one that waits for its turn to write is at work
    for up to a minute. Collected in the middle of a request, it stops the whole server for as long; the request that has the
    turn can then not end either.
    """
    gc.disable()
    threading.Thread(target=_collect, name="garbage", daemon=True).start()


def _collect() -> None:
    rounds = 0
    while True:
        time.sleep(COLLECT_S)
        if gc.get_count()[0] >= COLLECT_FROM:
            rounds += 1
            gc.collect(1 if rounds % COLLECT_ALL else 2)


def serve(door: int, parent: int) -> None:
    """In the server's own process: answer at the open door until told to go, or until the parent is gone."""
    die_with_parent()
    if os.getppid() != parent:
        return  # it went before it could be tied to
    with settings.only_growing():
        import uvicorn
        from prefect.server.api.server import create_app

    collect_aside()
    config = uvicorn.Config(create_app, factory=True, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=door)])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(int(sys.argv[1]), int(sys.argv[2]))
