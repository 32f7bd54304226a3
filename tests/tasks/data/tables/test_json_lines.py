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


def test_an_array_of_objects_is_read_like_lines_of_them(tmp_path: Path) -> None:
    (tmp_path / "my.json").write_text('[\n {"a": 1.50, "b": {"c": [2]}},\n\n {"a": 7,\n  "b": null}\n]\n')
    (rows,) = table_files.read_table(tmp_path / "my.json")
    assert rows["a"].tolist() == ["1.50", "7"]
    assert rows["b"].iloc[0] == '{"c": [2]}'
    assert rows["row"].tolist() == [2, 4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"a": 1}, {"a": 2', "the file may be cut short"),
        ('[{"a": 1}, 2]', "line 1: expected one object per line, .* or an array of them, got '2'"),
        ('[{"a": 1}] []', "more follows after its array"),
        ('{\n  "a": 1\n}\n', "an object over several lines"),
    ],
)
def test_what_is_no_array_of_objects_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "my.json").write_text(text)
    with pytest.raises(UserError, match=words):
        list(table_files.read_table(tmp_path / "my.json"))


def test_a_key_that_the_first_object_lacks_is_a_column_too(tmp_path: Path) -> None:
    (rows,) = read(tmp_path, '{"a": 1}', '{"b": "x", "a": 2}')
    assert rows["b"].isna().tolist() == [True, False]
    late = ['{"a": 1}'] * 1000 + ['{"a": 1, "b": 2}']
    with pytest.raises(UserError, match="line 1001 has 'b', which none of the first 1,000 objects has"):
        read(tmp_path, *late)


def test_an_object_around_the_rows_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"my.jsonl holds one object around its rows \('data'\); expected one object per row"):
        read(tmp_path, '{"data": [{"text": "a"}, {"text": "b"}]}')
