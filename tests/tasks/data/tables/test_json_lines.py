"""JSON Lines that are valid JSON but mean two things, or nothing, are not taken in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.core.errors import UserError
from tasks.data import table_files


def read(tmp_path: Path, *lines: str) -> Any:
    (tmp_path / "my.jsonl").write_text("".join(line + "\n" for line in lines))
    return list(table_files.read_table(tmp_path / "my.jsonl"))


def test_a_key_that_is_there_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 2 names 'text' twice; which one is meant"):
        read(tmp_path, '{"text": "a"}', '{"text": "b", "text": "c"}')


def test_not_a_number_is_missing_and_infinity_is_a_word(tmp_path: Path) -> None:
    (rows,) = read(tmp_path, '{"x": NaN}', '{"x": Infinity}', '{"x": 1.50}')
    assert rows["x"].isna().tolist() == [True, False, False]
    assert rows["x"].tolist()[1:] == ["Infinity", "1.50"]


def test_half_a_character_leaves_its_row_in_doubt(tmp_path: Path) -> None:
    (rows,) = read(
        tmp_path, '{"text": "a", "label": "x"}', '{"text": "b\\ud800", "label": "x"}', '{"text": "c", "label": ["\\ud800"]}'
    )
    assert [doubt.partition(":")[0] for doubt in rows["doubt"]] == ["", "half-character", "half-character"]
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(UserError, match=r"line 1: the name .* holds half of a character; rename it"):
        read(tmp_path, '{"te\\ud800xt": "a"}')


def test_lists_and_objects_are_named_with_the_line_of_the_first(tmp_path: Path) -> None:
    (rows,) = read(tmp_path, '{"a": "x", "b": 1}', '{"a": ["x", 2], "b": 2}', '{"a": {"c": 1.0}, "b": 3}')
    assert rows.attrs[table_files.NESTED] == {"a": [2, 3]}
    assert rows["a"].tolist() == ["x", '["x", 2]', '{"c": 1.0}']
