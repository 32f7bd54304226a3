"""A page of the dashboard without a browser."""

from functools import cache
from pathlib import Path

from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

import dashboard

manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)
"""Every AppTest looks through all installed packages for components, which takes most of its time; once is enough."""
APP = str(Path(dashboard.__file__).with_name("app.py"))


def open_page(monkeypatch, root, page, **query):
    """The page as it is after its first run, in the project `root`."""
    monkeypatch.chdir(root)
    app = AppTest.from_file(APP, default_timeout=240)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    if page != "run":
        app.switch_page(f"app_pages/{page}.py")
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
    return app


def words(app):
    """All that a page says."""
    kinds = ("markdown", "caption", "title", "info", "warning", "error", "success", "metric", "code", "text")
    return "\n".join(f"{getattr(each, 'label', '')} {each.value}" for kind in kinds for each in app.get(kind))
