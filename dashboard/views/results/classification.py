"""Results of a classifier: confusion matrix, metrics per class, threshold curves, calibration, misclassified rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.analysis import threshold_curves
from dashboard.charts import classification_charts
from dashboard.readers.artifact_models import SplitMetrics, parse_as
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.report_models import ClassificationReport
from dashboard.text import formatting
from dashboard.ui import locale, metric_text, page_context, pickers, widgets
from dashboard.ui.locale import t
from dashboard.views.data import sample_rows
from dashboard.views.labels import link
from dashboard.views.results import binary_risk, label_errors, robustness, summary

MAX_SAMPLES = 24
MAX_CURVES = 10
AREA_KEYS = {"roc": "roc_auc", "pr": "average_precision"}
"""The report's key of the area under each curve."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The predictions on display: one recipe, one split."""

    artifacts: Artifacts
    recipe: str
    split: str
    split_metrics: SplitMetrics
    report: ClassificationReport

    def predictions(self) -> pd.DataFrame:
        return self.artifacts.predictions(self.recipe, self.split, ("label", "predicted"), ("confidence",))


def matches(report: dict[str, Any]) -> bool:
    """Whether a report is a classifier's."""
    return "confusion" in report and "classes" in report


def show(artifacts: Artifacts, recipe: str, split: str, split_metrics: SplitMetrics) -> None:
    """The views of a classifier's results."""
    report = parse_as(split_metrics.report, ClassificationReport, "metrics.json")
    selection = Selection(artifacts, recipe, split, split_metrics, report)
    views = {"confusion": confusion, "per_class": per_class, "thresholds": thresholds, "calibration": calibration}
    binary_views = binary_risk.views(split_metrics.report)
    more = [*binary_views, "mistakes", *(["label_errors"] if "label_noise" in split_metrics.report else [])]
    more += [*robustness.offered(artifacts, recipe), "standings"]
    chosen = pickers.choose_view([*views, *more], "results")
    with page_context.error_boundary():
        if chosen == "mistakes":
            misclassified(selection)
        elif chosen == "label_errors":
            label_errors.show(artifacts, recipe, split, split_metrics.report)
        elif chosen in binary_views:
            {"separation": binary_risk.separation, "costs": binary_risk.costs, "groups": binary_risk.groups}[chosen](
                artifacts, recipe, split, split_metrics.report
            )
        elif chosen == "robustness":
            robustness.show(artifacts, recipe)
        elif chosen == "standings":
            with st.container(border=True):
                summary.standings(artifacts, split, split_metrics)
        else:
            views[chosen](selection)


def confusion(selection: Selection) -> None:
    """The confusion matrix; a click on a cell shows its rows."""
    report = selection.report
    cells = pd.DataFrame(
        [
            (truth, answer, report.confusion[i][j], report.confusion[i][j] / max(1, sum(report.confusion[i])), i == j)
            for i, truth in enumerate(report.classes)
            for j, answer in enumerate(report.classes)
        ],
        columns=["truth", "answer", "rows", "share", "right"],
    )
    left, right = st.columns([3, 2], gap="medium")
    with left, st.container(border=True):
        st.caption(t("results.confusion_note"))
        drawing = classification_charts.confusion(
            cells, report.classes, truth=t("results.true_class"), answer=t("results.predicted_class"), scheme=locale.scheme()
        )
        event = st.altair_chart(
            drawing, key="confusion", on_select="rerun", selection_mode="cell", alt=t("results.confusion_alt")
        )
        widgets.chart_data(cells, key="confusion_numbers", alt_text=t("results.confusion_alt"))
    picked = event.selection.get("cell") if event else None
    if picked and (cell := f"{picked[0].get('truth')}→{picked[0].get('answer')}") != st.session_state.get("cell_seen"):
        st.session_state["cell_seen"] = cell
        st.query_params["truth"], st.query_params["answer"] = str(picked[0]["truth"]), str(picked[0]["answer"])
    with right, st.container(border=True):
        wrong = cells[~cells["right"]].sort_values("rows", ascending=False)
        first = wrong.iloc[0] if len(wrong) else cells.iloc[0]
        with st.container(horizontal=True):
            truth = pickers.choose_from("truth", report.classes, t("results.true_class"), str(first["truth"]))
            answer = pickers.choose_from("answer", report.classes, t("results.predicted_class"), str(first["answer"]))
        predictions = selection.predictions()
        rows = predictions[(predictions["label"] == truth) & (predictions["predicted"] == answer)]
        st.caption(t("results.cell", count=len(rows), truth=formatting.escape(truth), answer=formatting.escape(answer)))
        if len(rows) > MAX_SAMPLES:
            st.caption(t("results.most_confident", shown=MAX_SAMPLES))
        sample_rows.grid(selection.artifacts, rows.sort_values("confidence", ascending=False).head(MAX_SAMPLES), width=84)


