"""Kills, full disks and I/O errors at every write, rename and unlink of every command; then plain commands must heal all."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count as numbers
from typing import Any

from tests.faults.commands import DISTURBED
from tests.faults.driver import Driver, driver
from tests.faults.trial_log import Trial, TrialLog

ACTIONS = {"kill": 1, "ENOSPC": 28, "EIO": 5}
HEALING = ("push", "gc", "check")
"""What a person does after a plain run; each must succeed unaided, and `check` find nothing."""
LENGTHS = (1, 1, 2, 3, 4)
"""How many faults a series has, each in a command, before anybody heals: damage meets damage."""


@dataclass(slots=True)
class Outcome:
    """What came of the faults in one command."""

    points: int = 0
    """Calls to the disk that the undisturbed command makes."""
    faults: int = 0
    healed: int = 0
    """After whose series plain commands completed unaided, with the hashes of an undisturbed project."""
    orphans: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def run(count: int, seed: int, log: TrialLog | None = None, workers: int = 1) -> dict[str, Outcome]:
    """Inject at least `count` faults in series drawn by the seed; what the log has is not done again, unless it failed."""
    log = log or TrialLog()
    done = {number: trial for number, trial in log.done("injection", seed).items() if not trial["why"]}
    injected, lock = sum(len(trial["faults"]) for trial in done.values()), threading.Lock()
    waiting = (number for number in numbers() if number not in done)
    points: dict[str, int] = {}

    def work() -> None:
        nonlocal injected
        if injected >= count:
            return
        with driver() as running:
            while injected < count:
                with lock:
                    number = next(waiting)
                trial = series(running, number, seed)
                log.add("injection", seed, number, **trial)
                with lock:
                    done[number] = trial
                    injected += len(trial["faults"])
            points.update(running.points)

    with ThreadPoolExecutor(workers) as pool:
        for each in [pool.submit(work) for _ in range(workers)]:
            each.result()
    return summary(done.values(), points)


def summary(trials: Any, points: dict[str, int]) -> dict[str, Outcome]:
    """What came of all series, by command."""
    outcomes = {command: Outcome(points.get(command, 0)) for command in DISTURBED}
    for trial in trials:
        for fault in trial["faults"]:
            outcome = outcomes[fault["command"]]
            outcome.faults += 1
            outcome.healed += not trial["why"]
            outcome.endings[f"{fault['kind']}: {fault['outcome']}"] += 1
        outcomes[trial["first"]].orphans += trial["orphans"]
        if trial["why"]:
            outcomes[trial["first"]].failures.append(f"{trial['why']}; faults: {trial['faults']}")
    return outcomes


def series(work: Driver, number: int, seed: int) -> Trial:
    """Do series `number`: faults in one or more commands, then the healing; `why` says what did not heal."""
    rng = random.Random(f"{seed} {number}")
    first = list(DISTURBED)[number % len(DISTURBED)]
    commands = [first, *rng.choices(list(DISTURBED), k=rng.choice(LENGTHS) - 1)]
    draws = [(command, rng.choice(list(ACTIONS)), 1 + int(rng.random() * work.measure(command))) for command in commands]
    faults: list[Trial] = []
    problems: list[str] = []
    orphans = 0
    work.reset()
    work.make_way(first)
    for command, kind, call in draws:
        answer = work.ask(command, armed=call, action=ACTIONS[kind])
        if answer["count"] >= call:  # a command after a fault may have less to do
            faults.append({"command": command, "kind": kind, "call": call, "outcome": answer["outcome"]})
        if answer["outcome"] in ("hang", "other error"):
            problems.append(f"{command} ended in {answer['outcome']}: {answer['text'][:300]}")
        left = work.orphans()
        orphans += len(left)
        for process in left:
            process.kill()
    return {"first": first, "faults": faults, "orphans": orphans, "why": "; ".join([*problems, *heal(work, draws[-1][0])])}


def heal(work: Driver, command: str) -> list[str]:
    """Do a plain run, the disturbed command again and what else a person does; returns what did not work or differs."""
    again = {"restore": (command, "run, unchanged"), "push": (), "gc": (), "run, unchanged": ()}.get(command, (command,))
    for each in ("run, unchanged", *again, *HEALING):
        answer = work.ask(each)
        if answer["outcome"] != "done":
            return [f"{each} afterwards ended in {answer['outcome']}: {answer['text'][:300]}"]
        if each == "check" and answer["value"]:
            return [str(problem) for problem in answer["value"][:3]]
        width = {"run, all new": 9, "run, all known": 7, "run, unchanged": work.width()}.get(each)
        if width and width in work.expected and answer["value"] != work.expected[width]:
            return [f"{each} afterwards has other hashes"]
    return [] if work.output_hashes() == work.expected.get(work.width(), work.output_hashes()) else ["dvc.lock has other hashes"]
