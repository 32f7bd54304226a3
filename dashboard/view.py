"""What every page shares: its language, its use case and run, its way of saying that something is not there."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard import figures, home, runs, texts
from dashboard.home import Unreadable
from dashboard.runs import Run, StageState, State
from dashboard.strokes import Drawing
from tasks import library
from tasks.contracts import Mistake

Colour = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray"]
RUN_LOOKS: dict[State, tuple[Colour, str]] = {
    "pending": ("gray", ":material/schedule:"),
    "running": ("blue", ":material/sync:"),
    "completed": ("green", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
    "cancelled": ("orange", ":material/block:"),
    "crashed": ("red", ":material/bolt:"),
    "none": ("gray", ":material/folder:"),
}
STAGE_LOOKS: dict[StageState, tuple[Colour, str]] = {
    "waiting": ("gray", ":material/radio_button_unchecked:"),
    "queued": ("gray", ":material/schedule:"),
    "running": ("blue", ":material/sync:"),
    "retrying": ("yellow", ":material/replay:"),
    "unchanged": ("green", ":material/equal:"),
    "restored": ("green", ":material/download_done:"),
    "done": ("green", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
    "crashed": ("red", ":material/bolt:"),
    "cancelled": ("orange", ":material/block:"),
    "notrun": ("gray", ":material/remove_circle_outline:"),
}
LOG = logging.getLogger(__name__)
FEW = 6
NEWEST = 30
"""Runs offered by name; older ones are found on the Runs page."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the page is about."""

    root: Path
    use_case: str
    run: Run | None
    """None when there is no run yet and nothing lies in the project's own folder either."""


def addressed(name: str, options: Sequence[str], default: str | None) -> dict[str, Any]:
    """What ties a widget to the address: its key and the callback that writes the choice there.

    The address holds the option itself; Streamlit's own binding would write its label, which changes with the language.
    """
    wanted = st.query_params.get(name)
    st.session_state[f"at_{name}"] = wanted if wanted in options else default
    return {"key": f"at_{name}", "on_change": _write_address, "args": (name, default)}


def addressed_many(name: str, options: Sequence[str]) -> dict[str, Any]:
    """The same for a widget of which several may be chosen; in the address they are parted by commas."""
    wanted = st.query_params.get(name, "").split(",")
    st.session_state[f"at_{name}"] = [option for option in options if option in wanted]
    return {"key": f"at_{name}", "on_change": _write_address, "args": (name, None)}


def _write_address(name: str, default: str | None) -> None:
    chosen = st.session_state[f"at_{name}"]
    if isinstance(chosen, list):
        chosen = ",".join(chosen)
    if not chosen or chosen == default:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = chosen


def keep_address(names: Sequence[str]) -> None:
    """Carry these choices from page to page, since Streamlit starts each page with an empty address.

    To be called before the browser is told of the page, so that it goes to the whole address at once; `arrived` comes after.
    """
    kept: dict[str, str] = st.session_state.get("kept_address", {})
    if st.session_state.get("page_shown") not in (None, _page()):
        lost = {name: value for name, value in kept.items() if name in names and name not in st.query_params}
        if lost:
            st.query_params.from_dict({**st.query_params.to_dict(), **lost})


def arrived(names: Sequence[str]) -> None:
    """The browser knows of the page now, and these choices of it are made."""
    st.session_state["page_shown"] = _page()
    st.session_state["kept_address"] = {name: st.query_params[name] for name in names if name in st.query_params}


def _page() -> str:
    """What tells this page from the others."""
    running = get_script_run_ctx()
    return running.page_script_hash if running else ""


def scheme() -> str:
    """`dark` or `light`, as the reader sees the page."""
    return str(st.context.theme.type or "light")


def language() -> str:
    return str(st.query_params.get("lang") or "en")


def t(key: str, **values: object) -> str:
    """A sentence in the reader's language."""
    return texts.text(language(), key, **values)


def word(group: str, name: str) -> str:
    """A name from outside, such as a stage's verb, in the reader's language where the catalogue knows it."""
    key = f"{group}.{name}"
    return t(key) if texts.has(key) else figures.clean(name, 60)


def zone() -> tzinfo | None:
    """The reader's time zone."""
    name = st.context.timezone
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        return None


def badge(state: State) -> None:
    """A run's state as a coloured label."""
    colour, icon = RUN_LOOKS[state]
    st.badge(t(f"state.{state}"), color=colour, icon=icon)


