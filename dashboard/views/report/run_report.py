"""A run as one HTML file that opens without a server, a script or a network: verdict, figures, charts, data, parameters."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import streamlit as st

from dashboard.analysis import pareto_front, run_differences, run_outcome
from dashboard.charts import svg
from dashboard.charts.svg import Estimate
from dashboard.readers.artifact_models import Row
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_status, verdicts
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from dashboard.ui import locale, metric_text, pickers, remark_text, verdict_view
from dashboard.ui.locale import Reader, t, word
from dashboard.views.report import html_parts
from dashboard.views.report.html_parts import description_list, escaped, figure, html_table, plain
from tasks.core.compression import DENSE

MAX_CLASSES = 60
"""The most classes in the table of classes."""
MAX_MATRIX = 30
"""The most classes of a confusion matrix."""


def button(run: Run, use_case: str) -> None:
    """A button that saves the report."""
    someone = locale.reader()
    st.download_button(
        t("report.save"),
        lambda: document(run, use_case, someone),
        file_name=f"{use_case}-{run.id}.html",
        mime="text/html",
        icon=":material/summarize:",
        key="save_report",
        help=t("report.help"),
        on_click="ignore",
    )


def document(run: Run, use_case: str, someone: Reader) -> str:
    """The whole report in the reader's language; a part whose file cannot be read is left out."""
    with locale.written_for(someone):
        return _document(run, use_case)


def _document(run: Run, use_case: str) -> str:
    artifacts = Artifacts(run.root, run.folder, use_case)
    parts = [_head(run, use_case)]
    for part in (_models, _classes, _curves, _data, _terms, _parameters):
        with suppress(Unreadable):
            parts.append(part(run, artifacts))
    return html_parts.document(t("report.title", use_case=pickers.title(use_case)), parts)


def _head(run: Run, use_case: str) -> str:
    """Title, verdict, and when, by whom and with what the run was made."""
    verdict = verdicts.of_run(run, use_case)
    record = run.record
    facts = {
        t("pick.run"): run.id,
        t("history.at"): formatting.local_time(run.at, locale.zone(), seconds=True),
        t("stage_details.took"): formatting.duration(run.wall_s),
        t("history.who"): remark_text.requester_text(record.asked),
        t("history.code"): str(record.code.get("commit", ""))[:12] + ("*" if record.code.get("dirty") else ""),
        t("about.machine"): " · ".join(str(value) for value in record.machine.values() if isinstance(value, str | int)),
    }
    text = " ".join(
        filter(None, [formatting.capitalized(formatting.clean(verdict.sentence, 1500)), verdict_view.missing(verdict)])
    )
    badge = (
        f'<p class="verdict {escaped(verdict.word)}">{escaped(plain(verdict_view.title(verdict)))}</p>' if verdict.word else ""
    )
    title = escaped(t("report.title", use_case=pickers.title(use_case)))
    return f"<h1>{title}</h1>{badge}<p>{escaped(plain(text))}</p>{description_list(facts)}"


def _models(run: Run, artifacts: Artifacts) -> str:
    """Every model with its figures, and the chart of all models and baselines with their intervals."""
    table = artifacts.table()
    metric = table.rows[0].metric
    name = metric_text.metric_name(metric)
    columns = [
        t("results.recipe"), name, "95 %", t("compression.drop"), t("results.size"), t("compression.share"), t("results.latency"),
        t("compression.over_dense"), t("compression.contract"),
    ]  # fmt: skip
    rows = [(_model_cells(row), row.chosen) for row in table.rows]
    estimates = [Estimate(row.recipe, row.value, row.low, row.high, row.chosen) for row in table.rows]
    with suppress(Unreadable):
        for baseline, splits in artifacts.metrics(DENSE).baselines.items():
            score = splits["test"].scores.get(metric) if "test" in splits else None
            if score is not None and baseline not in {row.recipe for row in table.rows}:
                interval = splits["test"].interval
                estimates.append(Estimate(word("baseline", baseline), score, interval.low, interval.high))
    note = t("compression.table_note", threads=table.threads, cpu=formatting.clean(table.machine.get("cpu", ""), 80))
    chart = svg.intervals(estimates, t("results.models_alt", metric=name))
    return f"<h2>{escaped(t('results_view.standings'))}</h2>{html_table(columns, rows)}<p class=note>{escaped(note)}</p>{chart}"


def _model_cells(row: Row) -> list[str]:
    speed = pareto_front.speedup(row, DENSE)
    drop = f"{metric_text.signed(row.drop.value)} {metric_text.signed_interval(row.drop.low, row.drop.high)}" if row.drop else ""
    status = "chosen" if row.chosen else row.status
    return [
        row.recipe,
        metric_text.metric_value(row.metric, row.value),
        formatting.interval(row.low, row.high, 4),
        drop,
        formatting.size(row.bytes),
        formatting.percent(row.size_share),
        formatting.milliseconds(pareto_front.cost_of(row, "latency_1")),
        f"{speed.ratio:.2f}×" if speed else "",
        t(f"compression.status_{status.replace(' ', '_')}") if status in CONTRACT_STATUSES else status,
    ]


CONTRACT_STATUSES = ("chosen", "kept", "not shown", "broken", "baseline")


