"""Variants are made of train rows alone, checked like clean rows, and the same at every run."""

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from distributed import LocalCluster

from tasks.core.artifacts import CHECKSUMS, Table
from tasks.core.atomic_files import write_json
from tasks.core.event_log import EventLog
from tasks.core.settings import Clean, Contract, Fetch, Training
from tasks.core.stage_context import StageContext
from tasks.core.use_case import UseCase
from tasks.stages import augment


class Rows(pa.DataFrameModel):
    word: str = pa.Field(str_length={"min_value": 1})


class Words(UseCase):
    """Words and, as variants, the words spelt backwards."""

    fetch, clean, contract, training = Fetch(), Clean(), Contract(), Training()
    augment = model = None
    Schema, unique_key = Rows, ("word",)

    def augment_rows(self, rows, seed):
        return rows.assign(word=rows["word"].str[::-1] + str(seed))

    def preview_augmentation(self, rows, seed):
        return rows.head(2).assign(original=[0, 1], variant=0)

    load = clean_partition = encode = build_model = None


class Plain(Words):
    augment_rows = UseCase.augment_rows


@pytest.fixture(scope="module")
def scheduler():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as local:
        yield local.scheduler_address


@pytest.fixture
def workspace(tmp_path):
    """Nine clean rows in three partitions, six of them to train on."""
    event_log = EventLog(tmp_path / "journal" / "augment@words.jsonl")

    def make(case):
        context = StageContext(name="words", case=case, event_log=event_log, root=tmp_path)
        with context.clean.draft() as draft:
            for part in range(3):
                words = [f"{part}{letter}" for letter in "abc"]
                rows = pd.DataFrame(
                    {"file": "f", "row": np.arange(3), "word": words, "fix": "", "split": ["train", "test", "train"]}
                )
                Table(draft / "rows").write(part, rows)
            write_json(draft / "ledger.json", {})
        return context

    yield make
    event_log.close()


def test_variants_are_made_of_train_rows_alone_in_order(workspace, scheduler, monkeypatch):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", scheduler)
    context = workspace(Words())
    augment.main(context)
    made = Table(context.augmented.open() / "rows").read()
    assert made["word"].tolist() == ["a07", "c07", "a17", "c17", "a27", "c27"]
    assert set(made["split"]) == {"train"}
    assert context.augmented.json("report.json") == {"variants": 6, "preview": 2, "seed": 7}


def test_making_them_again_gives_the_same_bytes(workspace, scheduler, monkeypatch):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", scheduler)
    context = workspace(Words())
    augment.main(context)
    first = (context.augmented.path / CHECKSUMS).read_bytes()
    augment.main(context)
    assert (context.augmented.path / CHECKSUMS).read_bytes() == first
    assert not (context.root / ".bonsai" / "scratch" / "augment@words").exists()


def test_without_variants_no_cluster_starts_and_the_empty_table_has_its_columns(workspace, monkeypatch):
    monkeypatch.setattr(augment, "dask_client", lambda *_: pytest.fail("started a cluster for nothing"))
    context = workspace(Plain())
    augment.main(context)
    rows = Table(context.augmented.open() / "rows").read()
    assert list(rows.columns) == ["file", "row", "word", "fix", "split"]
    assert len(rows) == 0


def test_the_preview_is_drawn_from_all_over_the_data(workspace, monkeypatch):
    class Looks(Plain):
        def preview_augmentation(self, rows, seed):
            assert set(rows["split"]) == {"train"}
            assert set(rows["word"].str[0]) == {"0", "1", "2"}
            return super().preview_augmentation(rows, seed)

    context = workspace(Looks())
    augment.main(context)
    assert Table(context.augmented.open() / "preview").read()["original"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda rows: rows.assign(word=""), AssertionError, "augment_rows of Spoilt break str_length"),
        (lambda rows: rows.assign(split="test"), AssertionError, "left the train split"),
        (lambda rows: rows.drop(columns="fix"), AssertionError, "have other columns than its rows"),
    ],
)
def test_variants_that_are_no_clean_train_rows_are_refused(workspace, scheduler, monkeypatch, spoil, error, said):
    class Spoilt(Words):
        def augment_rows(self, rows, seed):
            return spoil(rows)

    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", scheduler)
    context = workspace(Spoilt())
    with pytest.raises(error, match=said):
        augment.main(context)
    assert not context.augmented.path.exists()
