"""Every row ends in exactly one place, with its reason, whatever the number of partitions, workers or deaths."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import psutil
import pytest
from distributed import LocalCluster
from PIL import Image

from tasks import dask_cluster
from tasks.cleaning.deduplication import deduplicate_and_split
from tasks.cleaning.partitions import kept_rows
from tasks.cleaning.quality_report import build_quality_report, check_classes, reason_code
from tasks.core.artifacts import CHECKSUMS, Table
from tasks.core.errors import UserError
from tasks.core.event_log import EventLog
from tasks.core.settings import Clean, Contract, Fetch, Training
from tasks.core.stage_context import StageContext
from tasks.core.use_case import UseCase
from tasks.data.table_files import MAX_LISTED_FILES, report_names
from tasks.problems.multiclass_classification import MulticlassClassification
from tasks.problems.regression import Regression
from tasks.stages import clean, fetch
from tasks.use_cases.vision.settings import ImageClean, ImageFetch
from tasks.use_cases.vision.use_case import Vision

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def scheduler():
    """A cluster in this process: what a worker does is the same, and it starts in no time."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as local:
        yield local.scheduler_address


@pytest.fixture
def workspace(tmp_path, scheduler, monkeypatch):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", scheduler)

    opened = []

    def make(case, name="mine"):
        root = tmp_path / name
        opened.append(EventLog(root / "journal" / f"clean@{name}.jsonl"))
        return StageContext(name=name, case=case, event_log=opened[-1], root=root)

    yield make
    for event_log in opened:
        event_log.close()


def picture(seed: int) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (5, 5), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((28, 28), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pets(tmp_path):
    """120 good pictures of three classes, and one of each kind of dirt."""
    folder = tmp_path / "pets"
    for place in range(120):
        label = ("cat", "cow", "dog")[place % 3]
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / f"{place:03d}.png").write_bytes(picture(place))
    (folder / "cat" / "copy.png").write_bytes(picture(0))
    (folder / "dog" / "contradiction.png").write_bytes(picture(3))
    (folder / "cow" / "text.png").write_bytes(b"not a picture")
    (folder / "cow" / "cut.png").write_bytes(picture(500)[:-40])
    Image.open(io.BytesIO(picture(600))).resize((50, 50)).save(folder / "dog" / "large.png")
    return folder


def vision(folder, partition_rows=50, **how):
    return Vision(fetch=ImageFetch(path=str(folder), partition_rows=partition_rows), clean=ImageClean(**how))


def cleaned(context):
    fetch.main(context)
    clean.main(context)
    return (
        context.clean.json("ledger.json"),
        Table(context.clean.path / "rows").read(),
        Table(context.clean.path / "quarantine").read(),
    )


def test_the_ledger_balances_and_names_every_reason(workspace, pets):
    ledger, rows, quarantine = cleaned(workspace(vision(pets)))
    assert ledger["rows_in"] == 125 == ledger["kept"] + ledger["quarantined"] + ledger["duplicates"]
    assert (ledger["kept"], ledger["fixed"], ledger["quarantined"], ledger["duplicates"]) == (121, 1, 2, 2)
    assert ledger["reasons"] == {"duplicate": 2, "truncated": 1, "unreadable": 1}
    assert ledger["fixes"] == {"resized": 1}
    assert ledger["contradictions"] == 1
    assert sum(ledger["splits"].values()) == 121 == len(rows)
    assert sum(sum(row.values()) for row in ledger["classes"].values()) == 121
    assert ledger["files"]["cow/text.png"] == {"rows_in": 1, "kept": 0, "quarantined": 1, "duplicates": 0}
    assert len(quarantine) == 4


