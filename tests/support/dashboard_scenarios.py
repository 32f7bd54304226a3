"""Small data, a model and baselines for each use case, as the stages would make them, without any training."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

from tasks.cleaning import deduplication, partitions, quality_report
from tasks.compression import onnx_export
from tasks.core import onnx_model, registry
from tasks.core.use_case import UseCase
from tasks.metrics import classification
from tasks.use_cases.vision import images, near_duplicates
from tests.support import price_bars

CLASSES = ("0", "1", "2", "3")
SIDE = 12
ROWS = 160
TOPICS = {
    "gardens": ("prune", "roots", "leaves", "soil", "shade", "seedlings"),
    "markets": ("prices", "shares", "profit", "bonds", "traders", "losses"),
    "sports": ("team", "season", "coach", "goal", "match", "league"),
    "software": ("function", "module", "returns", "argument", "class", "thread"),
}
SENTENCES = ("The {} and the {} changed the {} again.", "New {} bring {} before {}.", "How {} make better {}: a note on {}.")
HISTORY_DAYS = 22
CONTRACT = {"max_drop": 0.05, "min_speedup": 2.0, "max_size_share": 0.5}
STANZAS: dict[str, dict[str, Any]] = {
    "vision": {"fetch": {"source": "packaged"}},
    "nlp": {"fetch": {"source": "packaged"}, "augment": {"copies": 2}},
    "finance": {"fetch": {"source": "packaged"}, "clean": {"history_days": HISTORY_DAYS}},
    "credit": {"fetch": {"path": "loans.csv"}, "clean": {"max_reject_share": 0.1}},
}
"""Each use case's stanza, without its seed and contract."""
CREDIT_SCENES = {"credit": "two classes", "credit_classes": "classes", "credit_number": "number"}
"""Scenes of tables, and what their label is."""

