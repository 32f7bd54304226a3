"""Many tiny runs through one `bonsai up`: the memory of each service, the size of database and disk, no locked database."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dashboard.readers import prefect_api
from flows.services import prefect_database
from tests.support.bonsai_process import read_records, run_bonsai
from tests.support.running_services import RunningServices, start_services
from tests.support.toy_project import SMALL, build_project

SERVICES = {"server": "flows.services.prefect_server", "dashboard": "streamlit", "runner": "flows.services.flow_runner"}
"""A word of each service's command."""
KEPT = 5
"""How many runs a collection of garbage keeps."""
WIDTHS = 8
"""Runs take this many widths in turn: what the cache has costs little, and a collection makes some of it new again."""
WARM = 0.3
"""The share of the runs after which a service has loaded what it needs; memory is compared from then on."""
FLAT = 1.10
LOCKED = re.compile(r"database (table )?is locked", re.I)


@dataclass(slots=True)
class Soak:
    """What many runs did to the services; lists have one entry per collection of garbage, oldest first."""

    runs: int = 0
    completed: int = 0
    wall_s: float = 0.0
    memory_bytes: dict[str, list[int]] = field(default_factory=dict)
    """Private memory of each service before each collection."""
    database_bytes: list[int] = field(default_factory=list)
    disk_bytes: list[int] = field(default_factory=list)
    """Disk space of the runs and of the cache after each collection; a file with several names counts once."""
    locked: list[str] = field(default_factory=list)
    """Lines of logs about a locked database."""
    not_completed: list[str] = field(default_factory=list)

    def growth(self, values: list[int]) -> float:
        """The last value divided by the one when the services were warm."""
        warm = values[min(int(len(values) * WARM), len(values) - 1)]
        return values[-1] / warm

    def problems(self) -> list[str]:
        """What does not hold: runs that did not complete, what grew by more than a tenth, locked databases."""
        grown = {f"memory of the {name}": self.growth(values) for name, values in self.memory_bytes.items()}
        grown |= {"database": self.growth(self.database_bytes), "disk": self.growth(self.disk_bytes)}
        lines = [f"{name} grew to {100 * share:.0f} %" for name, share in grown.items() if share > FLAT]
        return [*self.not_completed, *lines, *self.locked]


def run(count: int, collections: int = 10, report: Callable[[str], None] = lambda line: None) -> Soak:
    """Do `count` runs one after the other through one `bonsai up`, with `collections` collections of garbage in between."""
    soak, started_at = Soak(memory_bytes={name: [] for name in SERVICES}), time.monotonic()
    interval = max(1, count // collections)
    with tempfile.TemporaryDirectory() as place:
        toy = build_project(Path(place) / "toy", SMALL)
        with start_services(toy) as services:
            while soak.runs < count:
                flow_run = prefect_api.request_run(toy, ["toy"], [], {"model.width": 2 + soak.runs % WIDTHS})
                state = services.wait_until_ended(flow_run, 600)
                soak.runs += 1
                soak.completed += state == "Completed"
                if state != "Completed":
                    soak.not_completed.append(f"run {soak.runs} is {state}: {services.record(flow_run).get('error')}")
                if soak.runs % interval == 0:
                    _measure(soak, services)
                    report(_line(soak))
            soak.locked += _locked_lines(toy)
        soak.wall_s = time.monotonic() - started_at
    return soak


def _measure(soak: Soak, services: RunningServices) -> None:
    """Note the memory of the services, collect garbage, and note what is left."""
    for name, word in SERVICES.items():
        matching = [each for each in services.descendants() if word in " ".join(each.cmdline())]
        soak.memory_bytes[name].append(max(each.memory_full_info().uss for each in matching))
    soak.locked += _locked_lines(services.root)  # before the runs' logs are collected
    run_bonsai(services.root, "gc", "--keep", str(KEPT), server={})
    if len(read_records(services.root)) != KEPT and soak.runs > KEPT:
        soak.not_completed.append(f"{len(read_records(services.root))} runs are left after a collection that keeps {KEPT}")
    database = prefect_database.path(services.root)
    assert database
    soak.database_bytes.append(sum(each.stat().st_size for each in database.parent.glob(f"{database.name}*")))
    soak.disk_bytes.append(_disk_bytes(services.root / "runs", services.root / ".dvc" / "cache"))


def _locked_lines(root: Path) -> list[str]:
    logs = [*root.glob(".prefect/*.log"), *root.glob("runs/*/flow.log"), root / "up.log"]
    lines = (line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines())
    return list(dict.fromkeys(line[:200] for line in lines if LOCKED.search(line)))


def _disk_bytes(*folders: Path) -> int:
    files = (Path(parent) / name for folder in folders for parent, _, names in os.walk(folder) for name in names)
    sizes = {(stat.st_dev, stat.st_ino): stat.st_blocks * 512 for path in files if (stat := path.lstat())}
    return sum(sizes.values())


def _line(soak: Soak) -> str:
    memory = ", ".join(f"{name} {values[-1] / 2**20:.1f} MiB" for name, values in soak.memory_bytes.items())
    sizes = f"database {soak.database_bytes[-1] / 2**20:.2f} MiB, disk {soak.disk_bytes[-1] / 2**20:.2f} MiB"
    return f"{soak.completed} of {soak.runs} runs completed; {memory}; {sizes}"
