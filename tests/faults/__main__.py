"""The fault campaign as a program: `python -m tests.faults --share 0.1` does a tenth of it and prints the table."""

from __future__ import annotations

import argparse
import io
import resource
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tests.faults import attacks, flips, injection, kills, mutations, planted, soak
from tests.faults.trial_log import TrialLog

INJECTIONS, FLIPS, MUTATIONS, KILLS, RUNS = 2_000, 2_000, 1_000_000, 100, 200
READERS_MB = 400
"""By how much the readers of mutated files may let the peak of memory grow, with what they load."""
PARTS = ("injections", "flips", "mutations", "attacks", "defects", "kills", "soak")


@dataclass(frozen=True, slots=True)
class Options:
    """How much of the campaign is done, and where what is done is kept."""

    share: float
    seed: int
    log: TrialLog
    workers: int


def main() -> int:
    """Print a line per kind of fault; returns 1 if anything was lost, silent, unnamed or undetected."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="share of the whole campaign, 0..1")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; repeatable")
    parser.add_argument("--state", type=Path, help="a file that keeps what is done: a later go takes up where this one ends")
    parser.add_argument("--workers", type=int, default=1, help="how many processes inject faults")
    parser.add_argument("--record", type=Path, help="a page, such as docs/faults.md, whose tables of these parts are replaced")
    given = parser.parse_args()
    options = Options(given.share, given.seed, TrialLog(given.state), given.workers)
    functions = (_injections, _flips, _mutations, _attacks, _defects, _kills, _soak)
    parts = dict(zip(PARTS, functions, strict=True))
    bad = []
    for name in [name for name in PARTS if name in (given.only or PARTS)]:
        printed = Copy(sys.stdout)
        with redirect_stdout(printed):
            bad += [] if parts[name](options) else [name]
        if given.record:
            record(given.record, name, "".join(printed.parts))
    print(f"{'failed: ' + ', '.join(bad) if bad else 'all held'}; seed {options.seed}")
    return int(bool(bad))


class Copy(io.TextIOBase):
    """Writes to another stream, and keeps what was written."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.parts = stream, list[str]()

    def write(self, text: str) -> int:
        self.parts.append(text)
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()


def record(page: Path, part: str, lines: str) -> None:
    """Put the lines of a part between its marks in a page; raises `ValueError` if the page has no marks for it."""
    text, begin, end = page.read_text(encoding="utf-8"), f"<!-- result: {part} -->\n", "<!-- end of result -->"
    head, rest = text.split(begin, 1)
    page.write_text(f"{head}{begin}```\n{lines}```\n{rest[rest.index(end) :]}", encoding="utf-8")


def _injections(options: Options) -> bool:
    good = True
    count = max(8, round(INJECTIONS * options.share))
    for name, each in injection.run(count, options.seed, options.log, options.workers).items():
        good &= each.healed == each.faults and not each.orphans
        counts = f"{each.faults:,} faults, {each.healed:,} healed, {each.orphans} orphans"
        counts += f"; the command makes {each.points:,} calls to the disk" if each.points else ""
        print(f"injection  {name:<20} {counts}", *each.failures, sep="\n           ", flush=True)
    return good


def _flips(options: Options) -> bool:
    good = True
    for name, each in flips.run(max(50, round(FLIPS * options.share)), options.seed).items():
        good &= each.named == each.flips
        counts = f"{each.flips:,} flips, {each.named:,} named, {len(each.silent)} silent, {each.unnamed.total()} unnamed"
        print(f"flip       {name:<20} {counts}", *each.unnamed, sep="\n           ")
    return good


def _mutations(options: Options) -> bool:
    good, before = True, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, each in mutations.run(max(1600, round(MUTATIONS * options.share)), options.seed, options.log).items():
        good &= not each.unnamed and not each.hangs
        counts = f"{each.read:,} read, {each.refused:,} refused, {each.unnamed.total()} unnamed, {each.hangs} hangs"
        print(f"mutation   {name:<20} {counts}", *each.unnamed, sep="\n           ")
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"mutation   {'memory':<20} the peak grew by {grown_mb:,.0f} MiB in this go; {READERS_MB:,} are allowed")
    return good and grown_mb <= READERS_MB


def _attacks(options: Options) -> bool:
    attempts = list(attacks.corpus())
    escaped = [name for name, attempt in attempts if not attacks.refused(attempt)]
    print(f"attack     {len(attempts):,} attempts, {len(escaped)} escaped {escaped or ''}")
    return not escaped


def _defects(options: Options) -> bool:
    missed = planted.undetected()
    print(f"defect     {len(planted.DEFECTS)} planted, {len(planted.DEFECTS) - len(missed)} found {missed or ''}")
    return not missed


def _kills(options: Options) -> bool:
    found = kills.run(max(10, round(KILLS * options.share)), options.seed)
    by_role = ", ".join(f"{count} of the {role}" for role, count in sorted(found.kills.items()))
    seen = f"{found.answered:,} requests answered, {found.unanswered:,} not, {found.events:,} events of the registry"
    print(
        f"kill       {found.kills.total()} ({by_role}); {seen}, {len(found.failures)} failures",
        *found.failures,
        sep="\n           ",
    )
    return not found.failures


def _soak(options: Options) -> bool:
    done = soak.run(max(6, round(RUNS * options.share)), report=lambda line: print(f"soak       {line}", flush=True))
    problems = done.problems()
    counts = f"{done.completed} of {done.runs} runs in {done.wall_s:,.0f} s, {len(done.locked)} locked"
    print(f"soak       {counts}", *problems, sep="\n           ")
    return not problems


if __name__ == "__main__":
    sys.exit(main())
