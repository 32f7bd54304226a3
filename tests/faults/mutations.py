"""Mutated inputs for every reader: each is read, or refused by an error that names what is wrong; never anything else."""

from __future__ import annotations

import io
import json
import random
import signal
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from onnx import TensorProto, helper
from PIL import Image
from safetensors.torch import save

from flows.dvc_state.lock_file import parse_checked_entries
from flows.registry import history
from flows.runs import record_file, record_schema
from flows.runs.event_follower import EventFollower
from flows.system import state_files
from tasks.core import onnx_model, params_file
from tasks.core.errors import UserError
from tasks.core.storage.manifest import read_manifest
from tasks.data.pretrained_weights import read_tensors
from tasks.data.table_files import read_table
from tasks.use_cases.vision import image_sources
from tasks.use_cases.vision.images import decode_image
from tests.faults.trial_log import Trial, TrialLog, in_memory

SECONDS = 10
"""A reader that takes longer hangs."""
CHUNK = 1_000
"""How many mutations of a format are read in one go, and kept as one line of the log."""
TOKENS = (
    b"\x00",
    b"\xff",
    b'"',
    b",",
    b"\n",
    b"[",
    b"{",
    b"1e999",
    b"NaN",
    b"-",
    b"\xef\xbb\xbf",
    b"9" * 30,
    b"null",
    b"../",
    b": ",
)
"""What is put in."""


@dataclass(slots=True)
class Outcome:
    """What came of the mutations of one reader."""

    read: int = 0
    refused: int = 0
    unnamed: Counter[str] = field(default_factory=Counter)
    """Exceptions that name nothing, by kind and text."""
    hangs: int = 0


class Hang(BaseException):
    """A reader took too long."""


def mutate(content: bytes, rng: random.Random) -> bytes:
    """The content with one to four faults: flipped bits, bytes cut out, doubled or put in, an end cut off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 2:
            del data[at : at + rng.randrange(1, 40)]
        elif kind == 3:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 4:
            data[at:at] = data[at : at + rng.randrange(1, 40)]
        else:
            del data[at:]
    return bytes(data)


def readers(folder: Path) -> dict[str, tuple[bytes, Callable[[bytes], object]]]:
    """For each format an intact file and what reads it."""
    rows = pd.DataFrame({"text": ["a b", "c, d", 'e "f"'] * 5, "label": ["x", "y", "z"] * 5, "value": np.arange(15.0)})

    def table(suffix: str) -> Callable[[bytes], object]:
        def read(content: bytes) -> object:
            path = folder / f"table{suffix}"
            path.write_bytes(content)
            return list(read_table(path))

        return read

    def file(name: str, read_path: Callable[[Path], object]) -> Callable[[bytes], object]:
        def read(content: bytes) -> object:
            (folder / name).write_bytes(content)
            return read_path(folder / name)

        return read

    def idx(path: Path) -> object:
        return list(image_sources.from_idx([(path, labels, "train", "x")], 0))

    def session(content: bytes) -> object:
        onnx_model.from_bytes(content)
        return None

    def record(path: Path) -> object:
        return record_file._read_file(path)

    def old_record(content: bytes) -> object:
        return record_schema.validate(state_files.decode(content))

    labels = folder / "labels-idx1-ubyte"
    labels.write_bytes(b"\x00\x00\x08\x01" + (10).to_bytes(4, "big") + bytes(range(10)))
    pictures = b"\x00\x00\x08\x03" + b"".join(size.to_bytes(4, "big") for size in (10, 4, 4)) + bytes(160)
    parquet, npz, picture, photo = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    rows.to_parquet(parquet)
    np.savez(npz, text=np.asarray(rows["text"], str), label=np.asarray(rows["label"], str), value=np.asarray(rows["value"]))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))
    noise.save(picture, "PNG")
    noise.save(photo, "JPEG")
    values = {
        "state": "Completed",
        "use_cases": ["toy"],
        "started_at": "2026-01-01T00:00:00+00:00",
        "process": {"pid": 3},
        "stages": {"train@toy": {"state": "Completed", "outs": {"data/toy/model": {"md5": "0" * 32 + ".dir", "size": 3}}}},
    }
    events = "".join(json.dumps({"seq": n, "event": "metric", "step": n, "values": {"loss": 1.0}}) + "\n" for n in range(5))
    registered = (
        json.dumps({"event": "registered", "version": 1})
        + "\n"
        + json.dumps({"event": "alias", "alias": "champion", "version": 1, "why": "promote"})
    )
    params = "use_cases:\n  toy: {fetch: {}, training: {seed: 7}}\nrecipes:\n  dense: []\n  half: [{quantize: {}}]\nseeds: [8]\n"
    lock = "schema: '2.0'\nstages:\n  a@toy:\n    cmd: python x\n    outs:\n    - path: data/x\n      md5: " + "a" * 32 + "\n"
    registry = folder / "registry" / "toy"
    registry.mkdir(parents=True)
    return {
        "CSV": (rows.to_csv(index=False).encode(), table(".csv")),
        "JSON Lines": (rows.to_json(orient="records", lines=True).encode(), table(".jsonl")),
        "parquet": (parquet.getvalue(), table(".parquet")),
        "npz": (npz.getvalue(), table(".npz")),
        "idx": (pictures, file("images-idx3-ubyte", idx)),
        "PNG": (picture.getvalue(), decode_image),
        "JPEG": (photo.getvalue(), decode_image),
        "ONNX": (small_model(), session),
        "safetensors": (save({"w": torch.zeros(3, 3), "b": torch.ones(3)}), file("model.safetensors", read_tensors)),
        "run.json": (state_files.encode(values), file("run.json", record)),
        "run.json, old": (json.dumps(values).encode(), old_record),
        "journal": (events.encode(), file("journal.jsonl", lambda path: EventFollower(path).poll())),
        "params.yaml": (params.encode(), file("params.yaml", params_file.read_params)),
        "dvc.lock": (lock.encode(), lambda content: parse_checked_entries(content.decode("utf-8", "replace"))),
        "registry": (f"{registered}\n".encode(), file("registry/toy/history.jsonl", lambda path: history.read(folder, "toy"))),
        "manifest": (b'{"a": "' + b"0" * 64 + b'"}', file("checksums.json", lambda path: read_manifest(path.parent))),
    }


def small_model() -> bytes:
    """An ONNX file of one matrix product."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0])
    node = helper.make_node("MatMul", ["inputs", "w"], ["outputs"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("inputs", "outputs")]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [weights])
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())


