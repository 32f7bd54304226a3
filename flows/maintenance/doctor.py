"""Examine what a run stands on: versions, the Prefect server, DVC's cache, leftovers of a kill, disk, processor."""

from __future__ import annotations

import os
import platform
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import yaml
from dvc.utils.serialize import load_yaml
from rich.markup import escape

from flows import settings
from flows.dvc_state import object_cache as objects
from flows.reporting.console import stdout
from flows.runs import recovery
from flows.services.prefect_server import running_server
from flows.system.file_locks import machine_slots
from tasks.core.errors import UserError

ENOUGH_DISK_BYTES = 2_000_000_000
QUICK_BYTES = 200_000_000
"""What of the cache is read when nobody asks for all of it: half a second's work."""
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm")
"""Processor features that decide how fast int8 and bf16 are."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the doctor looked at."""

    about: str
    state: Literal["ok", "note", "bad"]
    text: str


def examine(root: Path, *, full: bool = False) -> int:
    """Print all findings, with `full` after a look at every object; 1 if any is bad."""
    settings.apply(root)
    console = stdout()
    colours = {"ok": "green", "note": "yellow", "bad": "red"}
    bad = False
    looks: tuple[Callable[[Path], Iterator[Finding]], ...] = (
        installed,
        leftovers,
        partial(cache, full=full),
        server,
        disk,
        processor,
    )
    for look in looks:
        for found in look(root):
            bad |= found.state == "bad"
            console.print(f"[{colours[found.state]}]{found.state:<4}[/]  {found.about:<12}  {escape(found.text)}", soft_wrap=True)
    return int(bad)


def installed(root: Path) -> Iterator[Finding]:
    """What is installed against constraints.txt, the versions that were tested together."""
    tested = root / "constraints.txt"
    if not tested.exists():
        yield Finding("versions", "note", "there is no constraints.txt to compare with")
        return
    pins = [line.partition("#")[0].strip().partition("==") for line in tested.read_text(encoding="utf-8").splitlines()]
    others = []
    for name, equals, wanted in pins:
        if equals:
            try:
                found = version(name)
            except PackageNotFoundError:
                continue  # a dependency of another platform, or a tool for developers
            if found.partition("+")[0] != wanted.partition("+")[0]:
                others.append(f"{name} {found} (tested: {wanted})")
    if others:
        yield Finding("versions", "note", "differ from constraints.txt: " + ", ".join(others))
    else:
        yield Finding("versions", "ok", f"as in constraints.txt, Python {platform.python_version()}")


def leftovers(root: Path) -> Iterator[Finding]:
    """What a kill left behind; it is mended on the way."""
    mended = recovery.recover(root)
    for line in mended:
        yield Finding("leftovers", "note", line)
    if not mended:
        yield Finding("leftovers", "ok", "none")


def cache(root: Path, *, full: bool = False) -> Iterator[Finding]:
    """Whether DVC's cache has what the project shows, and whether its objects are what they were: DVC trusts what is there.

    Hashes all of them with `full`, and otherwise as many as are read in a moment, others each time.
    """
    place = objects.objects_folder(root)
    there = [path for path in place.glob("??/*") if path.is_file()]
    looked = there if full else _some(there)
    damaged = [path for path in looked if not objects.is_intact(path)]
    for path in damaged:
        yield Finding("cache", "bad", f"{path} is damaged; delete it, and the next run makes it again")
    if lost := objects.missing_hashes(place, objects.output_hashes(_remembered(root))):
        yield Finding("cache", "note", f"{len(lost)} objects of dvc.lock are not here; `dvc pull`, or the next run, brings them")
    if not damaged:
        size = sum(path.stat().st_size for path in looked)
        how = "all" if len(looked) == len(there) else f"of {len(there):,} (--full looks at all)"
        yield Finding("cache", "ok", f"{len(looked):,} objects, {how}, {size / 1e6:,.1f} MB, are as they were written")


def _some(paths: list[Path]) -> list[Path]:
    """Some of them, by chance, that are not more to read than a moment allows; all where that is no more."""
    found: list[Path] = []
    size = 0
    for path in random.sample(paths, len(paths)):
        size += path.stat().st_size
        if size > QUICK_BYTES and found:
            break
        found.append(path)
    return found


def _remembered(root: Path) -> objects.LockEntries:
    if not (root / "dvc.lock").exists():
        return {}
    found = yaml.load((root / "dvc.lock").read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return (found or {}).get("stages") or {}


def server(root: Path) -> Iterator[Finding]:
    """Whether Prefect's server starts and answers, or the project's own does."""
    if own := settings.project_server(root):
        yield Finding("server", "ok", f"answers at {own['api_url']}")
        return
    began = time.monotonic()
    try:
        with running_server(root) as server:
            server.wait_until_healthy()
            yield Finding("server", "ok", f"Prefect's starts and answers after {time.monotonic() - began:.0f} s")
    except UserError as mistake:
        yield Finding("server", "bad", f"{mistake}; compare the versions above with constraints.txt")


def disk(root: Path) -> Iterator[Finding]:
    """Whether there is room for another run."""
    usage = shutil.disk_usage(root)
    text = f"{usage.free / 1e9:,.1f} GB free of {usage.total / 1e9:,.1f} GB"
    yield Finding("disk", "ok" if usage.free > ENOUGH_DISK_BYTES else "bad", text)


def processor(root: Path) -> Iterator[Finding]:
    """Cores, slots, and the instructions that small numbers need."""
    flags: set[str] = set()
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                flags.update(line.partition(":")[2].split())
                break
    able = [name for name in INSTRUCTIONS if name in flags]
    yield Finding("processor", "ok", f"{machine_slots()} slots; {', '.join(able) or 'no int8 or bf16 instructions known'}")
    wanted = {name: _threads(stanza) for name, stanza in load_yaml(str(root / "params.yaml"))["use_cases"].items()}
    if most := {name: count for name, count in wanted.items() if count > machine_slots()}:
        yield Finding("threads", "note", f"training.threads of {most} are more than the {machine_slots()} processors there are")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if threads := os.environ.get(name):
            yield Finding("threads", "note", f"{name}={threads} is set here; stages set their own (training.threads)")


def _threads(stanza: Mapping[str, Any]) -> int:
    return int((stanza.get("training") or {}).get("threads", 1))