def test_a_quarantined_row_is_kept_as_it_came_with_its_reason_and_place(workspace, pets):
    _, _, quarantine = cleaned(workspace(vision(pets)))
    quarantine = quarantine.set_index("file")
    assert quarantine.loc["cow/text.png", "image"] == b"not a picture"
    assert quarantine.loc["cow/text.png", "reason"].startswith("unreadable: not a PNG")
    assert quarantine.loc["cat/copy.png", "reason"] == "duplicate of cat/000.png:0"
    assert quarantine.loc["dog/contradiction.png", "reason"] == "duplicate of cat/003.png:0, which is labelled 'cat'"


def test_clean_rows_are_what_the_use_case_promised(workspace, pets):
    case = vision(pets)
    _, rows, _ = cleaned(workspace(case))
    assert list(rows.columns) == ["file", "row", *case.Schema.to_schema().columns, "fix", "split"]
    case.Schema.validate(rows[list(case.Schema.to_schema().columns)])
    assert rows["pixels"].is_unique


def test_rows_do_not_depend_on_the_partitions(workspace, pets):
    one = cleaned(workspace(vision(pets, 1000), "one"))
    many = cleaned(workspace(vision(pets, 7), "many"))
    assert one[0] == many[0]
    pd.testing.assert_frame_equal(one[1], many[1])
    pd.testing.assert_frame_equal(one[2], many[2])


def test_cleaning_again_gives_the_same_bytes(workspace, pets):
    context = workspace(vision(pets))
    cleaned(context)
    first = (context.clean.path / CHECKSUMS).read_bytes()
    clean.main(context)
    assert (context.clean.path / CHECKSUMS).read_bytes() == first
    assert not (context.root / ".bonsai" / "scratch" / "clean@mine").exists()


def test_too_much_dirt_stops_with_the_share_the_reason_an_example_and_where_to_look(workspace, pets):
    context = workspace(vision(pets, max_reject_share=0.01))
    with pytest.raises(UserError) as caught:
        cleaned(context)
    assert "2 of 125 rows (1.6%) had to be quarantined, 1.0% are borne (clean.max_reject_share)" in str(caught.value)
    assert "the first is cow/cut.png:0 (truncated" in str(caught.value)
    assert not context.clean.path.exists()
    looked_at = Path(str(caught.value).rpartition("look at them in ")[2])
    assert set(Table(looked_at).read()["file"]) >= {"cow/text.png", "cow/cut.png"}


def test_a_class_with_one_picture_is_named_with_what_would_do(workspace, pets):
    (pets / "zebra").mkdir()
    (pets / "zebra" / "1.png").write_bytes(picture(700))
    with pytest.raises(
        UserError, match=r"class 'zebra' has 1 clean row, none of them in .*; every class must be in all three splits"
    ):
        cleaned(workspace(vision(pets)))


def test_one_class_alone_is_refused(workspace, tmp_path):
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    for place in range(20):
        (tmp_path / "pets" / "cat" / f"{place}.png").write_bytes(picture(place))
    with pytest.raises(UserError, match="all 20 clean rows have the label 'cat'"):
        cleaned(workspace(vision(tmp_path / "pets")))


