"""Which stages of the project's own folder would run now, kept on disk until something that the answer depends on changes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dashboard.readers import bonsai_commands, project_files
from dashboard.readers.runs import run_records
from tasks.core.storage.atomic_files import hash_json, write_json

FOLDER = Path(".bonsai") / "dashboard"


def of_use_case(root: Path, use_case: str) -> list[dict[str, Any]]:
    """The steps of `bonsai plan` for a run without overrides.

    The command takes seconds, as DVC reads every file; its answer is reused while no input has another modification time.
    Raises `CommandError` where the command fails.
    """
    path, stamp = root / FOLDER / f"plan-{project_files.slug(use_case)}.json", inputs_hash(root, use_case)
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["stamp"] == stamp:
            return list(kept["steps"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # there is none yet, or it is damaged: asked anew below
    steps = bonsai_commands.plan(root, use_case)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"stamp": stamp, "steps": steps})
    return steps


def inputs_hash(root: Path, use_case: str) -> str:
    """A hash over the modification times of all that a plan depends on.

    These are the parameters, dvc.yaml and dvc.lock, the code of the stages, the artifacts of the use case, and the newest runs.
    """
    files = [root / "params.yaml", root / "dvc.yaml", root / "dvc.lock"]
    code = ((folder, name) for folder, _, names in os.walk(root / "tasks") for name in names if name.endswith(".py"))
    files += [Path(folder) / name for folder, name in sorted(code)]
    data = root / "data" / project_files.slug(use_case)
    files += sorted(path for pattern in ("*", "*/*", "*/*/*") for path in data.glob(pattern))
    runs = run_records.run_ids(root)
    files += [root / "runs" / name / "run.json" for name in runs[:3]] + [root / ".dvc" / "cache" / "files" / "md5"]
    return hash_json([len(runs), *((str(path), path.stat().st_mtime_ns) for path in files if path.exists())])
