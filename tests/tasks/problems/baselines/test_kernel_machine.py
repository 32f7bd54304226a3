"""The kernel machine: the ONNX file answers as scikit-learn does, whatever the shape and type of the inputs."""

from typing import Any

import numpy as np
import pytest

from tasks.core import onnx_model
from tasks.problems.baselines import kernel_machine
from tasks.stages import baselines


def pictures(classes: int, rows: int = 300) -> Any:
    """Noise with a bright row whose place is the class."""
    dice = np.random.default_rng(0)
    targets = dice.integers(0, classes, rows)
    inputs = dice.integers(0, 120, (rows, 1, 8, 8), dtype=np.uint8)
    inputs[np.arange(rows), 0, targets] += 90
    return inputs, targets


@pytest.mark.parametrize("classes", [2, 5])
def test_the_file_gives_the_probabilities_of_scikit_learn(classes: int) -> None:
    inputs, targets = pictures(classes)
    exported = kernel_machine.exported(inputs, targets, {"classes": list(map(str, range(classes)))})
    content = baselines.to_bytes(exported, "vision", "kernel-machine")
    assert baselines.parity(content, exported.inputs, exported.expected, "kernel machine")["max_difference"] < 1e-3
    pipeline = kernel_machine.fit(inputs, targets)
    exponents = np.exp(onnx_model.predict(content, inputs))
    expected = pipeline.predict_proba(kernel_machine.flatten(inputs))
    assert np.abs(exponents / exponents.sum(1, keepdims=True) - expected).max() < 1e-4
    assert (exponents.argmax(1) == targets).mean() > 0.95
    assert exported.parameters == 50 * 65 + 300 * 50 + classes * 301


def test_a_class_without_rows_is_never_the_answer() -> None:
    inputs, targets = pictures(3)
    exported = kernel_machine.exported(inputs, targets * 2, {"classes": list("abcde")})
    logits = onnx_model.predict(onnx_model.to_bytes(exported.model), inputs)
    assert logits.shape == (300, 5)
    assert set(logits.argmax(1)) == {0, 2, 4}
    assert (logits[:, [1, 3]] == -100).all()


def test_inputs_of_32_bit_floats_and_the_same_bytes_twice() -> None:
    inputs, targets = pictures(2, 60)
    floats = inputs.reshape(60, 64).astype(np.float32)
    files = [onnx_model.to_bytes(kernel_machine.exported(floats, targets, {"classes": ["a", "b"]}).model) for _ in range(2)]
    assert files[0] == files[1]
    assert onnx_model.predict(files[0], floats).shape == (60, 2)


@pytest.mark.parametrize(("side", "channels", "kept"), [(32, 1, 32), (33, 1, 16), (64, 1, 21), (100, 1, 20), (224, 3, 22)])
def test_large_pictures_are_averaged_so_that_the_cost_stays(side: int, channels: int, kept: int) -> None:
    dice = np.random.default_rng(0)
    inputs, targets = dice.integers(0, 256, (40, channels, side, side), dtype=np.uint8), np.arange(40) % 2
    inputs[targets == 1, :, : side // 2] //= 2
    pooled = kernel_machine.pool(inputs)
    assert pooled.shape == (40, channels, kept, kept)
    part = side // kept
    assert pooled[3, 0, 2, 1] == pytest.approx(inputs[3, 0, 2 * part : 3 * part, part : 2 * part].mean(), rel=1e-6)
    exported = kernel_machine.exported(inputs, targets, {"classes": ["a", "b"]})
    content = baselines.to_bytes(exported, "vision", "kernel-machine")
    assert baselines.parity(content, inputs, exported.expected, "kernel machine")["equal_decisions_share"] == 1
    assert (onnx_model.predict(content, inputs).argmax(1) == targets).all()


def test_rows_in_blocks_give_the_model_of_all_rows_at_once() -> None:
    inputs, targets = pictures(3)
    state = {"classes": ["a", "b", "c"]}
    blocks = [(inputs[at : at + 70], targets[at : at + 70]) for at in range(0, 300, 70)]
    one, other = kernel_machine.exported(inputs, targets, state), kernel_machine.exported_from_blocks(blocks, 300, state)
    assert onnx_model.to_bytes(one.model) == onnx_model.to_bytes(other.model)
    assert np.array_equal(one.inputs, other.inputs)
    assert np.array_equal(one.expected, other.expected)
    assert one.train_rows == other.train_rows == 300