def _classes(run: Run, artifacts: Artifacts) -> str:
    """Precision, recall and F1 by class, and the confusion matrix, of the released model or else the dense one."""
    recipe = artifacts.released() or DENSE
    report = artifacts.metrics(recipe).splits["test"].report
    by_class = [each for each in report.get("per_class") or () if isinstance(each, Mapping)]
    if not by_class:
        return ""
    names = [name for name in ("precision", "recall", "f1") if name in by_class[0]]
    columns = [t("results.class"), t("data.rows"), *(metric_text.metric_name(name) for name in names)]
    rows = []
    for each in by_class[:MAX_CLASSES]:
        figures = [formatting.number(each.get(name), 4) for name in names]
        rows.append(([str(each.get("class")), formatting.number(each.get("support")), *figures], False))
    title = f"{t('results_view.per_class')} · {recipe}"
    return f"<h2>{escaped(title)}</h2>{html_table(columns, rows)}{_confusion(report)}"


def _confusion(report: Mapping[str, Any]) -> str:
    """The confusion matrix as a shaded table."""
    classes, matrix = report.get("classes"), report.get("confusion")
    if not isinstance(classes, list) or not isinstance(matrix, list) or not 0 < len(classes) <= MAX_MATRIX:
        return ""
    rows = []
    for name, counts in zip(classes, matrix, strict=True):
        whole = sum(counts) or 1
        cells = "".join(f'<td style="--share:{count / whole:.3f}">{count:,}</td>' for count in counts)
        rows.append(f"<tr><th scope=row>{escaped(name)}</th>{cells}</tr>")
    head = "".join(f"<th scope=col>{escaped(name)}</th>" for name in classes)
    caption = escaped(t("results.confusion_alt"))
    top = f"<caption>{caption}</caption><thead><tr><td></td>{head}</tr></thead>"
    return f"<div class=wide><table class=matrix>{top}<tbody>{''.join(rows)}</tbody></table></div>"


def _curves(run: Run, artifacts: Artifacts) -> str:
    """The training curves."""
    stages = run_status.stages(run, artifacts.use_case)
    curves = run_status.curves(stages).get(f"train@{artifacts.use_case}", {})
    for name, step, value in run_status.stored_curves(run, artifacts.use_case) if not curves else ():
        curves.setdefault(name, []).append((step, value))
    drawings = []
    for kind, series in list(run_status.curves_by_kind(curves).items())[:4]:
        title = word("curve", kind.replace(" ", "_"))
        drawings.append(f"<h3>{escaped(title)}</h3>{svg.lines({name: curves[name] for name in series}, title)}")
    return f"<h2>{escaped(t('run.curves'))}</h2>{''.join(drawings)}" if drawings else ""


def _data(run: Run, artifacts: Artifacts) -> str:
    """How many rows were read, kept, repaired and quarantined, and the rows of each split."""
    quality = artifacts.quality_report()
    counts = {
        t("data.rows_in"): quality.rows_in,
        t("data.kept"): quality.kept,
        t("data.repaired_rows"): quality.fixed,
        t("data.quarantined"): quality.quarantined,
        t("data.duplicates"): quality.duplicates,
    }
    facts = {name: formatting.number(count) for name, count in counts.items()}
    reasons = [([reason, formatting.number(count)], False) for reason, count in quality.reasons.items()]
    table = html_table([t("data.reason"), t("data.rows")], reasons) if reasons else ""
    return f"<h2>{escaped(t('page.data'))}</h2>{description_list(facts)}{table}"


def _terms(run: Run, artifacts: Artifacts) -> str:
    """The terms of the contract for the released or the nearest candidate."""
    verdict = verdicts.of_artifact(artifacts)
    candidate = next((each for each in verdict.candidates if each.recipe == verdict.released), verdict.nearest)
    if candidate is None or not candidate.terms:
        return ""
    columns = [t("decision.term"), t("decision.allowed"), t("decision.measured"), t("decision.bound"), t("compression.contract")]
    rows = []
    for term in candidate.terms:
        figures = [figure(value) for value in (term.allowed, term.value, term.bound)]
        rows.append(([word("term", term.name), *figures, _status(term.status)], False))
    return f"<h2>{escaped(t('compression_view.terms'))} · {escaped(candidate.recipe)}</h2>{html_table(columns, rows)}"


def _parameters(run: Run, artifacts: Artifacts) -> str:
    """What changed since the run before, then every parameter of the run."""
    values = run_differences.parameters(run, artifacts.use_case)
    before = run_outcome.previous_run(run, artifacts.use_case)
    earlier = run_differences.parameters(before, artifacts.use_case) if before else {}
    columns = [t("compare.x"), t("report.value")]
    if before:
        columns.append(t("report.before", time=formatting.local_time(before.at, locale.zone())))
    rows = [
        ([name, figure(value), *([figure(earlier.get(name))] if before else [])], bool(before) and earlier.get(name) != value)
        for name, value in values.items()
    ]
    return f"<h2>{escaped(t('compare.parameters'))}</h2>{html_table(columns, rows)}"


def _status(status: str) -> str:
    return t(f"compression.status_{status.replace(' ', '_')}") if status in CONTRACT_STATUSES else status
