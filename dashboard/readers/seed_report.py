"""seeds.json of a release: scores and drops of every recipe over seeds."""

from __future__ import annotations

from dashboard.readers.artifact_models import ArtifactModel


class Spread(ArtifactModel):
    """One value per seed, their mean and standard deviation, and the t interval of the mean."""

    values: list[float]
    mean: float
    sd: float
    low: float
    high: float


class SeedRow(ArtifactModel):
    """One recipe over all seeds; dense has no drop."""

    recipe: str
    validation: Spread
    test: Spread
    test_drop: Spread | None = None
    beyond_seed_variance: bool | None = None
    sentence: str = ""


class SeedReport(ArtifactModel):
    """All seeds of a run, and the one whose models are the candidates."""

    chosen: int
    seeds: list[int]
    metric: str
    recipes: list[SeedRow]
    rank_stability: dict[str, float | None] = {}  # noqa: RUF012
    sentence: str = ""

    @property
    def additional(self) -> int | None:
        """The chosen seed if it is an additional one, None for the first."""
        return self.chosen if self.seeds and self.chosen != self.seeds[0] else None
