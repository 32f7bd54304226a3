"""Choose the best model that keeps its contract on validation, or refuse and say by how much each one missed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import yaml

from tasks import export
from tasks.contracts import Contract
from tasks.workspace import Workspace, write_bytes, write_json

DENSE, EAGER = "dense", "eager PyTorch"
TIE = 1.05
"""Costs within this factor count as equal: a clock does not tell them apart."""

Status = Literal["kept", "not shown", "broken"]
RANK: dict[Status, int] = {"kept": 0, "not shown": 1, "broken": 2}


@dataclass(slots=True, kw_only=True)
class Candidate:
    """A recipe before the contract: what it costs against dense, whether it keeps each promise, and why not."""

    recipe: str
    status: Status
    terms: dict[str, dict[str, Any]]
    cost: float
    """Share of dense's bytes times share of dense's time at batch 1: small is good."""
    score: float
    """The first metric on validation, turned so that more is better."""
    misses: list[str] = field(default_factory=list)
    why: str = ""


def main(work: Workspace) -> None:
    """Weigh every recipe, write the bundle of the chosen one, or the refusal."""
    names = list(work.recipe_names)
    metrics = {name: work.evaluation(name).json("metrics.json") for name in names}
    timing = {name: work.evaluation(name).json("latency.json") for name in names}
    sign = 1 if work.case.higher_is_better else -1
    candidates = [weighed(name, metrics[name], timing[name], work.case.contract, sign) for name in names if name != DENSE]
    verdict = {"headline": headline(metrics[DENSE]), **decided(candidates, work.case.contract)}
    released = verdict["released"]
    rows = [row(name, metrics[name], timing[name], candidates, released) for name in names]
    table = {
        "rows": rows,
        "baselines": rivals(metrics[DENSE]),
        "machine": timing[DENSE]["machine"],
        "threads": timing[DENSE]["threads"],
    }
    with work.release.draft() as draft:
        write_json(draft / "verdict.json", verdict)
        write_json(draft / "table.json", table)
        model = work.compressed(released or DENSE).open() / "model.onnx"
        if released:
            shutil.copyfile(model, draft / "model.onnx")
        metadata = export.read_metadata(export.from_bytes(model.read_bytes()))
        write_bytes(draft / "card.md", card(work, verdict, table, metrics[released or DENSE], metadata).encode())
    work.journal.table("release", rows)
    work.journal.log(verdict["reason"])


def weighed(name: str, metrics: Mapping[str, Any], timing: Mapping[str, Any], contract: Contract, sign: int) -> Candidate:
    """One recipe against the three promises, all judged on validation rows and with 95 % confidence one-sided."""
    loss, split = metrics["against_dense"]["validation"], metrics["splits"]["validation"]
    speedup = timing["variants"][name]["speedup_over"][DENSE]["1"]
    first, drop = split["first"], loss["drop"]["value"]
    terms = {
        "max_drop": {"allowed": contract.max_drop, "value": drop, "at_most": loss["at_most"]},
        "min_speedup": {"allowed": contract.min_speedup, "value": speedup["ratio"], "at_least": speedup["at_least"]},
        "max_size_share": {"allowed": contract.max_size_share, "value": metrics["bytes_share"]},
    }
    terms["max_drop"]["status"] = _status(drop <= contract.max_drop, loss["at_most"] <= contract.max_drop)
    terms["min_speedup"]["status"] = _status(
        speedup["ratio"] >= contract.min_speedup, speedup["at_least"] >= contract.min_speedup
    )
    terms["max_size_share"]["status"] = _status(metrics["bytes_share"] <= contract.max_size_share, True)
    objections = split.get("objections", [])
    if objections:
        terms["objections"] = {"allowed": 0, "value": len(objections), "status": "broken"}
    said = {
        "max_drop": f"loses {drop:.4f} of {first} on validation, surely at most {loss['at_most']:.4f}; "
        f"{contract.max_drop:.4f} is allowed",
        "min_speedup": f"is {speedup['ratio']:.2f} times as fast as dense, surely at least {speedup['at_least']:.2f}; "
        f"{contract.min_speedup:.2f} is asked",
        "max_size_share": f"has {metrics['bytes_share']:.3f} of dense's bytes; {contract.max_size_share:.3f} is allowed",
        "objections": " and ".join(objections),
    }
    status: Status = max((term["status"] for term in terms.values()), key=lambda found: RANK[found])
    return Candidate(
        recipe=name,
        status=status,
        terms=terms,
        cost=metrics["bytes_share"] / speedup["ratio"],
        score=sign * split["scores"][first],
        misses=[said[term] for term in terms if terms[term]["status"] != "kept"],
    )


def decided(candidates: Sequence[Candidate], contract: Contract) -> dict[str, Any]:
    """The verdict: of those that keep the contract the one of least cost; of equal cost the better on validation."""
    kept = [candidate for candidate in candidates if candidate.status == "kept"]
    least = min((candidate.cost for candidate in kept), default=0.0)
    chosen = max((one for one in kept if one.cost <= least * TIE), key=lambda one: (one.score, -one.cost), default=None)
    for candidate in candidates:
        if candidate is chosen:
            candidate.why = "chosen: it keeps the contract at the least cost (bytes times time)"
        elif candidate.status == "kept":
            assert chosen
            ratio = candidate.cost / chosen.cost
            candidate.why = f"keeps the contract, but costs {ratio:.2f} times what {chosen.recipe!r} does (bytes times time)"
        else:
            shown = "it may well keep the contract, but that is not shown: it " if candidate.status == "not shown" else ""
            candidate.why = shown + "; it ".join(candidate.misses)
    if chosen:
        keep = "keeps" if len(kept) == 1 else "keep"
        reason = f"released {chosen.recipe!r}: {len(kept)} of {len(candidates)} recipes {keep} the contract, and it costs least"
    else:
        nearest = sorted(candidates, key=lambda one: (RANK[one.status], len(one.misses), one.cost))[:2]
        told = "; ".join(f"{one.recipe!r} {one.misses[0]}" for one in nearest)
        reason = f"nothing released: no recipe keeps the contract. Nearest: {told or 'there is no recipe besides dense'}"
    return {
        "released": chosen.recipe if chosen else None,
        "reason": reason,
        "contract": asdict(contract),
        "candidates": [asdict(candidate) for candidate in candidates],
    }


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
    work: Workspace, verdict: Mapping[str, Any], table: Mapping[str, Any], metrics: Mapping[str, Any], metadata: Mapping[str, Any]
) -> str:
    """A model card as the Hugging Face hub reads it: YAML front matter, then prose."""
    case, released = work.case, verdict["released"]
    rows: list[dict[str, Any]] = table["rows"]
    own = next(found for found in rows if found["recipe"] == (released or DENSE))
    dataset = " ".join(filter(None, [case.fetch.source, case.fetch.dataset])) or work.name
    result = {
        "task": {"type": work.name},
        "dataset": {"name": dataset, "type": case.fetch.source},
        "metrics": [{"name": own["metric"], "type": own["metric"], "value": round(own["value"], 6)}],
    }
    front = {
        "library_name": "onnxruntime",
        "tags": ["onnx", "bonsai", work.name, released or "refused"],
        "metrics": [own["metric"]],
        "model-index": [{"name": f"{work.name}-{released or 'refused'}", "results": [result]}],
    }
    machine = ", ".join(f"{key} {value}" for key, value in table["machine"].items())
    counts = ", ".join(f"{count:,} {split}" for split, count in sorted(metrics["rows"].items()))
    sections = {
        f"{work.name}: {released or 'no release'}": f"{verdict['headline']}\n\n{verdict['reason']}.".lstrip(),
        "Intended use": f"{_sentence(case)} One file, `model.onnx`: `inputs` in, `outputs` out, pre-processing inside; "
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


def _status(holds: bool, shown: bool) -> Status:
    return "broken" if not holds else "kept" if shown else "not shown"


def _first(scores: Mapping[str, float]) -> str:
    name = next(iter(scores))
    return f"{name} {scores[name]:.4f}"


def _sentence(case: object) -> str:
    """The sentence a use case opens with."""
    import sys

    doc = sys.modules[type(case).__module__].__doc__ or ""
    return doc.partition("\n")[0]
