"""A small project that runs in seconds: the real `tasks/core` and `tasks/data`, with toy stages."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tasks import models, use_cases
from tasks.compression import steps
from tasks.core import registry

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = ("__init__.py", "__main__.py", "dask_cluster.py", "core", "data")

DVC_YAML = """
stages:
  fetch:
    desc: Write the raw numbers.
    matrix: {use_case: "${use_cases}"}
    cmd: python -m tasks fetch ${item}
    deps: [tasks/stages/fetch.py, "tasks/use_cases/${item.use_case}"]
    params: ["use_cases.${item.use_case}.fetch"]
    outs: ["data/${item.use_case}/raw"]
  clean:
    desc: Keep the even numbers.
    matrix: {use_case: "${use_cases}"}
    cmd: python -m tasks clean ${item}
    deps: [tasks/stages/clean.py, "tasks/use_cases/${item.use_case}", "data/${item.use_case}/raw"]
    params: ["use_cases.${item.use_case}.clean"]
    outs: ["data/${item.use_case}/clean"]
  augment:
    desc: Repeat the numbers.
    matrix: {use_case: "${use_cases}"}
    cmd: python -m tasks augment ${item}
    deps: [tasks/stages/augment.py, "tasks/use_cases/${item.use_case}", "data/${item.use_case}/clean/rows"]
    params: ["use_cases.${item.use_case}.augment"]
    outs: ["data/${item.use_case}/augmented"]
  train:
    desc: Add them up, epoch by epoch.
    meta: {tags: [gpu], retries: 1}
    matrix: {use_case: "${use_cases}"}
    cmd: python -m tasks train ${item}
    deps:
      - tasks/stages/train.py
      - "tasks/models/${item.use_case}"
      - "tasks/use_cases/${item.use_case}"
      - "data/${item.use_case}/clean/rows"
      - "data/${item.use_case}/augmented/rows"
    params: ["use_cases.${item.use_case}.model", "use_cases.${item.use_case}.training"]
    outs: ["data/${item.use_case}/model"]
  compress:
    desc: Make the sum smaller by a recipe.
    matrix: {use_case: "${use_cases}", recipe: "${recipes}"}
    cmd: python -m tasks compress ${item}
    deps: [tasks/stages/compress.py, tasks/compression/steps, "data/${item.use_case}/model"]
    params: ["recipes.${item.recipe}"]
    outs: ["data/${item.use_case}/compressed/${item.recipe}"]
  evaluate:
    desc: Compare the sum with the dense one.
    matrix: {use_case: "${use_cases}", recipe: "${recipes}"}
    cmd: python -m tasks evaluate ${item}
    deps:
      - tasks/stages/evaluate.py
      - "data/${item.use_case}/compressed/dense"
      - "data/${item.use_case}/compressed/${item.recipe}"
    outs: ["data/${item.use_case}/evaluations/${item.recipe}"]
  latency:
    desc: Note a time for each sum.
    meta: {slots: all}
    matrix: {use_case: "${use_cases}"}
    cmd: python -m tasks latency ${item}
    deps: [tasks/stages/latency.py, "data/${item.use_case}/compressed"]
    params: ["seeds"]
    outs: ["data/${item.use_case}/latency"]
  release:
    desc: Choose the smallest sum.
    matrix: {use_case: "${use_cases}"}
    cmd: python -m tasks release ${item}
    deps:
      - tasks/stages/release.py
      - "data/${item.use_case}/compressed"
      - "data/${item.use_case}/evaluations"
      - "data/${item.use_case}/latency"
    params: ["use_cases.${item.use_case}.contract", "seeds"]
    outs: ["data/${item.use_case}/release"]
  train_seed:
    desc: Add them up again.
    matrix: {use_case: "${use_cases}", seed: "${seeds}"}
    cmd: python -m tasks train_seed ${item}
    deps: [tasks/stages/train.py, "data/${item.use_case}/augmented/rows"]
    params: ["use_cases.${item.use_case}.model", "use_cases.${item.use_case}.training"]
    outs: ["data/${item.use_case}/seeds/${item.seed}/model"]
  compress_seed:
    desc: Make the sum of an additional seed smaller.
    matrix: {use_case: "${use_cases}", recipe: "${recipes}", seed: "${seeds}"}
    cmd: python -m tasks compress_seed ${item}
    deps: [tasks/stages/compress.py, tasks/compression/steps, "data/${item.use_case}/seeds/${item.seed}/model"]
    params: ["recipes.${item.recipe}"]
    outs: ["data/${item.use_case}/compressed/seeds/${item.seed}/${item.recipe}"]
  evaluate_seed:
    desc: Compare the sum of an additional seed with its dense one.
    matrix: {use_case: "${use_cases}", recipe: "${recipes}", seed: "${seeds}"}
    cmd: python -m tasks evaluate_seed ${item}
    deps:
      - tasks/stages/evaluate.py
      - "data/${item.use_case}/compressed/seeds/${item.seed}/dense"
      - "data/${item.use_case}/compressed/seeds/${item.seed}/${item.recipe}"
    outs: ["data/${item.use_case}/evaluations/seeds/${item.seed}/${item.recipe}"]
