"""The doors held against each other on the real project: five fresh clones, each grown by another door, and what was promised.

Every line of the result is a promise, whether it was kept, and what was found. What is played is vision with little data.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from benchmarks import record
from benchmarks.flow import BIN, BONSAI, DVC, Supervisor, clone, environment, up
from dashboard.readers import prefect_api
from flows import settings
from flows.maintenance.verify import CLOCKED
from flows.runs import run_record
from flows.system import os_processes
from tasks.core.artifacts import CHECKSUMS
from tasks.dask_cluster import available_cores

PREFECT = (str(BIN / "python"), "-m", "prefect", "--no-prompt")
CASE = "vision"
GOOD = ("Unchanged", "Restored")
PATIENCE_S = 1200.0
TOLERANCE = 3.0
"""How far latencies may be off when a run is verified beside other work."""
Found = tuple[bool | None, str]
"""Whether a promise was kept, None where this could not be told; and what was found."""


class Book:
    """Promise by promise: whether it was kept, what was found and when; that stays until it is looked at again."""

    def __init__(self) -> None:
        path = record.RESULTS / "doors.json"
        earlier: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": [], "machine": {"measured_at": ""}}
        at = earlier["machine"]["measured_at"][:16]
        self.rows: dict[str, dict[str, Any]] = {row["promise"]: {**row, "at": row.get("at", at)} for row in earlier["rows"]}

    def check(self, promise: str, look: Callable[[], Found]) -> None:
        """Look whether it is kept; what goes wrong on the way is written down like any other finding."""
        began = time.monotonic()
        try:
            kept, found = look()
        except (RuntimeError, AssertionError, OSError, prefect_api.Refused) as error:
            kept, found = False, " ".join(str(error).split())[-400:]
        row = {"promise": promise, "kept": {True: "yes", False: "NO", None: "untold"}[kept], "found": found}
        self.rows[promise] = {**row, "s": round(time.monotonic() - began, 1), "at": run_record.now()[:16]}
        self.write()

    def write(self) -> None:
        rows = [self.rows[promise] for promise in sorted(self.rows)]
        sentence = (
            "What is promised of the doors, looked at in fresh clones of the project with 1,000 rows, 1 epoch and the recipes "
            f"dense and int8: {sum(row['kept'] == 'yes' for row in rows)} of {len(rows)} kept. Times are wall clock, all waiting "
            "included."
        )
        record.write("doors", sentence, rows)


def main() -> None:
    """All of it, or the parts that BONSAI_DOORS names, such as "client schedule"."""
    book, parts = Book(), os.environ.get("BONSAI_DOORS", "client schedule run click more").split()
    with TemporaryDirectory(prefix="bonsai-") as folder:
        places = {name: clone(Path(folder) / name) for name in ("repro", "client", "schedule", "run", "click")}
        book.check("2. `dvc repro` in a fresh clone", lambda: (True, last(said(places["repro"], *DVC, "repro"))))
        doors: dict[str, Callable[[Book, Path], None]] = {
            "client": by_client,
            "schedule": by_schedule,
            "run": by_run,
            "click": by_click,
        }
        for name in [name for name in doors if name in parts]:
            doors[name](book, places[name])
            book.check(f"2. the same bytes by {name} as by `dvc repro`", lambda name=name: same(places[name], places["repro"]))  # type: ignore[misc]
        if "more" in parts:
            side(book, places["click"])
            (remote := Path(folder) / "remote").mkdir()
            alone(book, places["click"], places["repro"], remote)
    if left := [promise for promise, row in book.rows.items() if row["kept"] == "NO"]:
        raise SystemExit(f"not kept: {'; '.join(left)}")


def by_client(book: Book, project: Path) -> None:
    """A deployment through Prefect's own client, with everything that is to be true afterwards."""
    with up(project) as house, listening(house) as heard:
        book.check("1. a deployment run by Prefect's own client in a fresh clone", lambda: asked(house))
        book.check("1. `dvc status` is clean", lambda: clean(project))
        book.check("1. `dvc repro` runs nothing", lambda: idle(project))
        book.check("1. a second run is all Unchanged, in less than 10 s", lambda: unchanged(house))
        book.check("1. nothing listens beyond this machine", lambda: (heard <= {"127.0.0.1", "::1"}, ", ".join(sorted(heard))))


