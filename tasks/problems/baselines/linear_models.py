"""Linear models on tables of numbers and category codes, fitted by scikit-learn and written as an ONNX graph.

`inputs` (N, F + C) are 32-bit floats, the first `numbers` columns numbers (NaN where missing), the others category codes.
Missing numbers are imputed by the median of the train rows, numbers standardized, and categories one-hot. In the graph a
category is a row of a table of weights; one that no train row has adds nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from tasks.problems.baselines.onnx_graph import Graph

if TYPE_CHECKING:
    from onnx import ModelProto


def fit_logistic_regression(inputs: Any, targets: Any, numbers: int) -> Any:
    """A fitted pipeline of scikit-learn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_columns(inputs.shape[1], numbers), LogisticRegression(max_iter=2000)).fit(inputs, targets)


def fit_ridge_regression(inputs: Any, targets: Any, numbers: int) -> Any:
    """A fitted pipeline of scikit-learn."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_columns(inputs.shape[1], numbers), Ridge()).fit(inputs, targets)


def to_onnx(pipeline: Any, numbers: int, inputs: Any, weights_KF: Any, bias_K: Any) -> ModelProto:
    """The graph of a fitted pipeline with these weights on its columns: from `inputs` (N, F + C) to `outputs` (N, K).

    `weights_KF` and `bias_K` are those of its linear model, one row per output.
    """
    columns, width = pipeline[0].named_transformers_, inputs.shape[1]
    graph = Graph(inputs.dtype, [width])
    table_rows, parts = graph.floats(), []
    if numbers:
        imputer, scaler = columns["numbers"]
        values = _slice(graph, table_rows, 0, numbers)
        filled = graph.add("Where", graph.add("IsNaN", values), graph.constant(imputer.statistics_), values)
        centred = graph.add("Sub", filled, graph.constant(scaler.mean_))
        parts.append(graph.linear(centred, weights_KF[:, :numbers] / scaler.scale_, bias_K))
    if width > numbers:
        seen_codes = [codes.astype(np.int64) for codes in columns["categories"].categories_]
        sizes = [int(codes.max()) + 2 for codes in seen_codes]  # one row more, of zeros, for larger codes
        starts = np.cumsum([0, *sizes])
        table = np.zeros((starts[-1], len(weights_KF)))
        places = np.concatenate([start + codes for start, codes in zip(starts, seen_codes, strict=False)])
        table[places] = weights_KF[:, numbers:].T
        codes = graph.add("Cast", _slice(graph, table_rows, numbers, width), to=onnx.TensorProto.INT64)
        limited = graph.add("Min", codes, graph.constant(np.array(sizes) - 1, np.int64))
        rows = graph.add("Add", limited, graph.constant(starts[:-1], np.int64))
        looked_up = graph.add("Gather", graph.constant(table), rows)
        summed = graph.add("ReduceSum", looked_up, graph.constant([1], np.int64), keepdims=0)
        parts.append(summed if numbers else graph.add("Add", summed, graph.constant(bias_K)))
    return graph.finish(graph.add("Add", *parts) if len(parts) == 2 else parts[0], len(weights_KF))


def _slice(graph: Graph, value: str, start: int, end: int) -> str:
    """The columns `start` to `end` of a table."""
    return graph.add("Slice", value, *(graph.constant([bound], np.int64) for bound in (start, end, 1)))


def _columns(width: int, numbers: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(imputer, StandardScaler()), list(range(numbers))),
            ("categories", OneHotEncoder(handle_unknown="ignore"), list(range(numbers, width))),
        ]
    )
