"""Gradient boosting on tables of numbers and category codes, fitted by scikit-learn and written as an ONNX tree ensemble.

The converter skl2onnx refuses trees that split on categories; the operator `TreeEnsemble` (ai.onnx.ml 5) has a mode for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import numpy_helper

from tasks.problems.baselines.onnx_graph import TREES_DOMAIN, Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

MAX_TREE_CATEGORIES = 255
"""The most values of a categorical column that gradient boosting supports."""
TREES: dict[str, Any] = {
    "learning_rate": 0.06,
    "max_iter": 150,
    "max_leaf_nodes": 15,
    "l2_regularization": 1.0,
    "random_state": 0,
}
AT_MOST, MEMBER = 0, 6
"""Modes of a node: `x <= split`, and `x` is one of the values."""


def fit_classifier(inputs: Any, targets: Any, numbers: int) -> Any:
    """150 small trees for each class; above 10,000 rows a tenth is held out for early stopping."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(**TREES, categorical_features=_few_valued(inputs, numbers))
    return trees.fit(_without_empty_columns(inputs), targets)


def fit_regressor(inputs: Any, targets: Any, numbers: int) -> Any:
    """150 small trees; above 10,000 rows a tenth is held out for early stopping."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(**TREES, categorical_features=_few_valued(inputs, numbers))
    return trees.fit(_without_empty_columns(inputs), targets)


def node_count(trees: Any) -> int:
    """Thresholds and leaf values of a fitted model."""
    return sum(len(tree.nodes) for iteration in trees._predictors for tree in iteration)


def to_onnx(trees: Any, inputs: Any) -> ModelProto:
    """The raw sums of the trees as a graph: from `inputs` (N, F + C) to `outputs` (N, K), one column for two classes."""
    ensemble = _Ensemble(_categories(trees, inputs.shape[1]))
    for iteration in trees._predictors:
        for target, tree in enumerate(iteration):
            ensemble.add_tree(tree, target)
    outputs = len(trees._predictors[0])
    graph = Graph(inputs.dtype, [inputs.shape[1]])
    sums = graph.add(
        "TreeEnsemble", graph.floats(), domain=TREES_DOMAIN, n_targets=outputs, aggregate_function=1, **ensemble.attributes()
    )
    base = np.asarray(trees._baseline_prediction, np.float64).reshape(1, outputs)
    return graph.finish(graph.add("Add", sums, graph.constant(base)), outputs)


def float_at_most(threshold: float) -> np.float32:
    """The largest 32-bit float that is not above the threshold: the same 32-bit numbers are at most as large."""
    rounded = np.float32(threshold)
    return rounded if float(rounded) <= threshold else np.nextafter(rounded, np.float32(-np.inf))


def _few_valued(inputs: Any, numbers: int) -> list[int]:
    """The categorical columns with few enough values for gradient boosting."""
    return [place for place in range(numbers, inputs.shape[1]) if inputs[:, place].max() < MAX_TREE_CATEGORIES]


def _without_empty_columns(inputs: Any) -> Any:
    """The inputs with 0 in columns that have no value at all, on which scikit-learn fails; no tree splits on them."""
    return np.where(np.isnan(inputs).all(0), inputs.dtype.type(0), inputs)


def _categories(trees: Any, width: int) -> list[tuple[int, NDArray[np.float64] | None]]:
    """For each feature of the trees its column in the inputs, and the codes of a categorical column in the trees' order."""
    categorical = trees.is_categorical_
    if categorical is None or not categorical.any():
        return [(column, None) for column in range(width)]
    codes = trees._preprocessor.named_transformers_["encoder"].categories_  # categorical columns come first
    columns = np.flatnonzero(categorical).tolist()
    return [*zip(columns, codes, strict=True), *((column, None) for column in np.flatnonzero(~categorical).tolist())]


