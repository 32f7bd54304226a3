"""Every page in every state: nothing yet, running, failed, finished; and whatever is wrong on disk is a sentence."""

import json
import re
import shutil
import sys
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.readers import prefect_api, run_records
from dashboard.readers.prefect_api import Deployment, FlowRun, Refused, Schedule
from dashboard.readers.project_files import Unreadable
from dashboard.text import translations
from dashboard.ui import page_context
from dashboard.views.project import versions
from dashboard.views.results import classification
from dashboard.views.run import run_table, start_form
from tests.support import dashboard_scenarios, recorded_runs
from tests.support.dashboard_pages import APP, open_page, words

PAGES = ("run", "history", "compare", "schedules", "data", "results", "compression", "try_it", "versions", "about")
HOSTILE = "<script>alert(1)</script>"

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """A project in each state."""
    found = {
        state: recorded_runs.project(tmp_path_factory.mktemp("projects") / state)
        for state in ("nothing", "running", "failed", "finished")
    }
    recorded_runs.run(found["running"], "Running")
    recorded_runs.run(found["failed"], "Failed")
    recorded_runs.finished(found["finished"])
    recorded_runs.finished(found["finished"], number=1, overrides={"use_cases.vision.training.epochs": 3}, whole=False)
    return found


@pytest.fixture(autouse=True)
def no_server():
    with patch.object(prefect_api, "server", lambda root: None):
        yield


