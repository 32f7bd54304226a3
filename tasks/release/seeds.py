"""Additional seeds: the seed whose models are the candidates of a release, and a report that tells skill from luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

from tasks.core.compression import DENSE
from tasks.core.splits import EVALUATION_SPLITS
from tasks.core.stage_context import StageContext

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class SeedResult:
    """The metrics.json of every recipe for one seed."""

    seed: int
    additional: bool
    """Whether it is one of `seeds` in params.yaml, not `training.seed`."""
    metrics: Mapping[str, Mapping[str, Any]]

    def score(self, recipe: str, split: str) -> float:
        """The first metric."""
        part = self.metrics[recipe]["splits"][split]
        return float(part["scores"][part["first"]])

    def drop(self, recipe: str, split: str) -> float:
        """What the recipe loses of the first metric against the dense model of the same seed; 0 for dense itself."""
        return 0.0 if recipe == DENSE else float(self.metrics[recipe]["against_dense"][split]["drop"]["value"])


def choose(context: StageContext) -> tuple[StageContext, dict[str, Any]]:
    """The context of the seed whose models are the candidates, and the report on all seeds, which is empty if there is only one.

    The seed is the one whose dense model has the best validation score, of equal ones the first. The test split has no say,
    so that the decision on test rows is made for one seed that they did not choose.
    """
    if not context.seeds:
        return context, {}
    seeds = (None, *context.seeds)
    results = [
        SeedResult(
            context.case.training.seed if seed is None else seed,
            seed is not None,
            {name: context.of_seed(seed).evaluation(name).json("metrics.json") for name in context.recipe_names},
        )
        for seed in seeds
    ]
    sign = 1 if context.case.problem.higher_is_better else -1
    chosen = max(results, key=lambda result: sign * result.score(DENSE, "validation"))
    report = {"chosen": chosen.seed, **summarize(results, sign)}
    if not chosen.additional:
        return context, report
    case = replace(context.case, training=replace(context.case.training, seed=chosen.seed))
    return replace(context.of_seed(chosen.seed), case=case), report


def for_verdict(report: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the report that verdict.json repeats: the seeds, the chosen one, and the sentence. Empty without one."""
    return {"seeds": {name: report[name] for name in ("seeds", "chosen", "sentence")}} if report else {}


def card_section(verdict: Mapping[str, Any]) -> dict[str, str]:
    """A section of the model card on seeds; empty for a release of one seed."""
    if not verdict.get("seeds"):
        return {}
    report = verdict["seeds"]
    text = (
        f"Seeds {', '.join(map(str, report['seeds']))}; the candidates are the models of seed {report['chosen']}, whose dense "
        f"model has the best validation score. {report['sentence'][0].upper()}{report['sentence'][1:]}."
    )
    return {"Seeds": text}


def summarize(results: Sequence[SeedResult], sign: int) -> dict[str, Any]:
    """Scores and drops per recipe and seed, their mean and spread over seeds, the rank stability, and a sentence."""
    recipes = list(results[0].metrics)
    first = results[0].metrics[DENSE]["splits"]["test"]["first"]
    rows = []
    for recipe in recipes:
        row: dict[str, Any] = {"recipe": recipe}
        for split in EVALUATION_SPLITS:
            row[split] = spread([result.score(recipe, split) for result in results])
            row[f"{split}_drop"] = spread([result.drop(recipe, split) for result in results]) if recipe != DENSE else None
        row["beyond_seed_variance"] = None if recipe == DENSE else row["test_drop"]["low"] > 0
        row["sentence"] = recipe_sentence(recipe, first, row)
        rows.append(row)
    stability = {
        split: rank_stability([[sign * result.score(recipe, split) for recipe in recipes] for result in results])
        for split in EVALUATION_SPLITS
    }
    report = {
        "seeds": [result.seed for result in results],
        "metric": first,
        "recipes": rows,
        "rank_stability": stability,
        "level": LEVEL,
    }
    return {**report, "sentence": sentence(report)}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The values, their mean, standard deviation (n - 1) and the two-sided t interval of the mean at `LEVEL`."""
    from scipy.special import stdtrit

    mean, deviation = fmean(values), stdev(values)
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * deviation / len(values) ** 0.5
    return {"values": list(values), "mean": mean, "sd": deviation, "low": mean - half, "high": mean + half}


def rank_stability(scores: Sequence[Sequence[float]]) -> float | None:
    """Kendall's tau-b between the orders of the recipes by two seeds, averaged over pairs of seeds; `scores` is (S, R).

    1 means that every seed ranks the recipes alike. None where no pair of seeds has an order to compare, as with one recipe.
    M. G. Kendall, Biometrika 33, 1945.
    """
    taus = [tau for one, other in combinations(scores, 2) if (tau := kendall_tau(one, other)) is not None]
    return fmean(taus) if taus else None


def kendall_tau(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Tau-b of two lists (R,), None where all values of one of them are equal."""
    products, untied = 0, [0, 0]
    for a, b in combinations(range(len(one)), 2):
        signs = [(values[a] > values[b]) - (values[a] < values[b]) for values in (one, other)]
        products += signs[0] * signs[1]
        untied = [count + abs(sign) for count, sign in zip(untied, signs, strict=True)]
    return float(products / (untied[0] * untied[1]) ** 0.5) if all(untied) else None


def recipe_sentence(recipe: str, metric: str, row: Mapping[str, Any]) -> str:
    """One sentence on what of a recipe's drop on test rows is more than the variance between seeds."""
    if recipe == DENSE:
        test = row["test"]
        return f"dense has {metric} {test['mean']:.4f} on average and varies by {test['sd']:.4f} between seeds"
    drop = row["test_drop"]
    mean, cause = drop["mean"], "which the variance between seeds explains"
    if drop["low"] > 0 or drop["high"] < 0:
        cause = "beyond the variance between seeds"
    return (
        f"{recipe} {'loses' if mean >= 0 else 'gains'} {abs(mean):.4f} of {metric} on average, {cause}: its drop varies by "
        f"{drop['sd']:.4f} (95 % interval of the mean {drop['low']:+.4f}..{drop['high']:+.4f})"
    )


def sentence(report: Mapping[str, Any]) -> str:
    """One sentence on all recipes."""
    dense = next(row for row in report["recipes"] if row["recipe"] == DENSE)
    others = [row for row in report["recipes"] if row["recipe"] != DENSE]
    parts = [
        f"over {len(report['seeds'])} seeds dense's {report['metric']} is {dense['test']['mean']:.4f} on test rows and varies by "
        f"{dense['test']['sd']:.4f} between seeds"
    ]
    for words, beyond in (
        ("beyond the variance between seeds", True),
        ("no more than the variance between seeds explains", False),
    ):
        names = [row["recipe"] for row in others if row["beyond_seed_variance"] is beyond]
        if names:
            parts.append(f"{', '.join(names)} {'loses' if len(names) == 1 else 'lose'} {words}")
    return "; ".join(parts)
