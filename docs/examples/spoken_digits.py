"""Which digit was spoken? Short recordings as log-mel spectrograms, classified by the small CNN of the images."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pandera.pandas as pa
from scipy.io import wavfile

from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.problem import PreprocessingState, Problem
from tasks.core.settings import settings
from tasks.core.use_case import UseCase
from tasks.data import sources
from tasks.problems.multiclass_classification import MulticlassClassification

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

SIDE, BLOCK_ROWS, HIGHEST_HZ = 32, 500, 4000
"""Mel bands and frames of a spectrogram; recordings per block; the highest frequency that is looked at."""


@settings
class SpokenDigits(UseCase):
    """Recordings in one folder per digit: `recordings/seven/anna_03.wav`."""

    class Schema(pa.DataFrameModel):
        sound: object
        label: str = pa.Field(str_length={"min_value": 1, "max_value": 100})

    summary: ClassVar[str] = "Which digit was spoken? Short recordings, told apart by a convolutional network."
    problem: ClassVar[Problem] = MulticlassClassification()
    unique_key: ClassVar[tuple[str, ...]] = ("sound",)

    def load(self) -> Iterator[pd.DataFrame]:
        """The WAV files of the folder `fetch.path` in blocks, the name of their folder as label."""
        folder = sources.verified_path(self.fetch.path, self.fetch.expected_fingerprint("path"))
        files = [path for path in sources.list_files(folder) if path.suffix.lower() == ".wav"]
        if not files:
            raise UserError(f"{folder} holds no .wav file; expected one folder of recordings per digit")
        for start in range(0, len(files), BLOCK_ROWS):
            block = files[start : start + BLOCK_ROWS]
            sounds, labels = [path.read_bytes() for path in block], [path.parent.name for path in block]
            names = [str(path.relative_to(folder)) for path in block]
            yield pd.DataFrame({"sound": sounds, "label": labels, "file": names, "row": 0})

    def clean_partition(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Every recording decoded once; what cannot be decoded, or is silent, gets a fault."""
        return rows[["sound", "label"]].assign(fault=[fault_of(sound) for sound in rows["sound"]], fix="")

    def encode(self, rows: pd.DataFrame, state: PreprocessingState) -> tuple[NDArray[Any], NDArray[Any]]:
        """N recordings to spectrograms, uint8 (N, 1, 32, 32), and class indices, int64 (N,)."""
        spectrograms = np.stack([log_mel(*decode(sound)) for sound in rows["sound"]])[:, None]
        return spectrograms, np.array([state["classes"].index(label) for label in rows["label"]], np.int64)

    def build_model(self, state: PreprocessingState) -> nn.Module:
        return self._build(state, (16, 24, 24, 32, 32))

    def build_student(self, state: PreprocessingState, width_share: float) -> nn.Module:
        return self._build(state, tuple(max(4, round(width * width_share)) for width in (16, 24, 24, 32, 32)))

    def _build(self, state: PreprocessingState, widths: tuple[int, ...]) -> nn.Module:
        fields = {"side": SIDE, "classes": len(state["classes"]), "widths": widths}
        network: nn.Module = registry.build_network(self.name, "cnn", fields)
        return network


def decode(sound: bytes) -> tuple[int, NDArray[np.float64]]:
    """Sampling rate in Hz and one channel of samples; raises `ValueError` for what is no WAV file."""
    rate, samples = wavfile.read(io.BytesIO(sound))
    return rate, samples.reshape(len(samples), -1).mean(1).astype(np.float64)


def fault_of(sound: bytes) -> str:
    try:
        rate, samples = decode(sound)
    except Exception as error:  # whatever a damaged file makes the reader raise
        return f"unreadable: {' '.join(str(error).split())[:60] or type(error).__name__}"
    return "silent: no sound in it" if len(samples) < rate // 20 or not np.ptp(samples) else ""


def log_mel(rate: int, samples: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Log-mel spectrogram (32, 32): bands by frames, the loudest cell 255, cells 60 dB below it and less 0."""
    window = max(64, rate // 25)
    starts = np.linspace(0, max(0, len(samples) - window), SIDE).astype(int)
    frames = np.stack([np.pad(samples[start : start + window], (0, max(0, window - len(samples)))) for start in starts])
    power = np.abs(np.fft.rfft(frames * np.hanning(window))) ** 2
    mel = np.linspace(0, 2595 * np.log10(1 + min(HIGHEST_HZ, rate / 2) / 700), SIDE + 2)
    edges, hertz = 700 * (10 ** (mel / 2595) - 1), np.fft.rfftfreq(window, 1 / rate)
    bands = np.stack([np.interp(hertz, edges[band : band + 3], [0, 1, 0]) for band in range(SIDE)])
    decibels = 10 * np.log10(bands @ power.T + 1e-9)
    return np.asarray(255 * np.clip((decibels - decibels.max()) / 60 + 1, 0, 1), np.uint8)
