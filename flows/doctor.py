"""Examine what a run stands on: versions, the Prefect server, DVC's cache, leftovers of a kill, disk, processor."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from rich.markup import escape

from flows import heal, settings
from flows.server import started
from flows.show import stdout
from flows.slots import machine_slots
from tasks.contracts import Mistake

ENOUGH_DISK_BYTES = 2_000_000_000
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm")
"""Processor features that decide how fast int8 and bf16 are."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the doctor looked at."""

    about: str
    state: Literal["ok", "note", "bad"]
    text: str


def examine(root: Path) -> int:
    """Print all findings; 1 if any is bad."""
    settings.apply(root)
    console = stdout()
    colours = {"ok": "green", "note": "yellow", "bad": "red"}
    bad = False
    looks: tuple[Callable[[Path], Iterator[Finding]], ...] = (installed, leftovers, cache, server, disk, processor)
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
    mended = heal.heal(root)
    for line in mended:
        yield Finding("leftovers", "note", line)
    if not mended:
        yield Finding("leftovers", "ok", "none")


def cache(root: Path) -> Iterator[Finding]:
    """Hash every object of DVC's cache: DVC itself trusts what is there, flipped bytes included."""
    objects = [path for path in (root / ".dvc" / "cache" / "files" / "md5").glob("??/*") if path.is_file()]
    damaged = [path for path in objects if md5(path) != f"{path.parent.name}{path.name}".removesuffix(".dir")]
    for path in damaged:
        yield Finding("cache", "bad", f"{path} is damaged; delete it, and the next run makes it again")
    if not damaged:
        size = sum(path.stat().st_size for path in objects)
        yield Finding("cache", "ok", f"{len(objects):,} objects of {size / 1e6:,.1f} MB, all as they were written")


def server(root: Path) -> Iterator[Finding]:
    """Whether Prefect's server starts and answers, or the project's own does."""
    if own := settings.own_server(root):
        yield Finding("server", "ok", f"answers at {own['api_url']}")
        return
    began = time.monotonic()
    try:
        with started(root) as server:
            server.wait_until_healthy()
            yield Finding("server", "ok", f"Prefect's starts and answers after {time.monotonic() - began:.0f} s")
    except Mistake as mistake:
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
    if threads := os.environ.get("OMP_NUM_THREADS"):
        yield Finding("threads", "note", f"OMP_NUM_THREADS={threads} is set here; stages set their own (training.threads)")


def md5(path: Path) -> str:
    """A file's md5, DVC's name for it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
