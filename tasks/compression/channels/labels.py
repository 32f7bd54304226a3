"""Labels of indices: every index along every dimension of a tensor has one, and indices that must go together share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
"""The labels along one dimension."""
FIXED = 0
"""The label of an index that cannot be removed, such as a pixel, a class or a token of the vocabulary."""


@dataclass(slots=True)
class Labels:
    """Labels that can be joined (union-find, R. Tarjan 1975). Whatever is joined with `FIXED` stays."""

    parents: list[int] = field(default_factory=lambda: [FIXED])

    def new(self, count: int) -> Ids:
        """`count` labels that nothing else has."""
        first = len(self.parents)
        self.parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def root(self, label: int) -> int:
        """The label that stands for all that were joined with this one."""
        parents = self.parents
        while parents[label] != label:
            parents[label] = parents[parents[label]]
            label = parents[label]
        return label

    def roots(self, ids: Ids) -> Ids:
        """The standing label of each."""
        return np.array([self.root(label) for label in ids.tolist()], dtype=np.int64)

    def join(self, one: Ids, other: Ids) -> None:
        """Join two dimensions index by index. The smaller label stands, so that `FIXED` wins."""
        for left, right in zip(one.tolist(), other.tolist(), strict=True):
            low, high = sorted((self.root(left), self.root(right)))
            self.parents[high] = low

    def fix(self, ids: Ids) -> None:
        """Keep these indices."""
        self.join(ids, fixed(len(ids)))

    def is_fixed(self, ids: Ids) -> bool:
        """Whether no index of the dimension can be removed."""
        return bool((self.roots(ids) == FIXED).all())

    def tie(self, ids: Ids, blocks: int) -> Ids:
        """Join the dimension's equal blocks with one another, and return the labels of one block."""
        parts = ids.reshape(blocks, -1)
        for part in parts[1:]:
            self.join(parts[0], part)
        return np.asarray(parts[0])

    def reshape(self, dims: Sequence[Ids], shape: Sequence[int]) -> list[Ids]:
        """The dimensions of a reshaped tensor, in row-major order.

        Of the factors of a dimension that is split, the last carries the labels, and the others cannot be removed. The same
        holds where dimensions are merged, unless only another one can be removed: then each index spans a range of entries.
        """
        sizes = [len(ids) for ids in dims]
        factors = _common_factors(sizes, shape)
        if factors is None:
            for ids in dims:
                self.fix(ids)
            return [fixed(size) for size in shape]
        before, after = factors
        parts = [part for ids, split in zip(dims, before, strict=True) for part in self._split(ids, split)]
        merged, place = [], 0
        for count in after:
            merged.append(self._merge(parts[place : place + count]))
            place += count
        return merged

    def _split(self, ids: Ids, sizes: Sequence[int]) -> list[Ids]:
        """The factors (sizes above 1) of one dimension."""
        if not sizes:
            return []
        if len(sizes) == 1:
            return [ids]
        return [*(fixed(size) for size in sizes[:-1]), self.tie(ids, prod(sizes[:-1]))]

    def _merge(self, parts: Sequence[Ids]) -> Ids:
        """One dimension from neighbouring ones; only one of them keeps labels that can be removed."""
        if not parts:
            return fixed(1)
        free = [place for place, ids in enumerate(parts) if not self.is_fixed(ids)]
        for place in free[:-1]:
            self.fix(parts[place])
        if not free:
            return fixed(prod(len(ids) for ids in parts))
        kept = free[-1]
        inner, outer = (prod(len(ids) for ids in some) for some in (parts[kept + 1 :], parts[:kept]))
        return np.tile(np.repeat(parts[kept], inner), outer)


def fixed(count: int) -> Ids:
    """Labels of `count` indices that cannot be removed."""
    return np.zeros(count, dtype=np.int64)


def _common_factors(before: Sequence[int], after: Sequence[int]) -> tuple[list[list[int]], list[int]] | None:
    """The factors of each dimension before, and how many of them make each dimension after; none where they do not fit."""
    if prod(before) != prod(after) or prod(before) == 0:
        return None
    ends = sorted({int(end) for sizes in (before, after) for end in np.cumprod([1, *sizes])})
    if any(larger % smaller for smaller, larger in pairwise(ends)):
        return None

    def within(sizes: Sequence[int]) -> list[list[int]]:
        start = 1
        factors: list[list[int]] = []
        for size in sizes:
            inner = [end for end in ends if start <= end <= start * size] if size > 1 else [start]
            factors.append([larger // smaller for smaller, larger in pairwise(inner)])
            start *= size
        return factors

    return within(before), [len(factors) for factors in within(after)]
