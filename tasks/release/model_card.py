"""The table of recipes and the model card of a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from tasks.core.compression import DENSE, EAGER
from tasks.core.stage_context import StageContext
from tasks.release import data_table
from tasks.release.decision import Candidate
from tasks.release.seeds import card_section


def table_row(
    name: str, metrics: Mapping[str, Any], timing: Mapping[str, Any], candidates: Sequence[Candidate], released: str | None
) -> dict[str, Any]:
    """One row of the table of recipes: test metrics with their intervals, size and latency."""
    test, own = metrics["splits"]["test"], timing["variants"][name]
    against = metrics.get("against_dense", {}).get("test", {})
    status = next((candidate.status for candidate in candidates if candidate.name == name), "baseline")
    return {
        "recipe": name,
        "kind": next((candidate.kind for candidate in candidates if candidate.name == name), "recipe"),
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
        "latency_ms": {batch: {key: times[key] for key in ("median_ms", "p95_ms")} for batch, times in own["batches"].items()},
        "speedup_over": own["speedup_over"],
        "peak_memory_bytes": own["peak_memory_bytes"],
        "status": status,
        "chosen": name == released,
    }


def headline(dense: Mapping[str, Any]) -> str:
    """One sentence on whether the network is better than its best baseline on test rows; empty if there is none."""
    return str(dense.get("against_rivals", {}).get("test", {}).get("headline", ""))


def baseline_rows(dense: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The test scores of the baselines, one row each."""
    return [
        {"name": name, "scores": splits["test"]["scores"], "interval": splits["test"]["interval"]}
        for name, splits in dense.get("baselines", {}).items()
    ]


def model_card(
    context: StageContext,
    verdict: Mapping[str, Any],
    table: Mapping[str, Any],
    metrics: Mapping[str, Any],
    metadata: Mapping[str, Any],
    fit_notes: Sequence[str] = (),
    quality: Mapping[str, Any] | None = None,
) -> str:
    """A model card in the format of the Hugging Face Hub: YAML front matter, then Markdown."""
    case, released = context.case, verdict["released"]
    rows: list[dict[str, Any]] = table["rows"]
    own = next(row for row in rows if row["recipe"] == (released or DENSE))
    dataset = " ".join(filter(None, [case.fetch.source, case.fetch.dataset])) or context.name
    result = {
        "task": {"type": context.name},
        "dataset": {"name": dataset, "type": case.fetch.source},
        "metrics": [{"name": own["metric"], "type": own["metric"], "value": round(own["value"], 6)}],
    }
    front = {
        "library_name": "onnxruntime",
        "tags": ["onnx", "bonsai", context.name, released or verdict["verdict"]],
        "metrics": [own["metric"]],
        "model-index": [{"name": f"{context.name}-{released or verdict['verdict']}", "results": [result]}],
    }
    machine = ", ".join(f"{key} {value}" for key, value in table["machine"].items())
    sections = {
        f"{context.name}: {released or verdict['verdict']}": f"{verdict['headline']}\n\n{verdict['reason']}.".lstrip(),
        "Intended use": f"{case.summary} {data_table.contents(metadata['learnt'])}",
        **usage(case.usage if released else ""),
        "Data": data_table.data_section(dataset, case.fetch, metrics["rows"], quality or {})
        + warnings((quality or {}).get("findings", [])),
        "Training": training(own, metadata, asdict(case.training), fit_notes),
        "Evaluation": markdown_table(rows)
        + "\n\nOn test rows with 95 % intervals; latency in milliseconds at batch 1 and 64 (median), speed-ups at batch 1. "
        + f"{table['threads']} thread on {machine}. Seed {case.training.seed}.",
        "Baselines": "\n".join(f"- {baseline['name']}: {_first_score(baseline['scores'])}" for baseline in table["baselines"])
        or "None.",
        **card_section(verdict),
        **fairness(metrics["splits"]["test"]["report"]),
        **robustness(metrics.get("robustness", {})),
        **slices(metrics),
        "Contract": "\n".join(f"- {each['recipe']}: {each['status']}. {each['why']}" for each in verdict["candidates"]),
        "Limits": "It answers for data like that above and was measured on no other. Speed-ups are those of the machine named; "
        f"elsewhere they differ. {abstention(metrics)}",
    }
    body = "\n\n".join(
        f"{'#' if number == 0 else '##'} {title}\n\n{text}" for number, (title, text) in enumerate(sections.items())
    )
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n{body}\n"


