"""Command-line entry point of every stage: `python -m tasks <stage> <use case> [<recipe>] [<seed>]`.

Prefect and DVC start it too.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

STAGES = {
    "fetch": False,
    "clean": False,
    "augment": False,
    "train": False,
    "baselines": False,
    "compress": True,
    "evaluate": True,
    "latency": False,
    "release": False,
}
"""The stages, and whether a stage takes a recipe."""
SEED_STAGES = {"train_seed": "train", "compress_seed": "compress", "evaluate_seed": "evaluate"}
"""The stages that repeat another one with an additional seed, which is their last argument."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that libraries read when they are loaded. The thread count changes the order of additions, and so bytes."""


def main(arguments: list[str]) -> int:
    """Run one stage. The exit code is 0 on success, 2 for a user error, and 1 for any other error (see the event log)."""
    die_with_parent()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import traceback
    from importlib import import_module

    from tasks.core import params_file
    from tasks.core.errors import UserError
    from tasks.core.stage_context import StageContext, event_log_path, stage_name
    from tasks.core.storage.event_log import EventLog

    root = Path()
    event_log: EventLog | None = None
    try:
        stage, name, recipe_name, seed = parse_arguments(arguments)
        params = params_file.read_params(root / "params.yaml")
        if seed is not None:
            params = params_file.with_seed(params, name, seed)
        for variable in THREAD_VARIABLES:
            os.environ[variable] = str(params_file.thread_count(name, params))
        case = params_file.build_use_case(name, params)
        recipe = params_file.build_recipe(recipe_name, params) if recipe_name else ()
        rank = int(os.environ.get("RANK", "0"))  # set by torchrun; only rank 0 writes to the terminal
        if SEED_STAGES.get(stage, stage) != "train" and os.environ.get("WORLD_SIZE", "1") != "1":
            raise UserError(f"only train can run in several processes; run `python -m tasks {' '.join(arguments)}`")
        event_log = EventLog(event_log_path(root, stage_name(stage, name, recipe_name, seed), rank), screen=rank == 0)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        import_module(f"tasks.stages.{SEED_STAGES.get(stage, stage)}").main(
            StageContext(
                name=name,
                case=case,
                event_log=event_log,
                recipe_name=recipe_name,
                recipe=recipe,
                recipe_names=tuple(params.recipes),
                seed=seed,
                seeds=params.seeds,
                root=root,
            )
        )
        event_log.finish()
        return 0
    except UserError as error:
        if event_log:
            event_log.fail(str(error))
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, SystemExit) as stop:
        if event_log:
            event_log.fail("stopped before it was done")
        return stop.code if isinstance(stop, SystemExit) and isinstance(stop.code, int) else 130
    except Exception as error:
        details = traceback.format_exc()
        location = f"; details in {event_log.path}" if event_log else f"\n{details}"
        if event_log:
            event_log.fail(f"{type(error).__name__}: {' '.join(str(error).split())}", details)
        print(f"error: {type(error).__name__}: {' '.join(str(error).split())}{location}", file=sys.stderr)
        return 1


def parse_arguments(arguments: list[str]) -> tuple[str, str, str, int | None]:
    """The stage, the use case, the recipe ("" when the stage takes none), and the additional seed (None when it takes none).

    Raises a `UserError` for a wrong command line.
    """
    from tasks.core.errors import UserError
    from tasks.core.registry import unknown_name

    usage = "usage: python -m tasks <stage> <use case> [<recipe>] [<seed>]"
    if not arguments or arguments[0] in ("-h", "--help"):
        raise UserError(f"{usage}; stages: {', '.join([*STAGES, *SEED_STAGES])}")
    stage, *rest = arguments[:1] + _without_names(arguments[1:])
    if stage not in STAGES and stage not in SEED_STAGES:
        raise UserError(unknown_name("no stage", stage, [*STAGES, *SEED_STAGES]))
    takes_recipe = STAGES[SEED_STAGES.get(stage, stage)]
    needs = ["a use case", *["a recipe"] * takes_recipe, *["a seed"] * (stage in SEED_STAGES)]
    if len(rest) != len(needs):
        raise UserError(f"{stage} takes {' and '.join(needs)}, got {len(rest)} argument{'s' * (len(rest) != 1)}; {usage}")
    if stage in SEED_STAGES and not rest[-1].isdigit():
        raise UserError(f"{stage}: {rest[-1]!r} is no seed; give one of `seeds` in params.yaml, such as 8")
    return stage, rest[0], rest[1] if takes_recipe else "", int(rest[-1]) if stage in SEED_STAGES else None


def _without_names(arguments: list[str]) -> list[str]:
    """The values of `--use_case toy --recipe half`, in order; other arguments as they are.

    DVC writes an item of a matrix so, with each value quoted for the shell: a name such as `; rm -r .` is no command.
    """
    names, values = arguments[::2], arguments[1::2]
    order = ("--use_case", "--recipe", "--seed")
    if len(names) != len(values) or not set(names) <= set(order) or len(set(names)) != len(names):
        return arguments
    return [value for _, value in sorted(zip(names, values, strict=True), key=lambda pair: order.index(pair[0]))]


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends, so that a killed orchestrator leaves no stage running."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
