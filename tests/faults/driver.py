"""The process that does the disturbed commands, under the injector, and the project that is put back for each series."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from flows.dvc_state import object_cache
from tests.faults.commands import TIMED, Hashes
from tests.faults.trial_log import in_memory
from tests.support.toy_project import REPOSITORY, SMALL, build_project

SOURCE = Path(__file__).with_name("injector.c")
VERDICT = '(draft / "verdict.json")'
"""Where the toy's release stage writes its verdict: before that it writes a model, so that it can be registered."""
COUNTED = 2**62
"""As `armed`: calls to the disk are counted, and none gets a fault."""


class Driver:
    """A warm process that forks one child per command."""

    def __init__(self, folder: Path) -> None:
        library, self.control = folder / "injector.so", folder / "control"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
        self.control.write_bytes(bytes(24))
        self.root, self.original = folder / "trial", folder / "original"
        self.root.mkdir()
        self.expected: dict[int, Hashes] = {}
        """The hashes of the outputs of an undisturbed run, by width."""
        self.points: dict[str, int] = {}
        """Calls to the disk that each undisturbed command makes."""
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "FAULT_CONTROL": str(self.control),
            "FAULT_ROOT": str(self.root),
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-m", "tests.faults.commands", str(self.control)]
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
        )

    @property
    def project(self) -> Path:
        return self.root / "p"

    def ask(self, command: str, armed: int = 0, action: int = 0) -> dict[str, Any]:
        """Do a command in the project; `armed` is the number of the call that gets the fault, 0 for none."""
        assert self.process.stdin
        assert self.process.stdout
        request = {"root": str(self.project), "command": command, "armed": armed, "action": action}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def prepare(self) -> None:
        """Make a project with two runs, and a remote that has the first; keep it beside the trials."""
        project = build_project(self.project, SMALL)
        release = project / "tasks" / "stages" / "release.py"
        release.write_text(release.read_text().replace(VERDICT, f'(draft / "model.onnx").write_text(best)\n        {VERDICT}'))
        with (project / ".dvc" / "config").open("a") as config:
            config.write(f"['remote \"store\"']\n    url = {self.root / 'remote'}\n")
        for command, width in (("run, unchanged", 4), ("push", 0), ("run, all known", 7)):
            answer = self.ask(command)
            assert answer["outcome"] == "done", answer
            if width:
                self.expected[width] = answer["value"]
        _copy(self.root, self.original)

    def reset(self) -> None:
        """Put the project back as it was prepared."""
        shutil.rmtree(self.root)
        _copy(self.original, self.root)

    def measure(self, command: str) -> int:
        """Calls to the disk that the undisturbed command makes in the prepared project, which it leaves changed."""
        if command not in self.points:
            self.reset()
            self.make_way(command)
            answer = self.ask(command, armed=COUNTED)
            assert answer["outcome"] == "done", (command, answer)
            self.points[command] = answer["count"]
            if command == "run, all new":
                self.expected[9] = answer["value"]
        return self.points[command]

    def make_way(self, command: str) -> None:
        """Remove what the command is to make: for `pull, all new` the runs and the cache."""
        if command == "pull, all new":
            for folder in (self.project / "runs", object_cache.objects_folder(self.project)):
                shutil.rmtree(folder, ignore_errors=True)

    def output_hashes(self) -> Hashes:
        """The hashes in dvc.lock of every stage whose outputs hold no measured times."""
        stages = yaml.load((self.project / "dvc.lock").read_text(), yaml.CSafeLoader)["stages"]
        return {name: [out["md5"] for out in entry["outs"]] for name, entry in stages.items() if not name.startswith(TIMED)}

    def width(self) -> int:
        """The width that the project's parameters have now."""
        params = yaml.load((self.project / "params.yaml").read_text(), yaml.CSafeLoader)
        return int(params["use_cases"]["toy"]["model"].get("width", 4))

    def orphans(self, patience_s: float = 2.0) -> list[psutil.Process]:
        """Processes that still work in the project a while after the command has ended."""
        deadline = time.monotonic() + patience_s
        while (left := self._working()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return left

    def _working(self) -> list[psutil.Process]:
        left = []
        for process in psutil.process_iter():
            try:
                if process.cwd().startswith(str(self.root)) and process.pid != os.getpid():
                    left.append(process)
            except psutil.Error:
                continue
        return left

    def close(self) -> None:
        with self.process:
            assert self.process.stdin
            self.process.stdin.close()
            self.process.wait(60)


@contextmanager
def driver() -> Iterator[Driver]:
    """A driver with a prepared project."""
    with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
        running = Driver(Path(folder))
        try:
            running.prepare()
            yield running
        finally:
            running.close()


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
