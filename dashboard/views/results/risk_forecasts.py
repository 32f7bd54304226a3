"""Results of forecasting risk: what was said against what came, how often limits broke, and what an account would show."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
import streamlit as st
from pydantic import Field, model_validator

from dashboard.charts import finance_charts
from dashboard.readers.artifact_models import Reading, SplitMetrics, understood
from dashboard.readers.artifacts import Artifacts
from dashboard.text import formatting
from dashboard.ui import locale, page_context, pickers, widgets
from dashboard.ui.locale import t
from dashboard.views.results import summary

QUANTILES = {"quantile_5": 0.05, "quantile_1": 0.01}
MOST_DAYS = 3000
UNSURE = 0.05


TESTS = ("kupiec_p", "independence_p", "christoffersen_p")


class Covered(Reading):
    """How often one limit was undercut, over all series or in one, and the probability of so odd a count or pattern."""

    ticker: str
    level: float
    days: int
    hits: int
    share: float
    kupiec_p: float | None = None
    independence_p: float | None = None
    christoffersen_p: float | None = None


class Account(Reading):
    """What an account would show."""

    yearly_return: float
    yearly_volatility: float
    sharpe: float
    sharpe_low: float
    sharpe_high: float
    drawdown: float
    equity: list[float]


class Backtest(Reading):
    """Two accounts, day by day."""

    days: Annotated[list[str], Field(min_length=1)]
    target_percent: float | None = None
    most_position: float | None = None
    cost_share: float | None = None
    targeted: Account | None = None
    held: Account | None = None

    @model_validator(mode="after")
    def _of_the_same_days(self) -> Backtest:
        shown = [each for each in (self.targeted, self.held) if each]
        if not shown or any(len(each.equity) != len(self.days) for each in shown):
            raise ValueError("there is no account, or one of other days")
        return self


class Period(Reading):
    """The loss in a year or of a series."""

    year: str | None = None
    ticker: str | None = None
    days: int | None = None
    loss: float


class Group(Reading):
    """Days of about the same forecast variance, and the mean that came."""

    forecast: float
    came: float


class Report(Reading):
    """What is told of a risk forecast besides its scores."""

    coverage: list[Covered]
    backtest: dict[str, Any]
    direction: dict[str, Any] | None = None
    by_year: list[Period] = Field(default_factory=list)
    by_ticker: list[Period] = Field(default_factory=list)
    calibration: list[Group] = Field(default_factory=list)


def is_mine(report: dict[str, Any]) -> bool:
    """Whether a report is one of risk forecasts."""
    return "coverage" in report and "backtest" in report


def show(artifacts: Artifacts, recipe: str, split: str, split_metrics: SplitMetrics) -> None:
    """The views of a risk forecast's results."""
    views = {"forecast": forecast, "coverage": coverage, "account": account, "periods": periods}
    chosen = pickers.choose_view([*views, "standings"], "risk")
    with page_context.or_say():
        report = understood(split_metrics.report, Report, "metrics.json")
        if chosen == "standings":
            with st.container(border=True):
                summary.standings(artifacts, split, split_metrics)
            rivals(artifacts, split)
        else:
            views[chosen](artifacts, recipe, split, report)


def forecast(artifacts: Artifacts, recipe: str, split: str, report: Report) -> None:
    """The next day's return with the limits that were forecast, breaches marked; and the volatility said and come."""
    numbers = ("next_return", "next_variance", "variance", *QUANTILES)
    predictions = artifacts.predictions(recipe, split, ("ticker", "next_date"), numbers)
    tickers = sorted(predictions["ticker"].astype(str).unique())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        ticker = pickers.choose_from("ticker", tickers, t("risk.series"), tickers[0], few=True)
        level = pickers.choose_from(
            "level", list(QUANTILES), t("risk.limit"), "quantile_5", lambda name: f"{QUANTILES[name]:.0%}", few=True
        )
    some = predictions[predictions["ticker"] == ticker].sort_values("next_date")
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime(some["next_date"]).dt.strftime("%Y-%m-%d"),
            "came": some["next_return"].round(4),
            **{name: some[name].round(4) for name in QUANTILES},
            "breach": some["next_return"].where(some["next_return"] < some[level]).round(4),
            "volatility": (some["variance"] ** 0.5).round(4),
            "realised": (some["next_variance"] ** 0.5).round(4),
        }
    ).tail(MOST_DAYS)
    breaches, days = int(frame["breach"].notna().sum()), len(frame)
    st.caption(
        t(
            "risk.breaches",
            breaches=breaches,
            days=formatting.number(days),
            share=formatting.percent(breaches / max(1, days), 2),
            level=f"{QUANTILES[level]:.0%}",
        )
    )
    limits = {
        name: t("risk.limit_at", level=f"{QUANTILES[name]:.0%}") for name in sorted(QUANTILES, key=lambda name: QUANTILES[name])
    }
    names = {name: t(f"risk.{name}") for name in ("came", "volatility", "realised")}
    names["breach"] = t("risk.breach", level=f"{QUANTILES[level]:.0%}")
    with st.container(border=True):
        st.echarts_chart(
            finance_charts.forecast(frame, limits, names),
            key="forecast",
            height=520,
            alt=t("risk.forecast_alt", ticker=formatting.clean(ticker)),
        )
        widgets.numbers(frame, key="forecast_numbers", alt_text=t("risk.forecast_alt", ticker=formatting.clean(ticker)))