def test_a_folder_of_text_files_is_refused_and_nothing_is_left(workspace, tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        (tmp_path / "pets" / label / "1.png").write_text("hello")
    context = workspace(vision(tmp_path / "pets"))
    with pytest.raises(UserError, match=r"2 of 2 rows \(100.0%\) had to be quarantined.*unreadable, the first is cat/1\.png:0"):
        cleaned(context)
    assert not context.clean.path.exists()
    assert list(context.clean.path.parent.glob(".*")) == []


def test_validation_that_is_switched_off_is_refused(workspace, pets):
    from pandera.config import config_context

    with config_context(validation_enabled=False), pytest.raises(UserError, match="pandera is switched off"):
        clean.main(workspace(vision(pets)))


class Rows(pa.DataFrameModel):
    label: str = pa.Field(isin=["a", "b"])
    amount: float = pa.Field(ge=0, lt=100)


class Sums(UseCase):
    """Amounts with a label; what its `judge` lets through is for the schema to find."""

    fetch, clean, contract, training = Fetch(partition_rows=4), Clean(max_reject_share=1), Contract(), Training()
    augment = model = None
    Schema, unique_key, problem = Rows, ("label", "amount"), Regression()

    def __init__(self, table):
        self.table = table

    def load(self):
        yield self.table.assign(file="sums.csv", row=range(2, len(self.table) + 2))

    def clean_partition(self, rows):
        return rows[["label", "amount"]].assign(fault="", fix="")

    encode = build_model = None


def test_what_the_schema_finds_is_quarantined_under_column_and_check(workspace):
    table = pd.DataFrame({"label": ["a", "b", "c", "a", "b", "a"], "amount": [1.0, -1.0, 2.0, float("nan"), float("inf"), 99.0]})
    ledger, rows, quarantine = cleaned(workspace(Sums(table)))
    assert rows["amount"].tolist() == [1.0, 99.0]
    assert dict(zip(quarantine["row"], quarantine["reason"].map(reason_code), strict=True)) == {
        3: "schema amount", 4: "schema label", 5: "schema amount", 6: "schema amount",
    }  # fmt: skip
    assert ledger["reasons"] == {"schema amount": 3, "schema label": 1}


def test_what_a_reader_doubted_is_quarantined(workspace):
    table = pd.DataFrame(
        {"label": ["a"] * 5, "amount": [1.0, 2.0, 3.0, 4.0, 5.0], "doubt": ["", "", "", "", "cut-short: no line break"]}
    )
    ledger, _, quarantine = cleaned(workspace(Sums(table)))
    assert ledger["reasons"] == {"cut-short": 1}
    assert quarantine["row"].tolist() == [6]


def test_a_judge_that_loses_a_row_or_a_type_is_a_mistake_of_the_code(workspace):
    class Loses(Sums):
        def clean_partition(self, rows):
            return super().clean_partition(rows).head(1)

    class Types(Sums):
        def clean_partition(self, rows):
            return super().clean_partition(rows).assign(amount="much")

    table = pd.DataFrame({"label": ["a", "b"], "amount": [1.0, 2.0]})
    with pytest.raises(AssertionError, match="clean_partition of Loses gave 1 verdicts for 2 rows"):
        cleaned(workspace(Loses(table), "loses"))
    with pytest.raises(TypeError, match="clean_partition of Types gave column 'amount' against its Schema"):
        cleaned(workspace(Types(table), "types"))


def test_tables_whose_columns_differ_are_never_joined(workspace):
    class Two(Sums):
        def load(self):
            yield from super().load()
            yield self.table.assign(file="more.csv", row=2).rename(columns={"amount": "sum"})

    with pytest.raises(UserError, match=r"more\.csv and sums\.csv differ in their columns \(sum, amount\)"):
        fetch.main(workspace(Two(pd.DataFrame({"label": ["a"], "amount": [1.0]}))))


def test_no_rows_are_refused_and_leave_nothing(workspace):
    context = workspace(Sums(pd.DataFrame({"label": [], "amount": []})))
    with pytest.raises(UserError, match="holds no rows"):
        fetch.main(context)
    assert not context.raw.path.exists()


def test_a_limit_is_kept(workspace):
    class Few(Sums):
        fetch = Fetch(limit=5, partition_rows=2)

    context = workspace(Few(pd.DataFrame({"label": ["a"] * 100, "amount": np.arange(100.0)})))
    fetch.main(context)
    assert [len(part) for part in Table(context.raw.open()).partitions()] == [2, 2, 1]
    assert context.raw.json("report.json")["rows"] == 5


# Settling


class Dealt(Sums):
    problem = MulticlassClassification()

    def __init__(self):
        super().__init__(None)

    def duplicate_group(self, rows):
        return rows["looks"]

    def assign_split(self, rows, duplicate_group):
        return rows["subset"]


def light(**columns):
    table = pd.DataFrame({"file": "f", "label": "a", "fault": "", "fix": "", "part": 0, **columns})
    return table.assign(row=range(len(table)), looks=table.get("looks", table["key"]))


def test_of_equal_rows_the_one_in_test_is_kept_else_the_one_in_validation_else_the_first():
    settled = deduplicate_and_split(
        Dealt(), light(key=list("aabbcc"), subset=["train", "test", "train", "validation", "train", "train"])
    )
    assert settled["verdict"].tolist() == ["duplicate", "kept", "duplicate", "kept", "kept", "duplicate"]
    assert settled["reason"].tolist() == ["duplicate of f:1", "", "duplicate of f:3", "", "", "duplicate of f:4"]


def test_a_train_row_that_looks_like_a_test_row_is_a_leak():
    settled = deduplicate_and_split(
        Dealt(), light(key=list("abcd"), looks=list("xxyy"), subset=["train", "test", "train", "train"])
    )
    assert settled["verdict"].tolist() == ["quarantined", "kept", "kept", "kept"]
    assert settled["reason"][0] == "leak: looks like f:1 of test"
    ledger = build_quality_report(Dealt(), settled)
    assert ledger["reasons"] == {"leak": 1}
    assert ledger["near_duplicates"] == {"groups": 1, "rows": 2}


def test_faulty_rows_neither_leak_nor_count_as_originals():
    settled = deduplicate_and_split(
        Dealt(), light(key=["", "a", "a"], fault=["blank", "", ""], subset=["test", "train", "train"])
    )
    assert settled["verdict"].tolist() == ["quarantined", "kept", "duplicate"]


def test_a_split_nobody_knows_is_a_mistake_of_the_code():
    with pytest.raises(TypeError, match="assign_split of Dealt returned 'dev'; expected one of train, validation, test"):
        deduplicate_and_split(Dealt(), light(key=list("ab"), subset=["dev", "train"]))


class Beside(Dealt):
    """Knows of each row the one before it, and believes none that repeats it."""

    def clean_table(self, rows):
        before = rows["amount"].shift()
        again = rows["amount"] == before
        return pd.DataFrame(
            {"fault": again.map({True: "stale: again", False: ""}), "fix": "dated: by its place", "before": before}
        )


def test_what_a_row_knows_of_others_is_added_and_what_shows_only_beside_them_is_quarantined():
    rows = light(key=list("abcd"), amount=[1.0, 2.0, 2.0, 3.0], fault=["", "", "", "blank"], subset="context")
    settled = deduplicate_and_split(Beside(), rows.assign(subset=["context", "train", "train", "train"]))
    assert settled["verdict"].tolist() == ["kept", "kept", "quarantined", "quarantined"]
    assert settled["reason"].tolist() == ["", "", "stale: again", "blank"]
    assert settled["before"].tolist()[1:2] == [1.0]
    assert build_quality_report(Beside(), settled)["splits"] == {"train": 1, "validation": 0, "test": 0, "context": 1}
    kept = kept_rows(rows.drop(columns=["part", "looks", "subset"]), settled)
    assert kept["split"].tolist() == ["context", "train"]
    assert kept["fix"].tolist() == ["dated: by its place"] * 2
    assert list(kept["before"].isna()) == [True, False]


def test_every_class_must_stand_in_every_split():
    settled = deduplicate_and_split(
        Dealt(), light(key=list("abcdef"), label=list("aaabbb"), subset=["train", "validation", "test"] + ["train"] * 3)
    )
    with pytest.raises(UserError, match="class 'b' has 3 clean rows, none of them in validation or test"):
        check_classes(Dealt(), settled)


def test_many_files_are_counted_by_folder():
    names = [f"cat/{place}" for place in range(MAX_LISTED_FILES)] + ["dog/1", "loose"]
    assert set(report_names(names).values()) == {"cat", "dog", "."}
    assert report_names(names[:3]) == {name: name for name in names[:3]}


def test_blocks_are_cut_to_size_and_lose_nothing():
    frames = [pd.DataFrame({"x": range(start, end)}) for start, end in [(0, 3), (3, 4), (4, 20), (20, 20), (20, 23)]]
    blocks = list(dask_cluster.repartition(frames, 5))
    assert [len(block) for block in blocks] == [5, 5, 5, 5, 3]
    assert pd.concat(blocks)["x"].tolist() == list(range(23))


def test_a_block_of_large_rows_is_cut_short(monkeypatch):
    monkeypatch.setattr(dask_cluster, "MAX_PARTITION_BYTES", 100)
    frames = [pd.DataFrame({"image": [b"x" * 30] * 2, "y": [place, place]}) for place in range(7)]
    blocks = list(dask_cluster.repartition(frames, 10))
    assert [len(block) for block in blocks] == [4, 4, 4, 2]
    assert pd.concat(blocks)["y"].tolist() == sorted([*range(7)] * 2)


# Workers


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "nowhere")
    with (
        pytest.raises(UserError, match="no Dask scheduler answers at DASK_SCHEDULER_ADDRESS=nowhere"),
        dask_cluster.dask_client(1),
    ):
        pass


