"""Settings of price series: source, validation, splits and network."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tasks.core import registry
from tasks.core.settings import Clean, Fetch, Model, settings
from tasks.data.date_cells import DateForm
from tasks.data.tables import text_lines
from tasks.use_cases.finance import price_sources

MONTH_DAYS = 22
Day = Annotated[str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]
"""YYYY-MM-DD, or empty."""


@settings
class PriceFetch(Fetch):
    path_settings: ClassVar[tuple[str, ...]] = (*Fetch.path_settings, "news", "scorer")

    ticker: str = ""
    """Column of the series' name, empty for a usual name (ticker, symbol, name); a file without one is one series."""
    date: str = ""
    """Column of the date in your own file, empty for a usual name; likewise the columns below."""
    open: str = ""
    high: str = ""
    low: str = ""
    close: str = ""
    volume: str = ""
    fear: str = ""
    """Volatility index at each close: a column of your own file, or `vix` for the VIX since 1990; empty for none."""
    columns: str = ""
    """Names of all columns, with commas between, of files without a header, as in date,open,high,low,close."""
    separator: str = ""
    """What stands between values in text files; empty to find it (comma, semicolon, tab or vertical bar)."""
    encoding: str = ""
    """Encoding of text files, such as cp1252 or gb18030; empty for UTF-8."""
    decimal: Literal["auto", "point", "comma"] = "auto"
    """The decimal sign; `auto` finds it for each file."""
    dates: Literal["auto", DateForm] = "auto"
    """How dates are written: `iso` has the year first; numbers count since 1970, or as in Excel. `auto` finds it by file."""
    calendar: Literal["auto", "weekdays", "every_day", "hourly"] = "auto"
    """When there are bars: on `weekdays`, on `every_day` of the week, or several a day (`hourly`). `auto` finds it by file."""
    news: str = ""
    """A table of news (ticker, time, text); their sentiment and number up to each close become inputs. Empty for none."""
    scorer: str = ""
    """The release folder of a sentiment model, such as data/nlp/release; required with `news`."""

    def __post_init__(self) -> None:
        Fetch.__post_init__(self)
        text_lines.check_encoding(self.encoding)
        if bool(self.news) != bool(self.scorer):
            raise ValueError("news and scorer go together: a table of texts, and the release folder of a sentiment model")
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
    """Trading days in the window of a row, the last one its own."""
    max_bar_error: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """A high or low that misses the open or close by at most this share of the price is repaired, by more quarantined."""
    validation_from: Day = ""
    """First target day of validation, empty to derive it from `validation_share` and `test_share`."""
    test_from: Day = ""
    """First target day of test, empty to derive it from `test_share`."""
    test_until: Day = ""
    """Last target day of test, empty for the last day there is; later days are in no split."""
    embargo_days: Annotated[int, Field(ge=1, le=366)] = 5
    """Calendar days before validation and before test that are in no split, to prevent leakage."""


@settings
class PriceModel(Model):
    architecture: Literal["series_lstm", "tcn", "series_transformer", "har_mlp"] = "har_mlp"
    """A file of tasks/models/finance."""
    hidden: Annotated[int, Field(ge=0, le=4096)] = 0
    """Width of the hidden layers, 0 for the architecture's default."""
    members: Annotated[int, Field(ge=0, le=64)] = 0
    """Ensemble members whose outputs are averaged, 0 for the architecture's default."""
