"""Product defaults on data as people bring them, beside the classic model of the field on the same rows.

The classic is fitted here, from the clean rows alone: term frequencies of words or of characters with a linear SVM for texts
(the better of both on validation rows), gradient boosting for tables, histograms of oriented gradients with an SVM for pictures,
log-HAR for prices. One row of the table is one data set; rows that are recorded are not measured again, so that the benchmark
goes on where it was stopped (`FORCE=1` measures anew, `ONLY=name` one data set).
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import record
from benchmarks.own_data_sets import MADE, PUBLIC, OwnData
from benchmarks.release_verdicts import run_pipeline
from benchmarks.stage_workspace import ROOT, StageWorkspace, temporary_workspace
from flows.parameters import suggestions
from tasks.core.storage.artifacts import Artifact, Table
from tasks.data.downloads import DATASETS_VARIABLE
from tasks.metrics import binary_classification
from tasks.use_cases.vision import images

NAME = "own_data"
MARGIN = 0.005
"""By how much the default may be worse than the classic."""
CELL, BINS = 8, 9
"""Pixels of a side of a cell, and directions, of a histogram of oriented gradients."""
LOWER_IS_BETTER = ("qlike", "perplexity")
Floats = NDArray[np.float64]


def main() -> None:
    """Measure every data set that has no row yet, and write the table after each."""
    public = PUBLIC if os.environ.get(DATASETS_VARIABLE) else {}
    if not public:
        print(f"public data sets are left out: {DATASETS_VARIABLE} names no folder with their files")
    recorded = {row["data"]: row for row in _recorded()}
    for name, data in {**MADE, **public}.items():
        if (name in recorded and not os.environ.get("FORCE")) or os.environ.get("ONLY", name) != name:
            continue
        measured = measure(name, data)
        print(measured, flush=True)
        recorded = {row["data"]: row for row in _recorded()} | {name: measured}  # others may have been measured meanwhile
        rows = [recorded[each] for each in (*MADE, *PUBLIC) if each in recorded]
        record.write(NAME, sentence(rows), rows)


def sentence(rows: list[dict[str, Any]]) -> str:
    """How many defaults are as good as the classic, or released it."""
    kept = [row for row in rows if row["behind"] <= MARGIN or row["released is classic"]]
    behind = [row["data"] for row in rows if row not in kept]
    return (
        "Product defaults on test rows, seed 7, recipe dense and the baselines alone: "
        f"on {len(kept)} of {len(rows)} data sets the default is at most {MARGIN} behind "
        f"the best classic, or a classic model is released{'; not on ' + ', '.join(behind) if behind else ''}."
    )


def _recorded() -> list[dict[str, Any]]:
    path = record.RESULTS / f"{NAME}.json"
    return list(json.loads(path.read_text())["rows"]) if path.exists() else []


def measure(name: str, data: OwnData) -> dict[str, Any]:
    """One data set through all stages with the recipe `dense`, and its classic on the same rows."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    with TemporaryDirectory(prefix="bonsai-data-") as place:
        settings = {**data.write(Path(place)), **data.settings, **({"fetch.limit": data.limit} if data.limit else {})}
        values, _ = suggestions.for_run(ROOT, [data.use_case], settings, cwd=ROOT)
        values = {dotted.removeprefix(f"use_cases.{data.use_case}."): value for dotted, value in values.items()}
        with temporary_workspace(data.use_case, values, ("dense",)) as workspace:
            run_pipeline(workspace, data.use_case)
            row = {"data": name, **_scores(workspace, data.use_case)}
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = round(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)
    return {**row, "cpu_s": cpu_s, "code": record.machine()["code"]}


def _scores(workspace: StageWorkspace, use_case: str) -> dict[str, Any]:
    """The test scores of dense, of what is released and of the classic."""
    data = workspace.root / "data" / use_case
    table = Artifact(data / "release").json("table.json")["rows"]
    evaluation = Artifact(data / "evaluations" / "dense").json("metrics.json")
    test = evaluation["splits"]["test"]
    metric, dense = str(test["first"]), float(test["scores"][test["first"]])
    released = next((row for row in table if row["chosen"]), None)
    rows = Table(Artifact(data / "clean").open() / "rows").read()
    if use_case == "finance":
        scores = {name: splits["test"]["scores"][metric] for name, splits in evaluation["baselines"].items() if "HAR" in name}
        classic_name = min(scores, key=lambda name: scores[name])
        classic = float(scores[classic_name])
    else:
        classic_name, classic = CLASSICS[use_case](rows, metric)
    sign = -1 if metric in LOWER_IS_BETTER else 1
    recall, rare = _rarest_recall(test["report"], rows)
    return {
        "test rows": int((rows["split"] == "test").sum()),
        "train rows": int((rows["split"] == "train").sum()),
        "metric": metric,
        "dense": round(dense, 4),
        "released": released["recipe"] if released else "",
        "released score": round(float(released["value"]), 4) if released else None,
        "classic": classic_name,
        "classic score": round(classic, 4),
        "dense - classic": round(sign * (dense - classic), 4),
        "behind": round(max(0.0, sign * (classic - dense)), 4),
        "released is classic": bool(released and released["recipe"] != "dense"),
        "rarest class": rare,
        "its recall": recall,
    }


