"""An architecture does not depend on another one; what several share is in a module whose name begins with an underscore."""

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "tasks" / "models"
ARCHITECTURES = sorted(FOLDER.glob("*/[!_]*.py"))


@pytest.mark.parametrize("path", ARCHITECTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_architecture_imports_no_other(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            imported |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    assert not imported & {f"tasks.models.{other.parent.name}.{other.stem}" for other in ARCHITECTURES}