EXPECTED: dict[str, tuple[type[BaseException], ...]] = {
    "PNG": (UserError, ValueError),
    "JPEG": (UserError, ValueError),
    "run.json, old": (ValueError,),
    "dvc.lock": (ValueError,),
}
"""What a reader refuses by, where its caller names the file: `decode_image` and the parsers raise a ValueError with a reason."""


def run(count: int, seed: int, log: TrialLog | None = None) -> dict[str, Outcome]:
    """Read at least `count` mutated files in all, an equal share of each format, by chunks; what the log has is not read again.

    A chunk in which something was unnamed or hung is read again.
    """
    log = log or TrialLog()
    kept = log.done("mutation", seed)
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(dir=in_memory()) as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        formats = readers(Path(place))
        size = min(CHUNK, -(-count // len(formats)))
        for number in range(-(-count // (size * len(formats))) * len(formats)):
            name = list(formats)[number % len(formats)]
            chunk = kept.get(number)
            if chunk is None or chunk["read"] + chunk["refused"] != size:
                chunk = _read_chunk(*formats[name], random.Random(f"{seed} {name} {number}"), size, name)
                log.add("mutation", seed, number, **chunk)
            outcome = outcomes.setdefault(name, Outcome())
            outcome.read += chunk["read"]
            outcome.refused += chunk["refused"]
            outcome.hangs += chunk["hangs"]
            outcome.unnamed.update(chunk["unnamed"])
    return outcomes


def _read_chunk(content: bytes, read: Callable[[bytes], object], rng: random.Random, size: int, name: str) -> Trial:
    outcome = Outcome()
    read(content)
    for _ in range(size):
        _try(outcome, read, mutate(content, rng), EXPECTED.get(name, (UserError,)))
    return {"read": outcome.read, "refused": outcome.refused, "hangs": outcome.hangs, "unnamed": dict(outcome.unnamed)}


def _try(outcome: Outcome, read: Callable[[bytes], object], content: bytes, expected: tuple[type[BaseException], ...]) -> None:
    try:
        with _limited():
            read(content)
        outcome.read += 1
    except expected as error:
        if str(error).strip():
            outcome.refused += 1
        else:
            outcome.unnamed[f"{type(error).__name__} without a text"] += 1
    except Hang:
        outcome.hangs += 1
    except Exception as error:
        outcome.unnamed[f"{type(error).__name__}: {str(error)[:100]}"] += 1


@contextmanager
def _limited() -> Iterator[None]:
    """Raise `Hang` in the block after `SECONDS`."""

    def ring(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