def usage(code: str) -> dict[str, str]:
    """A section with the code that runs the released file on raw data; empty without code."""
    return {"Use": f"```python\n{code}```"} if code else {}


def warnings(findings: Sequence[str]) -> str:
    """What the use case found in all rows, such as a column that tells the label, as a list after a sentence; else nothing."""
    listed = "".join(f"\n- {finding}" for finding in findings)
    return f"\n\nScores may be too good to be true:\n{listed}" if findings else ""


def training(
    own: Mapping[str, Any], metadata: Mapping[str, Any], settings: Mapping[str, Any], fit_notes: Sequence[str] = ()
) -> str:
    """How the model of this row of the table was fitted, and what its curves and inputs gave reason to remark."""
    if own["kind"] == "baseline":
        return f"A classic model, `{own['recipe']}`, fitted to the train rows with scikit-learn; no network."
    remarks = "".join(f"\n\n- {note}" if number == 0 else f"\n- {note}" for number, note in enumerate(fit_notes))
    return f"Architecture `{metadata['architecture']}` with {metadata['fields']}. Settings: {settings}.{remarks}"


def abstention(metrics: Mapping[str, Any]) -> str:
    """Where the model abstains on test rows, and the coverage of its prediction sets; a model without either always answers."""
    measured = metrics.get("uncertainty")
    if not measured:
        return "It always answers, also when asked about something it never saw."
    test = measured["splits"]["test"]
    unlike, undecided = (test["abstained_for"][reason] for reason in ("out_of_distribution", "undecided"))
    covered = test["coverage"]
    filled = ""
    if test["empty_conformal_sets"]:
        filled = f" ({test['prediction_set_coverage']:.3f} with the most probable class in the sets that are empty)"
    abstained = (
        f"It abstains on {test['abstained']:.1%} of test rows: {unlike:.1%} are unlike what it was trained on, "
        f"{undecided:.1%} have no prediction set of exactly one class."
    )
    coverage = (
        f"Prediction sets: coverage {measured['coverage']:g} promised, {covered['value']:.3f} measured on test, "
        f"{covered['low']:.3f}..{covered['high']:.3f}{filled}."
    )
    limit = "What is unlike the training data is found by coarse scores; some of it is answered all the same."
    return f"{abstained} {coverage} {limit}"