def by_schedule(book: Book, project: Path) -> None:
    """Due by itself, a minute from now."""
    with up(project):

        def due() -> Found:
            said(project, *BONSAI, "schedules", "set", f"{CASE}-nightly", "--every", "1m")
            wait_for(lambda: records(project))
            said(project, *BONSAI, "schedules", "pause", f"{CASE}-nightly")
            entry = wait_for(lambda: next((found for found in records(project) if done(found)), None))
            return entry["state"] == "Completed" and entry["asked"]["how"].startswith("schedule"), entry["asked"]["how"]

        book.check("2. a run that is due by its schedule, in a fresh clone", due)


def by_run(book: Book, project: Path) -> None:
    book.check("2. `bonsai run` in a fresh clone", lambda: (True, last(said(project, *BONSAI, "run", CASE))))


def by_click(book: Book, project: Path) -> None:
    """What the button of the dashboard does."""
    with up(project):
        book.check("2. a click in the dashboard, in a fresh clone", lambda: ended(project, click(project, {})))


def side(book: Book, project: Path) -> None:
    """Several runs side by side."""
    with up(project):
        book.check("3. two use cases, one of them with two seeds, at once", lambda: side_by_side(project))
        book.check("3. each of the two folders answers `dvc repro` with up to date", lambda: folders(project))
        book.check("3. a third run with the first one's seed computes nothing", lambda: restored(project))
        book.check("3. twenty clicks at once make one run", lambda: twenty(project))


def alone(book: Book, project: Path, other: Path, remote: Path) -> None:
    """No server any more: restore, verify, send to another clone, search."""
    for folder in (project, other):
        said(folder, *DVC, "remote", "add", "-d", "store", str(remote))
    older = next(each.name for each in project.glob("runs/*") if seed_of(each) == 11)
    book.check("6. an older run is restored, and `dvc status` is clean", lambda: restore(project, older))
    book.check("6. it is pushed, and in another clone pulled and restored", lambda: moved(project, other, older))
    book.check("7. without a server: `dvc repro`", lambda: idle(project))
    book.check("7. without a server: `bonsai runs`", lambda: (older in (words := said(project, *BONSAI, "runs")), last(words)))
    book.check("7. without a server: `bonsai run` says what it does instead", lambda: instead(project))
    arguments = ("verify", "newest", "--tolerance", str(TOLERANCE))
    book.check("6. the newest run is verified", lambda: (True, last(said(project, *BONSAI, *arguments))))
    book.check("a search of three trials", lambda: (True, last(said(project, *BONSAI, "tune", CASE, "--trials", "3"))))


def asked(house: Supervisor) -> Found:
    found = settings.read_server_file(house.project)
    address = {"PREFECT_API_URL": found["api_url"], "PREFECT_API_AUTH_STRING": found["auth_string"]}
    words = said(house.project, *PREFECT, "deployment", "run", f"pipeline/{CASE}", "--watch", **address)
    states = {entry["state"] for entry in records(house.project)[0]["stages"].values()}
    return states == {"Completed"} and "Completed" in words, last(words)


def unchanged(house: Supervisor) -> Found:
    """Three of them; the promise of ten seconds is for an idle machine, so a busy one that takes longer tells nothing."""
    costs = [house.clicked() for _ in range(3)]
    took, cpu_s, load = sorted(each["wall_s"] for each in costs), min(each["cpu_s"] for each in costs), os.getloadavg()[0]
    states = {entry["state"] for entry in records(house.project)[-1]["stages"].values()}
    found = f"{', '.join(f'{each:.1f}' for each in took)} s, {cpu_s:.1f} CPU-s, at a load average of {load:.1f}"
    if states != {"Unchanged"}:
        return False, f"{', '.join(sorted(states))} after {found}"
    return True if took[1] < 10 else None if load > available_cores() else False, found


def clean(project: Path) -> Found:
    words = said(project, *DVC, "status")
    return "up to date" in words, last(words)


def idle(project: Path) -> Found:
    words = said(project, *DVC, "repro")
    return "Running stage" not in words and "up to date" in words, last(words)


def click(project: Path, overrides: Mapping[str, Any]) -> str:
    return prefect_api.request_run(project, [CASE], [], overrides)


def ended(project: Path, flow_run_id: str) -> Found:
    """See the run of that flow run to its end."""

    def final() -> dict[str, Any] | None:
        found = [entry for entry in records(project) if entry["prefect"].get("flow_run_id") == flow_run_id]
        return found[0] if found and done(found[0]) else None

    entry = wait_for(final)
    return entry["state"] == "Completed", f"{entry['asked']['how']}: {entry['state']} in {run_record.seconds(entry):.0f} s"


