"""A bundle that runs anywhere: a released model with the code that prepares its inputs, its requirements, and a server."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from flows.system import packages
from tasks.core.errors import UserError
from tasks.core.storage.atomic_files import hash_file, write_json
from tasks.core.storage.manifest import file_names
from tasks.inference.released_model import SETTINGS, ReleasedModel
from tasks.release.settings_file import settings_of

FILES = Path(__file__).parent / "bundle_files"
PROJECT = Path(__file__).parents[2]
TASKS = ("core", "data", "text", "metrics", "problems", "cleaning", "inference")
"""The packages of `tasks` that a prediction needs, besides that of the use case."""
SERVING = ("app", "batching", "exchanges", "feedback", "interfaces", "metrics", "openapi", "requests", "uploads")
"""The modules of `flows.serving` that a server of one model needs."""
PACKAGES = ("numpy", "pandas", "pandera", "pydantic", "pyyaml", "onnx", "onnxruntime", "platformdirs")
SERVER_PACKAGES = ("fastapi", "uvicorn", "python-multipart", "prometheus-client")
KIND_PACKAGES = {"picture": ("pillow",), "text": ("tokenizers",), "table": ()}
BILL_FILE = "sbom.cdx.json"
"""The bill of materials, in CycloneDX."""
EXAMPLES = {"picture": "photo.jpg", "text": "texts.csv", "table": "rows.csv"}
INPUTS = {"picture": "the bytes of pictures", "text": "texts", "table": "records, from column names to values"}


def write_bundle(model: ReleasedModel, name: str, folder: Path) -> Path:
    """Write the bundle of a released model, called `name`, to a new folder, and return it.

    Raises a `UserError` when the folder exists. Nothing is left behind when it fails.
    """
    folder = folder.absolute()
    if folder.exists():
        raise UserError(f"{folder} exists already; name a new folder")
    if not folder.parent.is_dir():
        raise UserError(f"there is no folder {folder.parent}; create it first")
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        shutil.copytree(model.folder, draft / "model")
        if not (draft / "model" / SETTINGS).exists():  # a release from before 0.4
            write_json(draft / "model" / SETTINGS, settings_of(model.case))
        _copy_code(model.case.name, draft)
        words = {
            "@VERSION@": name,
            "@PYTHON@": f"{sys.version_info.major}.{sys.version_info.minor}",
            "@EXAMPLE@": EXAMPLES[model.kind],
            "@KIND@": INPUTS[model.kind],
            "@IMAGE@": name.replace("@", "-"),
        }
        for path in sorted(FILES.glob("*.txt")):
            text = path.read_text(encoding="utf-8")
            for mark, word in words.items():
                text = text.replace(mark, word)
            (draft / path.stem).write_text(text, encoding="utf-8")
        needed = sorted((*PACKAGES, *SERVER_PACKAGES, *KIND_PACKAGES[model.kind]))
        (draft / "requirements.txt").write_text(
            "".join(f"{package}=={version(package)}\n" for package in needed), encoding="utf-8"
        )
        files = {
            f"model/{path}": hash_file(draft / "model" / path) for path in file_names(draft / "model") if path.endswith(".onnx")
        }
        hashes = packages.locked_hashes(PROJECT / packages.LOCK_FILE)
        write_json(draft / BILL_FILE, packages.bill_of_materials(name, packages.closure(needed), files, hashes))
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _copy_code(use_case: str, draft: Path) -> None:
    """Copy the packages and modules that predict and serve need."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in (*TASKS, f"use_cases/{use_case}"):
        shutil.copytree(PROJECT / "tasks" / name, draft / "tasks" / name, ignore=ignore)
    (draft / "flows" / "serving").mkdir(parents=True)
    for package in ("tasks", "tasks/use_cases", "flows", "flows/serving"):
        shutil.copyfile(PROJECT / package / "__init__.py", draft / package / "__init__.py")
    for name in SERVING:
        shutil.copyfile(PROJECT / "flows" / "serving" / f"{name}.py", draft / "flows" / "serving" / f"{name}.py")
