"""How volatile will tomorrow be? The variance and the lower quantiles of the next day's return, from daily prices.

A row is one trading day of one series, with what was known at its close; the target is the next trading day. Directions are
not forecast, since daily prices do not predict them.
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
from tasks.core.problem import PreprocessingState, Problem
from tasks.core.settings import settings
from tasks.core.splits import CONTEXT_SPLIT
from tasks.core.use_case import Corruption, UseCase
from tasks.data import sources
from tasks.use_cases.finance import news_sentiment, ohlc_bars, price_formats, price_sources, regimes, volatility_baselines
from tasks.use_cases.finance.settings import MONTH_DAYS, PriceClean, PriceFetch, PriceModel
from tasks.use_cases.finance.volatility_forecasting import VolatilityForecasting, predictions_table

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.use_case import Array

WORKING_WEEK = 5
"""Days of a week on which a market trades, unless the train rows have bars on weekends: then 7."""
MAX_STUDENT_WIDTH = 32
"""Hidden units of a student at `width_share` 1. At 0.5 it loses less to the LSTM than at 0.25, walk-forward 2004 to 2009."""


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
        """Yield raw bars, with the VIX joined by date as `fear` if it is set, and the sentiment of news if there are any."""
        fetch = self.fetch
        blocks = price_sources.read_own(fetch) if fetch.source == "path" else price_sources.read_dataset(fetch)
        blocks = price_sources.join_vix(blocks) if fetch.fear == "vix" else blocks
        if not fetch.news:
            return news_sentiment.without_news(blocks)
        texts, scorer = (
            sources.verified_path(getattr(fetch, name), fetch.expected_fingerprint(name)) for name in ("news", "scorer")
        )
        return news_sentiment.join_sentiment(blocks, texts, scorer)

    def check_head(self) -> None:
        """Raise a `UserError` for a source without tables of dates and prices."""
        price_sources.check_head(self.fetch)

    def clean_partition(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Validate each bar by itself. An unreadable or impossible bar is invalid; a high or low that just misses is repaired."""
        bars = ohlc_bars.clean_bars(rows, today=pd.Timestamp.now("UTC").tz_localize(None), max_bar_error=self.clean.max_bar_error)
        ticker = rows["ticker"].astype("string").str.strip().fillna("")
        unnamed = (bars["fault"] == "") & ((ticker == "") | (ticker.str.len() > 40))
        fear = price_formats.bar_numbers(rows, "fear")
        bars["fault"] = bars["fault"].mask(unnamed.to_numpy(), "missing-ticker: the row names no series")
        news = {name: rows[name].astype("float64") for name in ("mood", "buzz")}
        return bars.assign(ticker=ticker.astype(object), fear=fear.where((fear > 0) & np.isfinite(fear)), **news)

    def clean_table(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The window of each day (`past`, None if too short), its targets (`next_*`), and errors found by comparing bars."""
        calendar = ohlc_bars.trading_days(rows)
        cleaned = [self._clean_series(series, calendar) for _, series in rows.groupby("ticker", sort=False)]
        if not cleaned:
            empty = {"past": None, "next_date": pd.NaT, "next_return": np.nan, "next_variance": np.nan}
            return rows[[]].assign(fault="", fix="", **empty)
        return pd.concat(cleaned).reindex(rows.index)

    def _clean_series(self, rows: pd.DataFrame, calendar: pd.DatetimeIndex | None) -> pd.DataFrame:
        rows = rows.sort_values("date", kind="stable")
        fault = ohlc_bars.contradiction_errors(rows)
        unique = rows[(fault == "") & ~rows.duplicated("date")]
        while (errors := ohlc_bars.neighbour_errors(unique)).ne("").any():
            fault.loc[unique.index] = errors
            unique = unique[errors == ""]
        bars = ohlc_bars.measure_bars(unique)
        past = ohlc_bars.past_windows(bars, self.clean.history_days, fear=bool(self.fetch.fear))
        added = ohlc_bars.next_day_targets(unique, bars).assign(past=pd.Series(past, index=unique.index, dtype=object))
        fix = ohlc_bars.step_repairs(unique, calendar).reindex(rows.index).fillna("")
        return pd.DataFrame({"fault": fault, "fix": fix}).join(added)

    def assign_split(self, rows: pd.DataFrame, duplicate_group: pd.Series) -> pd.Series:
        """By the date of the target; days without a window or a next day, and those under embargo, are context."""
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
            first, final = (f"{date:%Y-%m-%d}" if usable.any() else "none" for date in (day[usable].min(), day[usable].max()))
            raise UserError(
                f"no day left for {' and '.join(empty)}: days to be forecast go from {first} to {final}, validation begins "
                f"{validation:%Y-%m-%d} and test {test:%Y-%m-%d}; set clean.validation_from and clean.test_from, or add days"
            )
        chosen = pd.Series(CONTEXT_SPLIT, index=rows.index, dtype=object)
        for name, days in inside.items():
            chosen = chosen.mask(days & usable, name)
        return chosen

    def _borders(self, day: pd.Series) -> tuple[pd.Timestamp, pd.Timestamp]:
        """The first target days of validation and of test."""
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

    def corruptions(self) -> tuple[Corruption, ...]:
        """The calm and the turbulent days, as subsets: a corrupted price would have no true next day."""
        return regimes.corruptions()

    def fit_preprocessing(self, rows: pd.DataFrame) -> PreprocessingState:
        """The length of the window, its optional channels, and mean and standard deviation of the pooled features."""
        import torch

        from tasks.use_cases.finance.window_layers import WindowEncoder

        bars = stack_windows(rows)
        fear = bool(np.isfinite(bars[..., ohlc_bars.VIX]).all())
        news = bool(np.isfinite(bars[..., ohlc_bars.SENTIMENT]).all())
        state: dict[str, Any] = {"window": bars.shape[1], "fear": fear, "news": news}
        week = 7 if (bars[..., ohlc_bars.WEEKDAY] > 4).any() else WORKING_WEEK
        state |= {"week": week} if week != WORKING_WEEK else {}
        encoder = WindowEncoder(bars.shape[1], fear=fear, news=news)
        with torch.no_grad():
            features = encoder(torch.from_numpy(day_channels(bars, fear, news, week))).pooled_BP.double()
        std = features.std(0).clamp_min(1e-3)
        moments = {"mean": features.mean(0), "std": std}
        return state | {name: [round(float(value), 6) for value in values] for name, values in moments.items()}

    def encode(self, rows: pd.DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """Encode N rows as float32 (N, W, F) with `window_layers.DAY_CHANNELS`, and targets (N, 2): next variance and return."""
        bars = stack_windows(rows)
        if bars.shape[1] < state["window"]:
            raise UserError(
                f"rows have windows of {bars.shape[1]} days, the model needs {state['window']}; set clean.history_days"
            )
        targets = rows[["next_variance", "next_return"]].to_numpy(np.float32, copy=True)
        return day_channels(bars[:, -state["window"] :], state["fear"], state["news"], state.get("week", WORKING_WEEK)), targets

    def slice_columns(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The series, the year, and the volatility of the past month, in percent per day."""
        variance = volatility_baselines.past_days(stack_windows(rows), rows["ticker"], seconds_since_1970(rows["date"])).variance
        volatility = np.sqrt(variance[:, -MONTH_DAYS:].mean(axis=1))
        return rows[["ticker"]].assign(year=rows["date"].dt.year.astype(str), volatility=volatility)

    def build_model(self, state: PreprocessingState) -> nn.Module:
        """The configured architecture for the window and the channels of the train rows."""
        model = self.model
        shape = {name: value for name, value in (("hidden", model.hidden), ("members", model.members)) if value}
        network: nn.Module = registry.build_network(self.name, model.architecture, {**_fields(state), **shape})
        return network

    def own_network(self, state: PreprocessingState) -> dict[str, Any]:
        """Windows (B, W, F) with `window_layers.DAY_CHANNELS`; `window` (W), `channels` (F), `outputs`: 3."""
        from tasks.use_cases.finance.window_layers import DAY_CHANNELS, OUTPUTS, VIX

        channels = VIX + state["fear"] + (len(DAY_CHANNELS) - 1 - VIX) * state["news"]
        keywords = {"window": state["window"], "channels": channels, "outputs": len(OUTPUTS)}
        return {"inputs": "windows", "keywords": keywords, "outputs": len(OUTPUTS)}

    def build_student(self, state: PreprocessingState, width_share: float) -> nn.Module:
        """One `har_mlp`, which reads the pooled features only, with `width_share` of `MAX_STUDENT_WIDTH` hidden units."""
        hidden = max(4, round(MAX_STUDENT_WIDTH * width_share))
        network: nn.Module = registry.build_network(self.name, "har_mlp", {**_fields(state), "hidden": hidden, "members": 1})
        return network

    def baselines(self, train: pd.DataFrame, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """The models of `volatility_baselines`, fitted on the train rows."""
        train_past, past = (
            volatility_baselines.past_days(stack_windows(table), table["ticker"], seconds_since_1970(table["date"]))
            for table in (train, rows)
        )
        variance, returns = (train[name].to_numpy(np.float64) for name in ("next_variance", "next_return"))
        forecasts = volatility_baselines.forecasts(train_past, variance, returns, past)
        return {name: predictions_table(rows, forecast) for name, forecast in forecasts.items()}


def stack_windows(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The windows of N rows, (N, W, BAR_FIELDS)."""
    flat = np.stack([np.asarray(past, np.float32) for past in rows["past"]])
    return flat.reshape(len(flat), -1, len(ohlc_bars.BAR_FIELDS))


def day_channels(
    bars: np.ndarray[Any, np.dtype[np.float32]], fear: bool, news: bool = False, week: int = WORKING_WEEK
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The channels of each day, (N, W, F), as in `window_layers.DAY_CHANNELS`, from windows of bars (N, W, BAR_FIELDS)."""
    high, low, move = (bars[..., field] for field in (ohlc_bars.HIGH, ohlc_bars.LOW, ohlc_bars.INTRADAY))
    channels = [
        np.log(ohlc_bars.garman_klass(high, low, move)),
        bars[..., ohlc_bars.GAP] + move,
        (move - low) / np.maximum(high - low, 1e-6) - 0.5,
        (bars[..., ohlc_bars.WEEKDAY] + 1) % week,
        bars[..., ohlc_bars.TAIL_5],
        bars[..., ohlc_bars.TAIL_1],
    ]
    channels += [bars[..., ohlc_bars.VIX]] * fear
    channels += [bars[..., ohlc_bars.SENTIMENT], bars[..., ohlc_bars.NEWS_VOLUME]] * news
    return np.stack(channels, axis=-1).astype(np.float32)


def seconds_since_1970(date: pd.Series) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(date.to_numpy("datetime64[s]"), np.int64)


def _fields(state: PreprocessingState) -> dict[str, Any]:
    """The part of the state that builds a network."""
    return {name: value for name, value in state.items() if name != "week"}