def coverage(artifacts: Artifacts, recipe: str, split: str, report: Report) -> None:
    """How often each limit was undercut, and whether that can be luck."""
    whole = [row for row in report.coverage if row.ticker == "all"]
    widgets.cards(
        {
            t("risk.undercut", level=f"{row.level:.0%}"): (
                formatting.percent(row.share, 2),
                t(
                    "risk.kupiec",
                    p=formatting.chance(row.kupiec_p),
                    hits=formatting.number(row.hits),
                    days=formatting.number(row.days),
                ),
            )
            for row in whole
        },
        columns=max(1, len(whole)),
    )
    for row in whole:
        if row.kupiec_p is not None and row.kupiec_p < UNSURE:
            st.warning(t("risk.odd", level=f"{row.level:.0%}"), icon=":material/warning:")
    frame = pd.DataFrame([row.model_dump() for row in report.coverage])
    shown = frame.assign(**{name: frame[name].map(formatting.chance) for name in TESTS if name in frame})
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    columns = {
        "ticker": st.column_config.TextColumn(t("risk.series"), pinned=True),
        "level": number(t("risk.limit"), format="percent"),
        "days": number(t("risk.days"), format="localized"),
        "hits": number(t("risk.hits")),
        "share": number(t("risk.share"), format="percent"),
        "kupiec_p": text("Kupiec p"),
        "independence_p": text(t("risk.independence")),
        "christoffersen_p": text("Christoffersen p"),
    }
    widgets.table(shown, key="coverage", alt_text=t("risk_view.coverage"), columns=columns, csv=frame)
    st.caption(t("risk.coverage_note"))


def account(artifacts: Artifacts, recipe: str, split: str, report: Report) -> None:
    """Holding more when risk is forecast low: money and drawdown, beside simply holding."""
    told = understood(report.backtest, Backtest, "metrics.json")
    shown = {name: one for name, one in (("targeted", told.targeted), ("held", told.held)) if one}
    cards: dict[str, tuple[str, str]] = {}
    for name, one in shown.items():
        label = t(f"risk.{name}")
        cards[t("risk.sharpe", account=label)] = (
            formatting.number(one.sharpe, 2),
            formatting.interval(one.sharpe_low, one.sharpe_high, 2),
        )
        cards[t("risk.drawdown", account=label)] = (
            formatting.percent(one.drawdown),
            t("risk.yearly", gain=formatting.percent(one.yearly_return), volatility=formatting.percent(one.yearly_volatility)),
        )
    widgets.cards(cards)
    st.caption(
        t(
            "risk.account_note",
            target=formatting.number(told.target_percent, 0),
            most=formatting.number(told.most_position, 1),
            cost=formatting.percent(told.cost_share, 2),
        )
    )
    frame = pd.DataFrame({"day": told.days, **{t(f"risk.{name}"): one.equity for name, one in shown.items()}})
    falls = {f"{label} ↓ %": 100 * (frame[label] / frame[label].cummax().clip(lower=1.0) - 1) for label in frame.columns[1:]}
    frame = frame.assign(**falls).round(4)
    with st.container(border=True):
        spec = finance_charts.account(
            frame, list(frame.columns[1 : 1 + len(shown)]), list(falls), titles=(t("risk.money"), t("risk.fall"))
        )
        st.echarts_chart(spec, key="account", height=480, alt=t("risk.account_alt"))
        widgets.numbers(frame, key="account_numbers", alt_text=t("risk.account_alt"))
    if direction := report.direction:
        st.caption(
            t(
                "risk.coin",
                rising=formatting.percent(direction.get("rising_share")),
                same=formatting.percent(direction.get("as_the_day_before_share")),
            )
        )


def periods(artifacts: Artifacts, recipe: str, split: str, report: Report) -> None:
    """The loss by year and by series, and whether calm and rough days are told apart."""
    left, right = st.columns(2, gap="medium")
    for place, name, told in ((left, "year", report.by_year), (right, "ticker", report.by_ticker)):
        frame = pd.DataFrame([row.model_dump(exclude_none=True) for row in told])
        if frame.empty:
            continue
        with place, st.container(border=True):
            st.markdown(f"**{t(f'risk.by_{name}')}**")
            drawing = finance_charts.columns(frame, x=name, y="loss", title=summary.axis_of("qlike"))
            widgets.chart(drawing, frame, key=f"by_{name}", alt_text=t(f"risk.by_{name}"))
    frame = pd.DataFrame([group.model_dump() for group in report.calibration])
    if len(frame):
        with st.container(border=True):
            st.markdown(f"**{t('risk.calibration')}**")
            drawing = finance_charts.diagonal(frame, x="forecast", y="came", titles=(t("risk.said"), t("risk.came_variance")))
            widgets.chart(drawing, frame, key="calibration", alt_text=t("risk.calibration"))


def rivals(artifacts: Artifacts, split: str) -> None:
    """By how much the dense network is better than each rival, and whether that can be luck; no other is tested so."""
    gains = artifacts.metrics("dense").gains(split)
    if not gains:
        return
    frame = pd.DataFrame(
        [{"rival": locale.word("rival", name), **gain.model_dump(), "method": gain.test} for name, gain in gains.items()]
    )
    shown = frame.assign(p=frame["p"].map(formatting.chance))
    number = st.column_config.NumberColumn
    columns = {
        "rival": st.column_config.TextColumn(t("results.rival"), pinned=True),
        "value": number(t("risk.gain"), format="%+.4f"),
        "low": number("95 % ↓", format="%+.4f"),
        "high": number("95 % ↑", format="%+.4f"),
        "p": st.column_config.TextColumn("p"),
        "method": st.column_config.TextColumn(t("risk.method")),
    }
    with st.container(border=True):
        st.markdown(f"**{t('risk.gains')}**")
        st.caption(t("risk.gains_note"))
        widgets.table(shown, key="gains", alt_text=t("risk.gains"), columns=columns, csv=frame)
