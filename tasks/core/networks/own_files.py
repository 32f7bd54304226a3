"""Networks of a person's own, read from the file that `model.file` names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import hash_file

if TYPE_CHECKING:
    from torch import nn

    from tasks.core.settings import Model
    from tasks.core.use_case import Array


def split_file(setting: str) -> tuple[str, str]:
    """The path and the function of `my_net.py:build`; the function is empty for an ONNX file."""
    path, colon, function = setting.rpartition(":")
    if colon and path.endswith(".py") and function.isidentifier():
        return path, function
    if setting.endswith(".py"):
        raise UserError(f"model.file={setting!r} names no function; write {setting}:build")
    if not setting.endswith(".onnx"):
        raise UserError(f"model.file={setting!r}: expected a function as in my_net.py:build, or an exported model.onnx")
    return setting, ""


def network_from_file(model: Model, described: dict[str, Any], inputs: Array) -> nn.Module:
    """The network of `model.file` for a use case that describes its inputs so, checked with a few encoded rows (N, ...)."""
    name, function = split_file(model.file)
    path = Path(name).expanduser()
    if not path.is_file():
        near = [each.name for each in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
        raise UserError(registry.unknown_name(f"model.file: {path.parent} has no", path.name, sorted(near)))
    if model.fingerprint and hash_file(path) != model.fingerprint:
        raise UserError(f"{path} changed since this run was requested; request it again")
    if not function:
        onnx_file: Any = registry.find_class(registry.SHARED_FOLDER, "onnx_file")
        network: nn.Module = onnx_file.of(path.read_bytes(), file=path.name, inputs=inputs, outputs=described["outputs"])
        return network
    try:
        source = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    own: Any = registry.find_class(registry.SHARED_FOLDER, "own_network")(
        file=path.name, function=function, source=source, **described
    )
    own.check(inputs[:2])
    return own  # type: ignore[no-any-return]
