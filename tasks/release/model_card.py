"""The model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from tasks.core.compression import DENSE, EAGER
from tasks.core.stage_context import StageContext
from tasks.release.decision import Candidate


def row(
    name: str, metrics: Mapping[str, Any], timing: Mapping[str, Any], candidates: Sequence[Candidate], released: str | None
) -> dict[str, Any]:
    """One line of the table that people read: test figures with their intervals."""
    test, own = metrics["splits"]["test"], timing["variants"][name]
    against = metrics.get("against_dense", {}).get("test", {})
    status = next((candidate.status for candidate in candidates if candidate.recipe == name), "baseline")
    return {
        "recipe": name,
        "metric": test["first"],
        "value": test["scores"][test["first"]],
        "low": test["interval"]["low"],
        "high": test["interval"]["high"],
        "test_rows": test["rows"],
        "drop": {key: against["drop"][key] for key in ("value", "low", "high")} if against else None,
        "mcnemar_p": against.get("mcnemar_p"),
        "bytes": metrics["bytes"],
        "size_share": metrics["bytes_share"],
        "parameters": metrics["parameters"],
        "macs": metrics["macs"],
        "latency_ms": {batch: {key: found[key] for key in ("median_ms", "p95_ms")} for batch, found in own["batches"].items()},
        "speedup_over": own["speedup_over"],
        "peak_memory_bytes": own["peak_memory_bytes"],
        "status": status,
        "chosen": name == released,
    }


def headline(dense: Mapping[str, Any]) -> str:
    """Whether the network is better than its best rival on test rows, in one sentence."""
    return str(dense.get("against_rivals", {}).get("test", {}).get("headline", ""))


def rivals(dense: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The trivial and classic rivals' test scores."""
    return [
        {"name": name, "scores": found["test"]["scores"], "interval": found["test"]["interval"]}
        for name, found in dense.get("baselines", {}).items()
    ]


def card(
    context: StageContext,
    verdict: Mapping[str, Any],
    table: Mapping[str, Any],
    metrics: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> str:
    """A model card as the Hugging Face hub reads it: YAML front matter, then prose."""
    case, released = context.case, verdict["released"]
    rows: list[dict[str, Any]] = table["rows"]
    own = next(found for found in rows if found["recipe"] == (released or DENSE))
    dataset = " ".join(filter(None, [case.fetch.source, case.fetch.dataset])) or context.name
    result = {
        "task": {"type": context.name},
        "dataset": {"name": dataset, "type": case.fetch.source},
        "metrics": [{"name": own["metric"], "type": own["metric"], "value": round(own["value"], 6)}],
    }
    front = {
        "library_name": "onnxruntime",
        "tags": ["onnx", "bonsai", context.name, released or "refused"],
        "metrics": [own["metric"]],
        "model-index": [{"name": f"{context.name}-{released or 'refused'}", "results": [result]}],
    }
    machine = ", ".join(f"{key} {value}" for key, value in table["machine"].items())
    counts = ", ".join(f"{count:,} {split}" for split, count in sorted(metrics["rows"].items()))
    sections = {
        f"{context.name}: {released or 'no release'}": f"{verdict['headline']}\n\n{verdict['reason']}.".lstrip(),
        "Intended use": f"{case.summary} One file, `model.onnx`: `inputs` in, `outputs` out, pre-processing inside; "
        "what it learnt of its data (such as the names of the classes) is in the file's metadata under `bonsai.learnt`.",
        "Data": f"{dataset}: {counts} rows after cleaning. Rows alike stand in the same split; test rows chose nothing.",
        "Training": f"Architecture `{metadata['architecture']}` with {metadata['fields']}. Settings: {asdict(case.training)}.",
        "Evaluation": as_markdown(rows)
        + "\n\nOn test rows with 95 % intervals; latency in milliseconds at batch 1 and 64 (median), speed-ups at batch 1. "
        + f"{table['threads']} thread on {machine}. Seed {case.training.seed}.",
        "Rivals": "\n".join(f"- {found['name']}: {_first(found['scores'])}" for found in table["baselines"]) or "None.",
        **fairness(metrics["splits"]["test"]["report"]),
        "Contract": "\n".join(f"- {found['recipe']}: {found['status']}. {found['why']}" for found in verdict["candidates"]),
        "Limits": "It answers for data like that above and was measured on no other. Speed-ups are those of the machine named; "
        "elsewhere they differ. It always answers, also when asked about something it never saw.",
    }
    body = "\n\n".join(
        f"{'#' if number == 0 else '##'} {title}\n\n{text}" for number, (title, text) in enumerate(sections.items())
    )
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n{body}\n"


def fairness(report: Mapping[str, Any]) -> dict[str, str]:
    """What each group of people meets, a table for each attribute; nothing where a use case does not judge people."""
    found = report.get("fairness")
    if not found:
        return {}
    columns = ("rows", "came", "said", "auc", "refused", "refused_good", "caught")
    lines = [
        f"Test rows, all at or above {report['threshold']:.3f} refused. `came`: share of the event; `said`: mean probability; "
        "`refused_good`: of those without the event, `caught`: of those with it. Groups of few rows are left out."
    ]
    for name, table in found.items():
        lines += ["", f"| {name} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for row in table["groups"]:
            lines.append(f"| {row['group']} | {' | '.join(_cell(row[column]) for column in columns)} |")
        lines.append(f"| widest gap | | | | {' | '.join(_cell(table['gaps'].get(column)) for column in columns[3:])} |")
    return {"Fairness": "\n".join(lines)}


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of recipes, in Markdown."""
    metric = rows[0]["metric"] if rows else "score"
    lines = [
        f"| recipe | {metric} | drop | bytes | share | parameters | b1 ms | b64 ms | x dense | x eager | contract |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for found in rows:
        drop, speedup, late = found["drop"], found["speedup_over"], found["latency_ms"]
        cells = [
            f"**{found['recipe']}**" if found["chosen"] else found["recipe"],
            f"{found['value']:.4f} ({found['low']:.4f}..{found['high']:.4f})",
            f"{drop['value']:+.4f} ({drop['low']:+.4f}..{drop['high']:+.4f})" if drop else "",
            f"{found['bytes']:,}",
            f"{found['size_share']:.3f}",
            f"{found['parameters']:,}",
            f"{late['1']['median_ms']:.3f}",
            f"{late['64']['median_ms']:.2f}",
            _times(speedup.get(DENSE)),
            _times(speedup.get(EAGER)),
            "chosen" if found["chosen"] else found["status"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _times(speedup: Mapping[str, Any] | None) -> str:
    if speedup is None:
        return ""
    found = speedup["1"]
    return f"{found['ratio']:.2f} ({found['low']:.2f}..{found['high']:.2f})" + (
        "" if found["verdict"] == "faster" else f", {found['verdict']}"
    )


def _first(scores: Mapping[str, float]) -> str:
    name = next(iter(scores))
    return f"{name} {scores[name]:.4f}"
