"""Check what runs depend on: package versions, repairs after kills, DVC's cache, the Prefect server, disk, processor."""

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
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any, Literal

from dvc.utils.serialize import load_yaml
from packaging.utils import canonicalize_name
from rich.markup import escape

from flows import settings
from flows.dvc_state import object_cache
from flows.dvc_state.lock_file import LockEntries, parse_checked_entries
from flows.reporting.console import stdout
from flows.runs import record_file, recovery, run_record
from flows.services.prefect_server import running_server
from flows.system import packages
from flows.system.file_locks import machine_slots
from flows.system.state_files import DamagedFile
from tasks.core.errors import UserError

MIN_FREE_DISK_BYTES = 2_000_000_000
SAMPLE_BYTES = 200_000_000
"""How much of the cache is read without `--full`: half a second's work."""
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm")
"""Processor features that determine the speed of int8 and bf16."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    about: str
    state: Literal["ok", "note", "bad"]
    text: str


def run_checks(root: Path, *, full: bool = False, advisories: Path | None = None) -> int:
    """Print all findings; returns 1 if any is bad, else 0. With `full`, every object of the cache is hashed.

    With `advisories`, the installed packages are compared with that file of known vulnerabilities.
    """
    settings.apply(root)
    console = stdout()
    colours = {"ok": "green", "note": "yellow", "bad": "red"}
    bad = False
    checks: tuple[Callable[[Path], Iterator[Finding]], ...] = (
        versions,
        *([partial(vulnerabilities, advisories=advisories)] if advisories else []),
        leftovers,
        records,
        partial(cache, full=full),
        server,
        disk,
        processor,
    )
    for check in checks:
        for finding in check(root):
            bad |= finding.state == "bad"
            state = f"[{colours[finding.state]}]{finding.state:<4}[/]"
            console.print(f"{state}  {finding.about:<12}  {escape(finding.text)}", soft_wrap=True)
    return int(bad)


def versions(root: Path) -> Iterator[Finding]:
    """Compare the installed versions with constraints.txt, the versions that were tested together."""
    constraints = root / "constraints.txt"
    if not constraints.exists():
        yield Finding("versions", "note", "there is no constraints.txt to compare with")
        return
    pins = [line.partition("#")[0].strip().partition("==") for line in constraints.read_text(encoding="utf-8").splitlines()]
    differences = []
    for name, equals, tested in pins:
        if equals:
            try:
                installed = version(name)
            except PackageNotFoundError:
                continue  # a dependency of another platform, or a tool for developers
            if installed.partition("+")[0] != tested.partition("+")[0]:
                differences.append(f"{name} {installed} (tested: {tested})")
    if differences:
        yield Finding("versions", "note", "differ from constraints.txt: " + ", ".join(differences))
    else:
        yield Finding("versions", "ok", f"as in constraints.txt, Python {platform.python_version()}")


def vulnerabilities(root: Path, *, advisories: Path) -> Iterator[Finding]:
    """The installed packages with a known vulnerability, as a file of advisories in the OSV format has it."""
    installed = {str(canonicalize_name(each.name)): each.version for each in distributions()}
    vulnerable = packages.known_vulnerabilities(advisories, installed)
    for each in vulnerable:
        yield Finding("advisories", "bad", f"{each.package} {each.version}: {each.id} {each.summary}".rstrip())
    if not vulnerable:
        yield Finding("advisories", "ok", f"none of {len(installed):,} packages is in {advisories.name}")


def leftovers(root: Path) -> Iterator[Finding]:
    """Repair what killed processes left behind, and report each repair."""
    repairs = recovery.recover(root)
    for line in repairs:
        yield Finding("leftovers", "note", line)
    if not repairs:
        yield Finding("leftovers", "ok", "none")


def records(root: Path) -> Iterator[Finding]:
    """Whether the record of every run can be read; one that has an intact copy is repaired."""
    count = 0
    for run in run_record.iter_runs(root):
        count += 1
        if not run.is_readable:
            yield Finding("records", "bad", f"{run.damage}; {record_file.advice(run.folder)}")
        elif run.damage:
            yield Finding("records", "note", record_file.repair(run.folder))
    yield Finding("records", "ok", f"{count:,} runs were looked at")


def cache(root: Path, *, full: bool = False) -> Iterator[Finding]:
    """Whether DVC's cache has the objects of the project's dvc.lock, and whether its objects are intact.

    DVC itself does not check the latter. Hashes all objects with `full`, and otherwise a random sample.
    """
    folder = object_cache.objects_folder(root)
    objects = [path for path in folder.glob("??/*") if path.is_file()]
    checked = objects if full else _sample(objects)
    damaged = [path for path in checked if not object_cache.is_intact(path)]
    for line in object_cache.set_aside(folder, damaged):
        yield Finding("cache", "bad", f"{line}; the next run makes it again, or `bonsai pull` fetches it")
    try:
        missing = object_cache.missing_hashes(folder, object_cache.output_hashes(_lock_entries(root)))
    except UserError as damage:
        yield Finding("cache", "bad", str(damage))
        return
    if missing:
        text = f"{len(missing)} objects of dvc.lock are not in the cache; `dvc pull`, or the next run, brings them"
        yield Finding("cache", "note", text)
    if not damaged:
        size = sum(path.stat().st_size for path in checked)
        share = "all" if len(checked) == len(objects) else f"of {len(objects):,} (--full checks all)"
        yield Finding("cache", "ok", f"{len(checked):,} objects, {share}, {size / 1e6:,.1f} MB, are intact")


def _sample(paths: list[Path]) -> list[Path]:
    """A random sample of these files, of `SAMPLE_BYTES` at most but never empty; all of them if they are smaller."""
    sample: list[Path] = []
    size = 0
    for path in random.sample(paths, len(paths)):
        size += path.stat().st_size
        if size > SAMPLE_BYTES and sample:
            break
        sample.append(path)
    return sample


def _lock_entries(root: Path) -> LockEntries:
    lock = root / "dvc.lock"
    try:
        return parse_checked_entries(lock.read_text(encoding="utf-8")) if lock.exists() else {}
    except ValueError as error:
        raise DamagedFile(lock, str(error)) from None


def server(root: Path) -> Iterator[Finding]:
    """Whether the project's own Prefect server answers or, if it does not run, whether one can be started."""
    if own := settings.project_server(root):
        yield Finding("server", "ok", f"answers at {own['api_url']}")
        return
    started_at = time.monotonic()
    try:
        with running_server(root) as server:
            server.wait_until_healthy()
            yield Finding("server", "ok", f"Prefect's starts and answers after {time.monotonic() - started_at:.0f} s")
    except UserError as error:
        yield Finding("server", "bad", f"{error}; compare the versions above with constraints.txt")