def fairness(report: Mapping[str, Any]) -> dict[str, str]:
    """A section with one table of error rates by group for each attribute; empty for a report without `fairness`."""
    attributes = report.get("fairness")
    if not attributes:
        return {}
    columns = ("rows", "came", "said", "auc", "refused", "refused_good", "caught")
    lines = [
        f"Test rows, all at or above {report['threshold']:.3f} refused. `came`: share of the event; `said`: mean probability; "
        "`refused_good`: of those without the event, `caught`: of those with it. Groups of few rows are left out."
    ]
    for name, table in attributes.items():
        lines += ["", f"| {name} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for row in table["groups"]:
            lines.append(f"| {row['group']} | {' | '.join(_cell(row[column]) for column in columns)} |")
        lines.append(f"| widest gap | | | | {' | '.join(_cell(table['gaps'].get(column)) for column in columns[3:])} |")
    return {"Fairness": "\n".join(lines)}


def robustness(report: Mapping[str, Any]) -> dict[str, str]:
    """A section with the scores under corruptions and attacks, beside dense's; empty without either."""
    conditions = [(f"{each['name']} {each['severity']}", each) for each in report.get("corruptions", [])]
    conditions += [(f"{each['attack']} at {each['epsilon']:.3f}", each) for each in report.get("adversarial", [])]
    if not conditions:
        return {}
    mean = (report.get("mean") or {}).get("drop")
    lines = [
        f"Corrupted test rows (severity 1 is mild, 2 strong). Adversarial examples: {report.get('adversarial_note', 'none')}."
    ]
    if mean:
        lines[0] += f" Mean drop against dense over the corruptions: {_signed_interval(mean)}."
    lines += ["", "| test rows with | rows | score | dense | drop |", "|---|---|---|---|---|"]
    if "clean" in report:
        conditions.insert(0, ("no change", {"rows": report["rows"], **report["clean"]}))
    for name, each in conditions:
        score, drop = f"{each['score']:.4f} ({each['low']:.4f}..{each['high']:.4f})", each.get("drop")
        against = _signed_interval(drop) if drop else ""
        lines.append(f"| {name} | {each['rows']:,} | {score} | {each['dense_score']:.4f} | {against} |")
    return {"Robustness": "\n".join(lines)}


def _signed_interval(drop: Mapping[str, float]) -> str:
    return f"{drop['value']:+.4f} ({drop['low']:+.4f}..{drop['high']:+.4f})"


def slices(metrics: Mapping[str, Any]) -> dict[str, str]:
    """A section with one line on the slices where the recipe is worse than dense; empty for dense and for older metrics."""
    report = metrics.get("slices")
    if not report:
        return {}

    def words(each: Mapping[str, Any]) -> str:
        drop = each["drop"]
        interval = f"{drop['value']:+.4f} ({drop['low']:+.4f}..{drop['high']:+.4f})"
        return f"`{each['slice']}`, drop {interval} on {each['rows']:,} rows, adjusted p {each['adjusted_p']:.4f}"

    of = f"{report['tested']} of {report['candidates']} slices (classes, groups, ranges of a number) tested on test rows"
    if report["confirmed"]:
        return {"Slices": f"Shown to be worse than dense, of {of}: {'; '.join(map(words, report['confirmed']))}."}
    nearest = f" Nearest: {words(report['nearest'][0])}." if report["nearest"] else ""
    return {"Slices": f"None of {of} is shown to be worse than dense.{nearest}"}


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of recipes, in Markdown."""
    metric = rows[0]["metric"] if rows else "score"
    lines = [
        f"| recipe | {metric} | drop | bytes | share | parameters | b1 ms | b64 ms | x dense | x eager | contract |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        drop, speedup, times = row["drop"], row["speedup_over"], row["latency_ms"]
        cells = [
            f"**{row['recipe']}**" if row["chosen"] else row["recipe"],
            f"{row['value']:.4f} ({row['low']:.4f}..{row['high']:.4f})",
            f"{drop['value']:+.4f} ({drop['low']:+.4f}..{drop['high']:+.4f})" if drop else "",
            f"{row['bytes']:,}",
            f"{row['size_share']:.3f}",
            f"{row['parameters']:,}",
            f"{times['1']['median_ms']:.3f}",
            f"{times['64']['median_ms']:.2f}",
            _speedup_cell(speedup.get(DENSE)),
            _speedup_cell(speedup.get(EAGER)),
            "chosen" if row["chosen"] else row["status"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _speedup_cell(speedup: Mapping[str, Any] | None) -> str:
    if speedup is None:
        return ""
    ratio = speedup["1"]
    return f"{ratio['ratio']:.2f} ({ratio['low']:.2f}..{ratio['high']:.2f})" + (
        "" if ratio["verdict"] == "faster" else f", {ratio['verdict']}"
    )


def _first_score(scores: Mapping[str, float]) -> str:
    name = next(iter(scores))
    return f"{name} {scores[name]:.4f}"
