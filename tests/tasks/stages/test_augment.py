"""Variants come from train rows only, satisfy the schema of clean rows, and are the same in every run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from tasks.core.settings import Clean, Contract, Fetch, Training
from tasks.core.stage_context import StageContext
from tasks.core.storage.artifacts import CHECKSUMS, Table
from tasks.core.storage.atomic_files import write_json
from tasks.core.storage.event_log import EventLog
from tasks.core.use_case import UseCase
from tasks.stages import augment


class WordSchema(pa.DataFrameModel):
    word: str = pa.Field(str_length={"min_value": 1})


class Words(UseCase):
    """Words, and as variants the reversed words."""

    fetch, clean, contract, training = Fetch(), Clean(), Contract(), Training()
    augment: Any = None
    model: Any = None
    Schema, unique_key = WordSchema, ("word",)

    def augment_rows(self, rows: Any, seed: Any) -> Any:
        return rows.assign(word=rows["word"].str[::-1] + str(seed))

    def preview_augmentation(self, rows: Any, seed: Any) -> Any:
        return rows.head(2).assign(original=[0, 1], variant=0)

    load: Any = None
    clean_partition: Any = None
    encode: Any = None
    build_model: Any = None


class Plain(Words):
    augment_rows = UseCase.augment_rows


@pytest.fixture
def make_context(tmp_path: Path) -> Iterator[Any]:
    """Makes a context with nine clean rows in three partitions, six of them train rows."""
    event_log = EventLog(tmp_path / "journal" / "augment@words.jsonl")

    def make(case: Any) -> Any:
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


def test_variants_come_from_train_rows_only_and_in_order(
    make_context: Any, scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", scheduler)
    context = make_context(Words())
    augment.main(context)
    variants = Table(context.augmented.open() / "rows").read()
    assert variants["word"].tolist() == ["a07", "c07", "a17", "c17", "a27", "c27"]
    assert set(variants["split"]) == {"train"}
    assert context.augmented.json("report.json") == {"variants": 6, "preview": 2, "seed": 7}


def test_augmenting_again_gives_the_same_bytes(make_context: Any, scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", scheduler)
    context = make_context(Words())
    augment.main(context)
    first = (context.augmented.path / CHECKSUMS).read_bytes()
    augment.main(context)
    assert (context.augmented.path / CHECKSUMS).read_bytes() == first
    assert not (context.root / ".bonsai" / "scratch" / "augment@words").exists()


def test_without_variants_no_cluster_starts_and_the_empty_table_has_its_columns(
    make_context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augment, "client_for_rows", lambda *_: pytest.fail("started a cluster for nothing"))
    context = make_context(Plain())
    augment.main(context)
    rows = Table(context.augmented.open() / "rows").read()
    assert list(rows.columns) == ["file", "row", "word", "fix", "split"]
    assert len(rows) == 0


def test_the_preview_sees_train_rows_of_every_partition(make_context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class ChecksPreviewRows(Plain):
        def preview_augmentation(self, rows: Any, seed: Any) -> Any:
            assert set(rows["split"]) == {"train"}
            assert set(rows["word"].str[0]) == {"0", "1", "2"}
            return super().preview_augmentation(rows, seed)

    context = make_context(ChecksPreviewRows())
    augment.main(context)
    assert Table(context.augmented.open() / "preview").read()["original"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("corrupt", "error", "message"),
    [
        (lambda rows: rows.assign(word=""), AssertionError, "augment_rows of Invalid break str_length"),
        (lambda rows: rows.assign(split="test"), AssertionError, "left the train split"),
        (lambda rows: rows.drop(columns="fix"), AssertionError, "have other columns than its rows"),
    ],
)
def test_variants_that_violate_the_schema_are_refused(
    make_context: Any, scheduler: Any, monkeypatch: pytest.MonkeyPatch, corrupt: Any, error: Any, message: Any
) -> None:
    class Invalid(Words):
        def augment_rows(self, rows: Any, seed: Any) -> Any:
            return corrupt(rows)

    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", scheduler)
    context = make_context(Invalid())
    with pytest.raises(error, match=message):
        augment.main(context)
    assert not context.augmented.path.exists()
