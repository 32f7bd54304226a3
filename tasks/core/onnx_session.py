"""Sessions of ONNX Runtime, without the package onnx: it takes longer to import than the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def open_session(content: bytes, threads: int = 1) -> InferenceSession:
    """A session on the CPU with `threads` threads, for a file that was checked before."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