class _Ensemble:
    """The attributes of a `TreeEnsemble`, filled tree by tree."""

    def __init__(self, features: list[tuple[int, NDArray[np.float64] | None]]) -> None:
        self.features = features
        names = ("featureids", "truenodeids", "trueleafs", "falsenodeids", "falseleafs", "missing_value_tracks_true")
        self.integers: dict[str, list[int]] = {f"nodes_{name}": [] for name in names}
        self.roots: list[int] = []
        self.modes: list[int] = []
        self.splits: list[float] = []
        self.members: list[float] = []
        self.targets: list[int] = []
        self.weights: list[float] = []

    def add_tree(self, tree: Any, target: int) -> None:
        """Append a tree of scikit-learn; children follow their parent, so that ids are known once their place is."""
        nodes = tree.nodes
        self.roots.append(len(self.modes))
        if nodes[0]["is_leaf"]:  # an inner node is required: both sides lead to the one value
            self._add_inner(0, AT_MOST, 0.0, tracks_true=0)
            leaf = self._add_leaf(nodes[0]["value"], target)
            self._link(self.roots[-1], "true", leaf, 1)
            self._link(self.roots[-1], "false", leaf, 1)
            return
        waiting = [(0, -1, "")]
        while waiting:
            place, parent, side = waiting.pop()
            node = nodes[place]
            if node["is_leaf"]:
                self._link(parent, side, self._add_leaf(node["value"], target), 1)
                continue
            number, swapped = self._add_split(node, tree.raw_left_cat_bitsets)
            if parent >= 0:
                self._link(parent, side, number, 0)
            left, right = int(node["left"]), int(node["right"])
            true, false = (right, left) if swapped else (left, right)
            waiting += [(false, number, "false"), (true, number, "true")]

    def _add_split(self, node: Any, bitsets: Any) -> tuple[int, bool]:
        """The number of the new node, and whether its true side is the right one."""
        column, codes = self.features[int(node["feature_idx"])]
        missing_left = bool(node["missing_go_to_left"])
        if not node["is_categorical"]:
            return self._add_inner(column, AT_MOST, float(float_at_most(node["num_threshold"])), tracks_true=missing_left), False
        assert codes is not None
        bits = bitsets[int(node["bitset_idx"])]
        left = np.array([bool(bits[code // 32] >> np.uint32(code % 32) & 1) for code in range(len(codes))])
        # An unknown code goes where missing values go. It is in neither set, so the set of the other side is listed.
        self.members += [*codes[~left if missing_left else left].tolist(), np.nan]
        return self._add_inner(column, MEMBER, 0.0, tracks_true=False), missing_left

    def _add_inner(self, column: int, mode: int, split: float, *, tracks_true: bool | int) -> int:
        for values in self.integers.values():
            values.append(0)
        self.integers["nodes_featureids"][-1] = column
        self.integers["nodes_missing_value_tracks_true"][-1] = int(tracks_true)
        self.modes.append(mode)
        self.splits.append(split)
        return len(self.modes) - 1

    def _add_leaf(self, value: float, target: int) -> int:
        self.targets.append(target)
        self.weights.append(float(value))
        return len(self.weights) - 1

    def _link(self, parent: int, side: str, child: int, is_leaf: int) -> None:
        self.integers[f"nodes_{side}nodeids"][parent] = child
        self.integers[f"nodes_{side}leafs"][parent] = is_leaf

    def attributes(self) -> dict[str, Any]:
        attributes: dict[str, Any] = {
            **self.integers,
            "tree_roots": self.roots,
            "nodes_modes": numpy_helper.from_array(np.array(self.modes, np.uint8), "modes"),
            "nodes_splits": numpy_helper.from_array(np.array(self.splits, np.float32), "splits"),
            "leaf_targetids": self.targets,
            "leaf_weights": numpy_helper.from_array(np.array(self.weights, np.float32), "weights"),
        }
        if self.members:
            attributes["membership_values"] = numpy_helper.from_array(np.array(self.members, np.float32), "members")
        return attributes