"""

PARAMS = """
use_cases:
  toy: {fetch: {}, clean: {}, augment: {}, model: {}, training: {}, contract: {}}
  twin: {fetch: {limit: 10}, clean: {}, augment: {}, model: {}, training: {}, contract: {}}
recipes:
  dense: []
  half: [{halve: {}}]
  quarter: [{halve: {times: 2}}]
seeds: []
"""

SMALL = """
use_cases:
  toy: {fetch: {}, clean: {}, augment: {}, model: {}, training: {}, contract: {}}
recipes:
  dense: []
  half: [{halve: {}}]
seeds: []
"""

USE_CASE = """
'''Numbers to add up.'''
from typing import Annotated, Any, ClassVar
from pydantic import Field
from tasks.core.problem import Problem
from tasks.core.settings import Clean, Contract, Fetch, Training, settings

@settings
class Augment:
    copies: Annotated[int, Field(ge=0, le=9)] = 1

@settings
class Model:
    width: Annotated[int, Field(ge=1, le=512)] = 4
    pause_s: float = 0.0
    flaw: str = ""

@settings
class {name}:
    problem: ClassVar[Any] = Problem
    fetch: Fetch = Fetch()
    clean: Clean = Clean()
    augment: Augment = Augment()
    model: Model = Model()
    training: Training = Training()
    contract: Contract = Contract()

    def check_head(self):
        pass
