"""How rough will tomorrow be? The variance and the lower quantiles of the next day's return, from daily prices.

A row is one trading day of one series, with what was known on its evening; what is asked is the trading day after it.
Directions are not forecast: daily prices do not tell them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.problem import Problem
from tasks.core.settings import settings
from tasks.core.splits import CONTEXT_SPLIT
from tasks.core.use_case import PreprocessingState, UseCase
from tasks.data import sources
from tasks.use_cases.finance import news_sentiment, ohlc_bars, price_sources, volatility_baselines
from tasks.use_cases.finance.settings import PriceClean, PriceFetch, PriceModel
from tasks.use_cases.finance.volatility_forecasting import VolatilityForecasting, predictions_of

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.use_case import Array

WIDEST_STUDENT = 32
"""Hidden units of a student as wide as can be: half of them lose less to the LSTM than a quarter, walked from 2004 to 2009."""


@settings
class Finance(UseCase):
    fetch: PriceFetch = Field(default_factory=PriceFetch)
    clean: PriceClean = Field(default_factory=PriceClean)
    model: PriceModel = Field(default_factory=PriceModel)

    class Schema(pa.DataFrameModel):
        ticker: str = pa.Field(str_length={"min_value": 1, "max_value": 40})
        date: pd.Timestamp
        open: float = pa.Field(gt=0)
        high: float = pa.Field(gt=0)
        low: float = pa.Field(gt=0)
        close: float = pa.Field(gt=0)
        volume: float = pa.Field(gt=0, nullable=True)
        fear: float = pa.Field(gt=0, nullable=True)
        mood: float = pa.Field(ge=-1, le=1, nullable=True)
        buzz: float = pa.Field(ge=0, nullable=True)

        @pa.dataframe_check
        @classmethod
        def bar_is_whole(cls, rows: pd.DataFrame) -> pd.Series:
            body = rows[["open", "close"]]
            return (rows["low"] <= body.min(axis=1)) & (body.max(axis=1) <= rows["high"])

    summary: ClassVar[str] = (
        "How rough will tomorrow be? The variance and the lower quantiles of the next day's return, from daily prices."
    )
    problem: ClassVar[Problem] = VolatilityForecasting()
    unique_key: ClassVar[tuple[str, ...]] = ("ticker", "date")

    def load(self) -> Iterator[pd.DataFrame]:
        """Bars as they come, with `fear` joined by date where the VIX is asked for."""
        fetch = self.fetch
        if fetch.source == "path":
            columns = {name: getattr(fetch, name) for name in price_sources.COLUMNS if name != "fear" or fetch.fear != "vix"}
            blocks = price_sources.read_path(sources.verified_path(fetch.path, fetch.expected_fingerprint("path")), columns)
        else:
            blocks = price_sources.read_dataset(fetch.dataset or "indices")
        blocks = price_sources.join_vix(blocks) if fetch.fear == "vix" else blocks
        if not fetch.news:
            return news_sentiment.without_news(blocks)
        texts, scorer = (
            sources.verified_path(getattr(fetch, name), fetch.expected_fingerprint(name)) for name in ("news", "scorer")
        )
        return news_sentiment.join_sentiment(blocks, texts, scorer)

    def clean_partition(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Each bar by itself: what cannot be read or cannot be true gets a fault; a high or low that just misses is mended."""
        judged = ohlc_bars.clean_bars(
            rows, today=pd.Timestamp.now("UTC").tz_localize(None), max_bar_error=self.clean.max_bar_error
        )
        ticker = rows["ticker"].astype("string").str.strip().fillna("")
        unnamed = (judged["fault"] == "") & ((ticker == "") | (ticker.str.len() > 40))
        fear = ohlc_bars.parse_numbers(rows["fear"])
        judged["fault"] = judged["fault"].mask(unnamed.to_numpy(), "missing-ticker: the row names no series")
        written = {name: rows[name].astype("float64") for name in ("mood", "buzz")}
        return judged.assign(ticker=ticker.astype(object), fear=fear.where(fear > 0), **written)

    def clean_table(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Each day's past (`past`, none while it is too short) and what came the day after (`next_*`); faults beside others."""
        calendar = ohlc_bars.trading_days(rows)
        related = [self._series(series, calendar) for _, series in rows.groupby("ticker", sort=False)]
        if not related:
            nothing = {"past": None, "next_date": pd.NaT, "next_return": np.nan, "next_variance": np.nan}
            return rows[[]].assign(fault="", fix="", **nothing)
        return pd.concat(related).reindex(rows.index)

    def _series(self, rows: pd.DataFrame, calendar: pd.DatetimeIndex | None) -> pd.DataFrame:
        rows = rows.sort_values("date", kind="stable")
        fault = ohlc_bars.contradiction_errors(rows)
        once = rows[(fault == "") & ~rows.duplicated("date")]
        while (beside := ohlc_bars.neighbour_errors(once)).ne("").any():
            fault.loc[once.index] = beside
            once = once[beside == ""]
        bars = ohlc_bars.measure_bars(once)
        past = ohlc_bars.past_windows(bars, self.clean.history_days, fear=bool(self.fetch.fear))
        found = ohlc_bars.next_day_targets(once, bars).assign(past=pd.Series(past, index=once.index, dtype=object))
        fix = ohlc_bars.step_repairs(once, calendar).reindex(rows.index).fillna("")
        return pd.DataFrame({"fault": fault, "fix": fix}).join(found)

    def assign_split(self, rows: pd.DataFrame, duplicate_group: pd.Series) -> pd.Series:
        """By the day that is forecast; days without a past or a next day, and those under embargo, are context."""
        usable = rows["past"].notna() & rows["next_date"].notna()
        day = rows["next_date"]
        validation, test = self._borders(day[usable])
        embargo, last = pd.Timedelta(days=self.clean.embargo_days), pd.Timestamp(self.clean.test_until or pd.Timestamp.max)
        inside = {
            "train": day < validation - embargo,
            "validation": (day >= validation) & (day < test - embargo),
            "test": (day >= test) & (day <= last),
        }
        if empty := [name for name, chosen in inside.items() if not (chosen & usable).any()]:
            first, final = (f"{found:%Y-%m-%d}" if usable.any() else "none" for found in (day[usable].min(), day[usable].max()))
            raise UserError(
                f"no day left for {' and '.join(empty)}: days to be forecast go from {first} to {final}, validation begins "
                f"{validation:%Y-%m-%d} and test {test:%Y-%m-%d}; set clean.validation_from and clean.test_from, or add days"
            )
        chosen = pd.Series(CONTEXT_SPLIT, index=rows.index, dtype=object)
        for name, days in inside.items():
            chosen = chosen.mask(days & usable, name)
        return chosen

    def _borders(self, day: pd.Series) -> tuple[pd.Timestamp, pd.Timestamp]:
        """The first days of validation and of test."""
        clean, days = self.clean, np.sort(day.unique())
        if not len(days):
            raise UserError(
                f"no series has more than clean.history_days={clean.history_days} clean days; nothing can be forecast"
            )
        shares = {"validation": clean.validation_share + clean.test_share, "test": clean.test_share}
        borders = {name: pd.Timestamp(days[min(len(days) - 1, int(len(days) * (1 - share)))]) for name, share in shares.items()}
        validation = pd.Timestamp(clean.validation_from) if clean.validation_from else borders["validation"]
        test = pd.Timestamp(clean.test_from) if clean.test_from else borders["test"]
        if validation >= test:
            raise UserError(
                f"validation begins {validation:%Y-%m-%d} and test {test:%Y-%m-%d}, but validation must come first: "
                "set clean.validation_from and clean.test_from"
            )
        return validation, test

    def fit_preprocessing(self, rows: pd.DataFrame) -> PreprocessingState:
        """The length of the past, whether it holds a volatility index, and mean and deviation of the figures networks pool."""
        import torch

        from tasks.use_cases.finance.window_layers import WindowEncoder

        bars = stacked(rows)
        fear = bool(np.isfinite(bars[..., ohlc_bars.VIX]).all())
        written = bool(np.isfinite(bars[..., ohlc_bars.SENTIMENT]).all())
        state = {"window": bars.shape[1], "fear": fear, "news": written}
        stem = WindowEncoder(bars.shape[1], fear=fear, news=written)
        with torch.no_grad():
            figures = stem(torch.from_numpy(days_of(bars, fear, written))).pooled_BP.double()
        deviation = figures.std(0).clamp_min(1e-3)
        moments = {"mean": figures.mean(0), "std": deviation}
        return state | {name: [round(float(value), 6) for value in values] for name, values in moments.items()}

    def encode(self, rows: pd.DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """Inputs (N, W, F), float32, with `window_layers.DAY_CHANNELS`; targets (N, 2): next variance and return."""
        bars = stacked(rows)
        if bars.shape[1] < state["window"]:
            raise UserError(
                f"rows know {bars.shape[1]} days of the past, the model reads {state['window']}; set clean.history_days"
            )
        targets = rows[["next_variance", "next_return"]].to_numpy(np.float32, copy=True)
        return days_of(bars[:, -state["window"] :], state["fear"], state["news"]), targets

    def build_model(self, state: PreprocessingState) -> nn.Module:
        """The architecture by name, for the days and channels that the rows have."""
        model = self.model
        shape = {name: value for name, value in (("hidden", model.hidden), ("members", model.members)) if value}
        network: nn.Module = registry.build_network(self.name, model.architecture, {**state, **shape})
        return network

    def build_student(self, state: PreprocessingState, width_share: float) -> nn.Module:
        """A plain HAR perceptron, which reads the pooled figures only, with that share of its widest hidden layer."""
        hidden = max(4, round(WIDEST_STUDENT * width_share))
        network: nn.Module = registry.build_network(self.name, "har_mlp", {**state, "hidden": hidden, "members": 1})
        return network

    def baselines(self, train: pd.DataFrame, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """The classics of `volatility_baselines`, fitted on the train rows."""
        pasts = [
            volatility_baselines.past_days(stacked(some), some["ticker"], days_since_1970(some["date"])) for some in (train, rows)
        ]
        variance, returns = (train[name].to_numpy(np.float64) for name in ("next_variance", "next_return"))
        found = volatility_baselines.forecasts(pasts[0], variance, returns, pasts[1])
        return {name: predictions_of(rows, said) for name, said in found.items()}


def stacked(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The pasts of rows, (N, W, BAR)."""
    flat = np.stack([np.asarray(past, np.float32) for past in rows["past"]])
    return flat.reshape(len(flat), -1, len(ohlc_bars.BAR_FIELDS))


def days_of(
    bars: np.ndarray[Any, np.dtype[np.float32]], fear: bool, written: bool = False
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The channels of each day, (N, W, F), as in `window_layers.DAY_CHANNELS`, from bars (N, W, BAR)."""
    high, low, move = (bars[..., place] for place in (ohlc_bars.HIGH, ohlc_bars.LOW, ohlc_bars.INTRADAY))
    channels = [
        np.log(ohlc_bars.garman_klass(high, low, move)),
        bars[..., ohlc_bars.GAP] + move,
        (move - low) / np.maximum(high - low, 1e-6) - 0.5,
        (bars[..., ohlc_bars.WEEKDAY] + 1) % 5,
        bars[..., ohlc_bars.TAIL_5],
        bars[..., ohlc_bars.TAIL_1],
    ]
    channels += [bars[..., ohlc_bars.VIX]] * fear
    channels += [bars[..., ohlc_bars.SENTIMENT], bars[..., ohlc_bars.NEWS_VOLUME]] * written
    return np.stack(channels, axis=-1).astype(np.float32)


def days_since_1970(date: pd.Series) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(date.to_numpy("datetime64[D]"), np.int64)
