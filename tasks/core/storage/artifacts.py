"""Artifacts: output folders that are written atomically and verified by checksum at every load."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.networks import resized_network
from tasks.core.problem import PreprocessingState
from tasks.core.storage import manifest
from tasks.core.storage.atomic_files import flush_to_disk, write_json, write_parquet
from tasks.core.storage.manifest import CHECKSUMS

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import nn

__all__ = ["CHECKSUMS"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A stage's output folder. It is written atomically, with the SHA-256 of each file in `checksums.json`."""

    path: Path

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A hidden folder to write to. It is renamed to the artifact when the block ends, and deleted when the block fails."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in self.path.parent.glob(f".{self.path.name}.*.partial"):
            shutil.rmtree(leftover)  # left by a killed stage: DVC never runs one stage twice at the same time
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        draft.mkdir()
        try:
            yield draft
            manifest.write_manifest(draft)
            for name in manifest.file_names(draft):
                flush_to_disk(draft / name)
            flush_to_disk(draft)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        if self.path.exists():
            replaced = self.path.with_name(f".{self.path.name}.{os.getpid()}.retired.partial")
            self.path.rename(replaced)
            draft.rename(self.path)
            shutil.rmtree(replaced)
        else:
            draft.rename(self.path)
        flush_to_disk(self.path.parent)

    def open(self) -> Path:
        """The folder, after its files were compared with its manifest: none missing, none more, each with its checksum.

        Raises a `UserError` when it is missing or damaged. Within a process, a file is hashed again only if it changed.
        """
        if not self.path.is_dir():
            raise UserError(f"{self.path} is not there yet; run the stage that makes it, or `bonsai run`")
        manifest.verify(self.path)
        return self.path

    def json(self, name: str) -> Any:
        """The values of one of its JSON files."""
        return json.loads((self.open() / name).read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in parquet partitions: `part-00000.parquet`, `part-00001.parquet` and so on."""

    path: Path

    def parts(self) -> list[Path]:
        """The partitions' paths, in order."""
        return sorted(self.path.glob("part-*.parquet"))

    def partitions(self, columns: list[str] | None = None) -> Iterator[DataFrame]:
        """One frame per partition, for data larger than memory."""
        import pandas as pd

        for part in self.parts():
            yield pd.read_parquet(part, columns=columns)

    def read(self, columns: list[str] | None = None) -> DataFrame:
        """All rows in one frame."""
        import pandas as pd

        return pd.concat(list(self.partitions(columns)), ignore_index=True)

    def write(self, position: int, rows: DataFrame) -> None:
        """Write partition `position`. The same rows give the same bytes."""
        write_parquet(self.path / f"part-{position:05d}.parquet", rows)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network as config.json (architecture and constructor arguments) and model.safetensors (tensors). Never a pickle."""

    path: Path
    use_case: str
    """The use case in whose folder of `tasks/models` the architecture is."""

    def write(self, network: nn.Module, state: PreprocessingState) -> None:
        from safetensors.torch import save_file

        self.path.mkdir(parents=True, exist_ok=True)
        architecture = type(network).__module__.rpartition(".")[2]
        resized = resized_network.attributes(network)
        config = {"architecture": architecture, "fields": network.fields, "learnt": dict(state)}
        write_json(self.path / "config.json", config | ({"resized": resized} if resized else {}))
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, self.path / "model.safetensors")

    def read(self) -> tuple[nn.Module, PreprocessingState]:
        """The network in evaluation mode, and the preprocessing state it was trained with."""
        from safetensors.torch import load_file

        config = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        network: nn.Module = registry.build_network(self.use_case, config["architecture"], config["fields"])
        tensors = load_file(self.path / "model.safetensors")
        if "resized" in config:
            resized_network.resize(network, tensors, config["resized"])
        network.load_state_dict(tensors)
        return network.eval(), config["learnt"]


def read_split(rows: Table, split: str) -> DataFrame:
    """The rows of one split, read partition by partition.

    Columns of bytes, such as pictures, hold `StoredBytes` where they are large together: those stay in a file.
    """
    import pandas as pd

    from tasks.core.storage.file_backed import (  # NumPy must not be loaded before threads are set
        MEMORY_BYTES,
        ByteStore,
        size_of_bytes,
    )

    frames: list[DataFrame] = []
    store, held = None, 0
    for part in rows.partitions():
        frames.append(part[part["split"] == split])
        held += size_of_bytes(frames[-1])
        if store is None and held > MEMORY_BYTES:
            store = ByteStore(rows.path)
            frames[:-1] = [store.store(frame) for frame in frames[:-1]]
        if store is not None:
            frames[-1] = store.store(frames[-1])
    return pd.concat(frames, ignore_index=True)
