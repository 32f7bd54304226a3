"""Layout of the stage graph: columns for wide screens, chains for narrow ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.readers.runs.run_records import stage_parts


@dataclass(frozen=True, slots=True)
class Edge:
    """A dependency between stages. `aside` marks one for comparison only, such as the dense model in every evaluation."""

    source: str
    target: str
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns by depth and rows by recipe, and the same stages as a sequence of chains."""

    places: dict[str, tuple[int, float]]
    """Column, from 0, and row, with 0 in the middle."""
    edges: tuple[Edge, ...]
    chains: tuple[tuple[str, ...], ...]


def compute_layout(needs: Mapping[str, Sequence[str]]) -> Layout:
    """Layout of stages in execution order, each with the stages that it depends on."""
    ancestors: dict[str, set[str]] = {}
    depth: dict[str, int] = {}
    edges: list[Edge] = []
    for name, required in needs.items():
        known_needs = [need for need in required if need in ancestors]
        implied = set().union(*(ancestors[need] for need in known_needs))
        ancestors[name] = implied.union(known_needs)
        depth[name] = 1 + max((depth[need] for need in known_needs), default=-1)
        edges += _edges(name, [need for need in known_needs if need not in implied])
    return Layout(_places(depth), tuple(edges), _chains(depth))


def _edges(name: str, needs: list[str]) -> list[Edge]:
    recipe = stage_parts(name)[2]
    own = any(recipe and stage_parts(need)[2] == recipe for need in needs)
    return [Edge(need, name, aside=own and stage_parts(need)[2] not in ("", recipe)) for need in needs]


def _places(depth: Mapping[str, int]) -> dict[str, tuple[int, float]]:
    recipes = list(dict.fromkeys(stage_parts(name)[2] for name in depth if stage_parts(name)[2]))
    places: dict[str, tuple[int, float]] = {}
    for column in sorted(set(depth.values())):
        names = [name for name in depth if depth[name] == column]
        plain = [name for name in names if not stage_parts(name)[2]]
        for name in names:
            if name in plain:
                places[name] = (column, plain.index(name) - (len(plain) - 1) / 2)
            else:
                places[name] = (column, recipes.index(stage_parts(name)[2]) - (len(recipes) - 1) / 2)
    return _without_overlaps(places)


def _without_overlaps(places: dict[str, tuple[int, float]]) -> dict[str, tuple[int, float]]:
    """Move the later of two stages down where both have the same place."""
    taken: set[tuple[int, float]] = set()
    for name, (column, row) in places.items():
        while any(other == column and abs(row - at) < 1 for other, at in taken):
            row += 0.5
        places[name] = (column, row)
        taken.add((column, row))
    return places


def _chains(depth: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
    with_recipe = [depth[name] for name in depth if stage_parts(name)[2]]
    first = min(with_recipe, default=len(depth))
    ordered = sorted(depth, key=lambda name: depth[name])
    before = [name for name in ordered if not stage_parts(name)[2] and depth[name] <= first]
    after = [name for name in ordered if not stage_parts(name)[2] and depth[name] > first]
    by_recipe: dict[str, list[str]] = {}
    for name in sorted(depth, key=lambda name: depth[name]):
        if stage_parts(name)[2]:
            by_recipe.setdefault(stage_parts(name)[2], []).append(name)
    return tuple(tuple(chain) for chain in (before, *by_recipe.values(), after) if chain)
