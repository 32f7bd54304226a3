"""Data of one's own from the page: kept, understood, and made a use case."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from dashboard.readers import bonsai_commands, own_data
from dashboard.readers.bonsai_commands import CommandError
from tasks.core.errors import UserError
from tests.support.dashboard_pages import PAGE_MARKS, open_page, page_text

pytestmark = PAGE_MARKS

LOANS = "income;age;label\n" + "".join(f"{20 + each},5;{30 + each % 9};{'no' if each % 2 else 'yes'}\n" for each in range(60))


def pictures(names: Any) -> bytes:
    buffer, image = io.BytesIO(), io.BytesIO()
    Image.new("L", (12, 12), 90).save(image, "PNG")
    with zipfile.ZipFile(buffer, "w") as packed:
        for name in names:
            packed.writestr(name, image.getvalue())
    return buffer.getvalue()


def test_a_table_is_previewed_as_the_pipeline_reads_it(tmp_path: Path) -> None:
    path = own_data.keep(tmp_path, [("my loans.csv", LOANS.encode())])
    assert path.name == "my_loans.csv"
    assert own_data.keep(tmp_path, [("my loans.csv", LOANS.encode())]) == path, "the same file is kept once"
    assert own_data.columns_of(path) == ["income", "age", "label"]
    assert own_data.likely_use_case(path) == "credit"
    seen = own_data.preview("credit", path, {"label": ""})
    assert seen.classes == {"yes": 30, "no": 30}
    assert any("comma" in line for line in seen.remarks), seen.remarks
    assert len(seen.rows) == 60


def test_texts_prices_and_pictures_are_recognized(tmp_path: Path) -> None:
    texts = own_data.keep(tmp_path, [("news.csv", b"body,topic\n" + b"the prices of grain fell again today,market\n" * 9)])
    assert own_data.likely_use_case(texts) == "nlp"
    prices = own_data.keep(tmp_path, [("bars.csv", b"Date,Open,High,Low,Close\n2024-01-02,1,2,1,2\n")])
    assert own_data.likely_use_case(prices) == "finance"
    names = ["things/cat/1.png", "things/dog/2.png", "__MACOSX/things/cat/1.png", "things/.DS_Store"]
    folder = own_data.keep(tmp_path, [("things.zip", pictures(names))])
    assert own_data.likely_use_case(folder) == "vision"
    assert sorted(path.name for path in folder.iterdir()) == ["cat", "dog"]
    encoded = io.BytesIO()
    pd.DataFrame({"image": [pictures(["a.png"])], "label": ["a"]}).to_parquet(encoded)
    assert own_data.likely_use_case(own_data.keep(tmp_path, [("some.parquet", encoded.getvalue())])) == "vision"


@pytest.mark.parametrize("name", ["../out.png", "/out.png"])
def test_a_zip_file_that_leads_out_of_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="outside of its folder"):
        own_data.keep(tmp_path, [("evil.zip", pictures(["a/1.png", name]))])
    assert not list(tmp_path.rglob("out.png"))


def test_a_damaged_zip_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.zip is damaged"):
        own_data.keep(tmp_path, [("x.zip", b"PK not really")])


def test_a_use_case_is_created_with_the_files_in_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Any] = []

    def run(root: Path, *arguments: str, **_: Any) -> Any:
        commands.append(arguments)
        return type("Done", (), {"returncode": 0, "stderr": "", "stdout": ""})()

    monkeypatch.setattr(bonsai_commands, "run", run)
    path = own_data.keep(tmp_path, [("loans.csv", LOANS.encode())])
    assert own_data.create(tmp_path, "loans", "credit", path, {"label": "label"}) == "loans"
    kept = tmp_path / "uploads" / "loans" / "loans.csv"
    assert kept.read_text() == LOANS
    assert commands == [("new", "loans", "--from", "credit", "--set", f"fetch.path={kept}", "--set", "fetch.label=label")]


def test_a_refused_name_leaves_the_upload_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        bonsai_commands,
        "run",
        lambda *_, **__: type("Done", (), {"returncode": 2, "stderr": "error: 'X' is not a valid name\n", "stdout": ""})(),
    )
    path = own_data.keep(tmp_path, [("loans.csv", LOANS.encode())])
    with pytest.raises(CommandError, match="not a valid name"):
        own_data.create(tmp_path, "X", "credit", path, {})
    assert path.is_file()
    assert not (tmp_path / "uploads" / "X").exists()


def test_a_path_on_this_machine_is_previewed_on_the_page(monkeypatch: pytest.MonkeyPatch, projects: Any, tmp_path: Path) -> None:
    path = tmp_path / "loans.csv"
    path.write_text(LOANS)
    app = open_page(monkeypatch, projects["nothing"], "own_data")
    app.text_input(key="own_path").set_value(str(path)).run()
    assert not app.exception
    assert "The first 60 rows" in page_text(app)
    assert app.text_input(key="own_name_loans.csv").value == "loans"
    app.text_input(key="own_path").set_value("nowhere").run()
    assert any("There is no file or folder nowhere" in each.value for each in app.info)
