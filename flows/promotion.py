"""Promote a release to champion after a comparison with the champion on the same test rows, and roll back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.dvc_state.stage_state import read_lock_file
from flows.registry import history, versions
from flows.registry.history import CHAMPION, History, Version
from flows.runs import search
from flows.runs.run_record import Run
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import Artifact, Table, read_split
from tasks.inference.released_model import ReleasedModel, load_release
from tasks.release.assessment import Comparison

if TYPE_CHECKING:
    from pandas import DataFrame

WORKSPACE = "workspace"
"""Stands for the project's own folder, where `dvc repro` writes."""


@dataclass(frozen=True, slots=True)
class Change:
    """An alias that points at another version now."""

    alias: str
    version: Version
    before: Version | None
    comparison: str = ""
    """What the comparison with the version before showed, as a sentence; empty if there was none."""


def promote(root: Path, use_case: str, source: str = search.NEWEST, *, alias: str = CHAMPION, force: bool = False) -> Change:
    """Let an alias point at a release: that of a run, of the `workspace`, or a version by number or alias.

    The champion is only replaced by a model that is not shown worse on the same test rows, unless `force`. Raises a `UserError`
    and changes nothing otherwise.
    """
    if not alias.replace("-", "").replace("_", "").isalnum() or alias.isdigit():
        raise UserError(f"{alias!r} is no name for an alias; take letters, digits, - and _, as in {CHAMPION}")
    with history.writing(root, use_case) as registered:
        version, rows = _registered(root, registered, source)
        before = registered.at(alias)
        if before == version:
            raise UserError(f"{version.name} is the {alias} already")
        sentence = ""
        if before and alias == CHAMPION:
            sentence = _compare(root, before, version, rows, force=force)
        history.append(
            root, registered, history.POINTED, alias=alias, version=version.number, why="promotion", comparison=sentence
        )
        return Change(alias, version, before, sentence)


def rollback(root: Path, use_case: str, *, alias: str = CHAMPION) -> Change:
    """Let an alias point at the version it pointed at before; raises a `UserError` if there is none."""
    with history.writing(root, use_case) as registered:
        stack = registered.aliases.get(alias, [])
        if len(stack) < 2:
            now = f"only {registered.versions[stack[-1]].name} was ever the {alias}" if stack else f"{use_case} has no {alias}"
            raise UserError(f"{now}, so there is nothing to roll back to; `bonsai models {use_case}` lists the versions")
        before, target = registered.versions[stack[-1]], registered.versions[stack[-2]]
        versions.version_folder(root, target)
        history.append(root, registered, history.POINTED, alias=alias, version=target.number, why="rollback")
        return Change(alias, target, before)


def point(root: Path, use_case: str, alias: str, number: int, comparison: str) -> Change:
    """Let an alias point at a version that is registered, for the reason in `comparison`, without a comparison on test rows."""
    with history.writing(root, use_case) as registered:
        version, before = registered.versions[number], registered.at(alias)
        versions.version_folder(root, version)
        history.append(root, registered, history.POINTED, alias=alias, version=number, why="promotion", comparison=comparison)
        return Change(alias, version, before, comparison)


def _registered(root: Path, registered: History, source: str) -> tuple[Version, Path | None]:
    """The version of a source, registered if it is new, and the folder with the test rows of its data, if there is one."""
    if source in registered.aliases or source.removeprefix(f"{registered.use_case}@").isdigit():
        version = registered.find(source)
        return version, next(version_workspaces(root, version), None)
    if source == WORKSPACE:
        name, folder = WORKSPACE, root
    else:
        run = _newest(root, registered.use_case) if source == search.NEWEST else search.find_run(root, source)
        name, folder = run.id, run.folder
    release = folder / "data" / registered.use_case / "release"
    if not release.is_dir():
        raise UserError(f"{name} has no release of {registered.use_case}; `bonsai run {registered.use_case}` makes one")
    return versions.register(root, registered, Artifact(release).open(), name, folder), folder


def _newest(root: Path, use_case: str) -> Run:
    run = next(search.filter_runs(root, search.RunFilter(use_case, ("Completed",))), None)
    if run is None:
        raise UserError(
            f"no run of {use_case} was completed; `bonsai run {use_case}` makes one, `{WORKSPACE}` takes what `dvc repro` made"
        )
    return run


def version_workspaces(root: Path, version: Version) -> Iterator[Path]:
    """The folders that hold the rows on which a version was evaluated: its run's, or the project's own with the same data."""
    for folder in (root / "runs" / str(version.facts["run"]), root):
        outs = (
            read_lock_file(folder).get(f"fetch@{version.use_case}", {}).get("outs", ()) if (folder / "dvc.lock").exists() else ()
        )
        if outs and outs[0]["md5"] == version.facts["data"] and (folder / "data" / version.use_case / "clean").is_dir():
            yield folder


def _compare(root: Path, champion: Version, candidate: Version, folder: Path | None, *, force: bool) -> str:
    """A sentence on the candidate against the champion on the same test rows; raises a `UserError` if it is shown worse."""
    if folder is None:
        if force:
            return "not compared: the rows of its data are no longer here"
        raise UserError(
            f"the test rows of {candidate.name} are no longer here, so it cannot be compared with {champion.name}; "
            f"`bonsai restore {candidate.facts['run']}` brings them back, --force promotes it without a comparison"
        )
    place = folder / "data" / champion.use_case / "clean"
    rows = read_split(Table(Artifact(place).open() / "rows"), "test")
    try:
        one, other = (load_release(versions.version_folder(root, each), project=root) for each in (champion, candidate))
        shown, sentence = compare_models(one, other, rows)
    except UserError as error:
        if force:
            return f"not compared: {error}"
        raise UserError(
            f"{candidate.name} cannot be compared with {champion.name}: {error}; --force promotes it anyway"
        ) from None
    if shown and not force:
        raise UserError(
            f"{candidate.name} is shown worse than the champion {champion.name}: {sentence}; --force promotes it anyway"
        )
    return sentence


def compare_models(champion: ReleasedModel, candidate: ReleasedModel, rows: DataFrame) -> tuple[bool, str]:
    """Whether the candidate is shown worse than the champion with 95 % confidence, and a sentence with the figures.

    The rows are test rows, the test is the paired one of the release decision (`tasks.release.paired_tests`).
    """
    tables = {}
    for name, model in (("champion", champion), ("candidate", candidate)):
        inputs, _ = model.case.encode(rows, model.model.state)
        problem = model.case.problem_of(model.model.state)
        tables[name] = problem.decode(rows, model.model.outputs(inputs), model.model.state)
    problem = candidate.case.problem_of(candidate.model.state)
    evidence = Comparison(problem, {"test": tables["candidate"]}, {"test": tables["champion"]}).not_shown_worse("test")
    metric = next(iter(problem.metrics(tables["candidate"])))
    change = f"loses {evidence.value:.4f}" if evidence.value > 0 else f"gains {abs(evidence.value):.4f}"
    low, high = evidence.bound(0.95), evidence.drop.upper(0.95)
    return bool(
        evidence.p_value()
    ), f"it {change} of {metric} on {len(rows):,} test rows, by {low:+.4f} to {high:+.4f} lost (90 % interval)"
