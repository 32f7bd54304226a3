"""Results of volatility forecasts: forecast against realised values, VaR breaches, a backtest, and gains over baselines."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts import finance_charts, regression_charts
from dashboard.readers.artifact_models import SplitMetrics, parse_as
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.report_models import Backtest, RiskForecastReport
from dashboard.text import formatting
from dashboard.ui import locale, metric_text, page_context, pickers, widgets
from dashboard.ui.locale import t
from dashboard.views.results import robustness, summary
from tasks.core.compression import DENSE

QUANTILES = {"quantile_5": 0.05, "quantile_1": 0.01}
MAX_DAYS = 3000
SIGNIFICANCE = 0.05
TEST_COLUMNS = ("kupiec_p", "independence_p", "christoffersen_p")


def matches(report: dict[str, Any]) -> bool:
    """Whether a report is a risk forecast's."""
    return "coverage" in report and "backtest" in report


def show(artifacts: Artifacts, recipe: str, split: str, split_metrics: SplitMetrics) -> None:
    """The views of a risk forecast's results."""
    views = {"forecast": forecast, "coverage": coverage, "account": account, "periods": periods}
    chosen = pickers.choose_view([*views, *robustness.offered(artifacts, recipe), "standings"], "risk")
    with page_context.error_boundary():
        report = parse_as(split_metrics.report, RiskForecastReport, "metrics.json")
        if chosen == "robustness":
            robustness.show(artifacts, recipe)
        elif chosen == "standings":
            with st.container(border=True):
                summary.standings(artifacts, split, split_metrics)
            baseline_gains(artifacts, split)
        else:
            views[chosen](artifacts, recipe, split, report)


def forecast(artifacts: Artifacts, recipe: str, split: str, report: RiskForecastReport) -> None:
    """The next day's return with the forecast limits and their breaches, and the forecast and realised volatility."""
    numbers = ("next_return", "next_variance", "variance", *QUANTILES)
    predictions = artifacts.predictions(recipe, split, ("ticker", "next_date"), numbers)
    tickers = sorted(predictions["ticker"].astype(str).unique())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        ticker = pickers.choose_from("ticker", tickers, t("risk.series"), tickers[0], as_buttons=True)
        level = pickers.choose_from(
            "level", list(QUANTILES), t("risk.limit"), "quantile_5", lambda name: f"{QUANTILES[name]:.0%}", as_buttons=True
        )
    ticker_rows = predictions[predictions["ticker"] == ticker].sort_values("next_date")
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime(ticker_rows["next_date"]).dt.strftime("%Y-%m-%d"),
            "came": ticker_rows["next_return"].round(4),
            **{name: ticker_rows[name].round(4) for name in QUANTILES},
            "breach": ticker_rows["next_return"].where(ticker_rows["next_return"] < ticker_rows[level]).round(4),
            "volatility": (ticker_rows["variance"] ** 0.5).round(4),
            "realised": (ticker_rows["next_variance"] ** 0.5).round(4),
        }
    ).tail(MAX_DAYS)
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
        widgets.chart_data(frame, key="forecast_numbers", alt_text=t("risk.forecast_alt", ticker=formatting.clean(ticker)))


def coverage(artifacts: Artifacts, recipe: str, split: str, report: RiskForecastReport) -> None:
    """The breach rate of each limit, and the coverage tests."""
    whole = [row for row in report.coverage if row.ticker == "all"]
    widgets.cards(
        {
            t("risk.breach_rate", level=f"{row.level:.0%}"): (
                formatting.percent(row.share, 2),
                t(
                    "risk.kupiec",
                    p=formatting.p_value(row.kupiec_p),
                    hits=formatting.number(row.hits),
                    days=formatting.number(row.days),
                ),
            )
            for row in whole
        },
        columns=max(1, len(whole)),
    )
    for row in whole:
        if row.kupiec_p is not None and row.kupiec_p < SIGNIFICANCE:
            st.warning(t("risk.coverage_rejected", level=f"{row.level:.0%}"), icon=":material/warning:")
    frame = pd.DataFrame([row.model_dump() for row in report.coverage])
    shown = frame.assign(**{name: frame[name].map(formatting.p_value) for name in TEST_COLUMNS if name in frame})
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