Model = Callable[[int], bytes]
Predictor = Callable[[pd.DataFrame, int], pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Scene:
    """One use case with small data and a tiny model."""

    case: UseCase
    raw: pd.DataFrame
    kept: pd.DataFrame
    quarantined: pd.DataFrame
    quality_report: dict[str, Any]
    preview: pd.DataFrame
    state: dict[str, Any]
    model: Model
    """An ONNX file by number; a higher number gives a slightly worse model."""
    answers: Predictor
    """Predictions of the model of that number."""
    baselines: Callable[[pd.DataFrame], dict[str, pd.DataFrame]]

    def split(self, name: str) -> pd.DataFrame:
        return self.kept[self.kept["split"] == name].reset_index(drop=True)


def names() -> list[str]:
    """The use cases with a scene, in fixed order."""
    return [name for name in STANZAS if name in registry.registered_names("use_cases")]


@cache
def of(name: str) -> Scene:
    """The scene of a use case, or one of `CREDIT_SCENES`; cached: do not modify it."""
    use_case = "credit" if name in CREDIT_SCENES else name
    case = registry.build("use_cases", use_case, {**STANZAS[use_case], "contract": CONTRACT})
    if use_case == "credit":
        return _credit(case, CREDIT_SCENES[name])
    scene: Scene = {"vision": _vision, "nlp": _nlp, "finance": _finance}[name](case)
    return scene


def _read(case: UseCase, table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The raw rows of a table, read by the use case from a file of that name like a user's own file."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / name
        table.to_csv(path, index=False)
        fetch = replace(case.fetch, source="path", dataset="", path=str(path))
        return pd.concat(list(replace(case, fetch=fetch).load()), ignore_index=True).assign(file=name)


def _cleaned(case: UseCase, raw: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Kept rows, quarantined rows and the quality report, computed as in the clean stage, in this process."""
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        (scratch / "quarantine").mkdir()
        raw.to_parquet(scratch / "raw.parquet")
        partitions.clean_partition_file(case, scratch / "raw.parquet", 0, scratch)
        outcomes = deduplication.deduplicate_and_split(case, pd.read_parquet(scratch / "light-00000.parquet"))
        outcomes.to_parquet(scratch / "outcomes-00000.parquet")
        partitions.write_partition_outputs(scratch / "raw.parquet", 0, scratch)
        kept, quarantined = (pd.read_parquet(scratch / name / "part-00000.parquet") for name in ("rows", "quarantine"))
    return kept, quarantined, quality_report.build_quality_report(case, outcomes)


def _predictor(case: UseCase, state: dict[str, Any], model: Model) -> Predictor:
    """The predictions of the model of a number, decoded by the use case."""

    def answers(rows: pd.DataFrame, number: int) -> pd.DataFrame:
        inputs, _ = case.encode(rows, state)
        outputs = onnx_model.predict(model(number), inputs)
        predictions = case.problem_of(state).decode(rows, outputs, state).reset_index(drop=True)
        return predictions.assign(**{name: rows[name].to_numpy() for name in ("split", "file", "row") if name not in predictions})

    return answers


def _onnx_file(name: str, inputs: Any, outputs: Any, nodes: list[Any], tensors: dict[str, Any], state: dict[str, Any]) -> bytes:
    """An ONNX file with the metadata of an exported one."""
    constants = [numpy_helper.from_array(np.asarray(value), key) for key, value in tensors.items()]
    graph = helper.make_graph(nodes, "tiny", [inputs], [outputs], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx_export.set_metadata(made, {"use_case": name, "architecture": "tiny", "fields": {}, "learnt": state})
    return onnx_model.to_bytes(onnx.load_from_string(made.SerializeToString()))


def _vision(case: UseCase) -> Scene:
    state = {"classes": list(CLASSES), "channels": 1, "side": SIDE, "mean": [0.2], "std": [0.3]}
    rows = _drawings()
    raw = rows[["file", "row", "image", "label"]]
    kept = rows.assign(fix="", duplicate_group=rows["pixels"], subset="")
    quarantined = raw.head(6).assign(
        reason=["blank: one colour all over", "duplicate of digits.csv:4", "unreadable: 0 bytes"] * 2,
        label=["<b>7</b>", "=1+1", "‮evil", "x" * 5000, "a\x00b", "9"],
    )
    quarantined["image"] = [b"", b"not a picture", *quarantined["image"].tolist()[2:]]
    originals = kept.head(4)[["image", "label"]].assign(original=range(4), variant=0)
    varied = [originals.assign(variant=number) for number in range(3)]
    return Scene(
        case=case,
        raw=raw,
        kept=kept,
        quarantined=quarantined,
        quality_report=_vision_quality_report(kept, len(quarantined)),
        preview=pd.concat(varied).sort_values(["original", "variant"]),
        state=state,
        model=lambda number: _tiny_classifier(number, state),
        answers=_guesses,
        baselines=lambda rows: {"majority": _predictions(rows, np.tile([0.4, 0.2, 0.2, 0.2], (len(rows), 1)))},
    )


def _drawings() -> pd.DataFrame:
    lines = []
    for number in range(ROWS):
        label = CLASSES[number % len(CLASSES)]
        canvas = Image.new("L", (SIDE, SIDE))
        ImageDraw.Draw(canvas).rectangle((2, 2, 4 + number % 5, 3 + int(label) * 2), fill=120 + number % 120)
        file = BytesIO()
        canvas.save(file, "PNG")
        split = "train" if number < 80 else "validation" if number < 120 else "test"
        key = images.pixel_hash(canvas) + f"{number:04}"
        lines.append(("digits.csv", number, file.getvalue(), label, key, near_duplicates.thumbnail(canvas), split))
    return pd.DataFrame(lines, columns=["file", "row", "image", "label", "pixels", "look", "split"])


def _guesses(rows: pd.DataFrame, number: int) -> pd.DataFrame:
    numbers = np.random.default_rng(number)
    logits = numbers.normal(0, 1, (len(rows), len(CLASSES)))
    logits[np.arange(len(rows)), rows["label"].astype(int)] += 2.2 - 0.2 * number
    return _predictions(rows, classification.softmax(logits))


def _predictions(rows: pd.DataFrame, probabilities: Any) -> pd.DataFrame:
    return classification.predictions_table(rows, probabilities, CLASSES, ("file", "row", "pixels", "split", "label"))


def _tiny_classifier(number: int, state: dict[str, Any]) -> bytes:
    """Images (N, 1, side, side) to random logits (N, 4)."""
    weights = np.random.default_rng(number).normal(0, 0.01, (SIDE * SIDE, len(CLASSES))).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["inputs"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["real"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["outputs"]),
    ]
    inputs = helper.make_tensor_value_info("inputs", TensorProto.UINT8, ["batch", 1, SIDE, SIDE])
    outputs = helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", len(CLASSES)])
    return _onnx_file("vision", inputs, outputs, nodes, {"weights": weights}, state)


def _vision_quality_report(kept: pd.DataFrame, dirty: int) -> dict[str, Any]:
    classes = pd.crosstab(kept["label"], kept["split"])
    return {
        "rows_in": len(kept) + dirty,
        "kept": len(kept),
        "fixed": 0,
        "quarantined": dirty - 2,
        "duplicates": 2,
        "reasons": {"blank": 2, "duplicate": 2, "unreadable": 2},
        "fixes": {},
        "contradictions": 1,
        "near_duplicates": {"groups": 2, "rows": 5},
        "splits": {split: int((kept["split"] == split).sum()) for split in ("train", "validation", "test")},
        "classes": {str(name): {split: int(count) for split, count in row.items()} for name, row in classes.iterrows()},
        "files": {"digits.csv": {"rows_in": len(kept) + dirty, "kept": len(kept), "quarantined": dirty - 2, "duplicates": 2}},
    }


def _nlp(case: UseCase) -> Scene:
    numbers = np.random.default_rng(5)
    lines = []
    for number in range(2 * ROWS):
        label = list(TOPICS)[number % len(TOPICS)]
        own, other = TOPICS[label], TOPICS[list(TOPICS)[int(numbers.integers(len(TOPICS)))]]
        words = [str(numbers.choice(own)), str(numbers.choice(own if number % 3 else other)), str(numbers.choice(other))]
        lines.append((SENTENCES[number % len(SENTENCES)].format(*words).replace("again", f"again in week {number}"), label))
    lines += [("", "sports"), ("<b>bold</b> &amp; <script>alert(1)</script> roots", "gardens"), ("‮ evil prices", "markets")]
    lines += [("no label here", ""), lines[0], lines[1], (lines[2][0], "gardens")]
    raw = _read(case, pd.DataFrame(lines, columns=["text", "label"]), "notes.csv")
    kept, quarantined, quality = _cleaned(case, raw)
    train = kept[kept["split"] == "train"]
    state = dict(case.fit_preprocessing(train))
    tokens, targets = case.encode(train, state)
    count = np.ones((int(tokens.max()) + 2000, len(state["classes"])))
    for row, target in zip(tokens, targets, strict=True):
        count[row[row > 0], target] += 1
    weights = np.log(count / count.mean(1, keepdims=True))
    weights[0] = 0

    def model(number: int) -> bytes:
        noise = np.random.default_rng(number).normal(0, 0.25 * number, weights.shape)
        nodes = [
            helper.make_node("Gather", ["weights", "inputs"], ["votes"]),
            helper.make_node("ReduceSum", ["votes", "axis"], ["outputs"], keepdims=0),
        ]
        tensors = {"weights": ((weights + noise) * (count > 0)).astype(np.float32), "axis": np.array([1], np.int64)}
        inputs = helper.make_tensor_value_info("inputs", TensorProto.INT32, ["batch", tokens.shape[1]])
        outputs = helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", weights.shape[1]])
        return _onnx_file("nlp", inputs, outputs, nodes, tensors, state)

    def majority(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
        shares = classification.majority_baseline(train["label"], len(rows), state["classes"])
        return {"majority": case.problem.decode(rows, np.log(shares), state).reset_index(drop=True)}

    preview = case.preview_augmentation(train.reset_index(drop=True), 7)
    return Scene(case, raw, kept, quarantined, quality, preview, state, model, _predictor(case, state, model), majority)


def _finance(case: UseCase) -> Scene:
    raw = pd.concat([price_bars.changing_volatility("acorn", 3), price_bars.changing_volatility("beech", 4)], ignore_index=True)
    raw.loc[40, "high"] = raw.loc[40, "low"] / 2
    raw.loc[41, "close"] = -1.0
    raw = _read(case, pd.concat([raw, raw.iloc[[50]]], ignore_index=True), "prices.csv")
    kept, quarantined, quality = _cleaned(case, raw)
    state = {"window": HISTORY_DAYS, "fear": False, "news": False, "mean": [], "std": []}

    def model(number: int) -> bytes:
        """The mean log variance of some days, and normal quantiles of it."""
        nodes = [
            helper.make_node("Slice", ["inputs", "from", "to", "axes"], ["some"]),
            helper.make_node("ReduceMean", ["some", "days"], ["log_variance"], keepdims=0),
            helper.make_node("Mul", ["log_variance", "half"], ["log_deviation"]),
            helper.make_node("Exp", ["log_deviation"], ["deviation"]),
            helper.make_node("Mul", ["deviation", "quantiles"], ["limits"]),
            helper.make_node("Concat", ["log_variance", "limits"], ["outputs"], axis=1),
        ]
        axes = {"from": [HISTORY_DAYS - 6 - 4 * number, 0], "to": [HISTORY_DAYS, 1], "axes": [1, 2], "days": [1]}
        tensors = {name: np.array(value, np.int64) for name, value in axes.items()}
        tensors |= {"half": np.float32(0.5), "quantiles": np.array([[-1.75, -2.6]], np.float32)}
        inputs = helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["batch", HISTORY_DAYS, 6])
        outputs = helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", 3])
        return _onnx_file("finance", inputs, outputs, nodes, tensors, state)

    answers = _predictor(case, state, model)

    def baselines(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
        true, steady = answers(rows, 0), answers(rows, 0)
        near = np.exp(0.5 * np.log(true["variance"]) + 0.5 * np.log(true["next_variance"]))
        return {
            "log-HAR": true.assign(variance=near),
            "mean of a month": steady.assign(variance=float(steady["variance"].mean())),
        }

    return Scene(case, raw, kept, quarantined, quality, kept.head(0), state, model, answers, baselines)


def _credit(case: UseCase, target: str) -> Scene:
    """Loans whose label depends on the income: paid or not, one of three classes, or a number."""
    numbers = np.random.default_rng(8)
    income, age = numbers.lognormal(3, 0.5, 4 * ROWS), numbers.integers(19, 75, 4 * ROWS)
    sex, home = (numbers.choice(list(some), 4 * ROWS) for some in (("female", "male"), ("own", "rent", "family <b>x</b>")))
    fails = numbers.random(4 * ROWS) < 1 / (1 + np.exp(0.16 * (income - 13)))
    score = income + numbers.normal(0, 3, 4 * ROWS)
    labels = {
        "two classes": np.where(fails, "default", "paid"),
        "classes": np.select([score < 15, score < 25], ["A", "B"], "C"),
        "number": (100 + 20 * score).round(2),
    }
    table = {"label": labels[target], "income": income.round(2), "age": age, "sex": sex, "home": home}
    written = pd.DataFrame(table).astype(str)
    written.loc[3, "income"], written.loc[4, "label"] = "12,5 about", ""
    if target == "two classes":
        written.loc[5, "age"] = ""
    raw = _read(case, pd.concat([written, written.iloc[[9]]], ignore_index=True), "loans.csv")
    kept, quarantined, quality = _cleaned(case, raw)
    state = dict(case.fit_preprocessing(kept[kept["split"] == "train"]))
    slope, bias = {
        "two classes": ([-0.16], [0.16 * 13]),
        "classes": ([-0.2, 0.0, 0.2], [3.5, 0.0, -4.5]),
        "number": ([20 / state.get("std", 1)], [(100 - state.get("mean", 0)) / state.get("std", 1)]),
    }[target]

    def model(number: int) -> bytes:
        """Outputs that are linear in the income, with random weights for the other columns."""
        width = len(state["numbers"]) + len(state["categories"])
        weights = np.random.default_rng(number).normal(0, 0.01 * number, (width, len(bias)))
        weights[0] += slope
        nodes = [
            helper.make_node("MatMul", ["inputs", "weights"], ["line"]),
            helper.make_node("Add", ["line", "bias"], ["outputs"]),
        ]
        tensors = {"weights": weights.astype(np.float32), "bias": np.array(bias, np.float32)}
        inputs = helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["batch", width])
        outputs = helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", len(bias)])
        return _onnx_file("credit", inputs, outputs, nodes, tensors, state)

    def constant(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
        name, outputs = {
            "two classes": ("majority", [-1.0]),
            "classes": ("majority", [0.0, 0.5, 0.0]),
            "number": ("mean", [0.0]),
        }[target]
        predictions = case.problem_of(state).decode(rows, np.tile(outputs, (len(rows), 1)), state)
        return {name: predictions.reset_index(drop=True)}

    return Scene(case, raw, kept, quarantined, quality, kept.head(0), state, model, _predictor(case, state, model), constant)
