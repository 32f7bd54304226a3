"""A page of the dashboard without a browser."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

import dashboard
from dashboard import page_files

manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)
"""Every AppTest scans all installed packages for components, which takes most of its time; once is enough."""
APP = str(Path(dashboard.__file__).with_name("app.py"))
PAGES = (
    "run",
    "history",
    "compare",
    "schedules",
    "data",
    "labels",
    "results",
    "compression",
    "try_it",
    "models",
    "monitoring",
    "recipes",
    "own_data",
    "versions",
    "about",
)
PAGE_MARKS = [
    pytest.mark.usefixtures("own_main", "no_server", "no_unexpected_error"),
    pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning"),  # DVC's, of its pygtrie
]
"""Marks of a module that opens pages."""


def open_page(monkeypatch: pytest.MonkeyPatch, root: Any, page: Any, **query: Any) -> Any:
    """The page after its first run, in the project `root`, with these query parameters."""
    monkeypatch.chdir(root)
    app = AppTest.from_file(APP, default_timeout=240)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    if page != "run":
        app.switch_page(page_files.script(page))
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
    return app


def page_text(app: Any) -> Any:
    """All text of a page."""
    kinds = ("markdown", "caption", "title", "subheader", "info", "warning", "error", "success", "metric", "code", "text")
    return "\n".join(f"{getattr(each, 'label', '')} {each.value}" for kind in kinds for each in app.get(kind))