def per_class(selection: Selection) -> None:
    """Precision, recall and F1 of each class, and their averages."""
    frame = pd.DataFrame(selection.report.per_class)
    shares = [name for name in ("precision", "recall", "f1", "roc_auc", "average_precision") if name in frame]
    bars = {
        name: st.column_config.ProgressColumn(metric_text.metric_name(name), min_value=0, max_value=1, format="%.3f")
        for name in shares
    }
    columns = {"class": st.column_config.TextColumn(t("results.class"), pinned=True)}
    columns["support"] = st.column_config.NumberColumn(t("data.rows"))
    with st.container(border=True):
        height = min(36 * (len(frame) + 1) + 4, 560)
        widgets.table(frame, key="per_class", alt_text=t("results_view.per_class"), columns={**columns, **bars}, height=height)
    if selection.report.averages:
        averages = pd.DataFrame.from_dict(selection.report.averages, orient="index").rename_axis("average").reset_index()
        averages["average"] = [
            t(f"results.{name}") if name in ("micro", "macro", "weighted") else name for name in averages["average"]
        ]
        numbers = {
            name: st.column_config.NumberColumn(metric_text.metric_name(name), format="%.4f") for name in averages.columns[1:]
        }
        numbers["average"] = st.column_config.TextColumn(t("results.average"))
        with st.container(border=True):
            widgets.table(averages, key="averages", alt_text=t("results.average"), columns=numbers)


def thresholds(selection: Selection) -> None:
    """ROC and precision-recall, one class against the rest."""
    classes = selection.report.classes
    probabilities, truth = selection.artifacts.probabilities(selection.recipe, selection.split, classes)
    offered = classes if len(classes) > 2 else classes[1:]
    chosen = st.pills(
        t("results.classes"),
        offered,
        selection_mode="multi",
        default=offered[:MAX_CURVES],
        key="curve_classes",
        format_func=formatting.escape,
        wrap=True,
    )
    roc, pr = [], []
    for name in chosen:
        scores, is_class = probabilities[:, classes.index(name)], truth == name
        roc.append(
            threshold_curves.downsampled(threshold_curves.roc(scores, is_class)).assign(series=_with_area(selection, name, "roc"))
        )
        pr.append(
            threshold_curves.downsampled(threshold_curves.precision_recall(scores, is_class)).assign(
                series=_with_area(selection, name, "pr")
            )
        )
    if not roc:
        return
    left, right = st.columns(2, gap="medium")
    for column, kind, frames, x, y in ((left, "roc", roc, "fpr", "tpr"), (right, "pr", pr, "recall", "precision")):
        frame = pd.concat(frames, ignore_index=True)
        with column, st.container(border=True):
            st.markdown(f"**{t(f'results.{kind}')}**")
            titles, order = (t(f"results.{x}"), t(f"results.{y}")), [_with_area(selection, name, kind) for name in classes]
            drawing = classification_charts.threshold(frame, x=x, y=y, titles=titles, order=order, chance=kind == "roc")
            widgets.chart(drawing, frame, key=kind, alt_text=t(f"results.{kind}"))


def _with_area(selection: Selection, name: str, curve: str) -> str:
    """A class with the area under its curve, where the report has it."""
    area = next((each.get(AREA_KEYS[curve]) for each in selection.report.per_class if str(each.get("class")) == name), None)
    return t("results.with_area", series=name, area=formatting.number(area)) if isinstance(area, int | float) else name


def calibration(selection: Selection) -> None:
    """Reliability diagram: the accuracy in each confidence bin, and the expected calibration error."""
    report = selection.report.calibration
    if not report.bins:
        raise Unreadable("unreadable.shape", file="metrics.json")
    frame = pd.DataFrame([each.model_dump() for each in report.bins])
    left, right = st.columns([3, 2], gap="medium")
    with left, st.container(border=True):
        st.markdown(f"**{t('results.reliability')}**")
        drawing = classification_charts.reliability(frame, confidence=t("results.confidence"), accuracy=t("results.accuracy"))
        widgets.chart(drawing, frame, key="reliability", alt_text=t("results.reliability"))
    with right, st.container(border=True):
        st.metric(metric_text.metric_name("ece"), formatting.number(report.ece, 4), help=t("results.ece_help"))
        st.caption(t("results.ece_note"))
        confident = frame[frame["confidence"] >= 0.95]
        rows = int(confident["rows"].sum())
        if rows:
            right_share = float((confident["accuracy"] * confident["rows"]).sum() / rows)
            st.markdown(t("results.confident_accuracy", rows=formatting.number(rows), share=formatting.percent(right_share)))


def misclassified(selection: Selection) -> None:
    """The misclassified rows, those with the highest confidence first."""
    predictions = selection.predictions()
    wrong = predictions[predictions["label"] != predictions["predicted"]].sort_values("confidence", ascending=False)
    st.caption(t("results.errors_note", wrong=formatting.number(len(wrong)), rows=formatting.number(len(predictions))))
    if wrong.empty:
        return
    link.button(selection.artifacts, "mistakes")
    pages = -(-len(wrong) // MAX_SAMPLES)
    page = st.pagination(pages, key="mistakes_page", bind="query-params") if pages > 1 else 1
    shown = wrong.iloc[(page - 1) * MAX_SAMPLES : page * MAX_SAMPLES]
    explained = sample_rows.can_explain(selection.artifacts) and st.toggle(
        t("results.explain"), value=True, help=t("results.explain_help"), key="explain", persist_state="session"
    )
    sample_rows.misclassified(selection.artifacts, shown, selection.recipe if explained else "")