@pytest.fixture(autouse=True)
def own_main(monkeypatch):
    """AppTest leaves its script as `__main__`, which every process spawned later by any test would then run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def nothing_unforeseen(caplog):
    """What a page cannot draw for a reason nobody foresaw is an error of the test."""
    yield
    assert not [record.exc_info for record in caplog.get_records("call") if record.name == page_context.LOG.name]


@pytest.mark.parametrize("state", ["nothing", "running", "failed", "finished"])
@pytest.mark.parametrize("page", PAGES)
def test_every_page_can_be_shown_in_every_state(monkeypatch, projects, page, state):
    app = open_page(monkeypatch, projects[state], page)
    assert not app.exception
    assert app.title[0].value == translations.text("en", f"page.{page}")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_speaks_chinese(monkeypatch, projects, page):
    app = open_page(monkeypatch, projects["finished"], page, lang="zh")
    assert not app.exception
    assert app.title[0].value == translations.text("zh", f"page.{page}")


@pytest.mark.parametrize(
    ("use_case", "page", "view_name", "heads"),
    [
        ("credit", "results", "mistakes", ("标签", "预测", "置信度")),
        ("nlp", "compression", "flipped", ("变化", "预测（该压缩方案）", "置信度（原始模型）")),
    ],
)
def test_tables_of_rows_have_chinese_heads(monkeypatch, of_all, use_case, page, view_name, heads):
    app = open_page(monkeypatch, of_all, page, uc=use_case, view=view_name, lang="zh", recipe="pruned")
    table = app.dataframe[0]
    told = json.loads(table.proto.columns)
    shown = [told.get(name, {}).get("label") or name for name in table.value.columns]
    assert set(heads) <= set(shown)


VIEWS = [
    ("data", ("ledger", "columns", "splits", "augmentation", "drift")),
    ("results", ("confusion", "per_class", "thresholds", "calibration", "mistakes", "standings")),
    ("compression", ("front", "damage", "flipped", "timing", "bundle")),
    ("compare", ("table", "curves", "parameters", "classes")),
    ("versions", ("versions",)),
]


@pytest.mark.parametrize(("page", "view"), [(page, view) for page, views in VIEWS for view in views])
def test_every_view_of_a_finished_run_can_be_shown(monkeypatch, projects, page, view):
    app = open_page(monkeypatch, projects["finished"], page, view=view)
    assert not app.exception
    assert app.query_params["view"] == view


OTHERS = {
    "nlp": ("per_class", "thresholds", "mistakes", "doubts"),
    "finance": ("forecast", "coverage", "account", "periods", "standings"),
    "credit": ("separation", "costs", "groups", "mistakes"),
}


@pytest.fixture(scope="module")
def of_all(tmp_path_factory):
    """A project in which every use case has run."""
    root = recorded_runs.project(tmp_path_factory.mktemp("projects") / "all")
    for number, name in enumerate(dashboard_scenarios.names()):
        recorded_runs.finished(root, number=number, use_case=name)
    return root


@pytest.mark.parametrize("use_case", OTHERS)
def test_every_use_case_has_its_pages_by_what_its_artifacts_hold(monkeypatch, of_all, use_case):
    asked = [(page, {}) for page in ("run", "data", "compression", "try_it")]
    asked += [("data", {"view": "columns"}), *(("results", {"view": view}) for view in OTHERS[use_case])]
    for page, query in asked:
        app = open_page(monkeypatch, of_all, page, uc=use_case, **query)
        assert not app.exception, (page, query)
        assert not [each.value for each in app.info if "does not hold" in each.value or "missing" in each.value], (page, query)
        assert app.query_params.get("view") == query.get("view")


def test_two_runs_with_the_same_rows_are_said_to_have_them(monkeypatch, projects):
    app = open_page(monkeypatch, projects["finished"], "data", view="drift")
    assert translations.text("en", "data.drift_none") in words(app)


def test_a_column_that_moved_between_two_runs_is_told_with_its_chance(monkeypatch, tmp_path):
    root = recorded_runs.project(tmp_path / "p")
    folders = [recorded_runs.finished(root, number=number, use_case="credit") for number in range(2)]
    part = folders[1] / "data" / "credit" / "clean" / "rows" / "part-00000.parquet"
    rows = pd.read_parquet(part)
    rows.assign(income=2 * rows["income"]).to_parquet(part)
    app = open_page(monkeypatch, root, "data", view="drift", uc="credit")
    assert not app.exception
    told = app.dataframe[0].value.set_index("Column")
    assert told.loc["income", "p"] == "< 0.0001"
    assert told.loc["home", "p"] == "1.0000"


def test_leaks_stopped_are_those_of_the_ledger_by_the_split_they_would_have_leaked_from(monkeypatch, of_all):
    app = open_page(monkeypatch, of_all, "data", view="splits", uc="finance")
    leaks = next(each for each in app.metric if each.label == "Leaks prevented")
    assert (leaks.value, leaks.delta) == ("1", "Train 1")


@pytest.mark.parametrize(("use_case", "fate", "code"), [("nlp", "mended", "markup"), ("credit", "remarked", "missing age")])
def test_rows_that_were_kept_are_shown_and_mended_ones_beside_what_they_were(of_all, use_case, fate, code):
    def page(root, use_case, fate, code):
        from dashboard.readers import run_records
        from dashboard.readers.artifacts import Artifacts
        from dashboard.views.data import quality

        quality.failed_rows(Artifacts(root, run_records.latest(root, use_case)[0].folder, use_case), fate, code)

    app = AppTest.from_function(page, kwargs={"root": of_all, "use_case": use_case, "fate": fate, "code": code}).run()
    assert not app.exception
    found = app.dataframe[0].value
    assert len(found) == 1
    assert ("text (raw)" in found) == (fate == "mended")


def test_a_chance_that_was_not_told_is_no_warning(of_all):
    def page(root):
        from dashboard.readers import run_records
        from dashboard.readers.artifacts import Artifacts
        from dashboard.views.results import risk_forecasts

        found = Artifacts(root, run_records.latest(root, "finance")[0].folder, "finance")
        told = [{"ticker": "all", "level": 0.05, "days": 9, "hits": 0, "share": 0.0, "kupiec_p": p} for p in (None, 1e-9)]
        risk_forecasts.coverage(found, "dense", "test", risk_forecasts.Report(coverage=told, backtest={}))

    app = AppTest.from_function(page, kwargs={"root": of_all}).run()
    assert not app.exception
    assert len(app.warning) == 1
    assert "< 0.0001" in app.metric[0].delta


def test_what_was_tested_against_rivals_is_said_to_be_dense_whatever_is_looked_at(monkeypatch, of_all):
    app = open_page(monkeypatch, of_all, "results", uc="finance", view="standings", recipe="pruned")
    assert translations.text("en", "risk.gains_note") in words(app)
    told = next(each.value for each in app.dataframe if "method" in each.value)
    assert set(told["p"].map(type)) == {str}


def test_a_network_that_loses_is_said_first(monkeypatch, of_all):
    app = open_page(monkeypatch, of_all, "results", uc="finance", recipe="dense")
    assert "A baseline is as good or better" in app.warning[0].value


def test_a_sentence_is_asked_of_both_models(monkeypatch, of_all):
    app = open_page(monkeypatch, of_all, "try_it", uc="nlp")
    app.text_area(key="said").set_value("The roots and leaves want soil").run()
    assert not app.exception
    assert [each.value for each in app.metric] == ["gardens", "gardens"]


def test_a_row_of_a_table_is_explained_for_each_model(monkeypatch, of_all):
    app = open_page(monkeypatch, of_all, "try_it", uc="credit")
    assert not app.exception
    assert any("Feature contributions for row 1" in each.value for each in app.markdown)


def test_names_in_texts_and_written_samples_have_views_of_their_own(monkeypatch, of_all, tmp_path):
    root = shutil.copytree(of_all, tmp_path / "p")
    (path,) = root.glob("runs/*/data/nlp/evaluations/int8/metrics.json")
    whole = json.loads(path.read_text())
    kinds = [{"class": "person", "precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 12}]
    told = [{"text": "<b>x</b>", "perplexity": 2.5}]
    (model,) = root.glob("runs/*/data/nlp/model/report.json")
    model.write_text(json.dumps({"shown": {"written": ["<b>x</b>"]}}))
    for report, said in (({"per_entity": kinds}, "counts as correct"), ({"hardest": told, "easiest": told}, "fixed seed")):
        for split in whole["splits"].values():
            split["report"] = report
        path.write_text(json.dumps(whole))
        app = open_page(monkeypatch, root, "results", uc="nlp", recipe="int8")
        assert not app.exception
        assert any(said in each.value for each in app.caption)


def test_the_page_tells_of_a_run_under_way(monkeypatch, projects):
    app = open_page(monkeypatch, projects["running"], "run")
    assert "3 of 11 stages" in app.progress[0].text
    assert app.get("bidi_component") or "Running" in words(app)


def test_the_page_names_the_error_of_a_failed_run_and_offers_to_retry(monkeypatch, projects):
    app = open_page(monkeypatch, projects["failed"], "run")
    assert any("not finite" in each.value for each in app.error)
    assert "Retry from the failed stage" in [button.label for button in app.button]


def test_what_comes_from_outside_is_never_markup(monkeypatch, projects):
    app = open_page(monkeypatch, projects["finished"], "run", stage="train@vision")
    for page in ("data", "compression"):
        for each in open_page(monkeypatch, projects["finished"], page, view="bundle" if page == "compression" else "ledger").get(
            "markdown"
        ):
            assert not each.allow_html
    assert not app.exception


EVIL = "![x](http://elsewhere/x.png) :red[x] `y`"


def unescaped(words):
    return bool(re.search(r"!\[|(?<!\\)<img|:red\[", words))


def test_the_card_is_shown_without_its_pictures_and_html(monkeypatch, projects, tmp_path):
    root = shutil.copytree(projects["finished"], tmp_path / "p")
    for path in root.glob("runs/*/data/vision/release/card.md"):
        path.write_text(f"---\nlicense: mit\n---\n\n# Card\n\n| {EVIL} | <img src='http://elsewhere/x.png'> |\n|---|---|\n")
    app = open_page(monkeypatch, root, "compression", view="bundle")
    shown = next(each.value for each in app.markdown if "# Card" in each.value)
    assert "elsewhere" in shown
    assert not unescaped(shown)


def test_a_hostile_class_ticker_or_measure_is_no_markup_wherever_it_is_chosen_or_measured(monkeypatch, of_all, tmp_path):
    root = shutil.copytree(of_all, tmp_path / "p")
    for use_case, old in (("vision", '"9"'), ("finance", '"qlike"')):
        for path in root.glob(f"runs/*/data/{use_case}/**/*.json"):
            path.write_text(path.read_text().replace(old if old != '"9"' else f'"{recorded_runs.CLASSES[-1]}"', json.dumps(EVIL)))
    for path in root.glob("runs/*/data/finance/evaluations/*/predictions/*.parquet"):
        frame = pd.read_parquet(path)
        frame.assign(ticker=frame["ticker"].replace("acorn", EVIL)).to_parquet(path, index=False)
    asked = [("results", "vision", view) for view in ("confusion", "thresholds", "per_class")]
    asked += [("results", "finance", view) for view in ("forecast", "standings")] + [("compression", "finance", "front")]
    for page, use_case, name in asked:
        app = open_page(monkeypatch, root, page, uc=use_case, view=name)
        labels = [label for group in (*app.segmented_control, *app.pills) for label in group.options]
        assert not [words for words in (*labels, *(each.label for each in app.metric)) if unescaped(words)], (page, name)
        assert not [each.value for each in (*app.markdown, *app.caption) if unescaped(each.value)], (page, name)
    assert any("elsewhere" in each.label for each in app.metric)


def test_a_stage_is_looked_at_by_its_address(monkeypatch, projects):
    app = open_page(monkeypatch, projects["finished"], "run", stage="clean@vision")
    assert any("Validates every row" in each.value for each in app.caption)


def test_an_address_that_names_nothing_shows_the_newest(monkeypatch, projects):
    app = open_page(monkeypatch, projects["finished"], "run", run="../../etc", uc="no such", stage="x", lang="fr")
    assert not app.exception
    assert app.title[0].value == "Run"
    assert "run" not in app.query_params


def test_a_run_of_another_use_case_in_the_address_is_not_passed_over_in_silence(monkeypatch, of_all):
    other = next(name for name in run_records.names(of_all) if "-finance-" in name)
    app = open_page(monkeypatch, of_all, "data", uc="vision", run=other)
    assert not app.exception
    assert any("does not belong to Vision; the newest run is shown" in each.value for each in app.caption)
    assert "run" not in app.query_params
    app.run()
    assert not any("does not belong to" in each.value for each in app.caption)


def test_a_cell_with_more_rows_than_are_shown_says_so(monkeypatch, projects):
    monkeypatch.setattr(classification, "MAX_SAMPLES", 2)
    app = open_page(monkeypatch, projects["finished"], "results", view="confusion", truth="1", answer="1", recipe="dense")
    assert any("The 2 with the highest confidence" in each.value for each in app.caption)


def test_without_a_server_the_button_says_what_does_the_same_in_a_terminal(monkeypatch, projects):
    app = open_page(monkeypatch, projects["nothing"], "run")
    app.button(key="start_run").click().run()
    assert not app.exception
    assert any("No Prefect server responds" in each.value for each in app.warning)
    assert any(each.value == "bonsai run vision" for each in app.code)


def test_the_button_asks_the_conductor_once_and_goes_to_watch(monkeypatch, projects):
    asked = []
    monkeypatch.setattr(
        prefect_api, "request_run", lambda root, *what: asked.append(what) or "00000000-0000-0000-0000-00000000beef"
    )
    app = open_page(monkeypatch, projects["nothing"], "run")
    app.number_input(key="vision.training.epochs").set_value(3).run()
    app.button(key="start_run").click().run()
    assert asked == [(["vision"], [], {"training.epochs": 3})]
    assert app.query_params["flow"] == "00000000-0000-0000-0000-00000000beef"
    assert not app.exception


def test_a_run_that_was_asked_for_is_shown_as_soon_as_its_folder_is_there(monkeypatch, projects):
    app = open_page(monkeypatch, projects["finished"], "run", flow="00000000-0000-0000-0000-000000000000")
    assert "flow" not in app.query_params
    assert app.query_params["run"] == run_records.names(projects["finished"])[1]


def test_what_was_set_is_told_and_can_be_taken_back(monkeypatch, projects):
    app = open_page(monkeypatch, projects["nothing"], "run")
    app.number_input(key="vision.training.epochs").set_value(3).run()
    assert any("training.epochs=3" in each.value for each in app.code)
    app.button(key="reset").click().run()
    assert app.number_input(key="vision.training.epochs").value != 3
    assert any(each.value == "bonsai run vision" for each in app.code)


def test_the_quick_preset_fills_in_the_form(monkeypatch, projects):
    app = open_page(monkeypatch, projects["nothing"], "run")
    app.segmented_control(key="preset").set_value("quick").run()
    assert not app.exception
    assert any("--set fetch.limit=" in each.value and "--recipe int8" in each.value for each in app.code)


def test_a_run_can_be_run_again_with_edits(monkeypatch, projects):
    app = open_page(monkeypatch, projects["finished"], "run")
    app.button(key="edit_run").click().run()
    assert app.number_input(key="vision.training.epochs").value == 3


@pytest.mark.parametrize(("done", "said"), [(True, "restored it"), (False, "changed by hand")])
def test_a_run_is_restored_or_it_is_said_why_not(monkeypatch, projects, done, said):
    asked = []
    monkeypatch.setattr(versions, "_restore", lambda root, run_id: asked.append(run_id) or (done, said))
    app = open_page(monkeypatch, projects["finished"], "versions", view="versions")
    app.button(key="restore_yes").click().run()
    assert asked == [run_records.names(projects["finished"])[0]]
    assert not app.exception
    assert any(said.capitalize() in each.value for each in (app.success if done else app.warning))


def test_runs_are_filtered_and_say_what_came_of_them(monkeypatch, projects):
    app = open_page(monkeypatch, projects["finished"], "history")
    shown = app.dataframe[0].value
    assert list(shown["recipe"]) == ["int8", "int8"]
    app.text_input(key="find").set_value("epochs").run()
    assert len(app.dataframe[0].value) == 1
    app.text_input(key="find").set_value("nothing like it").run()
    assert any("No run matches" in each.value for each in app.caption)


def test_the_states_that_are_looked_for_are_kept_in_the_address(monkeypatch, projects):
    app = open_page(monkeypatch, projects["finished"], "history", states="failed,nonsense")
    assert any("No run matches" in each.value for each in app.caption)
    app.pills[0].set_value(["completed", "failed"]).run()
    assert app.query_params["states"] == "completed,failed"
    assert len(app.dataframe[0].value) == 2
    app.pills[0].set_value([]).run()
    assert "states" not in app.query_params


def test_of_a_run_of_several_use_cases_the_measure_says_whose_it_is(monkeypatch, of_all, tmp_path):
    root = shutil.copytree(of_all, tmp_path / "p")
    (path,) = root.glob("runs/*-vision-*/run.json")
    record = json.loads(path.read_text())
    told = next(json.loads(other.read_text()) for other in root.glob("runs/*-finance-*/run.json"))
    record |= {"use_cases": ["vision", "finance"], "results": {**record["results"], **told["results"]}}
    path.write_text(json.dumps(record))
    renamed = path.parent.rename(path.parent.with_name(path.parent.name.replace("-vision-", "-vision-finance-")))
    app = open_page(monkeypatch, root, "history", find=renamed.name)
    assert list(app.dataframe[0].value["metric"]) == ["Accuracy · Vision"]
    assert any("contains the runs shown here: 1" in each.value for each in app.caption)
    app = open_page(monkeypatch, root, "history", find=renamed.name, of="finance")
    assert list(app.dataframe[0].value["metric"]) == ["QLIKE · Finance"]


def test_the_rule_and_the_page_that_are_looked_at_come_from_the_address(monkeypatch, projects):
    app = open_page(monkeypatch, projects["finished"], "data", view="ledger", reason="unreadable")
    assert any("**Rows** with `unreadable`" in each.value for each in app.markdown)
    app = open_page(monkeypatch, projects["finished"], "results", view="mistakes", recipe="pruned", mistakes_page="2")
    assert not app.exception


def test_runs_beyond_those_read_at_once_are_found_by_looking_further_back(monkeypatch, projects):
    monkeypatch.setattr(run_table, "MAX_READ", 1)
    app = open_page(monkeypatch, projects["finished"], "history", find=f"-{0:04x}")
    assert any("None of the newest 1 runs matches" in each.value for each in app.caption)
    app.button(key="more").click().run()
    assert len(app.dataframe[0].value) == 1


def test_comparing_shows_only_what_differs(monkeypatch, projects):
    app = open_page(monkeypatch, projects["finished"], "compare")
    assert list(app.dataframe[0].value["name"]) == ["training.seed"]
    app.toggle(key="only").set_value(False).run()
    assert len(app.dataframe[0].value) > 5


DAMAGE = (
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


@pytest.mark.parametrize("how", ["half", *(pytest.param(how, marks=pytest.mark.slow) for how in ("deleted", "empty", "rubbish"))])
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_artifact_is_a_sentence_on_every_page(monkeypatch, projects, tmp_path, name, how):
    root = shutil.copytree(projects["finished"], tmp_path / "damaged")
    for path in root.rglob(name):
        whole = path.read_bytes()
        path.unlink()
        if how != "deleted":
            path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "rubbish": b"\x00\xff{]" * 40}[how])
    for page in ("data", "results", "compression", "try_it", "history", "compare"):
        app = open_page(monkeypatch, root, page)
        assert not app.exception, f"{page} with {name} {how}"


class Fake:
    """A server that knows one deployment."""

    url = "http://127.0.0.1:1/api"

    def __init__(self, trouble=None):
        self.trouble = trouble
        self.calls = []

    def deployments(self):
        if self.trouble:
            raise self.trouble
        nightly = Schedule("00000000-0000-0000-0000-000000000001", True, cron="0 3 * * *", timezone="UTC")
        return [Deployment("00000000-0000-0000-0000-000000000002", f"vision {HOSTILE}", "Grow it.", False, {}, (nightly,))]

    def flow_runs(self, deployment, *, ahead, limit=3):
        return [FlowRun("x", "y", "Completed", "", "2026-11-20T03:00:00+00:00")]

    def pause(self, deployment, *, paused):
        self.calls.append(paused)

    def set_schedule(self, deployment, schedule, **changed):
        self.calls.append(changed)

    def add_schedule(self, deployment, **added):
        self.calls.append(added)

    def remove_schedule(self, deployment, schedule):
        self.calls.append(schedule.id)


def test_schedules_are_told_in_words_and_can_be_paused(monkeypatch, projects):
    fake = Fake()
    with patch.object(prefect_api, "server", lambda root: fake):
        app = open_page(monkeypatch, projects["nothing"], "schedules")
        assert not app.exception
        assert any("every day at 03:00" in each.value for each in app.markdown)
        app.button(key="pause_00000000-0000-0000-0000-000000000002").click().run()
    assert fake.calls == [True]


def test_a_server_lost_between_two_clicks_is_a_sentence(monkeypatch, projects):
    def lost(deployment, *, paused):
        raise Unreadable("conductor.lost", reason="gone")

    fake = Fake()
    monkeypatch.setattr(fake, "pause", lost)
    with patch.object(prefect_api, "server", lambda root: fake):
        app = open_page(monkeypatch, projects["nothing"], "schedules")
        app.button(key="pause_00000000-0000-0000-0000-000000000002").click().run()
    assert not app.exception
    assert "did not respond: gone" in app.toast[0].value


def edits(fake):
    """The forms in which a deployment's times are changed."""

    def script(server):
        from dashboard.views.schedules import schedule_form

        schedule_form.edit(server, server.deployments()[0])

    return AppTest.from_function(script, kwargs={"server": fake}, default_timeout=60).run()


