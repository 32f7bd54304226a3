"""The fault campaign as a program: `python -m tests.faults --share 0.1` does a tenth of it and prints the table."""

from __future__ import annotations

import argparse
import sys

from tests.faults import attacks, flips, injection, kills, mutations, planted

INJECTIONS, FLIPS, MUTATIONS, KILLS = 2_000, 2_000, 1_000_000, 100
PARTS = ("injections", "flips", "mutations", "attacks", "defects", "kills")


def main() -> int:
    """Print a line per kind of fault; returns 1 if anything was lost, silent, unnamed or undetected."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="share of the whole campaign, 0..1")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; repeatable")
    options = parser.parse_args()
    functions = (_injections, _flips, _mutations, _attacks, _defects, _kills)
    parts = dict(zip(PARTS, functions, strict=True))
    bad = [name for name, part in parts.items() if name in (options.only or PARTS) and not part(options.share, options.seed)]
    print(f"{'failed: ' + ', '.join(bad) if bad else 'all held'}; seed {options.seed}")
    return int(bool(bad))


def _injections(share: float, seed: int) -> bool:
    good = True
    for name, each in injection.run(max(8, round(INJECTIONS * share)), seed).items():
        good &= each.healed == each.faults and not each.orphans
        counts = f"{each.faults:,} faults in {each.points:,} calls, {each.healed:,} healed, {each.orphans} orphans"
        print(f"injection  {name:<20} {counts}", *each.failures, sep="\n           ")
    return good


def _flips(share: float, seed: int) -> bool:
    good = True
    for name, each in flips.run(max(50, round(FLIPS * share)), seed).items():
        good &= each.named == each.flips
        counts = f"{each.flips:,} flips, {each.named:,} named, {len(each.silent)} silent, {each.unnamed.total()} unnamed"
        print(f"flip       {name:<20} {counts}", *each.unnamed, sep="\n           ")
    return good


def _mutations(share: float, seed: int) -> bool:
    good = True
    for name, each in mutations.run(max(1600, round(MUTATIONS * share)), seed).items():
        good &= not each.unnamed and not each.hangs
        counts = f"{each.read:,} read, {each.refused:,} refused, {each.unnamed.total()} unnamed, {each.hangs} hangs"
        print(f"mutation   {name:<20} {counts}", *each.unnamed, sep="\n           ")
    return good


def _attacks(share: float, seed: int) -> bool:
    attempts = list(attacks.corpus())
    escaped = [name for name, attempt in attempts if not attacks.refused(attempt)]
    print(f"attack     {len(attempts):,} attempts, {len(escaped)} escaped {escaped or ''}")
    return not escaped


def _defects(share: float, seed: int) -> bool:
    missed = planted.undetected()
    print(f"defect     {len(planted.DEFECTS)} planted, {len(planted.DEFECTS) - len(missed)} found {missed or ''}")
    return not missed


def _kills(share: float, seed: int) -> bool:
    found = kills.run(max(10, round(KILLS * share)), seed)
    by_role = ", ".join(f"{count} of the {role}" for role, count in sorted(found.kills.items()))
    seen = f"{found.answered:,} requests answered, {found.unanswered:,} not, {found.events:,} events of the registry"
    print(
        f"kill       {found.kills.total()} ({by_role}); {seen}, {len(found.failures)} failures",
        *found.failures,
        sep="\n           ",
    )
    return not found.failures


if __name__ == "__main__":
    sys.exit(main())
