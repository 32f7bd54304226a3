"""Every page in every state: no run yet, running, failed, finished; and with damaged or hostile artifacts."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dashboard.readers.runs import run_records
from dashboard.text import translations
from tests.support import recorded_runs
from tests.support.dashboard_pages import APP, PAGE_MARKS, PAGES, open_page

pytestmark = PAGE_MARKS

VIEWS = [
    ("data", ("quality", "columns", "splits", "augmentation", "drift")),
    ("results", ("confusion", "per_class", "thresholds", "calibration", "mistakes", "standings")),
    ("compression", ("front", "terms", "damage", "flipped", "timing", "bundle")),
    ("recipes", ("edit", "search", "tuning")),
    ("compare", ("table", "curves", "parameters", "classes")),
    ("versions", ("versions",)),
]
USE_CASE_VIEWS = {
    "nlp": ("per_class", "thresholds", "mistakes", "label_errors"),
    "finance": ("forecast", "coverage", "account", "periods", "standings"),
    "credit": ("separation", "costs", "groups", "mistakes"),
}
DAMAGED_FILES = (
    "metrics.json",
    "latency.json",
    "table.json",
    "verdict.json",
    "ledger.json",
    "run.json",
    "part-00000.parquet",
    "model.onnx",
    "card.md",
)
HOSTILE_MARKUP = "![x](http://elsewhere/x.png) :red[x] `y`"


@pytest.mark.parametrize("state", ["nothing", "running", "failed", "finished"])
@pytest.mark.parametrize("page", PAGES)
def test_every_page_renders_in_every_state(monkeypatch: pytest.MonkeyPatch, projects: Any, page: Any, state: Any) -> None:
    app = open_page(monkeypatch, projects[state], page)
    assert not app.exception
    assert app.title[0].value == translations.text("en", f"page.{page}")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_renders_in_chinese(monkeypatch: pytest.MonkeyPatch, projects: Any, page: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], page, lang="zh")
    assert not app.exception
    assert app.title[0].value == translations.text("zh", f"page.{page}")


@pytest.mark.parametrize(
    ("use_case", "page", "view_name", "headers"),
    [
        ("credit", "results", "mistakes", ("标签", "预测", "置信度")),
        ("nlp", "compression", "flipped", ("变化", "预测（该压缩方案）", "置信度（原始模型）")),
    ],
)
def test_tables_of_rows_have_chinese_headers(
    monkeypatch: pytest.MonkeyPatch, all_use_cases: Any, use_case: Any, page: Any, view_name: Any, headers: Any
) -> None:
    app = open_page(monkeypatch, all_use_cases, page, uc=use_case, view=view_name, lang="zh", recipe="pruned")
    table = app.dataframe[0]
    columns = json.loads(table.proto.columns)
    shown = [columns.get(name, {}).get("label") or name for name in table.value.columns]
    assert set(headers) <= set(shown)


@pytest.mark.parametrize(("page", "view"), [(page, view) for page, views in VIEWS for view in views])
def test_every_view_of_a_finished_run_renders(monkeypatch: pytest.MonkeyPatch, projects: Any, page: Any, view: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], page, view=view)
    assert not app.exception
    assert app.query_params["view"] == view


@pytest.mark.parametrize("use_case", USE_CASE_VIEWS)
def test_the_artifacts_decide_which_views_a_use_case_has(
    monkeypatch: pytest.MonkeyPatch, all_use_cases: Any, use_case: Any
) -> None:
    views: list[Any] = [(page, {}) for page in ("run", "data", "compression", "try_it")]
    views += [("data", {"view": "columns"}), *(("results", {"view": view}) for view in USE_CASE_VIEWS[use_case])]
    for page, query in views:
        app = open_page(monkeypatch, all_use_cases, page, uc=use_case, **query)
        assert not app.exception, (page, query)
        assert not [each.value for each in app.info if "does not hold" in each.value or "missing" in each.value], (page, query)
        assert app.query_params.get("view") == query.get("view")


def test_invalid_query_parameters_fall_back_to_the_newest_run(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "run", run="../../etc", uc="no such", stage="x", lang="fr")
    assert not app.exception
    assert app.title[0].value == "Run"
    assert "run" not in app.query_params


def test_a_run_of_another_use_case_in_the_url_is_reported(monkeypatch: pytest.MonkeyPatch, all_use_cases: Any) -> None:
    other = next(name for name in run_records.run_ids(all_use_cases) if "-finance-" in name)
    app = open_page(monkeypatch, all_use_cases, "data", uc="vision", run=other)
    assert not app.exception
    assert any("does not belong to Vision; the newest run is shown" in each.value for each in app.caption)
    assert "run" not in app.query_params
    app.run()
    assert not any("does not belong to" in each.value for each in app.caption)


def test_no_markdown_element_allows_html(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    app = open_page(monkeypatch, projects["finished"], "run", stage="train@vision")
    for page, view in (("data", "quality"), ("compression", "bundle")):
        for each in open_page(monkeypatch, projects["finished"], page, view=view).get("markdown"):
            assert not each.allow_html
    assert not app.exception


def unescaped(text: Any) -> Any:
    """Whether Markdown would draw an image or a colour from the text."""
    return bool(re.search(r"!\[|(?<!\\)<img|:red\[", text))


def test_the_model_card_is_shown_without_images_and_html(monkeypatch: pytest.MonkeyPatch, projects: Any, tmp_path: Path) -> None:
    root = shutil.copytree(projects["finished"], tmp_path / "p")
    for path in root.glob("runs/*/data/vision/release/card.md"):
        path.write_text(
            f"---\nlicense: mit\n---\n\n# Card\n\n| {HOSTILE_MARKUP} | <img src='http://elsewhere/x.png'> |\n|---|---|\n"
        )
        recorded_runs.seal(path.parent)
    app = open_page(monkeypatch, root, "compression", view="bundle")
    shown = next(each.value for each in app.markdown if "# Card" in each.value)
    assert "elsewhere" in shown
    assert not unescaped(shown)


def test_a_hostile_class_ticker_or_metric_name_is_escaped_everywhere(
    monkeypatch: pytest.MonkeyPatch, all_use_cases: Any, tmp_path: Path
) -> None:
    root = shutil.copytree(all_use_cases, tmp_path / "p")
    for use_case, old in (("vision", '"9"'), ("finance", '"qlike"')):
        for path in root.glob(f"runs/*/data/{use_case}/**/*.json"):
            path.write_text(
                path.read_text().replace(old if old != '"9"' else f'"{recorded_runs.CLASSES[-1]}"', json.dumps(HOSTILE_MARKUP))
            )
    for path in root.glob("runs/*/data/finance/evaluations/*/predictions/*.parquet"):
        frame = pd.read_parquet(path)
        frame.assign(ticker=frame["ticker"].replace("acorn", HOSTILE_MARKUP)).to_parquet(path, index=False)
    for checksums in root.glob("runs/*/data/*/**/checksums.json"):
        recorded_runs.seal(checksums.parent)
    views = [("results", "vision", view) for view in ("confusion", "thresholds", "per_class")]
    views += [("results", "finance", view) for view in ("forecast", "standings")] + [("compression", "finance", "front")]
    for page, use_case, name in views:
        app = open_page(monkeypatch, root, page, uc=use_case, view=name)
        labels = [label for group in (*app.segmented_control, *app.pills) for label in group.options]
        assert not [text for text in (*labels, *(each.label for each in app.metric)) if unescaped(text)], (page, name)
        assert not [each.value for each in (*app.markdown, *app.caption) if unescaped(each.value)], (page, name)
    assert any("elsewhere" in each.label for each in app.metric)


@pytest.mark.parametrize("how", ["half", *(pytest.param(how, marks=pytest.mark.slow) for how in ("deleted", "empty", "rubbish"))])
@pytest.mark.parametrize("name", DAMAGED_FILES)
def test_a_damaged_artifact_is_a_message_on_every_page(
    monkeypatch: pytest.MonkeyPatch, projects: Any, tmp_path: Path, name: Any, how: Any
) -> None:
    root = shutil.copytree(projects["finished"], tmp_path / "damaged")
    for path in root.rglob(name):
        whole = path.read_bytes()
        path.unlink()
        if how != "deleted":
            path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "rubbish": b"\x00\xff{]" * 40}[how])
    for page in ("data", "results", "compression", "try_it", "history", "compare"):
        app = open_page(monkeypatch, root, page)
        assert not app.exception, f"{page} with {name} {how}"


def test_no_page_script_displays_a_bare_string() -> None:
    """Streamlit draws every string that stands by itself in a script, such as the docstring of a constant."""
    scripts = [Path(APP), *Path(APP).with_name("app_pages").rglob("*.py")]
    for script in scripts:
        statements = ast.parse(script.read_text(encoding="utf-8")).body[1:]
        assert not [each.lineno for each in statements if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)]


def test_no_page_loads_torch(projects: Any) -> None:
    script = f"""
import os, sys
os.chdir({str(projects["finished"])!r})
from streamlit.testing.v1 import AppTest
from dashboard.page_files import script
app = AppTest.from_file({APP!r}, default_timeout=240).run()
for page in {PAGES!r}:
    app.switch_page(script(page)).run()
    assert not app.exception, page
assert "torch" not in sys.modules
assert "prefect" not in sys.modules
"""
    root = str(Path(APP).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": root, "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
