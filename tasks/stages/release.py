"""Release the recipe that keeps the contract on validation at the least cost, or refuse and say why."""

from __future__ import annotations

import shutil

from tasks.core import onnx_model
from tasks.core.atomic_files import write_bytes, write_json
from tasks.core.compression import DENSE
from tasks.core.stage_context import StageContext
from tasks.release.decision import assess, decide
from tasks.release.model_card import baseline_rows, headline, model_card, table_row


def main(context: StageContext) -> None:
    """Check every recipe against the contract, and write the bundle of the chosen one or the refusal."""
    names = list(context.recipe_names)
    metrics = {name: context.evaluation(name).json("metrics.json") for name in names}
    timing = {name: context.evaluation(name).json("latency.json") for name in names}
    sign = 1 if context.case.problem.higher_is_better else -1
    candidates = [assess(name, metrics[name], timing[name], context.case.contract, sign) for name in names if name != DENSE]
    verdict = {"headline": headline(metrics[DENSE]), **decide(candidates, context.case.contract)}
    released = verdict["released"]
    rows = [table_row(name, metrics[name], timing[name], candidates, released) for name in names]
    table = {
        "rows": rows,
        "baselines": baseline_rows(metrics[DENSE]),
        "machine": timing[DENSE]["machine"],
        "threads": timing[DENSE]["threads"],
    }
    with context.release.draft() as draft:
        write_json(draft / "verdict.json", verdict)
        write_json(draft / "table.json", table)
        model = context.compressed(released or DENSE).open() / "model.onnx"
        if released:
            shutil.copyfile(model, draft / "model.onnx")
        metadata = onnx_model.read_metadata(onnx_model.from_bytes(model.read_bytes()))
        write_bytes(draft / "card.md", model_card(context, verdict, table, metrics[released or DENSE], metadata).encode())
    context.event_log.table("release", rows)
    context.event_log.log(verdict["reason"])
