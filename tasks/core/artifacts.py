"""Where every artifact lives, written whole or not at all and checked at every load. No other file spells a path."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core import registry
from tasks.core.atomic_files import flush_to_disk, hash_file, write_json
from tasks.core.errors import UserError
from tasks.core.use_case import PreprocessingState

if TYPE_CHECKING:
    from pandas import DataFrame


if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import nn


CHECKSUMS = "checksums.json"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One stage's output folder. It appears whole, with the checksum of each file, or not at all."""

    path: Path

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A hidden folder to fill; it takes the artifact's name when the block ends, and vanishes when it fails."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in self.path.parent.glob(f".{self.path.name}.*.partial"):
            shutil.rmtree(leftover)  # of a stage that was killed: DVC never runs one stage twice at once
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        draft.mkdir()
        try:
            yield draft
            write_json(draft / CHECKSUMS, {name: hash_file(draft / name) for name in _file_names(draft)})
            for name in _file_names(draft):
                flush_to_disk(draft / name)
            flush_to_disk(draft)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        if self.path.exists():
            retired = self.path.with_name(f".{self.path.name}.{os.getpid()}.retired.partial")
            self.path.rename(retired)
            draft.rename(self.path)
            shutil.rmtree(retired)
        else:
            draft.rename(self.path)
        flush_to_disk(self.path.parent)

    def open(self) -> Path:
        """The folder, after every file in it was found as it was written."""
        manifest = self.path / CHECKSUMS
        if not manifest.exists():
            raise UserError(f"{self.path} is not there yet or was not made here; run the stage that makes it, or `dvc repro`")
        verify_checksums(self.path, manifest.stat().st_mtime_ns)
        return self.path

    def json(self, name: str) -> Any:
        """The content of one of its JSON files."""
        return json.loads((self.open() / name).read_text(encoding="utf-8"))


@cache
def verify_checksums(folder: Path, _written_ns: int) -> None:
    """Compare each file of an artifact with its checksum; a flipped bit is an error that names the file."""
    for name, expected in json.loads((folder / CHECKSUMS).read_text(encoding="utf-8")).items():
        path, mend = folder / name, f"delete {folder} and run `dvc repro` to make it again"
        if not path.is_file():
            raise UserError(f"{path} is missing; {mend}")
        if hash_file(path) != expected:
            raise UserError(f"{path} is damaged (its sha256 differs from {CHECKSUMS}); {mend}")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in parquet partitions, `part-00000.parquet` and on."""

    path: Path

    def parts(self) -> list[Path]:
        """The partitions' files, in order."""
        return sorted(self.path.glob("part-*.parquet"))

    def partitions(self, columns: list[str] | None = None) -> Iterator[DataFrame]:
        """One frame per partition, so that data larger than memory passes."""
        import pandas as pd

        for part in self.parts():
            yield pd.read_parquet(part, columns=columns)

    def read(self, columns: list[str] | None = None) -> DataFrame:
        """All rows at once."""
        import pandas as pd

        return pd.concat(list(self.partitions(columns)), ignore_index=True)

    def write(self, position: int, rows: DataFrame) -> None:
        """Write partition `position`; the same rows give the same bytes."""
        self.path.mkdir(parents=True, exist_ok=True)
        rows.to_parquet(self.path / f"part-{position:05d}.parquet", index=False, compression="zstd")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network as config.json and model.safetensors: an architecture's constructor fields and its tensors, never a pickle."""

    path: Path
    use_case: str
    """The use case whose networks it is one of."""

    def write(self, network: nn.Module, state: PreprocessingState) -> None:
        from safetensors.torch import save_file

        self.path.mkdir(parents=True, exist_ok=True)
        architecture = type(network).__module__.rpartition(".")[2]
        write_json(self.path / "config.json", {"architecture": architecture, "fields": network.fields, "learnt": dict(state)})
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, self.path / "model.safetensors")

    def read(self) -> tuple[nn.Module, PreprocessingState]:
        """The network in evaluation mode, and what its use case learnt."""
        from safetensors.torch import load_file

        config = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        network: nn.Module = registry.build_network(self.use_case, config["architecture"], config["fields"])
        network.load_state_dict(load_file(self.path / "model.safetensors"))
        return network.eval(), config["learnt"]


def _file_names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def read_split(rows: Table, split: str) -> DataFrame:
    """The rows of one split, gathered partition by partition."""
    import pandas as pd

    return pd.concat([part[part["split"] == split] for part in rows.partitions()], ignore_index=True)
