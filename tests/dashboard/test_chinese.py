"""The Chinese pages: units, dates, verdicts and reasons, and no English but names from data and code."""

import re
from typing import Any

import pytest

from dashboard.readers import stage_plans
from dashboard.text import formatting
from dashboard.ui import plan_text, verdict_text
from dashboard.ui.locale import Reader, written_for
from flows.reporting.verdicts import Candidate, Term, Verdict
from tests.support.dashboard_pages import PAGE_MARKS, PAGES, open_page, page_text

pytestmark = PAGE_MARKS

CHINESE = Reader("zh", None)
NAMES = re.compile(r"`[^`]*`|https?://\S+|\S*[@_=/\\.]\S*|bonsai\S*(?: \w+)*|\b[0-9a-f]{6,}\b", re.IGNORECASE)
"""Code, addresses, files, and names with a sign that no word of a sentence has."""
ALLOWED = {
    "bonsai", "prefect", "dask", "onnx", "runtime", "dvc", "csv", "tsv", "json", "lines", "parquet", "excel", "zip", "cron",
    "md5", "cpu", "gb", "mb", "kb", "roc", "pr", "ks", "nlp", "tf", "idf", "svm", "dense", "int8", "pruned", "f1", "ece", "var",
    "qlike", "mcnemar", "python", "torch", "pytorch", "linux", "utc", "enter", "shift", "ema", "mixup", "p95", "url", "id",
    "macro", "auc", "brier", "tau", "holm", "eager", "har", "log", "xz", "gz", "npz", "streamlit", "pandas", "numpy", "r2",
    "kernel", "machine", "amd", "epyc",
}  # fmt: skip
"""Names of formats, tools, metrics, models, keys and the processor of the sample run, all in lower case."""


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
