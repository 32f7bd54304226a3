"""Every row has one outcome, with its reason, whatever the number of partitions."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import CHECKSUMS, Table
from tasks.stages import clean
from tasks.use_cases.finance.use_case import Finance
from tasks.use_cases.vision.settings import ImageClean, ImageFetch
from tasks.use_cases.vision.use_case import Vision
from tests.support.labelled_amounts import fetch_and_clean
from tests.support.price_bars import random_bars


def picture(seed: int) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (5, 5), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((28, 28), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pets(tmp_path: Path) -> Any:
    """120 good pictures of three classes, and an invalid or duplicate one of each kind."""
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


def vision(folder: Any, partition_rows: Any = 50, **how: Any) -> Any:
    return Vision(fetch=ImageFetch(path=str(folder), partition_rows=partition_rows), clean=ImageClean(**how))


def test_the_row_counts_reconcile_and_name_every_reason(make_context: Any, pets: Any) -> None:
    report, rows, quarantine = fetch_and_clean(make_context(vision(pets)))
    assert report["rows_in"] == 125 == report["kept"] + report["quarantined"] + report["duplicates"]
    assert (report["kept"], report["fixed"], report["quarantined"], report["duplicates"]) == (121, 1, 2, 2)
    assert report["reasons"] == {"duplicate": 2, "truncated": 1, "unreadable": 1}
    assert report["fixes"] == {"resized": 1}
    assert report["contradictions"] == 1
    assert sum(report["splits"].values()) == 121 == len(rows)
    assert sum(sum(row.values()) for row in report["classes"].values()) == 121
    assert report["files"]["cow/text.png"] == {"rows_in": 1, "kept": 0, "quarantined": 1, "duplicates": 0}
    assert len(quarantine) == 4


def test_a_quarantined_row_is_raw_with_its_reason_and_location(make_context: Any, pets: Any) -> None:
    _, _, quarantine = fetch_and_clean(make_context(vision(pets)))
    quarantine = quarantine.set_index("file")
    assert quarantine.loc["cow/text.png", "image"] == b"not a picture"
    assert quarantine.loc["cow/text.png", "reason"].startswith("unreadable: not a PNG")
    assert quarantine.loc["cat/copy.png", "reason"] == "duplicate of cat/000.png:0"
    assert quarantine.loc["dog/contradiction.png", "reason"] == "duplicate of cat/003.png:0, which is labelled 'cat'"


def test_clean_rows_match_the_schema_of_the_use_case(make_context: Any, pets: Any) -> None:
    case = vision(pets)
    _, rows, _ = fetch_and_clean(make_context(case))
    assert list(rows.columns) == ["file", "row", *case.Schema.to_schema().columns, "fix", "split"]
    case.Schema.validate(rows[list(case.Schema.to_schema().columns)])
    assert rows["pixels"].is_unique


def test_rows_do_not_depend_on_the_partitions(make_context: Any, pets: Any) -> None:
    one = fetch_and_clean(make_context(vision(pets, 1000), "one"))
    many = fetch_and_clean(make_context(vision(pets, 7), "many"))
    assert one[0] == many[0]
    pd.testing.assert_frame_equal(one[1], many[1])
    pd.testing.assert_frame_equal(one[2], many[2])


def test_cleaning_again_gives_the_same_bytes(make_context: Any, pets: Any) -> None:
    context = make_context(vision(pets))
    fetch_and_clean(context)
    first = (context.clean.path / CHECKSUMS).read_bytes()
    clean.main(context)
    assert (context.clean.path / CHECKSUMS).read_bytes() == first
    assert not (context.root / ".bonsai" / "scratch" / "clean@mine").exists()


def test_too_many_invalid_rows_are_refused_with_share_reason_example_and_folder(make_context: Any, pets: Any) -> None:
    context = make_context(vision(pets, max_reject_share=0.01))
    with pytest.raises(UserError) as caught:
        fetch_and_clean(context)
    assert "2 of 125 rows (1.6%) had to be quarantined, 1.0% are allowed (clean.max_reject_share)" in str(caught.value)
    assert "the first is cow/cut.png:0 (truncated" in str(caught.value)
    assert not context.clean.path.exists()
    quarantine = Path(str(caught.value).rpartition("look at them in ")[2])
    assert set(Table(quarantine).read()["file"]) >= {"cow/text.png", "cow/cut.png"}


def test_a_class_with_one_picture_is_left_out_or_refused_with_a_remedy(make_context: Any, pets: Any) -> None:
    (pets / "zebra").mkdir()
    (pets / "zebra" / "1.png").write_bytes(picture(700))
    report, rows, _ = fetch_and_clean(make_context(vision(pets), "goes on"))
    assert report["rare_classes"] == {"zebra": 1}
    assert set(rows["label"]) == {"cat", "cow", "dog"}
    with pytest.raises(
        UserError, match=r"class 'zebra' has 1 clean row, none of them in .*; every class must be in all three splits"
    ):
        fetch_and_clean(make_context(vision(pets, rare_classes="refuse")))


def test_one_class_alone_is_refused(make_context: Any, tmp_path: Path) -> None:
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    for place in range(20):
        (tmp_path / "pets" / "cat" / f"{place}.png").write_bytes(picture(place))
    with pytest.raises(UserError, match="all 20 clean rows have the label 'cat'"):
        fetch_and_clean(make_context(vision(tmp_path / "pets")))


def test_a_folder_of_text_files_is_refused_and_nothing_is_left(make_context: Any, tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        (tmp_path / "pets" / label / "1.png").write_text("hello")
    context = make_context(vision(tmp_path / "pets"))
    with pytest.raises(UserError, match=r"2 of 2 rows \(100.0%\) had to be quarantined.*unreadable, the first is cat/1\.png:0"):
        fetch_and_clean(context)
    assert not context.clean.path.exists()
    assert list(context.clean.path.parent.glob(".*")) == []


def test_validation_that_is_switched_off_is_refused(make_context: Any, pets: Any) -> None:
    from pandera.config import config_context

    with config_context(validation_enabled=False), pytest.raises(UserError, match="pandera is switched off"):
        clean.main(make_context(vision(pets)))


def test_rows_that_are_all_invalid_are_refused_for_their_commonest_fault(make_context: Any, tmp_path: Path) -> None:
    bars = random_bars(30)[["date", "open", "high", "low", "close"]].assign(date="2021-13-45")
    bars.to_csv(tmp_path / "own.csv", index=False)
    context = make_context(Finance(fetch={"path": str(tmp_path / "own.csv"), "partition_rows": 20}))
    with pytest.raises(
        UserError, match=r"30 of 30 rows .* 30 of them for unreadable-date, the first is own\.csv:2 \(.*'2021-13-45'"
    ):
        fetch_and_clean(context)
    context = make_context(Finance(fetch={"path": str(tmp_path / "own.csv"), "dates": "day_first", "calendar": "weekdays"}))
    days = [f"{day:%d/%m/%Y}" for day in pd.date_range("2021-01-01", periods=30)]
    bars.assign(date=days).to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(UserError, match=r"9 of 30 rows .* 9 of them for weekend, .*fetch\.calendar is weekdays"):
        fetch_and_clean(context)


def test_what_tells_the_label_is_recorded(make_context: Any, tmp_path: Path) -> None:
    table = pd.DataFrame({"size": np.arange(90) % 17, "copy": ["a", "b", "b"] * 30, "label": ["x", "y", "y"] * 30})
    table.to_csv(tmp_path / "own.csv", index=False)
    case = registry.build("use_cases", "credit", {"fetch": {"path": str(tmp_path / "own.csv")}})
    report, _, _ = fetch_and_clean(make_context(case))
    assert report["findings"] == ["column `copy` alone tells the label of 100.0% of the rows; is it known before the event?"]
