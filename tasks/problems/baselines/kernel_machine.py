"""A kernel machine on encoded arrays: main axes, 500 kernels and a logistic regression, by scikit-learn and as an ONNX graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.exported_baseline import ExportedBaseline
from tasks.data import sampling
from tasks.problems.baselines.class_scores import scores_of_all_classes, weights_of_all_classes
from tasks.problems.baselines.onnx_graph import Graph

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto

    from tasks.core.problem import PreprocessingState

AXES, KERNELS = 50, 500
SCALE = 1 / 255
"""Inputs are multiplied by it, so that the values of pixels are 0 to 1."""
MIN_VARIANCE = 1e-12
MAX_SIDE, POOLED_SIDE = 32, 24
"""Pictures larger than `MAX_SIDE` are averaged to at most `POOLED_SIDE`: the cost of the main axes grows with its sixth power."""
COMPARED_ROWS = 1000
"""The most train rows on which the file is compared with scikit-learn."""


def flatten(inputs: Any) -> NDArray[np.float32]:
    """Inputs (N, ...) as the rows (N, F) that the model is fitted on."""
    flat: NDArray[np.float32] = inputs.reshape(len(inputs), -1).astype(np.float32) / 255
    return flat


def pooling(shape: Sequence[int]) -> int:
    """The side of the parts of inputs of this shape that are averaged: pictures are (C, H, W). 1 leaves them as they are."""
    return -(-max(shape[1:]) // POOLED_SIDE) if len(shape) == 3 and max(shape[1:]) > MAX_SIDE else 1


def pool(inputs: Any) -> Any:
    """Inputs (N, ...) with large pictures averaged, as float32; what is left over at the end of a side is cut."""
    part = pooling(inputs.shape[1:])
    if part == 1:
        return inputs
    rows, channels, height, width = inputs.shape
    height, width = height // part, width // part
    parts = inputs[:, :, : height * part, : width * part].reshape(rows, channels, height, part, width, part)
    return parts.mean((3, 5), dtype=np.float32)


def fit(inputs: Any, targets: Any) -> Any:
    """A pipeline of scikit-learn: the 50 main axes, the Nystroem map of 500 radial kernels, logistic regression.

    `inputs` are pooled.
    """
    from sklearn.decomposition import PCA
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    flat = flatten(inputs)
    axes = PCA(min(AXES, *flat.shape), svd_solver="covariance_eigh").fit(flat)
    gamma = 1 / max(axes.explained_variance_.sum(), MIN_VARIANCE)
    kernels = Nystroem(gamma=gamma, n_components=min(KERNELS, len(flat)), random_state=0)
    return make_pipeline(axes, kernels, LogisticRegression(C=100, max_iter=100)).fit(flat, targets)


def to_onnx(pipeline: Any, example_inputs: Any, classes: int) -> ModelProto:
    """The graph from `inputs` (N, ...), shaped like `example_inputs`, to logits (N, classes).

    The normalization of the kernels is a matrix product before another one: both are one matrix, multiplied in 64 bits.
    """
    axes, kernels, linear = pipeline
    weights_KF, biases = weights_of_all_classes(linear.coef_, linear.intercept_, linear.classes_, classes)
    rotation = axes.components_.astype(np.float64)
    basis = kernels.components_.astype(np.float64)  # (kernels, axes)
    graph = Graph(example_inputs.dtype, example_inputs.shape[1:])
    part, values = pooling(example_inputs.shape[1:]), graph.floats()
    if part > 1:
        values = graph.add("AveragePool", values, kernel_shape=[part, part], strides=[part, part])
    flat = graph.add("Flatten", values, axis=1)
    along = graph.linear(flat, rotation * SCALE, -rotation @ axes.mean_.astype(np.float64))
    # -gamma * |x - c|² = 2 gamma x·c - gamma |c|² - gamma |x|²
    products = graph.linear(along, 2 * kernels.gamma * basis, -kernels.gamma * (basis**2).sum(1))
    squares = graph.add("ReduceSumSquare", along, graph.constant([1], np.int64), keepdims=1)
    exponents = graph.add("Sub", products, graph.add("Mul", squares, graph.constant(kernels.gamma)))
    logits = graph.linear(graph.add("Exp", exponents), weights_KF @ kernels.normalization_.astype(np.float64), biases)
    return graph.finish(logits, classes)


def parameter_count(pipeline: Any, classes: int) -> int:
    """The numbers of axes, kernels and weights."""
    axes, kernels, _ = pipeline
    return int(
        axes.components_.size + len(axes.components_) + kernels.components_.size + classes * (len(kernels.components_) + 1)
    )


def exported(inputs: Any, targets: Any, state: PreprocessingState) -> ExportedBaseline:
    """The kernel machine fitted on encoded train rows, with one logit for each class of the state."""
    return exported_from_blocks([(inputs, targets)], len(inputs), state)


def exported_from_blocks(blocks: Iterable[tuple[Any, Any]], rows: int, state: PreprocessingState) -> ExportedBaseline:
    """As `exported`, for so many train rows in blocks of encoded inputs and targets, one of which is in memory at a time."""
    (sample,) = sampling.evenly_spaced_rows([rows], COMPARED_ROWS)
    pooled, targets, compared, start = [], [], [], 0
    for inputs, indices in blocks:
        compared.append(inputs[sample[(sample >= start) & (sample < start + len(inputs))] - start])
        pooled.append(pool(inputs))
        targets.append(indices)
        start += len(inputs)
    pipeline, classes = fit(np.concatenate(pooled), np.concatenate(targets)), len(state["classes"])
    inputs = np.concatenate(compared)
    scores = pipeline.decision_function(flatten(pool(inputs)))
    return ExportedBaseline(
        model=to_onnx(pipeline, inputs, classes),
        state=state,
        parameters=parameter_count(pipeline, classes),
        train_rows=rows,
        inputs=inputs,
        expected=scores_of_all_classes(scores, pipeline[-1].classes_, classes),
    )
