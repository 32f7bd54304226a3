"""Kills, full disks and I/O errors at every write, rename and unlink of every command; then a plain run must heal all."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.faults.commands import COMMANDS
from tests.support.toy_project import REPOSITORY, SMALL, build_project

Hashes = dict[str, list[str]]
ACTIONS = {"kill": 1, "ENOSPC": 28, "EIO": 5}
HEALING = ("run unchanged", "push", "gc")
"""What a person does afterwards; each must succeed unaided."""
SOURCE = Path(__file__).with_name("injector.c")


@dataclass(slots=True)
class Outcome:
    """What came of the faults in one command."""

    points: int = 0
    """Calls to the disk that the undisturbed command makes."""
    faults: int = 0
    healed: int = 0
    """After which a plain run completed unaided, with the hashes of an undisturbed project."""
    orphans: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Driver:
    """The process that does the commands, under the injector."""

    def __init__(self, folder: Path) -> None:
        library, self.control = folder / "injector.so", folder / "control"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
        self.control.write_bytes(bytes(24))
        self.root = folder / "trial"
        self.root.mkdir()
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

    def ask(self, root: Path, command: str, armed: int = 0, action: int = 0) -> dict[str, Any]:
        """Do a command in a project; `armed` is the number of the call that gets the fault, 0 for none."""
        assert self.process.stdin
        assert self.process.stdout
        request = {"root": str(root), "command": command, "armed": armed, "action": action}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def orphans(self) -> list[psutil.Process]:
        """Processes that work in the project though the command has ended."""
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
    with tempfile.TemporaryDirectory() as folder:
        running = Driver(Path(folder))
        try:
            yield running
        finally:
            running.close()


def prepare(work: Driver) -> Hashes:
    """A project with a run, a remote that has it, and the hashes of its outputs; kept beside the trials."""
    project = build_project(work.root / "p", SMALL)
    with (project / ".dvc" / "config").open("a") as config:
        config.write(f"['remote \"store\"']\n    url = {work.root / 'remote'}\n")
    for command in ("run unchanged", "push", "run"):
        answer = work.ask(project, command)
        assert answer["outcome"] == "done", answer
    hashes = output_hashes(project)
    shutil.copytree(work.root, work.root.with_name("original"), symlinks=True)
    return hashes


def output_hashes(project: Path) -> Hashes:
    """The hashes in dvc.lock of every stage whose outputs hold no measured times."""
    stages = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    timed = ("latency", "release")
    return {name: [out["md5"] for out in entry["outs"]] for name, entry in stages.items() if not name.startswith(timed)}


def reset(work: Driver) -> Path:
    """Put the project back as it was prepared."""
    shutil.rmtree(work.root)
    shutil.copytree(work.root.with_name("original"), work.root, symlinks=True)
    return work.root / "p"


def run(count: int, seed: int, on_trial: Callable[[str], None] = lambda line: None) -> dict[str, Outcome]:
    """Inject `count` faults in all, at calls drawn by the seed, an equal share in each command."""
    rng = random.Random(seed)
    with driver() as work:
        hashes = prepare(work)
        outcomes = {command: Outcome() for command in COMMANDS}
        expected: dict[str, list[Hashes]] = {}
        for number in range(count):
            command = list(COMMANDS)[number % len(COMMANDS)]
            outcome = outcomes[command]
            if not outcome.points:
                project = reset(work)
                outcome.points = work.ask(project, command, armed=2**62)["count"]
                expected[command] = [hashes, *([_healed_hashes(work, project)] if command == "restore" else [])]
            if outcome.points:
                kind = rng.choice(list(ACTIONS))
                _disturb(work, command, outcome, rng.randrange(outcome.points) + 1, kind, expected[command])
                on_trial(outcome.failures[-1] if len(outcome.failures) > outcome.faults - outcome.healed - 1 >= 0 else command)
    return outcomes


def _healed_hashes(work: Driver, project: Path) -> Hashes:
    """The hashes after the undisturbed command and a plain run: `restore` changes the parameters."""
    assert work.ask(project, HEALING[0])["outcome"] == "done"
    return output_hashes(project)


def _disturb(work: Driver, command: str, outcome: Outcome, call: int, kind: str, expected: list[Hashes]) -> None:
    project = reset(work)
    answer = work.ask(project, command, armed=call, action=ACTIONS[kind])
    outcome.faults += 1
    outcome.endings[f"{kind}: {answer['outcome']}"] += 1
    orphans = work.orphans()
    outcome.orphans += len(orphans)
    for process in orphans:
        process.kill()
    after = [work.ask(project, each) for each in HEALING]
    unaided = all(each["outcome"] == "done" for each in after)
    if unaided and output_hashes(project) in expected and answer["outcome"] not in ("hang", "other error"):
        outcome.healed += 1
    else:
        why = next((each["text"] for each in after if each["outcome"] != "done"), "other hashes" if unaided else "")
        outcome.failures.append(f"{command}, {kind} at call {call}: {answer['outcome']} {answer['text'][:300]} | {why[:300]}")