def stage_badge(state: StageState) -> None:
    colour, icon = STAGE_LOOKS[state]
    st.badge(t(f"stage_state.{state}"), color=colour, icon=icon)


def why(trouble: Unreadable) -> str:
    """Why something cannot be shown, in a sentence; what came from outside is escaped."""
    return t(trouble.key, **{name: figures.escape(value, 120) for name, value in trouble.values.items()})


@contextmanager
def or_say() -> Iterator[None]:
    """Within it, what cannot be read is said in a sentence, and the page goes on after it.

    What nobody foresaw is said too, and told in full in the server's log.
    """
    try:
        yield
    except Unreadable as trouble:
        st.info(why(trouble), icon=":material/info:")
    except Mistake as mistake:
        st.warning(figures.escape(mistake, 1000), icon=":material/warning:")
    except Exception as error:
        LOG.exception("a part of the page could not be drawn")
        reason = figures.escape(f"{type(error).__name__}: {error}", 200)
        st.error(t("unreadable.drawn", reason=reason), icon=":material/error:")


def nothing(key: str, **values: object) -> None:
    """There is nothing to show yet, and what would bring it."""
    with st.container(border=True):
        st.markdown(t(key, **values))


def choose_use_case(root: Path) -> str:
    """The use case the page is about: chosen above every page, kept in the address."""
    names = use_cases(root)
    if (asked := st.query_params.get("uc")) and asked not in names:
        st.caption(t("pick.no_use_case", name=figures.escape(asked, 40)))
    tied = addressed("uc", names, names[0] if names else None)
    look = {"format_func": title, "label_visibility": "collapsed", **tied}
    chosen: str | None
    if len(names) > 5:
        chosen = st.selectbox(t("pick.use_case"), names, width=220, **look)
    else:
        chosen = st.segmented_control(t("pick.use_case"), names, required=True, **look)
    return str(chosen or (names[0] if names else ""))


def drop_stale_run(root: Path, use_case: str) -> str:
    """Take a run that cannot be shown out of the address, and say why; "" where there is none."""
    asked = st.query_params.get("run", "")
    if not asked or asked == runs.WORKSPACE:
        return ""
    name = figures.escape(asked, 80)
    try:
        if use_case in runs.load(root, asked).record.use_cases:
            return ""
        said = t("pick.not_of", run=name, use_case=title(use_case))
    except Unreadable:
        said = t("pick.gone", run=name)
    del st.query_params["run"]
    return said


def choose_run(root: Path, use_case: str) -> Run | None:
    """The run the page is about: the use case's that was chosen, or else its newest."""
    found = runs.latest(root, use_case, NEWEST)
    asked = st.query_params.get("run", "")
    if asked and asked != runs.WORKSPACE and all(run.id != asked for run in found):
        found.append(runs.load(root, asked))
    by_id = {run.id: run for run in found}
    has_own = (root / "journal").is_dir() or (root / "data" / use_case).is_dir()
    options = [*by_id, *([runs.WORKSPACE] if has_own else [])]
    chosen = st.selectbox(
        t("pick.run"),
        options,
        placeholder=" · ".join([t("pick.newest"), *[run_label(run) for run in found[:1]]]),
        format_func=lambda run_id: run_label(by_id.get(run_id)),
        disabled=not options,
        label_visibility="collapsed",
        width=340,
        index=None,
        **addressed("run", options, None),
    )
    if chosen == runs.WORKSPACE or (not by_id and has_own):
        return runs.load(root, runs.WORKSPACE)
    return by_id.get(str(chosen)) or next(iter(by_id.values()), None)


def choose_from(
    name: str, options: Sequence[str], label: str, default: str, say: Callable[[str], str] = str, *, few: bool = False
) -> str:
    """One of several, kept in the address under that name: in a list, or side by side if they are few and `few` is set."""
    tied = addressed(name, options, default if default in options else options[0])
    if few and len(options) <= FEW:
        look: dict[str, Any] = {"format_func": lambda name: figures.escape(say(name), 60), "wrap": True}  # read as Markdown
        return str(st.segmented_control(label, options, required=True, **look, **tied))
    return str(st.selectbox(label, options, format_func=say, **tied))


def choose_view(options: Iterable[str], page: str) -> str:
    """Which part of a page to see."""
    names = list(options)
    look: dict[str, Any] = {"label_visibility": "collapsed", "format_func": lambda name: t(f"{page}_view.{name}"), "wrap": True}
    return str(st.segmented_control(t("pick.view"), names, required=True, **look, **addressed("view", names, names[0])))


