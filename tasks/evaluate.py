"""What the shipped file answers, how well, how fast and how large it is, beside the dense one on the same rows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks import export, measure, stats
from tasks.contracts import Learnt, Mistake, UseCase
from tasks.encoding import split_of
from tasks.measure import Variant
from tasks.workspace import Artifact, Table, Workspace, write_json

if TYPE_CHECKING:
    from pandas import DataFrame

SPLITS = ("validation", "test")
DENSE = "dense"
"""The recipe without steps that every other is held against."""
EAGER = "eager PyTorch"
"""The dense network before any export; no recipe can have a name with a blank."""
EXPLAINED_ROWS = 50
"""So many of the best and of the worst answers of a split are explained."""
FLIPPED_ROWS = 200
"""At most so many rows that changed sides are listed."""


def main(work: Workspace) -> None:
    """The only stage that reads test rows. Figures of a clock go to latency.json, everything else is the same each time."""
    if DENSE not in work.recipe_names:
        raise Mistake(f"params.yaml: recipes has no {DENSE!r}; add `{DENSE}: []`, the model that all others are held against")
    own, dense = work.compressed(work.recipe_name), work.compressed(DENSE)
    rows = Table(work.clean.open() / "rows")
    judged = {split: answers(own, work.case, split_of(rows, split)) for split in SPLITS}
    counts = {
        split: sum(int((part["split"] == split).sum()) for part in rows.partitions(["split"])) for split in ("train", *SPLITS)
    }
    metrics: dict[str, Any] = {"recipe": work.recipe_name, "rows": counts}
    metrics |= weight(own, dense)
    metrics["splits"] = {split: appraisal(work.case, predictions) for split, (predictions, _) in judged.items()}
    if work.recipe_name == DENSE:
        own_answers = {split: predictions for split, (predictions, _) in judged.items()}
        metrics["baselines"], metrics["against_rivals"] = rivals(work.case, rows, own_answers)
    else:
        metrics["against_dense"] = {
            split: comparison(work.case, predictions, answers(dense, work.case, found)[0], found)
            for split, (predictions, found) in judged.items()
        }
    for split, (predictions, found) in judged.items():
        judged[split] = (explained(own, work.case, predictions, found), found)
    timing = clock(work, own, dense, judged["validation"][1])
    with work.evaluation(work.recipe_name).draft() as draft:
        for position, (predictions, _) in enumerate(judged.values()):
            Table(draft / "predictions").write(position, predictions)
        write_json(draft / "metrics.json", metrics)
        write_json(draft / "latency.json", timing)
    shutil.rmtree(work.scratch)
    tell(work, metrics, timing)


def answers(recipe: Artifact, case: UseCase, rows: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Predictions of the recipe's shipped file for `rows`, with `split`, `file` and `row`, and the rows."""
    model = (recipe.open() / "model.onnx").read_bytes()
    learnt: Learnt = export.read_metadata(export.from_bytes(model))["learnt"]
    inputs, _ = case.encode(rows, learnt)
    predictions = case.decode(rows, export.predict(model, inputs), learnt).reset_index(drop=True)
    origin = [name for name in ("split", "file", "row") if name in rows and name not in predictions]
    return predictions.assign(**{name: rows[name].to_numpy() for name in origin}), rows


def explained(recipe: Artifact, case: UseCase, predictions: DataFrame, rows: DataFrame) -> DataFrame:
    """The predictions with `attributions` of some of them, right and wrong ones, where the use case can explain itself."""
    if type(case).explain is UseCase.explain:
        return predictions
    model = (recipe.open() / "model.onnx").read_bytes()
    learnt: Learnt = export.read_metadata(export.from_bytes(model))["learnt"]
    good = np.asarray(case.goodness(predictions), np.float64)
    order = np.argsort(good, kind="stable")
    chosen = np.unique(np.concatenate([order[:EXPLAINED_ROWS], order[::-1][:EXPLAINED_ROWS]]))
    runtime = export.session(model)
    told = case.explain(rows.iloc[chosen].reset_index(drop=True), learnt, lambda inputs: runtime.run(None, {"inputs": inputs})[0])
    worth: list[list[dict[str, Any]]] = [[] for _ in range(len(predictions))]
    for place, parts in zip(chosen.tolist(), told, strict=True):
        worth[place] = parts
    return predictions.assign(attributions=worth) if any(worth) else predictions


