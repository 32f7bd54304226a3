"""The peer of the benchmark `serving`: a BentoML service that decodes a picture and answers with its class.

It does less than `bonsai serve`: no validation, no abstention, no log of requests. The environment of the peer holds bentoml,
onnxruntime, numpy and pillow; BONSAI_PEER_MODEL names the ONNX file.
"""

from __future__ import annotations

import base64
import io
import json
import os
from typing import Any

import bentoml
import numpy as np
import onnxruntime
from PIL import Image


@bentoml.service(workers=1)
class Peer:
    """One model, one process."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BONSAI_PEER_MODEL"], options, providers=["CPUExecutionProvider"])
        entries = self.session.get_modelmeta().custom_metadata_map
        self.classes = json.loads(entries["bonsai.learnt"])["classes"]

    @bentoml.api
    def predict(self, inputs: list[str]) -> list[dict[str, Any]]:
        """Grey pictures of the model's size, in base64."""
        pictures = [Image.open(io.BytesIO(base64.b64decode(text))).convert("L") for text in inputs]
        logits = self.session.run(None, {"inputs": np.stack([np.asarray(picture)[None] for picture in pictures])})[0]
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        return [{"predicted": self.classes[int(row.argmax())], "probabilities": row.tolist()} for row in shares]
