"""Models of the evaluation reports in metrics.json, one for each kind of problem, and of seeds.json of a release."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from dashboard.readers.artifact_models import ArtifactModel, Interval


class ConfidenceBin(ArtifactModel):
    """The rows of one confidence bin."""

    confidence: float
    accuracy: float
    rows: int


class Calibration(ArtifactModel):
    """The expected calibration error, and the bins of the reliability diagram."""

    ece: float | None = None
    bins: list[ConfidenceBin] = Field(default_factory=list)


class ClassificationReport(ArtifactModel):
    """A classifier's evaluation report, without its metrics."""

    classes: Annotated[list[str], Field(min_length=1)]
    confusion: list[list[int]]
    """Row counts by true class, then by predicted class."""
    per_class: list[dict[str, Any]]
    averages: dict[str, dict[str, float]] = Field(default_factory=dict)
    calibration: Calibration = Calibration()

    @model_validator(mode="after")
    def _square_matrix(self) -> ClassificationReport:
        if [len(row) for row in self.confusion] != [len(self.classes)] * len(self.classes):
            raise ValueError("the confusion matrix does not have one row and one column per class")
        if not all("class" in row for row in self.per_class):
            raise ValueError("a row of the table per class lacks its class")
        return self


class CostPoint(ArtifactModel):
    """The mean cost per row when a missed event costs `default_over_refusal` times as much as a needless refusal."""

    default_over_refusal: float
    cost: float
    take_all: float
    refuse_all: float


class GroupRates(ArtifactModel):
    """The rates of each group, and the largest gaps between groups."""

    groups: list[dict[str, Any]] = Field(default_factory=list)
    gaps: dict[str, float | None] = Field(default_factory=dict)


class BinaryRiskReport(ArtifactModel):
    """The fields of a binary classifier's report beyond those of any classifier."""

    classes: list[str]
    event: str = ""
    threshold: float | None = None
    cost: dict[str, float | None] = Field(default_factory=dict)
    cost_curve: list[CostPoint] = Field(default_factory=list)
    fairness: dict[str, GroupRates] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _event_is_a_class(self) -> BinaryRiskReport:
        if self.event and self.event not in self.classes:
            raise ValueError("the event is not one of the classes")
        return self


class LabelErrors(ArtifactModel):
    """Suspected label errors, and the precision and recall of the suspicion where the true labels are available."""

    suspected: int
    share: float
    precision: float | None = None
    recall: float | None = None
    accuracy_against_truth: float | None = None
    rows: list[dict[str, Any]] = Field(default_factory=list)


class TextPerplexity(ArtifactModel):
    """A text and the model's perplexity on it."""

    text: str
    perplexity: float


class BreachRate(ArtifactModel):
    """The breach rate of one VaR limit, over all series or in one, with the p-values of its coverage tests."""

    ticker: str
    level: float
    days: int
    hits: int
    share: float
    kupiec_p: float | None = None
    independence_p: float | None = None
    christoffersen_p: float | None = None


class BacktestAccount(ArtifactModel):
    """The performance of one backtested account."""

    yearly_return: float
    yearly_volatility: float
    sharpe: float
    sharpe_low: float
    sharpe_high: float
    drawdown: float
    equity: list[float]


class Backtest(ArtifactModel):
    """Two accounts, day by day: volatility targeting, and buy and hold."""

    days: Annotated[list[str], Field(min_length=1)]
    target_percent: float | None = None
    most_position: float | None = None
    cost_share: float | None = None
    targeted: BacktestAccount | None = None
    held: BacktestAccount | None = None

    @model_validator(mode="after")
    def _same_days(self) -> Backtest:
        accounts = [each for each in (self.targeted, self.held) if each]
        if not accounts or any(len(each.equity) != len(self.days) for each in accounts):
            raise ValueError("there is no account, or its days differ from those of the backtest")
        return self


class PeriodLoss(ArtifactModel):
    """The loss in one year or for one series."""

    year: str | None = None
    ticker: str | None = None
    days: int | None = None
    loss: float


class VarianceBin(ArtifactModel):
    """The mean realised variance of the days in one bin of forecast variance."""

    forecast: float
    came: float


class RiskForecastReport(ArtifactModel):
    """A risk forecast's evaluation report, without its metrics."""

    coverage: list[BreachRate]
    backtest: dict[str, Any]
    direction: dict[str, Any] | None = None
    by_year: list[PeriodLoss] = Field(default_factory=list)
    by_ticker: list[PeriodLoss] = Field(default_factory=list)
    calibration: list[VarianceBin] = Field(default_factory=list)


class ErrorQuantile(ArtifactModel):
    """The error (predicted minus actual) that a share `level` of the rows does not exceed."""

    level: float
    error: float


class PredictionTenth(ArtifactModel):
    """The means of one tenth of the rows, in the order of their predictions."""

    rows: int
    predicted: float
    actual: float


class LargeError(ArtifactModel):
    """One of the rows with the largest errors."""

    file: str | None = None
    row: int | None = None
    predicted: float
    actual: float


class RegressionErrors(ArtifactModel):
    """The errors of predicted numbers."""

    quantiles: list[ErrorQuantile] = Field(default_factory=list)
    tenths: list[PredictionTenth] = Field(default_factory=list)
    largest: list[LargeError] = Field(default_factory=list)


class RegressionReport(ArtifactModel):
    """A regression's evaluation report, without its metrics."""

    errors: RegressionErrors


class Condition(ArtifactModel):
    """The first metric under one corruption or attack, or none, with dense's and the drop against it."""

    name: str = ""
    severity: int = 1
    attack: str = ""
    epsilon: float | None = None
    """The radius of an attack, as a share of the range of an input."""
    rows: int = 0
    score: float
    low: float
    high: float
    dense_score: float
    drop: Interval | None = None

    def named(self, name: str) -> Condition:
        """The same figures under a name for people."""
        return self.model_copy(update={"name": name})


class MeanCondition(ArtifactModel):
    """The mean over all corruptions; the drop is averaged row by row."""

    score: float
    dense_score: float
    drop: Interval | None = None


class RobustnessReport(ArtifactModel):
    """The scores of a model under corruptions of test rows and on adversarial examples."""

    rows: int = 0
    metric: str = ""
    clean: Condition | None = None
    corruptions: list[Condition] = Field(default_factory=list)
    mean: MeanCondition | None = None
    adversarial: list[Condition] = Field(default_factory=list)


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
