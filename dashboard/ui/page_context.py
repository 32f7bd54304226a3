"""What every page shares: its language, its use case and run, its way of saying that something is not there."""

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
from dashboard.readers.run_records import Run
from dashboard.text import formatting
from dashboard.ui.locale import t
from tasks.core.errors import UserError

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Context:
    """What the page is about."""

    root: Path
    use_case: str
    run: Run | None
    """None when there is no run yet and the project's own folder is empty too."""

    @property
    def artifacts(self) -> Artifacts | None:
        """The artifacts of the run; None without one."""
        return Artifacts(self.root, self.run.folder, self.use_case) if self.run else None


def why(trouble: Unreadable) -> str:
    """Why something cannot be shown, in a sentence; what came from outside is escaped."""
    return t(trouble.key, **{name: formatting.escape(value, 120) for name, value in trouble.values.items()})


@contextmanager
def or_say() -> Iterator[None]:
    """Within it, what cannot be read is said in a sentence, and the page goes on after it.

    What nobody foresaw is said too, and told in full in the server's log.
    """
    try:
        yield
    except Unreadable as trouble:
        st.info(why(trouble), icon=":material/info:")
    except UserError as mistake:
        st.warning(formatting.escape(mistake, 1000), icon=":material/warning:")
    except Exception as error:
        LOG.exception("a part of the page could not be drawn")
        reason = formatting.escape(f"{type(error).__name__}: {error}", 200)
        st.error(t("unreadable.drawn", reason=reason), icon=":material/error:")


def nothing(key: str, **values: object) -> None:
    """There is nothing to show yet, and what would bring it."""
    with st.container(border=True):
        st.markdown(t(key, **values))


def project() -> Path:
    """The project's folder, or a page that says that there is none."""
    try:
        return project_files.project()
    except UserError as mistake:
        st.error(formatting.escape(mistake))
        st.stop()


def context() -> Context:
    """What was chosen above the page."""
    found = st.session_state["context"]
    assert isinstance(found, Context)
    return found
