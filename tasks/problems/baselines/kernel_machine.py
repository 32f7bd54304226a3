"""A kernel machine on encoded arrays: main axes, 500 kernels and a logistic regression, by scikit-learn and as an ONNX graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.exported_baseline import ExportedBaseline
from tasks.data import sampling
from tasks.problems.baselines.class_scores import scores_of_all_classes, weights_of_all_classes
from tasks.problems.baselines.onnx_graph import Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from tasks.core.problem import PreprocessingState

AXES, KERNELS = 50, 500
SCALE = 1 / 255
"""Inputs are multiplied by it, so that the values of pixels are 0 to 1."""
MIN_VARIANCE = 1e-12
COMPARED_ROWS = 1000
"""The most train rows on which the file is compared with scikit-learn."""


def flatten(inputs: Any) -> NDArray[np.float32]:
    """Inputs (N, ...) as the rows (N, F) that the model is fitted on."""
    flat: NDArray[np.float32] = inputs.reshape(len(inputs), -1).astype(np.float32) / 255
    return flat


def fit(inputs: Any, targets: Any) -> Any:
    """A pipeline of scikit-learn: the 50 main axes, the Nystroem map of 500 radial kernels, logistic regression."""
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
    flat = graph.add("Flatten", graph.floats(), axis=1)
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
    pipeline, classes = fit(inputs, targets), len(state["classes"])
    (sample,) = sampling.evenly_spaced_rows([len(inputs)], COMPARED_ROWS)
    scores = pipeline.decision_function(flatten(inputs[sample]))
    return ExportedBaseline(
        model=to_onnx(pipeline, inputs, classes),
        state=state,
        parameters=parameter_count(pipeline, classes),
        train_rows=len(inputs),
        inputs=inputs[sample],
        expected=scores_of_all_classes(scores, pipeline[-1].classes_, classes),
    )
