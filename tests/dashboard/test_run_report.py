"""The report of a run as one HTML file."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from dashboard.charts import svg
from dashboard.charts.svg import Estimate
from dashboard.readers.runs import run_records
from dashboard.ui.locale import Reader
from dashboard.views.report import comparison_report, run_report
from tests.support import dashboard_scenarios


class Tags(HTMLParser):
    """Collects the tags of a page, and those that are open at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag not in ("meta", "line", "circle", "rect", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert not self.open or tag in ("meta", "line", "circle", "rect", "polyline") or self.open.pop() == tag


@pytest.mark.parametrize("use_case", dashboard_scenarios.names())
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_report_holds_the_verdict_the_models_the_data_and_the_parameters(
    all_use_cases: Any, use_case: str, language: str
) -> None:
    (run,) = run_records.latest(all_use_cases, use_case)
    page = run_report.document(run, use_case, Reader(language, None))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not tags.seen & {"script", "link", "img", "iframe"}, "it opens without a network"
    assert "http" not in re.sub(r"<style>.*?</style>", "", page)
    assert {"svg", "table", "dl"} <= tags.seen
    for text in (run.id, "int8", "pruned", "training.seed", {"en": "Released: int8", "zh": "已发布：int8"}[language]):
        assert text in page
    assert {"en": "Quarantined", "zh": "隔离"}[language] in page


def test_text_from_outside_is_escaped(all_use_cases: Any) -> None:
    (run,) = run_records.latest(all_use_cases, "nlp")
    hostile = run.record.model_copy(update={"asked": {"who": "<script>alert(1)</script>"}})
    page = run_report.document(run_records.Run(run.id, run.root, run.folder, hostile, run.state), "nlp", Reader("en", None))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_values_lie_within_their_intervals_on_the_axis() -> None:
    drawn = svg.intervals([Estimate("a", 0.5, 0.4, 0.6), Estimate("b & c", 0.9, 0.8, 0.95, True)], "of two")
    x = [float(value) for value in re.findall(r'(?:x1|x2|cx)="([\d.]+)"', drawn)]
    assert x[0] < x[2] < x[1] < x[3] < x[5] < x[4]
    assert "b &amp; c" in drawn


def test_long_curves_are_thinned_and_empty_ones_left_out() -> None:
    drawn = svg.lines({"loss": [(step, 1 / (step + 1)) for step in range(10_000)], "unseen": []}, "loss")
    assert 300 < drawn.count(",") < 600
    assert "unseen" not in drawn
    assert svg.lines({}, "nothing") == ""


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_comparison_holds_the_notes_the_runs_their_differences_and_curves(projects: Any, language: str) -> None:
    chosen = run_records.latest(projects["finished"], "vision")
    page = comparison_report.document(chosen, "vision", "first line\n<b>second</b> line", Reader(language, None))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not tags.seen & {"script", "link", "img", "iframe", "b"}
    assert "http" not in re.sub(r"<style>.*?</style>", "", page)
    for text in (
        "<p>first line</p>",
        "&lt;b&gt;second",
        "training.seed",
        "<td>7</td>",
        "<td>8</td>",
        *(run.id for run in chosen),
    ):
        assert text in page
    assert "training.epochs" not in page, "both runs have the same"
    assert page.count("<svg") == 3, "a chart for each training curve"
    assert {"en": "Vision: 2 runs compared", "zh": "2 次运行的比较"}[language] in page
