"""dvc.yaml, read: its stages in playing order, and why a stage would have to be played again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dvc.dependency import ParamsDependency
from dvc.repo import Repo

MISSING = "(none)"
DAY_S = 86400.0
"""How long a stage may take that does not say so itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of the score, with matrix and parameters put in."""

    name: str
    """As DVC names it: `compress@vision-int8`."""
    command: tuple[str, ...]
    verb: str
    use_case: str
    recipe: str = ""
    desc: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    """What dvc.yaml says under `meta`: tags, retries, retry_delay_s, timeout_s, slots."""
    needs: tuple[str, ...] = ()
    """Names of the stages whose outputs it reads."""
    deps: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self.meta.get("tags", ()))

    @property
    def timeout_s(self) -> float:
        """After how long at work, waiting for slots not counted, it is taken to hang and its process group is ended."""
        return float(self.meta.get("timeout_s", DAY_S))

    @property
    def slots(self) -> int | Literal["all"]:
        """How much of the machine it wants; `all` for what must be alone, such as measuring latency."""
        slots: int | Literal["all"] = self.meta.get("slots", 1)
        return slots


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a stage is not up to date."""

    kind: Literal["new", "command", "params", "code", "data", "output", "upstream", "force"]
    text: str

    def __str__(self) -> str:
        return self.text


def read(repo: Repo) -> dict[str, Stage]:
    """Every stage of dvc.yaml by name, use case by use case, each after all it needs."""
    found = {node.name: _stage(node, _needs(repo, node)) for node in repo.index.stages if node.cmd}
    depth: dict[str, int] = {}

    def depth_of(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max(map(depth_of, found[name].needs), default=0)
        return depth[name]

    position = {name: index for index, name in enumerate(found)}
    use_cases = list(dict.fromkeys(stage.use_case for stage in found.values()))
    order = sorted(found, key=lambda name: (use_cases.index(found[name].use_case), depth_of(name), position[name]))
    return {name: found[name] for name in order}


def select(stages: Mapping[str, Stage], use_cases: Iterable[str] = (), recipes: Iterable[str] = ()) -> dict[str, Stage]:
    """The part of the score that belongs to these use cases and recipes; to all of them where none is named."""
    use_cases, recipes = set(use_cases), set(recipes)
    return {
        name: stage
        for name, stage in stages.items()
        if (not use_cases or stage.use_case in use_cases) and (not recipes or not stage.recipe or stage.recipe in recipes)
    }


def followers(stages: Mapping[str, Stage], names: Iterable[str]) -> set[str]:
    """The stages that directly or indirectly read what `names` write."""
    found = set(names)
    for name, stage in stages.items():  # in playing order, so one pass is enough
        if found.intersection(stage.needs):
            found.add(name)
    return found - set(names)


def why(repo: Repo, node: Any, *, outputs: bool = True) -> list[Reason]:
    """Why the stage `node` of `repo` is not up to date, or nothing if it is. `repo` must be locked and its folder be the cwd.

    Dependencies that other stages write are compared as they lie there; with `outputs` so are the stage's own.
    """
    if not any(dep.hash_info for dep in node.deps):
        return [Reason("new", "it has not been run yet")]
    reasons = [Reason("command", "its command changed")] if node.cmd_changed else []
    written = [out.fs_path for stage in repo.index.stages for out in stage.outs]
    for dep in node.deps:
        if isinstance(dep, ParamsDependency):
            reasons += [Reason("params", f"{key}: {old} -> {new}") for key, old, new in _changed_params(dep)]
        elif state := dep.status():
            made = any(repo.fs.isin_or_eq(dep.fs_path, path) or repo.fs.isin(path, dep.fs_path) for path in written)
            ((path, how),) = state.items()
            reasons.append(Reason("data" if made else "code", f"{path} is {how}"))
    if outputs:
        reasons += [Reason("output", f"{path} is {how}") for out in node.outs for path, how in out.status().items()]
    return reasons


def _needs(repo: Repo, node: Any) -> tuple[str, ...]:
    """The stages with an output that a dependency is, lies in or holds: DVC's own edges, without the graph library it loads."""
    outs = repo.index.outs_trie
    found: dict[str, None] = {}
    for dep in node.deps:
        key = dep.fs.parts(dep.fs_path)
        found.update(dict.fromkeys(at.value.stage.name for at in outs.prefixes(key)))
        if outs.has_subtrie(key):
            found.update(dict.fromkeys(out.stage.name for out in outs.values(prefix=key)))
    return tuple(sorted(found))


def _stage(node: Any, needs: tuple[str, ...]) -> Stage:
    command = tuple(shlex.split(node.cmd))
    verb, use_case, recipe = (*command[3:6], "", "", "")[:3]
    return Stage(
        name=node.name,
        command=command,
        verb=verb,
        use_case=use_case,
        recipe=recipe,
        desc=(node.desc or "").strip(),
        meta=dict(node.meta or {}),
        needs=needs,
        deps=tuple(dep.def_path for dep in node.deps if not isinstance(dep, ParamsDependency)),
        params=tuple(key for dep in node.params for key in dep.params),
        outs=tuple(out.def_path for out in node.outs),
    )


def _changed_params(dep: ParamsDependency) -> Iterator[tuple[str, str, str]]:
    """Key, old and new value of every single parameter that differs from dvc.lock."""
    old, new = dict(dep.hash_info.value or {}), dict(dep.read_params())
    for key in dep.params:
        yield from _differences(key, old.get(key, MISSING), new.get(key, MISSING))


def _differences(key: str, old: Any, new: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for word in dict.fromkeys([*old, *new]):
            yield from _differences(f"{key}.{word}", old.get(word, MISSING), new.get(word, MISSING))
    elif old != new:
        yield key, _brief(old), _brief(new)


def _brief(value: Any, most: int = 60) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def score_of(folder: Path) -> dict[str, Stage]:
    """The stages of the dvc.yaml in `folder`."""
    with Repo(str(folder)) as repo:
        return read(repo)