def side_by_side(project: Path) -> Found:
    wanted = (
        ("finance", "training.epochs=1"),
        (CASE, "training.seed=11"),
        (CASE, "training.seed=12"),
    )
    with ThreadPoolExecutor(len(wanted)) as hands:
        ends = [
            hands.submit(said, project, *BONSAI, "run", case, "--set", setting, "--recipe", "int8") for case, setting in wanted
        ]
    return all(last(end.result()).startswith("Completed") for end in ends), "; ".join(last(end.result()) for end in ends)


def folders(project: Path) -> Found:
    found = [idle(folder) for folder in sorted(project.glob("runs/*")) if seed_of(folder) in (11, 12)]
    return len(found) == 2 and all(good for good, _ in found), "; ".join(words for _, words in found)


def restored(project: Path) -> Found:
    said(project, *BONSAI, "run", CASE, "--set", "training.seed=11", "--recipe", "int8")
    states = [entry["state"] for entry in records(project)[-1]["stages"].values()]
    return set(states) <= set(GOOD), ", ".join(f"{states.count(name)} {name}" for name in dict.fromkeys(states))


def twenty(project: Path) -> Found:
    before = len(records(project))
    with ThreadPoolExecutor(20) as hands:
        made = set(hands.map(lambda _: click(project, {"training.seed": 12}), range(20)))
    good, words = ended(project, next(iter(made)))
    return good and len(made) == 1 and len(records(project)) == before + 1, f"{len(made)} run; {words}"


def same(place: Path, other: Path) -> Found:
    """Whether every file that no clock was at is the same in both clones."""
    one, two = hashes(place / "data" / CASE), hashes(other / "data" / CASE)
    differ = sorted(path for path in {*one, *two} if one.get(path) != two.get(path))
    return not differ and len(one) > 10, ", ".join(differ[:5]) or f"{len(one)} files are equal"


def done(entry: Mapping[str, Any]) -> bool:
    """Whether the run has ended, and its process after it: it still shows its results in the project's own folder."""
    return entry["state"] in run_record.FINAL and not os_processes.is_alive(entry["process"])


def hashes(data: Path) -> dict[str, str]:
    """The sha256 of every file of the artifacts; not of what a clock measured, of lists of checksums, or of the release."""
    paths = [path for path in data.rglob("*") if path.is_file() and path.relative_to(data).parts[0] != "release"]
    return {
        str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.name not in (*CLOCKED, CHECKSUMS)
    }


def restore(project: Path, run: str) -> Found:
    said(project, *BONSAI, "restore", run)
    return clean(project)


def moved(project: Path, other: Path, run: str) -> Found:
    sent = last(said(project, *BONSAI, "push", run))
    fetched = last(said(other, *BONSAI, "pull", run))
    good, words = restore(other, run)
    return good, f"{sent}; {fetched}; {words}"


def instead(project: Path) -> Found:
    words = said(project, *BONSAI, "run", CASE)
    return "no Prefect server runs here; starting one for this run" in words, f"{first(words)}; {last(words)}"


def seed_of(folder: Path) -> int:
    """The seed that a run was given; 0 for none."""
    asked_for = json.loads((folder / "run.json").read_text())["overrides"]
    return int(asked_for.get(f"use_cases.{CASE}.training.seed", 0))


@contextmanager
def listening(house: Supervisor) -> Iterator[set[str]]:
    """The addresses at which a process of the house listens at any time while the block runs, those of its runs included."""
    heard: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.5):
            for process in (house.process, *house.process.children(recursive=True)):
                try:
                    connections = process.net_connections(kind="all")
                except psutil.NoSuchProcess:
                    continue  # it ended meanwhile
                heard.update(each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield heard
    finally:
        done.set()
        thread.join()


def records(project: Path) -> list[dict[str, Any]]:
    """The records of the project's runs, oldest first."""
    return [json.loads(path.read_text()) for path in sorted(project.glob("runs/*/run.json"))]


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    raise RuntimeError(f"did not happen in {PATIENCE_S:.0f} s")


def said(folder: Path, *command: str, **more: str) -> str:
    """What a command that ends well says."""
    surroundings = {**environment(), **more}
    done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:])} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return (done.stdout + done.stderr).strip()


def first(words: str) -> str:
    return words.splitlines()[0].strip() if words else ""


def last(words: str) -> str:
    return words.splitlines()[-1].strip() if words else ""