"""

STAGES = {
    "fetch": """
        def main(context):
            own = context.case.fetch.path
            rows = json.loads(open(own).read()) if own else list(range(context.case.fetch.limit or 20))
            with context.raw.draft() as draft:
                (draft / "part-00000.json").write_text(json.dumps(rows))
        """,
    "clean": """
        def main(context):
            rows = json.loads((context.raw.open() / "part-00000.json").read_text())
            kept = [row for row in rows if row % 2 == 0]
            with context.clean.draft() as draft:
                (draft / "rows").mkdir()
                (draft / "rows" / "part-00000.json").write_text(json.dumps(kept))
                (draft / "ledger.json").write_text(json.dumps({"rows_in": len(rows), "kept": len(kept)}))
            context.event_log.log(f"kept {len(kept)} of {len(rows)} rows")
        """,
    "augment": """
        def main(context):
            rows = json.loads((context.clean.open() / "rows" / "part-00000.json").read_text())
            with context.augmented.draft() as draft:
                (draft / "rows").mkdir()
                (draft / "rows" / "part-00000.json").write_text(json.dumps(rows * context.case.augment.copies))
        """,
    "train": """
        def main(context):
            rows = json.loads((context.augmented.open() / "rows" / "part-00000.json").read_text())
            model, kept = context.case.model, context.scratch / "checkpoint.json"
            done, total = json.loads(kept.read_text()) if kept.exists() else (0, 0)
            if done:
                context.event_log.log(f"went on from epoch {done}")
            for epoch in range(done, context.case.training.epochs):
                total += sum(rows) * model.width
                context.event_log.progress(epoch + 1, context.case.training.epochs, "epochs")
                context.event_log.metric(epoch + 1, **point(context, epoch + 1), sum=float(total))
                write_json(kept, [epoch + 1, total])
                time.sleep(model.pause_s)
                if model.flaw == "mistake":
                    raise UserError("model.flaw is 'mistake'; take it out")
                if model.flaw == "error":
                    raise RuntimeError("the sum does not add up")
                if model.flaw == "kill":
                    os.kill(os.getpid(), 9)
            with context.model.draft() as draft:
                (draft / "model.json").write_text(json.dumps({"sum": total}))
                points = [point(context, epoch + 1) for epoch in range(context.case.training.epochs)]
                (draft / "curves.json").write_text(json.dumps(points))
                (draft / "report.json").write_text(json.dumps({"best_epoch": len(points)}))
            shutil.rmtree(context.scratch)

        def point(context, epoch):
            # the curve of a model that is the better the nearer its learning rate is to 0.01
            off = abs(math.log10(context.case.training.learning_rate) + 2)
            return {"loss": 1 / epoch, "validation_loss": off, "validation_score": 1 - 1 / (epoch + 1) - off}
        """,
    "compress": """
        def main(context):
            total = context.model.json("model.json")["sum"]
            for step in context.recipe:
                total = step(total)
            with context.compressed(context.recipe_name).draft() as draft:
                (draft / "model.json").write_text(json.dumps({"sum": total}))
        """,
    "evaluate": """
        def main(context):
            dense = context.compressed("dense").json("model.json")["sum"]
            small = context.compressed(context.recipe_name).json("model.json")["sum"]
            with context.evaluation(context.recipe_name).draft() as draft:
                (draft / "metrics.json").write_text(json.dumps({"share": small / dense}))
        """,
    "latency": """
        def main(context):
            with context.latency.draft() as draft:
                write_json(draft / "latency.json", {"variants": times(context)})
                for seed in context.seeds:
                    write_json(draft / "seeds" / str(seed) / "latency.json", {"variants": times(context.of_seed(seed))})

        def times(context):
            # the time of day: it differs from run to run, as measured times do, and is always within the tolerance of verify
            for name in context.recipe_names:
                context.compressed(name).open()
            return {name: {"wall_s": time.time()} for name in context.recipe_names}
        """,
    "release": """
        def main(context):
            timed = context.timings()["variants"]
            shares = {name: context.evaluation(name).json("metrics.json")["share"] for name in timed}
            best = min(shares, key=shares.get)
            rows = [{"recipe": name, "metric": "share", "value": share, "chosen": name == best} for name, share in shares.items()]
            with context.release.draft() as draft:
                (draft / "table.json").write_text(json.dumps({"rows": rows}))
                (draft / "verdict.json").write_text(json.dumps({"released": best, "reason": f"released {best!r}: the smallest"}))
        """,
}

HALVE = """
'''Half of a sum.'''
from typing import Annotated, ClassVar, Literal
from pydantic import Field
from tasks.core.settings import settings

@settings
class Halve:
    changes: ClassVar[Literal["network"]] = "network"
    times: Annotated[int, Field(ge=1, le=8)] = 1

    def __call__(self, total):
        return total / 2**self.times
"""

IMPORTS = """
import json, math, os, shutil, time
from tasks.core.storage.atomic_files import write_json
from tasks.core.errors import UserError
"""


def use_toy_registry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process find the toy project's use cases, networks and steps as it finds the real ones."""
    monkeypatch.setattr(registry, "TASKS_FOLDER", folder / "tasks")
    for package, place in ((use_cases, "use_cases"), (models, "models"), (steps, registry.STEPS_FOLDER)):
        for name in [name for name in sys.modules if name.startswith(f"{package.__name__}.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(package, "__path__", [str(folder / "tasks" / place)])


def build_project(folder: Path, params: str = PARAMS) -> Path:
    """Write the toy project into `folder`, which is made, and give it back."""
    tasks = folder / "tasks"
    for package in ("", "compression", "compression/steps", "models", "stages", "use_cases"):
        write(tasks / package / "__init__.py", "")
    for name in REAL:
        (shutil.copytree if (REPOSITORY / "tasks" / name).is_dir() else shutil.copy2)(REPOSITORY / "tasks" / name, tasks / name)
    for name, body in STAGES.items():
        write(tasks / "stages" / f"{name}.py", f"{IMPORTS}\n{dedent(body)}")
    for name in ("toy", "twin"):
        write(tasks / "models" / name / "__init__.py", "")
        write(tasks / "use_cases" / name / "__init__.py", "")
        write(tasks / "use_cases" / name / "use_case.py", USE_CASE.format(name=name.title()))
    write(tasks / registry.STEPS_FOLDER / "halve.py", HALVE)
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / "params.yaml").write_text(params)
    shutil.copy2(REPOSITORY / ".dvcignore", folder)
    (folder / ".dvc").mkdir()
    shutil.copy2(REPOSITORY / ".dvc" / "config", folder / ".dvc" / "config")
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