def account(artifacts: Artifacts, recipe: str, split: str, report: RiskForecastReport) -> None:
    """The backtest: equity and drawdown of volatility targeting, beside buy and hold."""
    backtest = parse_as(report.backtest, Backtest, "metrics.json")
    accounts = {name: each for name, each in (("targeted", backtest.targeted), ("held", backtest.held)) if each}
    cards: dict[str, tuple[str, str]] = {}
    for name, result in accounts.items():
        label = t(f"risk.{name}")
        cards[t("risk.sharpe", account=label)] = (
            formatting.number(result.sharpe, 2),
            formatting.interval(result.sharpe_low, result.sharpe_high, 2),
        )
        cards[t("risk.drawdown", account=label)] = (
            formatting.percent(result.drawdown),
            t(
                "risk.yearly",
                gain=formatting.percent(result.yearly_return),
                volatility=formatting.percent(result.yearly_volatility),
            ),
        )
    widgets.cards(cards)
    st.caption(
        t(
            "risk.account_note",
            target=formatting.number(backtest.target_percent, 0),
            most=formatting.number(backtest.most_position, 1),
            cost=formatting.percent(backtest.cost_share, 2),
        )
    )
    frame = pd.DataFrame({"day": backtest.days, **{t(f"risk.{name}"): each.equity for name, each in accounts.items()}})
    drawdowns = {f"{label} ↓ %": 100 * (frame[label] / frame[label].cummax().clip(lower=1.0) - 1) for label in frame.columns[1:]}
    frame = frame.assign(**drawdowns).round(4)
    with st.container(border=True):
        spec = finance_charts.equity_and_drawdown(
            frame, list(frame.columns[1 : 1 + len(accounts)]), list(drawdowns), titles=(t("risk.equity"), t("risk.drawdown_axis"))
        )
        st.echarts_chart(spec, key="account", height=480, alt=t("risk.account_alt"))
        widgets.chart_data(frame, key="account_numbers", alt_text=t("risk.account_alt"))
    if direction := report.direction:
        st.caption(
            t(
                "risk.direction",
                rising=formatting.percent(direction.get("rising_share")),
                same=formatting.percent(direction.get("as_the_day_before_share")),
            )
        )


def periods(artifacts: Artifacts, recipe: str, split: str, report: RiskForecastReport) -> None:
    """The loss by year and by series, and the calibration of the forecast variance."""
    left, right = st.columns(2, gap="medium")
    for column, name, losses in ((left, "year", report.by_year), (right, "ticker", report.by_ticker)):
        frame = pd.DataFrame([row.model_dump(exclude_none=True) for row in losses])
        if frame.empty:
            continue
        with column, st.container(border=True):
            st.markdown(f"**{t(f'risk.by_{name}')}**")
            drawing = finance_charts.bars(frame, x=name, y="loss", title=metric_text.axis_title("qlike"))
            widgets.chart(drawing, frame, key=f"by_{name}", alt_text=t(f"risk.by_{name}"))
    frame = pd.DataFrame([group.model_dump() for group in report.calibration])
    if len(frame):
        with st.container(border=True):
            st.markdown(f"**{t('risk.calibration')}**")
            titles = (t("risk.forecast_variance"), t("risk.realised_variance"))
            drawing = regression_charts.calibration(frame, x="forecast", y="came", titles=titles, log=True)
            widgets.chart(drawing, frame, key="calibration", alt_text=t("risk.calibration"))


def baseline_gains(artifacts: Artifacts, split: str) -> None:
    """The gain of the dense model over each baseline, with a 95 % confidence interval and a p-value."""
    gains = artifacts.metrics(DENSE).gains(split)
    if not gains:
        return
    frame = pd.DataFrame(
        [{"baseline": locale.word("baseline", name), **gain.model_dump(), "method": gain.test} for name, gain in gains.items()]
    )
    shown = frame.assign(p=frame["p"].map(formatting.p_value))
    number = st.column_config.NumberColumn
    columns = {
        "baseline": st.column_config.TextColumn(t("results.baseline"), pinned=True),
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
