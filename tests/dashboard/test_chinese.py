"""The Chinese pages: units, dates, verdicts and reasons, and no English but names from data and code."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dashboard.readers import stage_plans
from dashboard.readers.runs import run_records
from dashboard.text import formatting
from dashboard.ui import plan_text, remark_text, verdict_text
from dashboard.ui.locale import Reader, written_for
from flows.reporting.verdicts import Candidate, Term, Verdict
from tests.browser.urls import RESULTS, VIEWS
from tests.support import dashboard_scenarios
from tests.support.dashboard_pages import PAGE_MARKS, PAGES, open_page, page_text

pytestmark = PAGE_MARKS

CHINESE = Reader("zh", None)
NAMES = re.compile(r"`[^`]*`|:\w+-badge|https?://\S+|\S*[@_=/\\.]\S*|bonsai\S*(?: \w+)*|\b[0-9a-f]{6,}\b", re.IGNORECASE)
"""Code, addresses, files, and names with a sign that no word of a sentence has."""
ALLOWED = {
    "bonsai", "prefect", "dask", "onnx", "runtime", "dvc", "csv", "tsv", "json", "lines", "parquet", "excel", "zip", "cron",
    "md5", "cpu", "gb", "mb", "kb", "roc", "pr", "ks", "nlp", "tf", "idf", "svm", "dense", "int8", "pruned", "f1", "ece", "var",
    "qlike", "mcnemar", "python", "torch", "pytorch", "linux", "utc", "enter", "shift", "ema", "mixup", "p95", "url", "id",
    "macro", "auc", "brier", "tau", "holm", "eager", "har", "log", "xz", "gz", "npz", "streamlit", "pandas", "numpy", "r2",
    "kernel", "machine", "amd", "epyc", "html", "ap", "kupiec", "christoffersen", "bonferroni",
}  # fmt: skip
"""Names of formats, tools, metrics, models, keys and the processor of the sample run, all in lower case."""


OF_THE_RECORD = {"ann", "processor"}
"""Who started the recorded runs, and on what."""
MODEL_CARD = "bundle"
"""The view that shows the model card, an artifact of the release in English."""
BADGE = re.compile(r":\w+-badge")
LABELLED = ("button", "selectbox", "text_input", "multiselect", "toggle", "number_input", "expander", "tab", "download_button")


def english_in(text: str) -> set[str]:
    """The English words of a Chinese text, without names."""
    return {word for word in re.findall(r"[A-Za-z][A-Za-z0-9]+", NAMES.sub(" ", text)) if word.lower() not in ALLOWED}


@pytest.mark.parametrize("page", PAGES)
def test_a_chinese_page_before_any_run_says_nothing_in_english(monkeypatch: pytest.MonkeyPatch, projects: Any, page: str) -> None:
    steps = [{"stage": "clean@vision", "verdict": "Run", "seconds": 2.0, "reasons": [{"kind": "new", "text": "it is new"}]}]
    monkeypatch.setattr(stage_plans, "of_use_case", lambda *_: steps)
    app = open_page(monkeypatch, projects["nothing"], page, lang="zh")
    labels = "\n".join(str(each.label) for kind in ("button", "selectbox", "text_input", "multiselect") for each in app.get(kind))
    assert english_in(f"{page_text(app)}\n{labels}".replace("\\", "")) == set()


@pytest.mark.parametrize("page", [page for page in PAGES if page not in ("own_data", "about")])
@pytest.mark.parametrize("use_case", dashboard_scenarios.names())
def test_a_chinese_page_of_a_finished_run_says_nothing_in_english(
    monkeypatch: pytest.MonkeyPatch, all_use_cases: Any, use_case: str, page: str
) -> None:
    monkeypatch.setattr(stage_plans, "of_use_case", lambda *_: [])
    names = words_of_data(all_use_cases, use_case) | OF_THE_RECORD | set(dashboard_scenarios.names())
    views = {**VIEWS, "results": RESULTS[use_case], "labels": ("suspects", "mistakes", "quarantine", "decisions")}
    for view in ("", *(each for each in views.get(page, ()) if each != MODEL_CARD)):
        parameter = "source" if page == "labels" else "view"
        app = open_page(monkeypatch, all_use_cases, page, lang="zh", uc=use_case, **({parameter: view} if view else {}))
        words = english_in(BADGE.sub(" ", whole_text(app)).replace("\\", ""))
        english = {word for word in words - names if not any(word in name for name in names)}  # a long word is cut
        assert english == set(), f"in the view {view}"


def words_of_data(root: Path, use_case: str) -> set[str]:
    """The words in the columns and cells of a run's tables: names from data, in whatever language."""
    folder = run_records.latest(root, use_case)[0].folder / "data" / use_case
    tables = [pd.read_parquet(path) for path in folder.rglob("part-*.parquet")]
    cells = [
        str(cell)
        for table in tables
        for name in table
        if table[name].dtype == object or str(table[name].dtype).startswith("str")
        for cell in [name, *(value for value in table[name] if isinstance(value, str))]
        if name not in ("reason", "fix")
    ]
    return {word for cell in cells for word in re.findall(r"[A-Za-z][A-Za-z0-9]+", cell)}


