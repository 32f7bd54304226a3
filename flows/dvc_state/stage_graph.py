"""The stages of dvc.yaml in execution order, and the reasons why a stage is not up to date."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from dvc.dependency import ParamsDependency
from dvc.repo import Repo

from tasks.core.stage_context import SEED_SUFFIX
from tasks.core.storage.atomic_files import write_bytes

MISSING = "(none)"
SEEDS_REFERENCE = "${seeds}"
NO_SEEDS = "\n# Additional seeds, such as [8, 9]: dvc.yaml reads this list, which may be empty but not missing.\nseeds: []\n"
DEFAULT_TIMEOUT_S = 86400.0
"""The time limit of a stage that names none in dvc.yaml: a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of dvc.yaml, with its matrix and parameters resolved."""

    name: str
    """As DVC names it: `compress@vision-int8`."""
    command: tuple[str, ...]
    verb: str
    use_case: str
    recipe: str = ""
    seed: str = ""
    """The additional seed of a stage that repeats another one."""
    desc: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    """The stage's `meta` in dvc.yaml: tags, retries, retry_delay_s, timeout_s, slots."""
    needs: tuple[str, ...] = ()
    """Names of its upstream stages, whose outputs it reads."""
    deps: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self.meta.get("tags", ()))

    @property
    def timeout_s(self) -> float:
        """Seconds of work, without waiting for slots, after which its process group is ended."""
        return float(self.meta.get("timeout_s", DEFAULT_TIMEOUT_S))

    @property
    def slots(self) -> int | Literal["all"]:
        """How many of the machine's slots it needs; `all` for work that must run alone, such as measuring latency."""
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
    """Every stage of dvc.yaml by name, grouped by use case and topologically sorted."""
    stages = {node.name: _stage(node, _upstream(repo, node)) for node in repo.index.stages if node.cmd}
    depth: dict[str, int] = {}

    def depth_of(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max(map(depth_of, stages[name].needs), default=0)
        return depth[name]

    position = {name: index for index, name in enumerate(stages)}
    use_cases = list(dict.fromkeys(stage.use_case for stage in stages.values()))
    order = sorted(stages, key=lambda name: (use_cases.index(stages[name].use_case), depth_of(name), position[name]))
    return {name: stages[name] for name in order}


def select(stages: Mapping[str, Stage], use_cases: Iterable[str] = (), recipes: Iterable[str] = ()) -> dict[str, Stage]:
    """The stages of these use cases and recipes; an empty argument selects all."""
    use_cases, recipes = set(use_cases), set(recipes)
    return {
        name: stage
        for name, stage in stages.items()
        if (not use_cases or stage.use_case in use_cases) and (not recipes or not stage.recipe or stage.recipe in recipes)
    }


def downstream(stages: Mapping[str, Stage], names: Iterable[str]) -> set[str]:
    """The stages that directly or indirectly read the outputs of `names`."""
    reached = set(names)
    for name, stage in stages.items():  # in topological order, so one pass is enough
        if reached.intersection(stage.needs):
            reached.add(name)
    return reached - set(names)


def stale_reasons(repo: Repo, node: Any, *, outputs: bool = True) -> list[Reason]:
    """Why the stage `node` of `repo` is not up to date; empty if it is.

    The files on disk are compared with dvc.lock: the dependencies and, with `outputs`, the stage's outputs. `repo` must be
    locked, and its folder must be the current directory.
    """
    if not any(dep.hash_info for dep in node.deps):
        return [Reason("new", "it has not been run yet")]
    reasons = [Reason("command", "its command changed")] if node.cmd_changed else []
    output_paths = [out.fs_path for stage in repo.index.stages for out in stage.outs]
    for dep in node.deps:
        if isinstance(dep, ParamsDependency):
            reasons += [Reason("params", f"{key}: {old} -> {new}") for key, old, new in _changed_params(dep)]
        elif state := dep.status():
            is_output = any(repo.fs.isin_or_eq(dep.fs_path, path) or repo.fs.isin(path, dep.fs_path) for path in output_paths)
            ((path, change),) = state.items()
            reasons.append(Reason("data" if is_output else "code", f"{path} is {change}"))
    if outputs:
        reasons += [Reason("output", f"{path} is {change}") for out in node.outs for path, change in out.status().items()]
    return reasons


def _upstream(repo: Repo, node: Any) -> tuple[str, ...]:
    """The stages with an output that equals, contains or lies in a dependency: the edges of DVC's graph, without networkx.

    A file that `dvc add` made is an output too, of a stage without a command and a name; nothing has to run for it.
    """
    outs = repo.index.outs_trie
    stages: list[Any] = []
    for dep in node.deps:
        key = dep.fs.parts(dep.fs_path)
        stages += [at.value.stage for at in outs.prefixes(key)]
        if outs.has_subtrie(key):
            stages += [out.stage for out in outs.values(prefix=key)]
    return tuple(sorted({stage.name for stage in stages if stage.cmd}))


def _stage(node: Any, needs: tuple[str, ...]) -> Stage:
    command = tuple(shlex.split(node.cmd))
    words = [word for word in command[3:] if not word.startswith("--")]  # DVC writes an item as `--use_case toy --recipe half`
    verb, use_case, *rest = (*words, "", "") if len(words) < 2 else words
    seed = rest.pop() if verb.endswith(SEED_SUFFIX) else ""
    return Stage(
        name=node.name,
        command=command,
        verb=verb,
        use_case=use_case,
        recipe=rest[0] if rest else "",
        seed=seed,
        desc=(node.desc or "").strip(),
        meta=dict(node.meta or {}),
        needs=needs,
        deps=tuple(dep.def_path for dep in node.deps if not isinstance(dep, ParamsDependency)),
        params=tuple(key for dep in node.params for key in dep.params),
        outs=tuple(out.def_path for out in node.outs),
    )


def _changed_params(dep: ParamsDependency) -> Iterator[tuple[str, str, str]]:
    """(key, old value, new value) of each parameter that differs from dvc.lock."""
    old, new = dict(dep.hash_info.value or {}), dict(dep.read_params())
    for key in dep.params:
        yield from _differences(key, old.get(key, MISSING), new.get(key, MISSING))


def _differences(key: str, old: Any, new: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            yield from _differences(f"{key}.{name}", old.get(name, MISSING), new.get(name, MISSING))
    elif old != new:
        yield key, _truncate(old), _truncate(new)


def _truncate(value: Any, max_length: int = 60) -> str:
    text = str(value)
    return text if len(text) <= max_length else f"{text[: max_length - 3]}..."


def load_stages(folder: Path) -> dict[str, Stage]:
    """The stages of the dvc.yaml in `folder`."""
    supply_seeds(folder)
    with Repo(str(folder)) as repo:
        return read(repo)


def supply_seeds(folder: Path) -> bool:
    """Add an empty list `seeds` to a params.yaml without one, from before there were any; True where it was added.

    DVC has no default for `${seeds}`: `vars` of dvc.yaml may not repeat a key of params.yaml, so a default there would forbid
    the key itself. A dvc.yaml without additional seeds needs none, and what is no YAML is left to those who read it.
    """
    graph, params = folder / "dvc.yaml", folder / "params.yaml"
    if not params.is_file() or not graph.is_file() or SEEDS_REFERENCE not in graph.read_text(encoding="utf-8"):
        return False
    text = params.read_bytes()
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
    if not isinstance(values, dict) or "seeds" in values:
        return False
    write_bytes(params, text.rstrip() + b"\n" + NO_SEEDS.encode())
    return True
