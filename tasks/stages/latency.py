"""Time every exported model in turn: the recipes' files, the dense network in eager PyTorch, and the classic models."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from tasks.core import onnx_model
from tasks.core.compression import DENSE, EAGER
from tasks.core.stage_context import SEEDS_FOLDER, StageContext
from tasks.core.storage.artifacts import Table
from tasks.core.storage.atomic_files import write_json
from tasks.evaluation import latency
from tasks.evaluation.latency import Variant

if TYPE_CHECKING:
    from pandas import DataFrame

    from tasks.core.use_case import Array


def main(context: StageContext) -> None:
    """Write latency.json, and seeds/<seed>/latency.json for each additional seed, all from one measurement.

    Nothing in it is reproducible, because a clock measured it. Validation rows are timed.
    """
    rows = timed_rows(Table(context.clean.open() / "rows"))
    variants, names = list_variants(context, rows)
    inputs = _encode((context.compressed(DENSE).open() / "model.onnx").read_bytes(), context, rows)
    report = latency.measure(
        variants,
        inputs,
        context.scratch,
        base=DENSE,
        threads=context.case.training.threads,
        event_log=context.event_log,
    )
    with context.latency.draft() as draft:
        write_json(draft / "latency.json", of_seed(report, names[None]))
        for seed in context.seeds:
            write_json(draft / SEEDS_FOLDER / str(seed) / "latency.json", of_seed(report, names[seed]))
    shutil.rmtree(context.scratch)
    for name, variant in report["variants"].items():
        ratio = f", {variant['speedup_over'][DENSE]['1']['ratio']:.1f}x {DENSE}" if name != DENSE else ""
        context.event_log.log(f"{name}: {variant['batches']['1']['median_ms']:.3f} ms a row{ratio}")


def timed_rows(rows: Table) -> DataFrame:
    """The first validation rows, as many as the largest batch; fewer where there are not as many."""
    import pandas as pd

    parts: list[DataFrame] = []
    for part in rows.partitions():
        parts.append(part[part["split"] == "validation"])
        if sum(map(len, parts)) >= max(latency.BATCHES):
            break
    return pd.concat(parts, ignore_index=True).head(max(latency.BATCHES))


def list_variants(context: StageContext, rows: DataFrame) -> tuple[list[Variant], dict[int | None, dict[str, str]]]:
    """The models to time, and for each seed the name of the variant that stands for each of its models.

    The time of a network depends on its nodes and on the shapes of its tensors, not on their values. So a model of an additional
    seed is timed only where its graph differs from that of the first seed, as when quantization left other nodes in float.
    """
    first = {name: (context.compressed(name).open() / "model.onnx") for name in context.recipe_names}
    folder = context.compressed(DENSE).open()
    variants = [Variant(name=EAGER, runtime="eager", path=folder / "network", use_case=context.case.name)]
    variants += [Variant(name=name, runtime="onnx", path=path) for name, path in first.items()]
    for slug in context.baselines.json("report.json")["baselines"]:
        path = context.baselines.open() / slug / "model.onnx"
        variants.append(Variant(name=slug, runtime="onnx", path=path, inputs=_encode(path.read_bytes(), context, rows)))
    names: dict[int | None, dict[str, str]] = {None: {variant.name: variant.name for variant in variants}}
    for seed in context.seeds:
        names[seed] = dict(names[None])
        for name, path in first.items():
            own = context.of_seed(seed).compressed(name).open() / "model.onnx"
            if not onnx_model.same_graph(own.read_bytes(), path.read_bytes()):
                names[seed][name] = f"{name} of seed {seed}"
                variants.append(Variant(name=names[seed][name], runtime="onnx", path=own))
    return variants, names


def of_seed(report: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The report of one seed's models: `names` says which variant stands for each."""
    variants = {}
    for name, timed_as in names.items():
        measured = report["variants"][timed_as]
        speedups = {other: measured["speedup_over"][names[other]] for other in names if names[other] != timed_as}
        variants[name] = {**measured, "speedup_over": speedups, **({"timed_as": timed_as} if timed_as != name else {})}
    return {**report, "variants": variants}


def _encode(content: bytes, context: StageContext, rows: DataFrame) -> Array:
    """The inputs of a file for `rows`."""
    return context.case.encode(rows, onnx_model.read_metadata(onnx_model.from_bytes(content))["learnt"])[0]