def whole_text(app: Any) -> str:
    """The text of a page, with labels, help and the headers of tables."""
    parts = [page_text(app)]
    for kind in LABELLED:
        parts += [str(getattr(each, name, "") or "") for each in app.get(kind) for name in ("label", "help", "placeholder")]
    for each in app.get("dataframe"):
        columns = json.loads(each.proto.columns or "{}").values()
        parts += [str(column.get("label") or "") for column in columns if isinstance(column, dict)]
    return "\n".join(parts)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.01, "10 毫秒"), (0.4, "0.4 秒"), (12, "12 秒"), (185, "3 分 5 秒"), (7800, "2 小时 10 分")]
)
def test_durations_are_chinese(seconds: float, expected: str) -> None:
    with written_for(CHINESE):
        assert formatting.duration(seconds) == expected
    assert formatting.duration(seconds) != expected


def test_dates_and_latencies_are_chinese() -> None:
    with written_for(CHINESE):
        assert formatting.local_time("2026-11-22T14:03:00+00:00") == "11月22日 14:03"
        assert formatting.milliseconds(0.0671) == "0.067 毫秒"


def test_a_verdict_is_worded_from_its_figures() -> None:
    terms = [
        Term(name="max_drop", allowed=0.01, value=0.0, bound=0.0046, status="kept"),
        Term(name="min_speedup", allowed=2.0, value=3.1, status="kept"),
        Term(name="max_size_share", allowed=0.15, value=0.093, status="kept"),
    ]
    released = Verdict(
        use_case="vision",
        word="released",
        sentence="released 'int8': on 770 test rows",
        released="int8",
        decision={"rows": 770},
        candidates=[Candidate(recipe="int8", status="kept", terms=terms)],
    )
    with written_for(CHINESE):
        text = verdict_text.sentence(released)
    assert english_in(text) == set()
    for part in ("770 行", "0.0046", "0.0100", "9.3 %"):
        assert part in text
    broken = Term(name="min_speedup", allowed=2.0, value=1.1, bound=1.02, status="broken")
    refused = Verdict(
        use_case="vision",
        word="refused",
        sentence="each is shown to break the contract",
        decision={"rows": 770},
        candidates=[Candidate(recipe="int8", status="broken", terms=[*terms[:1], broken])],
    )
    with written_for(CHINESE):
        text = verdict_text.sentence(refused)
    assert "1.0200" in text
    assert "指标下降" not in text, "only what is missed"


@pytest.mark.parametrize(
    ("kind", "text", "chinese"),
    [
        ("new", "it has not been run yet", "尚未运行过"),
        ("params", "training.epochs: 8 -> 3", "training.epochs: 8 → 3"),
        ("code", "tasks/core is modified", "tasks/core 已修改"),
        ("output", "its outputs are not in the cache", "输出不在缓存中"),
        ("upstream", "after clean@vision", "因前序阶段 clean@vision 需运行"),
    ],
)
def test_the_reasons_of_a_plan_are_chinese(kind: str, text: str, chinese: str) -> None:
    with written_for(CHINESE):
        assert plan_text.reasons_text([{"kind": kind, "text": text}]) == chinese
    with written_for(Reader("en", None)):
        assert plan_text.reasons_text([{"kind": kind, "text": text}]) == text.replace("->", "→")


@pytest.mark.parametrize(
    ("reason", "english", "chinese"),
    [
        ("blank: one colour all over", "blank: one colour all over", "整张图片只有一种颜色"),
        ("duplicate of a.csv:4", r"duplicate of a\.csv:4", r"与 a\.csv:4 重复"),
        (
            "duplicate of a.csv:4, which is labelled 'b'",
            r"duplicate of a\.csv:4, which is labelled 'b'",
            r"与 a\.csv:4 重复，而后者的标签为“b”",
        ),
        ("own-rule: 3", r"own\-rule: 3", r"own\-rule: 3"),
    ],
)
def test_the_reason_of_a_quarantined_row_is_worded_by_its_code(reason: str, english: str, chinese: str) -> None:
    for language, expected in (("en", english), ("zh", chinese)):
        with written_for(Reader(language, None)):
            assert remark_text.reason_text(reason).replace(r"\:", ":") == expected


def test_who_requested_a_run_is_worded() -> None:
    with written_for(CHINESE):
        assert remark_text.requester_text({"who": "ann", "how": "command line"}) == "ann, 命令行"
        assert remark_text.requester_text({"who": "ann", "how": "schedule vision"}) == "ann, 定时任务 vision"
        assert remark_text.requester_text({}) == ""
