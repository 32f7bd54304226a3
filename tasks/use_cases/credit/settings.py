"""Settings of tables: label and columns, validation of rows, network and training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tasks.core import registry
from tasks.core.settings import Clean, Fetch, Model, Training, settings
from tasks.data.tables import text_lines
from tasks.use_cases.credit import datasets

if TYPE_CHECKING:
    from tasks.use_cases.credit.datasets import CreditDataset


@settings
class TableFetch(Fetch):
    label: str = ""
    """The label's column, empty for a usual name (default, target, label, class, ...)."""
    target: Literal["auto", "classes", "number"] = "auto"
    """Whether the label is a class or a number to predict; `auto` takes numbers with fractions or with more than 20 values as
    numbers."""
    numbers: tuple[str, ...] = ()
    """Numeric columns; the kinds of columns not listed here or in `categories` are inferred."""
    categories: tuple[str, ...] = ()
    """Categorical columns."""
    ignore: tuple[str, ...] = ()
    """Columns that are not used."""
    columns: str = ""
    """Names of all columns, with commas between, of a file without a header."""
    split: str = ""
    """Column with the split of each row (train, validation, test); empty for a usual name with such values."""
    separator: str = ""
    """What stands between values in a CSV file; empty to find it (comma, semicolon, tab or vertical bar)."""
    encoding: str = ""
    """Encoding of a text file, such as cp1252 or gb18030; empty for UTF-8."""
    decimal: Literal["auto", "point", "comma"] = "auto"
    """The decimal sign of all numbers; `auto` finds it for each column."""

    def __post_init__(self) -> None:
        Fetch.__post_init__(self)
        text_lines.check_encoding(self.encoding)
        if self.source != "path":
            if self.dataset and self.dataset not in datasets.DATASETS:
                raise ValueError(registry.unknown_name("no data set", self.dataset, datasets.DATASETS))
            object.__setattr__(self, "source", "download")  # no package ships credit data
            object.__setattr__(self, "dataset", self.dataset or "taiwan")

    @property
    def named_dataset(self) -> CreditDataset | None:
        """The data set named by `dataset`; None for a file of the user's own."""
        return None if self.source == "path" else datasets.DATASETS[self.dataset]


@settings
class TableClean(Clean):
    repeats: Literal["auto", "drop", "keep"] = "auto"
    """Equal rows: `auto` drops all but one of those with the same id, and keeps them where no column is an id; `drop` looks at
    no id; `keep` keeps all."""
    groups: tuple[str, ...] = ()
    """Columns of the fairness report, empty for those named sex, gender or age."""
    group_edges: tuple[float, ...] = (25, 35, 45, 60)
    """Bin edges of numeric group columns; the default suits ages."""


@settings
class TableModel(Model):
    architecture: str = "tabular_mlp"
    """A file of tasks/models/credit: tabular_mlp or ft_transformer."""
    fields: dict[str, Any] = Field(default_factory=dict)
    """The architecture's own settings, as {hidden: [64, 64], members: 4}; empty for its defaults."""
    knots: Annotated[int, Field(ge=2, le=256)] = 16
    """Points of the curve that maps a number to normal scores."""
    event: str = ""
    """The label of the event (positive class); empty for the data set's own, or the rarer label."""
    default_cost: Annotated[float, Field(gt=0, le=1000)] = 5.0
    """Cost of a false negative (a default) as a multiple of a false positive (refusing a payer); it sets the threshold."""
    blind: bool = False
    """Exclude the columns of `clean.groups` from the inputs. Columns that correlate with them remain."""


@settings
class TableTraining(Training):
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 256
    """For tens of thousands of rows; 32 suits a thousand."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.003
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.05
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