def disk(root: Path) -> Iterator[Finding]:
    """Whether there is enough free space for another run."""
    usage = shutil.disk_usage(root)
    text = f"{usage.free / 1e9:,.1f} GB free of {usage.total / 1e9:,.1f} GB"
    yield Finding("disk", "ok" if usage.free > MIN_FREE_DISK_BYTES else "bad", text)


def processor(root: Path) -> Iterator[Finding]:
    """Slots, processor features for int8 and bf16, and thread settings that do not fit the processors."""
    flags: set[str] = set()
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                flags.update(line.partition(":")[2].split())
                break
    features = [name for name in CPU_FEATURES if name in flags]
    yield Finding("processor", "ok", f"{machine_slots()} slots; {', '.join(features) or 'no int8 or bf16 instructions known'}")
    threads = {name: _threads(stanza) for name, stanza in load_yaml(str(root / "params.yaml"))["use_cases"].items()}
    if too_many := {name: count for name, count in threads.items() if count > machine_slots()}:
        yield Finding(
            "threads", "note", f"training.threads of {too_many} are more than the {machine_slots()} processors there are"
        )
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if value := os.environ.get(name):
            yield Finding("threads", "note", f"{name}={value} is set here; stages set their own (training.threads)")


def _threads(stanza: Mapping[str, Any]) -> int:
    return int((stanza.get("training") or {}).get("threads", 1))
