"""Release the model that keeps the contract on test rows at the least cost, or say what speaks against it or is missing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tasks.core import onnx_model
from tasks.core.compression import DENSE
from tasks.core.stage_context import StageContext
from tasks.core.storage.atomic_files import write_bytes, write_json
from tasks.release import seeds
from tasks.release.assessment import read_candidates
from tasks.release.decision import as_json, decide
from tasks.release.model_card import baseline_rows, headline, model_card, table_row
from tasks.release.sentences import describe
from tasks.release.settings_file import settings_of


def main(context: StageContext) -> None:
    """Hold every candidate against the contract, and write the bundle of the chosen one or the reason why there is none."""
    context, seed_report = seeds.choose(context)
    names = list(context.recipe_names)
    metrics = {name: context.evaluation(name).json("metrics.json") for name in names}
    timing = context.timings()
    classic = metrics[DENSE].get("classic", {})
    metrics |= classic
    problem = context.case.problem_of(_read(context.compressed(DENSE).open() / "model.onnx")["learnt"])
    candidates, rows = read_candidates(context, problem)
    decision = decide(candidates, context.case.contract, rows)
    words = describe(decision, metrics[DENSE]["splits"]["test"]["first"])
    verdict = {"headline": headline(metrics[DENSE]), **as_json(decision, words), **seeds.for_verdict(seed_report)}
    released = verdict["released"]
    folder = context.baselines if released in classic else context.compressed(released or DENSE)
    model = folder.open() / (f"{released}/model.onnx" if released in classic else "model.onnx")
    table_rows = [table_row(name, metrics[name], timing, candidates, released) for name in (*names, *classic)]
    table = {
        "rows": table_rows,
        "baselines": baseline_rows(metrics[DENSE]),
        "machine": timing["machine"],
        "threads": timing["threads"],
    }
    with context.release.draft() as draft:
        write_json(draft / "verdict.json", verdict)
        write_json(draft / "table.json", table)
        write_json(draft / "settings.json", settings_of(context.case))
        if seed_report:
            write_json(draft / "seeds.json", seed_report)
        if released:
            shutil.copyfile(model, draft / "model.onnx")
            for name, content in context.case.release_files(model.read_bytes(), _read(model)["learnt"]).items():
                write_bytes(draft / name, content)
        quality = context.clean.json("ledger.json") if (context.clean.path / "ledger.json").exists() else {}
        notes = context.compressed(DENSE).json("report.json").get("fit_notes", [])
        card = model_card(context, verdict, table, metrics[released or DENSE], _read(model), notes, quality)
        write_bytes(draft / "card.md", card.encode())
    context.event_log.table("release", table_rows)
    context.event_log.log(verdict["reason"])


def _read(model: Path) -> dict[str, Any]:
    """The metadata of an ONNX file."""
    return onnx_model.read_metadata(onnx_model.from_bytes(model.read_bytes()))