def use_cases(root: Path) -> list[str]:
    """The use cases params.yaml registers, then the others on the shelf, which run when they are asked for."""
    shelf = library.names("use_cases")
    try:
        return list(library.with_shelf(library.read_params(root / "params.yaml"), shelf).use_cases)
    except Mistake:
        return shelf


def title(name: str) -> str:
    """A use case's name for people."""
    return word("use_case", name) if texts.has(f"use_case.{name}") else figures.clean(name, 40).replace("_", " ").capitalize()


def run_label(run: Run | None) -> str:
    """A run in a list: when, what was set, how it stands."""
    if run is None:
        return t("pick.workspace")
    changes = ", ".join(f"{name.rpartition('.')[2]}={value}" for name, value in run.record.overrides.items())
    state = t(f"state.{run.state}")
    return figures.clean(" · ".join(filter(None, [figures.clock(run.at, zone()), state, changes])), 90)


def cards(values: Mapping[str, tuple[str, str]], *, columns: int = 4) -> None:
    """Key figures beside each other: label -> value and the small print under it (interval, count)."""
    with st.grid(columns, min_column_width=140):
        for label, (value, small) in values.items():
            st.metric(
                figures.escape(label), value, small or None, delta_color="off", delta_arrow="off", border=True, height="stretch"
            )


def chart(drawing: Drawing, data: pd.DataFrame, *, key: str, alt_text: str) -> None:
    """A chart, and its data as a table and as CSV."""
    st.altair_chart(drawing, key=key, alt=alt_text)
    numbers(data, key=key, alt_text=alt_text)


def numbers(data: pd.DataFrame, *, key: str, alt_text: str) -> None:
    """The data behind a chart, folded away: as a table and as CSV."""
    box = st.popover(t("data.behind"), icon=":material/table_rows:", type="tertiary", key=f"{key}_data", on_change="rerun")
    if box.open:
        with box:
            st.dataframe(harmless(data), hide_index=True, alt=alt_text, key=f"{key}_table", column_config=_heads(data))
            download(data, key)


def table(
    data: pd.DataFrame,
    *,
    key: str,
    alt_text: str,
    columns: Mapping[str, Any] | None = None,
    csv: pd.DataFrame | None = None,
    **more: Any,
) -> Any:
    """A table with its CSV, which may hold more than is shown."""
    shown = {**_heads(data), **(columns or {})}
    more = {"hide_index": True, "placeholder": figures.NOTHING, **more}
    found = st.dataframe(harmless(data), alt=alt_text, key=key, column_config=shown, **more)
    download(data if csv is None else csv, key)
    return found


def _heads(data: pd.DataFrame) -> dict[str, Any]:
    """The heads of columns whose names are the same in every project, in the reader's language."""
    return {str(name): t(f"column.{name}") for name in data.columns if texts.has(f"column.{name}")}


def download(data: pd.DataFrame, name: str) -> None:
    """The data as a CSV file whose cells no spreadsheet takes for formulas."""
    st.download_button(
        t("data.csv"),
        as_csv(data),
        file_name=f"{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        key=f"{name}_csv",
        on_click="ignore",
    )


def as_csv(data: pd.DataFrame) -> Callable[[], bytes]:
    """Made when it is asked for."""

    def make() -> bytes:
        buffer = io.StringIO()
        data.rename(columns=figures.neutral).map(figures.neutral).to_csv(buffer, index=False)
        return buffer.getvalue().encode()

    return make


def harmless(data: pd.DataFrame) -> pd.DataFrame:
    """Text cells without control characters and no longer than a screen takes; days without the hour that they do not have."""
    words = [name for name in data.columns if data[name].dtype == object or pd.api.types.is_string_dtype(data[name])]
    shown = data.copy(deep=False)
    for name in words:
        shown[name] = data[name].map(lambda cell: figures.clean(cell, 500) if isinstance(cell, str) else cell)
    for name in data.select_dtypes("datetime"):
        if (data[name].dropna() == data[name].dropna().dt.normalize()).all():
            shown[name] = data[name].dt.date
    return shown


def project() -> Path:
    """The project's folder, or a page that says that there is none."""
    try:
        return home.project()
    except Mistake as mistake:
        st.error(figures.escape(mistake))
        st.stop()


def context() -> Context:
    """What was chosen above the page."""
    found = st.session_state["context"]
    assert isinstance(found, Context)
    return found
