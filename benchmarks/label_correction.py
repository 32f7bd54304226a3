"""Correct the labels that look wrong: how many of them are, and what the network gains. On news with noisy labels.

BONSAI_NOISY_NEWS=samples.csv.xz python -m benchmarks label_correction

The file, of NoisyAG-News, has the columns text, label and gt: labels by people, a fifth of which are wrong, and the truth. A
person who reads the most suspected rows is played by the truth. Networks are compared on test rows by their truth, which neither
of them has seen.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import record
from benchmarks.stage_workspace import StageWorkspace, temporary_workspace
from tasks.cleaning import corrections
from tasks.cleaning.corrections import Decision
from tasks.core import onnx_model, params_file
from tasks.core.storage.artifacts import Artifact, Table
from tasks.data import sources
from tasks.evaluation import statistics
from tasks.monitoring.suspects import suspected_labels

CORRECTED = 500
USE_CASE = "nlp"
SEEDS = (7, 8, 9)
STAGES = ("augment", "train")


def main() -> None:
    """Needs the variable BONSAI_NOISY_NEWS, the path of the file samples10000valMed.csv of NoisyAG-News."""
    if "BONSAI_NOISY_NEWS" not in os.environ:
        print("left out: BONSAI_NOISY_NEWS does not name the file of noisy news")
        return
    source = Path(os.environ["BONSAI_NOISY_NEWS"])
    with TemporaryDirectory() as folder:
        table = Path(folder) / "noisy.csv"
        rows = pd.read_csv(source)
        rows.assign(label="t" + rows["label"].astype(str), gt="t" + rows["gt"].astype(str)).to_csv(table, index=False)
        measure(table, record_as="label_correction")


def measure(table: Path, record_as: str) -> None:
    """Clean, suspect, correct, train before and after, compare on test rows."""
    fetch = {"fetch.path": str(table), "fetch.text": "text", "fetch.label": "label", "fetch.truth": "gt"}
    rows = []
    for seed in SEEDS:
        overrides = {**fetch, "training.seed": seed}
        with temporary_workspace(USE_CASE, overrides, ["dense"]) as before:
            for stage in ("fetch", "clean"):
                before.run_stage(stage, USE_CASE)
            clean = clean_rows(before)
            suspects = suspected_labels(case_of(before), clean)
            chosen = suspects.head(CORRECTED).merge(clean[["file", "row", "truth"]], on=["file", "row"])
            wrong = (chosen["label"] != chosen["truth"]).to_numpy()
            path = write_decisions(table.parent / f"corrections-{seed}.jsonl", chosen, before)
            answers = train_and_predict(before)
        corrected = {"clean.corrections": str(path), "clean.fingerprint": sources.fingerprint(path)}
        with temporary_workspace(USE_CASE, {**overrides, **corrected}, ["dense"]) as after:
            for stage in ("fetch", "clean"):
                after.run_stage(stage, USE_CASE)
            applied = Artifact(after.root / "data" / USE_CASE / "clean").json("ledger.json")["corrections"]
            new_answers = train_and_predict(after)
        both = answers.merge(new_answers, on=["file", "row"], suffixes=("", "_after"))
        right, right_after = both["predicted"] == both["truth"], both["predicted_after"] == both["truth"]
        drop = statistics.tango(int((right & ~right_after).sum()), int((right_after & ~right).sum()), len(both))
        rows.append(
            {
                "seed": seed,
                "rows": len(clean),
                "wrong_labels": int((clean["label"] != clean["truth"]).sum()),
                "read": CORRECTED,
                "wrong_among_them": int(wrong.sum()),
                "share_wrong": round(float(wrong.mean()), 4),
                "applied": sum(count for name, count in applied.items() if name != corrections.NOT_APPLIED),
                "accuracy_before": round(float(right.mean()), 4),
                "accuracy_after": round(float(right_after.mean()), 4),
                "gain_low": round(-drop.high, 4),
                "gain_high": round(-drop.low, 4),
                "test_rows": len(both),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    share = np.mean([row["share_wrong"] for row in rows])
    gain_mean = np.mean([row["accuracy_after"] - row["accuracy_before"] for row in rows])
    caption = (
        f"The {CORRECTED} most suspected labels of 10,000 news: {share:.1%} of them are wrong. With the truth of those rows the "
        f"network gains {gain_mean:+.4f} of accuracy against the truth of the same test rows (intervals of 95 %: Tango)."
    )
    record.write(record_as, caption, rows)


def case_of(workspace: StageWorkspace) -> Any:
    return params_file.build_use_case(USE_CASE, params_file.read_params(workspace.root / "params.yaml"))


def clean_rows(workspace: StageWorkspace) -> pd.DataFrame:
    return Table(Artifact(workspace.root / "data" / USE_CASE / "clean").open() / "rows").read()


def write_decisions(path: Path, chosen: pd.DataFrame, workspace: StageWorkspace) -> Path:
    """Relabel or confirm each row by its truth."""
    raw = Table(Artifact(workspace.root / "data" / USE_CASE / "raw").open()).read().set_index(["file", "row"], drop=False)
    decisions = []
    for each in chosen.itertuples(index=False):
        row = raw.loc[(each.file, each.row)]
        action = "relabel" if each.label != each.truth else "confirm"
        decisions.append(
            Decision(each.file, int(each.row), action, each.truth, each.label, corrections.content_hash(row), "the truth")
        )
    path.write_text("".join(map(corrections.as_line, decisions)), encoding="utf-8")
    return path


def train_and_predict(workspace: StageWorkspace) -> pd.DataFrame:
    """Train and export the dense network; its predictions for test rows, with their truth."""
    for stage in STAGES:
        workspace.run_stage(stage, USE_CASE)
    workspace.run_stage("compress", USE_CASE, "dense")
    case, rows = case_of(workspace), clean_rows(workspace)
    test = rows[rows["split"] == "test"].reset_index(drop=True)
    content = (workspace.root / "data" / USE_CASE / "compressed" / "dense" / "model.onnx").read_bytes()
    state = onnx_model.read_metadata(onnx_model.from_bytes(content))["learnt"]
    inputs, _ = case.encode(test, state)
    decoded = case.problem_of(state).decode(test, onnx_model.predict(content, inputs), state)
    return test[["file", "row", "truth"]].assign(predicted=decoded["predicted"].to_numpy())


if __name__ == "__main__":
    main()
