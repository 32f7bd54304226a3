"""Settings of price series: where they come from, how they are checked and split, which network reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tasks.core import registry
from tasks.core.settings import Clean, Fetch, Model, settings
from tasks.use_cases.finance import price_sources

if TYPE_CHECKING:
    pass


MONTH_DAYS = 22
Day = Annotated[str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]
"""YYYY-MM-DD, or empty."""


@settings
class PriceFetch(Fetch):
    path_settings: ClassVar[tuple[str, ...]] = ("path", "news", "scorer")

    ticker: str = ""
    """Column that names the series, empty for a usual name (ticker, symbol, name); a file without one is one series."""
    date: str = ""
    """Column names of your own file, empty for the usual ones."""
    open: str = ""
    high: str = ""
    low: str = ""
    close: str = ""
    volume: str = ""
    fear: str = ""
    """A volatility index at each day's close: a column of your own file, or `vix` for the VIX since 1990; empty for none."""
    news: str = ""
    """A table of texts (ticker, time, text), whose mood and number on the evening each day knows; empty for none."""
    scorer: str = ""
    """The release folder of a model that tells negative from positive texts, such as data/nlp/release; needed with `news`."""

    def __post_init__(self) -> None:
        Fetch.__post_init__(self)
        if bool(self.news) != bool(self.scorer):
            raise ValueError("news and scorer go together: a table of texts, and the release folder of a model that judges them")
        if self.source != "path":
            name = self.dataset or ("" if self.source == "download" else "indices")
            if name not in price_sources.DATASETS:
                raise ValueError(registry.unknown_name("no data set", name, price_sources.DATASETS))
            object.__setattr__(self, "source", "packaged" if price_sources.DATASETS[name].packaged else "download")
            if self.fear not in ("", "vix"):
                raise ValueError(f"fear is {self.fear!r}; a data set by name has no such column, take 'vix' or leave it empty")


@settings
class PriceClean(Clean):
    history_days: Annotated[int, Field(ge=MONTH_DAYS, le=1000)] = 66
    """Trading days that a row knows: the last of them is its own."""
    max_bar_error: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of the price by which a high may miss the open or close and be mended; more is quarantined."""
    validation_from: Day = ""
    """First day to be forecast in validation, empty for where `validation_share` and `test_share` of the days are left."""
    test_from: Day = ""
    """First day to be forecast in test, empty for where `test_share` of the days is left."""
    test_until: Day = ""
    """Last day to be forecast in test, empty for the last there is; later days are in no split."""
    embargo_days: Annotated[int, Field(ge=1, le=366)] = 5
    """Calendar days before validation and test that are left out, so that nothing carries over."""


@settings
class PriceModel(Model):
    architecture: Literal["series_lstm", "tcn", "series_transformer", "har_mlp"] = "har_mlp"
    """A file of tasks/models."""
    hidden: Annotated[int, Field(ge=0, le=4096)] = 0
    """Width of the hidden layers, 0 for the architecture's own."""
    members: Annotated[int, Field(ge=0, le=64)] = 0
    """Networks that learn side by side and answer with their mean, 0 for the architecture's own number."""
