"""Where every artifact lives, written whole or not at all and checked at every load. No other file spells a path."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import library
from tasks.contracts import Learnt, Mistake, Step, UseCase

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import nn

    from tasks.journal import Journal

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
                _sync(draft / name)
            _sync(draft)
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
        _sync(self.path.parent)

    def open(self) -> Path:
        """The folder, after every file in it was found as it was written."""
        manifest = self.path / CHECKSUMS
        if not manifest.exists():
            raise Mistake(f"{self.path} is not there yet or was not made here; run the stage that makes it, or `dvc repro`")
        verify(self.path, manifest.stat().st_mtime_ns)
        return self.path

    def json(self, name: str) -> Any:
        """The content of one of its JSON files."""
        return json.loads((self.open() / name).read_text(encoding="utf-8"))


@cache
def verify(folder: Path, _written_ns: int) -> None:
    """Compare each file of an artifact with its checksum; a flipped bit is an error that names the file."""
    for name, expected in json.loads((folder / CHECKSUMS).read_text(encoding="utf-8")).items():
        path, mend = folder / name, f"delete {folder} and run `dvc repro` to make it again"
        if not path.is_file():
            raise Mistake(f"{path} is missing; {mend}")
        if hash_file(path) != expected:
            raise Mistake(f"{path} is damaged (its sha256 differs from {CHECKSUMS}); {mend}")


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

    def write(self, network: nn.Module, learnt: Learnt) -> None:
        from safetensors.torch import save_file

        self.path.mkdir(parents=True, exist_ok=True)
        architecture = type(network).__module__.rpartition(".")[2]
        write_json(self.path / "config.json", {"architecture": architecture, "fields": network.fields, "learnt": dict(learnt)})
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, self.path / "model.safetensors")

    def read(self) -> tuple[nn.Module, Learnt]:
        """The network in evaluation mode, and what its use case learnt."""
        from safetensors.torch import load_file

        config = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        network: nn.Module = library.network(config["architecture"], config["fields"])
        network.load_state_dict(load_file(self.path / "model.safetensors"))
        return network.eval(), config["learnt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Everything one stage of one use case, and one recipe if it has one, reads and writes."""

    name: str
    case: UseCase
    journal: Journal
    recipe_name: str = ""
    recipe: tuple[Step, ...] = ()
    recipe_names: tuple[str, ...] = ()
    root: Path = Path()

    @property
    def data(self) -> Path:
        return self.root / "data" / self.name

    @property
    def raw(self) -> Artifact:
        return Artifact(self.data / "raw")

    @property
    def clean(self) -> Artifact:
        return Artifact(self.data / "clean")

    @property
    def augmented(self) -> Artifact:
        return Artifact(self.data / "augmented")

    @property
    def model(self) -> Artifact:
        return Artifact(self.data / "model")

    def compressed(self, recipe_name: str) -> Artifact:
        return Artifact(self.data / "compressed" / recipe_name)

    def evaluation(self, recipe_name: str) -> Artifact:
        return Artifact(self.data / "evaluations" / recipe_name)

    @property
    def release(self) -> Artifact:
        return Artifact(self.data / "release")

    @property
    def scratch(self) -> Path:
        """A folder outside the outputs that outlives a killed stage; the stage removes it when it is done."""
        path = self.root / ".bonsai" / "scratch" / self.journal.stage
        path.mkdir(parents=True, exist_ok=True)
        return path


def stage_name(stage: str, name: str, recipe_name: str = "") -> str:
    """A stage as DVC names it: `train@vision`, `compress@vision-int8`."""
    return f"{stage}@{name}-{recipe_name}" if recipe_name else f"{stage}@{name}"


def journal_path(root: Path, stage: str, rank: int = 0) -> Path:
    """Where the stage of that name keeps its journal; of several processes at it, only the first one's is for readers."""
    return root / ".bonsai" / "ranks" / f"{stage}.{rank}.jsonl" if rank else root / "journal" / f"{stage}.jsonl"


def write_json(path: Path, values: Mapping[str, Any] | list[Any]) -> None:
    """Write whole or not at all; keys in the order given, NaN refused."""
    write_bytes(path, (json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write under a temporary name, flush to the disk, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def hash_file(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def hash_json(values: object) -> str:
    """The sha256 of plain values, whatever the order of their keys."""
    return sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def _file_names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
