"""The processes that the kill campaign ends: a server, the flow's look at the log, and a writer of the registry.

`python -m tests.faults.killed_roles ROOT PORT` reads names of roles from standard input, one in a line, forks a process for each
and answers its process id. Forks spare the seconds that imports take.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path

import uvicorn

from flows import promotion
from flows.monitoring import one_pass
from flows.monitoring.follow_up import follow_up
from flows.registry import history
from flows.request_log.records import LogSettings
from flows.serving.app import create_app
from flows.serving.recorder import RecorderSettings, RequestRecorder
from flows.serving.served_models import ServedModels
from tasks.core.storage.artifacts import Artifact
from tests.support.recorded_requests import USE_CASE

ERRORS = "errors.txt"
"""The file in the project to which a role writes the error that ended it; nothing but a kill should."""


def serve(root: Path, port: int) -> None:
    """`bonsai serve`, with a log that is written, merged and shortened many times a second."""
    models = ServedModels(root, [USE_CASE])
    log = LogSettings("inputs", flush_s=0.05, flush_rows=20, file_bytes=200_000, max_bytes=50_000_000)
    recorder = RequestRecorder(root, models, RecorderSettings(log, shadow_share=0.3), lambda line: None)
    app = create_app(models, recorder=recorder, log=lambda line: None)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical")


def monitor(root: Path, port: int) -> None:
    """What the flow `monitor` does for a use case, again and again."""
    while True:
        follow_up(root, USE_CASE, one_pass.look(root, USE_CASE))
        time.sleep(0.01)


def write_registry(root: Path, port: int) -> None:
    """Register new releases, promote and roll back, in random order."""
    draw = random.Random()
    for turn in count():
        registered = history.read(root, USE_CASE)
        if turn % 4 == 1:
            run = draw.choice(sorted((root / "runs").iterdir()))
            _release_anew(run / "data" / USE_CASE / "release", f"{os.getpid()}, {turn}")
            promotion.promote(root, USE_CASE, run.name, force=True, alias=draw.choice([history.CHAMPION, history.CHALLENGER]))
        elif len(registered.aliases[history.CHAMPION]) > 1 and draw.random() < 0.4:
            promotion.rollback(root, USE_CASE)
        else:
            champion = registered.aliases[history.CHAMPION][-1]
            others = [number for number in registered.versions if number != champion]
            if others:
                promotion.promote(root, USE_CASE, str(draw.choice(others)), force=True)


def _release_anew(release: Path, reason: str) -> None:
    """Give a run a release of other bytes, so that it becomes a new version."""
    files = {path.name: path.read_bytes() for path in release.glob("*") if path.name != "checksums.json"}
    verdict = json.loads(files["verdict.json"]) | {"reason": reason}
    with Artifact(release).draft() as draft:
        for name, content in files.items():
            (draft / name).write_bytes(json.dumps(verdict).encode() if name == "verdict.json" else content)


ROLES: dict[str, Callable[[Path, int], None]] = {"server": serve, "monitor": monitor, "registry writer": write_registry}


def main(root: Path, port: int) -> None:
    os.chdir(root)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries the killed
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _child(ROLES[line.strip()], root, port)
        os.setpgid(pid, pid)
        print(pid, flush=True)


def _child(role: Callable[[Path, int], None], root: Path, port: int) -> None:
    try:
        role(root, port)
    except BaseException:
        with (root / ERRORS).open("a") as file:
            file.write(traceback.format_exc() + "\n")
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
