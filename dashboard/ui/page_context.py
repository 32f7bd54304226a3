"""What every page shares: its use case and run, and how it shows errors and missing data."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.readers import project_files
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from dashboard.ui.locale import t
from tasks.core.errors import UserError

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PageContext:
    """The project, the use case and the run of the page."""

    root: Path
    use_case: str
    run: Run | None
    """None when there is no run yet and the project's own folder is empty too."""

    @property
    def artifacts(self) -> Artifacts | None:
        """The artifacts of the run; None without one."""
        return Artifacts(self.root, self.run.folder, self.use_case) if self.run else None


def error_message(error: Unreadable) -> str:
    """The reason why something cannot be shown, as a sentence; values from outside are escaped."""
    return t(error.key, **{name: formatting.escape(value, 120) for name, value in error.values.items()})


@contextmanager
def error_boundary() -> Iterator[None]:
    """Show an exception of the block as a message, and continue the page after it.

    An unexpected exception is also logged with its traceback.
    """
    try:
        yield
    except Unreadable as error:
        st.info(error_message(error), icon=":material/info:")
    except UserError as error:
        st.warning(formatting.escape(error, 1000), icon=":material/warning:")
    except Exception as error:
        LOG.exception("a part of the page could not be drawn")
        reason = formatting.escape(f"{type(error).__name__}: {error}", 200)
        st.error(t("unreadable.drawn", reason=reason), icon=":material/error:")


def empty_state(key: str, **values: object) -> None:
    """Show that there is no data yet, and what would produce it."""
    with st.container(border=True):
        st.markdown(t(key, **values))


def project() -> Path:
    """The project's folder; without one, show the error and stop the page."""
    try:
        return project_files.project()
    except UserError as error:
        st.error(formatting.escape(error))
        st.stop()


def current() -> PageContext:
    """The context of the page that is being drawn."""
    context = st.session_state["context"]
    assert isinstance(context, PageContext)
    return context
