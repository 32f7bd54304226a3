"""Settings of tables: which column is the label, what is kept, which network reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tasks.core import registry
from tasks.core.settings import Clean, Contract, Fetch, Model, Share, Training, settings
from tasks.use_cases.credit import datasets

if TYPE_CHECKING:
    from tasks.use_cases.credit.datasets import CreditDataset


@settings
class TableFetch(Fetch):
    label: str = ""
    """Column of the label, empty for a usual name (default, target, label, class, ...)."""
    target: Literal["auto", "classes", "number"] = "auto"
    """What the label is: the name of a class, or a number to be predicted; `auto` takes numbers with fractions or with more
    than 20 values as numbers."""
    numbers: tuple[str, ...] = ()
    """Columns that are numbers whatever they look like; the other columns' kinds are found by themselves."""
    categories: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    """Columns that are not looked at."""
    separator: str = ""
    """Between the values of a CSV line, empty for a comma (.tsv: a tab)."""

    def __post_init__(self) -> None:
        Fetch.__post_init__(self)
        if self.source != "path":
            if self.dataset and self.dataset not in datasets.DATASETS:
                raise ValueError(registry.unknown_name("no data set", self.dataset, datasets.DATASETS))
            object.__setattr__(self, "source", "download")  # no package ships credit data
            object.__setattr__(self, "dataset", self.dataset or "taiwan")

    @property
    def known(self) -> CreditDataset | None:
        """The data set of that name, none for the user's own."""
        return None if self.source == "path" else datasets.DATASETS[self.dataset]


@settings
class TableClean(Clean):
    repeats: Literal["drop", "keep"] = "drop"
    """Rows equal in every column: `drop` all but one, or `keep` them, where columns are too coarse to tell people apart."""
    groups: tuple[str, ...] = ()
    """Columns by which fairness is reported, empty for those called sex, gender or age."""
    group_edges: tuple[float, ...] = (25, 35, 45, 60)
    """Where a group's numbers are cut; made for ages."""


@settings
class TableModel(Model):
    architecture: str = "tabular_mlp"
    """A file of tasks/models: tabular_mlp or ft_transformer."""
    fields: dict[str, Any] = Field(default_factory=dict)
    """The architecture's own settings, as {hidden: [64, 64], members: 4}; empty for its defaults."""
    knots: Annotated[int, Field(ge=2, le=256)] = 16
    """Points of the curve that brings a number to normal scores."""
    event: str = ""
    """The label that is feared; empty for the data set's own, or the rarer one."""
    default_cost: Annotated[float, Field(gt=0, le=1000)] = 5.0
    """What a default costs, as a multiple of refusing one who would have paid: it sets the threshold of refusal."""
    blind: bool = False
    """Keep the columns of `clean.groups` from the network. What goes with them it still sees."""


@settings
class TableTraining(Training):
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 256
    """For tens of thousands of rows; 32 suits a thousand."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.003
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.05
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"


@settings
class TableContract(Contract):
    max_drop: Share = 0.005
    min_speedup: Annotated[float, Field(ge=0)] = 1.0
    """A network for tables answers in microseconds: it must not become slower."""
