"""Store quantized weights in 4 bits: half the file, and the speed of 8-bit weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tasks.core.compression import CompressionContext
from tasks.core.settings import Share, settings

if TYPE_CHECKING:
    from tasks.compression.four_bit_weights import FourBitWeight


@settings
class Int4:
    """Weights of a quantized file as 4-bit integers that a Cast node turns to int8; ONNX Runtime folds it when it loads the file.

    Weights that `qat` trained on a grid of 4 bits are stored exactly, and the others of such a file stay in 8 bits. In a file
    without such weights all are rounded, to the grid with the least squared error of each channel.
    """

    changes: ClassVar[Literal["format"]] = "format"

    min_values: Annotated[int, Field(ge=1)] = 300
    """Weights with fewer values stay in 8 bits."""
    max_drop: Share = 0.004
    """Largest drop of the validation score. While it is larger, the weight whose rounding changes the outputs most stays in
    8 bits."""

    def __call__(self, model: bytes, context: CompressionContext) -> bytes:
        import numpy as np

        from tasks.compression import four_bit_weights
        from tasks.core import onnx_model

        def score(content: bytes) -> float:
            return context.score(onnx_model.predict(content, context.validation_inputs))

        def change(weight: FourBitWeight) -> float:
            """The mean squared change of the outputs with this weight alone in 4 bits."""
            after = onnx_model.predict(four_bit_weights.store(model, [weight]), context.validation_inputs)
            return float(np.square(np.subtract(after, onnx_model.predict(model, context.validation_inputs))).mean())

        weights = four_bit_weights.find(onnx_model.from_bytes(model), self.min_values)
        if not weights:
            context.event_log.log(f"no 8-bit weights of {self.min_values} values or more: the file stays as it is", "warning")
            context.notes["int4"] = {"tensors": 0}
            return model
        if any(weight.error == 0 for weight in weights):  # `qat` trained these for it, and others not
            weights = [weight for weight in weights if weight.error == 0]
        before = score(model)
        left = sorted(weights, key=lambda weight: change(weight) if weight.error else 0.0)
        stored = four_bit_weights.store(model, left)
        after = score(stored)
        while after < before - self.max_drop and left[-1].error > 0 and len(left) > 1:
            dropped = left.pop()
            context.event_log.log(f"the score falls from {before:.4f} to {after:.4f}: leaving {dropped.name} in 8 bits")
            stored = four_bit_weights.store(model, left)
            after = score(stored)
        context.notes["int4"] = {
            "tensors": len(left),
            "left_in_8_bits": [weight.name for weight in weights if not any(weight is one for one in left)],
            "exact": sum(weight.error == 0 for weight in left),
            "score_before": before,
            "score_after": after,
            "budget_kept": after >= before - self.max_drop,
        }
        return stored