@pytest.mark.slow
def test_a_piece_that_kills_its_workers_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    event_log = EventLog(tmp_path / "clean@mine.jsonl")
    with (
        pytest.raises(UserError, match=r"partitions 0 \(7\) ended its worker process several times over"),
        dask_cluster.dask_client(1) as client,
    ):
        dask_cluster.map_on_cluster(client, die, [7], event_log=event_log, unit="partitions")
    event_log.close()


def stage(root: Path, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tasks", name, "vision"]
    return subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """Raw digits in ten partitions, and the checksums of an undisturbed clean on one core."""
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    settings = {"vision": {"fetch": {"partition_rows": 100, "limit": 1000}, "training": {"seed": 7}}}
    (tmp_path / "params.yaml").write_text(json.dumps({"use_cases": settings, "recipes": {"dense": []}}))
    assert stage(tmp_path, "fetch").wait() == 0
    alone = subprocess.run(
        [sys.executable, "-c", "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
         "os.execv(sys.executable, [sys.executable, '-m', 'tasks', 'clean', 'vision'])"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr.decode()
    return tmp_path, (tmp_path / "data/vision/clean" / CHECKSUMS).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("victims", ["one", "all"])
def test_workers_killed_in_the_middle_change_no_byte_and_leave_no_process(digits, victims):
    root, undisturbed = digits
    process = stage(root, "clean")
    killed: set[int] = set()
    event_log = root / "journal" / "clean@vision.jsonl"
    while process.poll() is None and not killed:
        if '"unit": "judged"' in event_log.read_text():
            workers = [child for child in psutil.Process(process.pid).children(recursive=True) if child.num_threads() > 3]
            for worker in workers[:1] if victims == "one" else workers:
                worker.kill()
                killed.add(worker.pid)
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    assert process.wait() == 0, event_log.read_text()
    assert killed
    assert (root / "data/vision/clean" / CHECKSUMS).read_bytes() == undisturbed
    assert psutil.wait_procs(family, timeout=10)[1] == []


@pytest.mark.slow
def test_a_stage_killed_in_the_middle_leaves_no_process_and_the_next_one_finishes(digits):
    root, undisturbed = digits
    process = stage(root, "clean")
    while '"unit": "judged"' not in (root / "journal" / "clean@vision.jsonl").read_text():
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert psutil.wait_procs(family, timeout=30)[1] == []
    assert (root / "data/vision/clean" / CHECKSUMS).read_bytes() == undisturbed
    assert stage(root, "clean").wait() == 0
    assert (root / "data/vision/clean" / CHECKSUMS).read_bytes() == undisturbed