def _rarest_recall(report: Mapping[str, Any], rows: pd.DataFrame) -> tuple[float | None, str]:
    """The recall of the rarest class of the train rows by dense, and its name; none without classes."""
    table = {row["class"]: row for row in report.get("per_class", [])}
    counts = rows.loc[(rows["split"] == "train") & rows["label"].isin(list(table)), "label"].value_counts() if table else None
    if counts is None or not len(counts):
        return None, ""
    rare = str(counts.index[-1])
    return round(float(table[rare]["recall"]), 4), f"{rare} ({counts.iloc[-1]})"


def _splits(rows: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    return {split: (rows["split"] == split).to_numpy() for split in ("train", "validation", "test")}


def texts_classic(rows: pd.DataFrame, metric: str) -> tuple[str, float]:
    """The better, on validation rows, of term frequencies of words and of characters with a linear SVM."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    at, texts, labels = _splits(rows), rows["text"].to_numpy(), rows["label"].to_numpy()
    models = {
        "tf-idf of words + linear SVM": TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        "tf-idf of characters + linear SVM": TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2, max_features=300_000
        ),
    }
    scores = {}
    for name, terms in models.items():
        model = make_pipeline(terms, LinearSVC()).fit(texts[at["train"]], labels[at["train"]])
        scores[name] = [float(model.score(texts[at[split]], labels[at[split]])) for split in ("validation", "test")]
    best = max(scores, key=lambda name: scores[name][0])
    return best, scores[best][1]


def tables_classic(rows: pd.DataFrame, metric: str) -> tuple[str, float]:
    """Gradient boosting with early stopping on the raw columns."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    names = [name for name in rows.columns if name not in NO_FEATURES]
    features = pd.DataFrame(
        {
            name: rows[name] if pd.api.types.is_float_dtype(rows[name]) else pd.factorize(rows[name])[0].astype(float)
            for name in names
        }
    )
    codes = [not pd.api.types.is_float_dtype(rows[name]) and rows[name].nunique() < 250 for name in names]
    at, values = _splits(rows), features.to_numpy()
    how = {"categorical_features": codes, "early_stopping": True, "random_state": 0}
    if metric == "r2":
        target = rows["label"].astype(float).to_numpy()
        fitted = HistGradientBoostingRegressor(**how).fit(values[at["train"]], target[at["train"]])
        return "gradient boosting", float(fitted.score(values[at["test"]], target[at["test"]]))
    labels = rows["label"].to_numpy()
    model = HistGradientBoostingClassifier(**how).fit(values[at["train"]], labels[at["train"]])
    if metric == "auc":
        event = labels[at["test"]] == model.classes_[1]
        return "gradient boosting", float(binary_classification.auc(event, model.predict_proba(values[at["test"]])[:, 1]))
    return "gradient boosting", float(model.score(values[at["test"]], labels[at["test"]]))


NO_FEATURES = (
    *("label", "label_kind", "alike", "same", "groups", "subset", "split", "fix", "fault", "file", "row", "key", "part"),
    *("duplicate_group", "kinds", "formats", "ids"),
)


def pictures_classic(rows: pd.DataFrame, metric: str) -> tuple[str, float]:
    """Histograms of oriented gradients (N. Dalal, B. Triggs, CVPR 2005) of 64 pixels, or of 28, with an SVM of radial kernels."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    first = images.open_image(bytes(rows["image"].iloc[0]))
    side = 64 if max(first.size) > 40 else 32
    pixels = images.decode_batch(rows["image"], max(first.size), 1)[:, 0]
    features = np.stack([oriented_gradients(picture, side) for picture in pixels])
    at, labels = _splits(rows), rows["label"].to_numpy()
    model = make_pipeline(StandardScaler(), SVC(C=10, gamma="scale")).fit(features[at["train"]], labels[at["train"]])
    return "HOG + SVM", float(model.score(features[at["test"]], labels[at["test"]]))


def oriented_gradients(picture: NDArray[np.uint8], side: int) -> Floats:
    """Histograms of the directions of gradients in cells of 8 x 8 pixels, normalized in blocks of 2 x 2 cells."""
    from PIL import Image

    grey = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR), np.float64) / 255
    down, across = np.gradient(grey)
    size, turn = np.hypot(down, across), (np.arctan2(down, across) % np.pi) / np.pi * BINS
    cells = side // CELL
    histogram = np.zeros((cells, cells, BINS))
    rows, columns = (index // CELL for index in np.indices(grey.shape))
    low = np.floor(turn).astype(int)
    for place, share in ((low % BINS, 1 - (turn - low)), ((low + 1) % BINS, turn - low)):
        np.add.at(histogram, (rows, columns, place), size * share)
    blocks = np.stack([histogram[a : cells - 1 + a, b : cells - 1 + b] for a in (0, 1) for b in (0, 1)], 2).reshape(
        cells - 1, cells - 1, -1
    )
    normalized: Floats = (blocks / np.sqrt((blocks**2).sum(-1, keepdims=True) + 1e-6)).ravel()
    return normalized


CLASSICS = {"nlp": texts_classic, "credit": tables_classic, "vision": pictures_classic}


if __name__ == "__main__":
    main()