def test_a_schedule_is_changed_and_removed():
    nightly, fake = "00000000-0000-0000-0000-000000000001", Fake()
    app = edits(fake)
    app.text_input(key=f"cron_{nightly}").set_value(" 30  4 * * 1-5 ")
    app.text_input(key=f"zone_{nightly}").set_value("Europe/Berlin")
    app.button(key=f"save_{nightly}").click().run()
    assert fake.calls == [{"cron": "30 4 * * 1-5", "timezone": "Europe/Berlin", "active": True}]
    app.button(key=f"remove_{nightly}").click().run()
    assert fake.calls[1:] == [nightly]


@pytest.mark.parametrize(
    ("line", "zone", "said"),
    [
        ("3 * * *", "UTC", "has 4"),
        ("61 3 * * *", "UTC", "The minute cannot be 61"),
        ("0 3 * * *", "Europe/Berln", "Did you mean Europe/Berlin"),
    ],
)
def test_a_wrong_schedule_is_a_sentence_and_is_not_sent(line, zone, said):
    nightly, fake = "00000000-0000-0000-0000-000000000001", Fake()
    app = edits(fake)
    app.text_input(key=f"cron_{nightly}").set_value(line)
    app.text_input(key=f"zone_{nightly}").set_value(zone)
    app.button(key=f"save_{nightly}").click().run()
    assert said in app.error[0].value
    assert fake.calls == []


@pytest.mark.parametrize("trouble", [Unreadable("conductor.lost", reason="gone"), Refused("no")])
def test_a_server_in_trouble_is_a_sentence(monkeypatch, projects, trouble):
    with patch.object(prefect_api, "server", lambda root: Fake(trouble)):
        app = open_page(monkeypatch, projects["nothing"], "schedules")
    assert not app.exception


def test_the_plan_is_asked_of_the_conductor(monkeypatch, projects):
    steps = [{"stage": "fetch@vision", "verdict": "Run", "seconds": 2.0, "reasons": [{"kind": "new", "text": "never ran"}]}]
    monkeypatch.setattr(start_form, "_plan_steps", lambda *what: (steps, ""))
    app = open_page(monkeypatch, projects["nothing"], "run")
    app.button(key="plan").click().run()
    assert not app.exception
    assert any("1 of 1 stages to run" in each.value for each in app.markdown)


def test_no_page_loads_torch(projects):
    import subprocess

    script = f"""
import os, sys
os.chdir({str(projects["finished"])!r})
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({APP!r}, default_timeout=240).run()
for page in {PAGES!r}:
    app.switch_page(f"app_pages/{{page}}.py").run()
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