def appraisal(case: UseCase, predictions: DataFrame) -> dict[str, Any]:
    """Scores, the first with its interval, and what a person reads beside them."""
    scores = case.score(predictions)
    interval = stats.mean_interval(np.asarray(case.goodness(predictions), dtype=np.float64))
    return {
        "rows": len(predictions),
        "scores": scores,
        "first": next(iter(scores)),
        "interval": interval.as_dict(),
        "report": case.report(predictions),
        "objections": case.objections(predictions),
    }


def rivals(case: UseCase, rows: Table, own: Mapping[str, DataFrame]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The trivial and the classic rivals' scores on both splits, and how much better our `own` answers are, by split.

    Each rival is fitted once.
    """
    asked = pd.concat([split_of(rows, split) for split in SPLITS], ignore_index=True)
    found: dict[str, Any] = {}
    gains: dict[str, dict[str, Any]] = {split: {} for split in SPLITS}
    for name, predictions in case.baselines(split_of(rows, "train"), asked).items():
        found[name] = {}
        for split in SPLITS:
            part = predictions[(asked["split"] == split).to_numpy()].reset_index(drop=True)
            interval = stats.mean_interval(np.asarray(case.goodness(part), dtype=np.float64))
            found[name][split] = {"scores": case.score(part), "interval": interval.as_dict()}
            gains[split][name] = case.against(own[split], part) or paired(case, own[split], part)
    said = {split: headline(case.score(own[split]), found, gains[split], split) for split in SPLITS}
    return found, {split: {"headline": said[split], "gains": gains[split]} for split in SPLITS}


def paired(case: UseCase, predictions: DataFrame, rival: DataFrame) -> dict[str, Any]:
    """How much better the first metric is than a rival's, positive is better, over rows that know nothing of each other."""
    better, worse = (predictions, rival) if case.higher_is_better else (rival, predictions)
    return stats.paired_drop(case.goodness(better), case.goodness(worse)).as_dict()


def headline(scores: Mapping[str, float], rivalry: Mapping[str, Any], gains: Mapping[str, Any], split: str) -> str:
    """Whether the network is better than the best of its rivals, in plain words."""
    if not gains:
        return "It has no rival."
    best = min(gains, key=lambda name: float(gains[name]["value"]))
    first, gain = next(iter(scores)), gains[best]
    verdict = "beats" if gain["low"] > 0 else "does not beat"
    unsure = "; the difference may be luck" if gain["low"] <= 0 <= gain["high"] else ""
    return (
        f"The dense network {verdict} its best rival, {best}: {first} {scores[first]:.4f} against "
        f"{rivalry[best][split]['scores'][first]:.4f} on {split}, a gain of {gain['value']:+.4f} "
        f"({gain['low']:+.4f}..{gain['high']:+.4f}, {gain['method']}{unsure})."
    )


def weight(own: Artifact, dense: Artifact) -> dict[str, Any]:
    """Bytes as shipped, parameters and multiply-accumulates, with their shares of the dense model's."""
    report, dense_report = own.json("report.json"), dense.json("report.json")
    found: dict[str, Any] = {}
    for name in ("bytes", "parameters", "macs"):
        found |= {name: report[name], f"{name}_share": report[name] / dense_report[name]}
    return found


@dataclass(frozen=True, slots=True)
class Sides:
    """The same rows judged twice: goodness (N,) of the dense model and of this one, larger is better."""

    dense: np.ndarray[tuple[int], np.dtype[np.float64]]
    own: np.ndarray[tuple[int], np.dtype[np.float64]]


def comparison(case: UseCase, predictions: DataFrame, dense: DataFrame, rows: DataFrame) -> dict[str, Any]:
    """What was lost against the dense model on the same rows: how much, how surely, in which classes, on which rows."""
    sign = 1.0 if case.higher_is_better else -1.0
    sides = Sides(*(sign * np.asarray(case.goodness(found), dtype=np.float64) for found in (dense, predictions)))
    drop = stats.paired_drop(sides.dense, sides.own)
    found: dict[str, Any] = {
        "drop": drop.as_dict(),
        "at_most": stats.paired_drop(sides.dense, sides.own, stats.one_sided()).high,
        "classes": by_class(case, sides, rows),
    }
    if stats.is_binary(sides.dense) and stats.is_binary(sides.own):
        lost, won = int((sides.dense > sides.own).sum()), int((sides.dense < sides.own).sum())
        found |= {"lost": lost, "won": won, "mcnemar_p": stats.mcnemar(lost, won)}
        found["flipped"] = flipped(sides, predictions, dense)
    return found


def by_class(case: UseCase, sides: Sides, rows: DataFrame) -> list[dict[str, Any]]:
    """The change in each class, the worst first; nothing where the use case has no classes."""
    if not case.classes:
        return []
    found = []
    for name, places in rows.groupby(case.classes).indices.items():
        drop = stats.paired_drop(sides.dense[places], sides.own[places])
        means = {"dense": float(sides.dense[places].mean()), "own": float(sides.own[places].mean())}
        found.append({"class": str(name), "rows": len(places), **means, "drop": drop.value, "low": drop.low, "high": drop.high})
    return sorted(found, key=lambda row: -row["drop"])


def flipped(sides: Sides, predictions: DataFrame, dense: DataFrame) -> list[dict[str, Any]]:
    """Rows that one model gets right and the other wrong, those newly wrong first, by where they were found."""
    listed = []
    for place in sorted(np.flatnonzero(sides.dense != sides.own).tolist(), key=lambda at: (sides.dense[at] < sides.own[at], at)):
        side = "lost" if sides.dense[place] > sides.own[place] else "won"
        here = {name: _plain(predictions.iloc[place][name]) for name in ("file", "row") if name in predictions}
        listed.append({**here, "side": side, "own": _said(predictions, place), "dense": _said(dense, place)})
    return listed[:FLIPPED_ROWS]


def clock(work: Workspace, own: Artifact, dense: Artifact, rows: DataFrame) -> dict[str, Any]:
    """Latency of this file, of the dense one and of the dense network under eager PyTorch, side by side."""
    learnt: Learnt = export.read_metadata(export.from_bytes((own.open() / "model.onnx").read_bytes()))["learnt"]
    inputs, _ = work.case.encode(rows.head(max(measure.BATCHES)), learnt)
    variants = [
        Variant(name=EAGER, runtime="eager", path=dense.open() / "network"),
        Variant(name=DENSE, runtime="onnx", path=dense.open() / "model.onnx"),
    ]
    if work.recipe_name != DENSE:
        variants.append(Variant(name=work.recipe_name, runtime="onnx", path=own.open() / "model.onnx"))
    return measure.latency(variants, inputs, work.scratch, threads=work.case.training.threads, journal=work.journal)


def tell(work: Workspace, metrics: dict[str, Any], timing: dict[str, Any]) -> None:
    """The figures in one line for people."""
    test, own = metrics["splits"]["test"], timing["variants"][work.recipe_name]
    told = f"test {test['first']} {test['scores'][test['first']]:.4f}, {metrics['bytes']:,} bytes, "
    told += f"{own['batches']['1']['median_ms']:.3f} ms a row"
    for other, speedup in own["speedup_over"].items():
        told += f", {speedup['1']['ratio']:.1f}x {other}"
    work.journal.log(told)


def _said(predictions: DataFrame, place: int) -> dict[str, Any]:
    """The plain values of one prediction; lists and bytes stay in the table."""
    row = {str(name): _plain(value) for name, value in predictions.iloc[place].items() if name not in ("file", "row", "split")}
    return {name: value for name, value in row.items() if isinstance(value, (str, int, float, bool))}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
