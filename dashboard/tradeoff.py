"""What compression gained and what it cost: the front, the damage by class and row, the clock's figures, the bundle."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import figures, gallery, headline, recipe_charts, runs, story, strokes, view
from dashboard import front as fronts
from dashboard.artifacts import DENSE, EAGER, Artifacts, Flipped, Row, Table, Verdict
from dashboard.home import Unreadable
from dashboard.runs import Run
from dashboard.view import Colour, t

STATUS: dict[str, tuple[Colour, str]] = {
    "chosen": ("green", ":material/verified:"),
    "kept": ("green", ":material/check:"),
    "not shown": ("yellow", ":material/help:"),
    "broken": ("red", ":material/close:"),
    "baseline": ("gray", ":material/flag:"),
}
BUNDLE = ("model.onnx", "card.md", "verdict.json", "table.json", "checksums.json")
MOST_FLIPPED = 60
SHOWN = (
    "recipe",
    "status",
    "value",
    "interval",
    "drop",
    "drop_interval",
    "seconds",
    "latency_1",
    "latency_64",
    "over_dense",
    "over_eager",
    "bytes",
    "size_share",
    "parameters",
)
"""Columns of the comparison, in the order they are read."""


def verdict(found: Verdict) -> None:
    """What was released and why, or why nothing was."""
    reason = figures.sentence(figures.escape(found.reason.removeprefix("nothing released: "), 1200))
    if found.released:
        st.success(reason, title=t("compression.released", recipe=figures.escape(found.released)), icon=":material/verified:")
    else:
        st.warning(reason, title=t("compression.refused"), icon=":material/gpp_maybe:")


def front(found: Artifacts, run: Run) -> None:
    """Accuracy against a cost; a point picked shows its figures beside."""
    table = found.table()
    higher = headline.higher_is_better(found.use_case)
    cost = _cost()
    points = fronts.points(table, cost, fronts.spans(found, table, cost))
    try:
        asked = fronts.region(table, found.verdict(), cost, higher=higher)
    except Unreadable:
        asked = None
    names = [row.recipe for row in table.rows]
    default = next((row.recipe for row in table.rows if row.chosen), names[0])
    left, right = st.columns([5, 3], gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.caption(t("compression.front_note"))
        shown = points.assign(status=points["status"].map(_standing))
        colours = {_standing(name): strokes.STATUS.get(name, strokes.QUIET) for name in (*strokes.STATUS, *points["status"])}
        titles = (t(f"compression.axis_{cost}"), headline.axis_of(table.rows[0].metric))
        drawing = recipe_charts.front(
            shown, fronts.on_front(points, higher=higher), asked, titles=titles, colours=colours, higher=higher
        )
        event = st.altair_chart(drawing, key="front", on_select="rerun", selection_mode="point", alt=t("compression.front_alt"))
        view.numbers(points, key="front_numbers", alt_text=t("compression.front_alt"))
    picked = event.selection.get("point") if event else None
    if picked and (now := str(picked[0].get("recipe"))) != st.session_state.get("point_seen"):
        st.session_state["point_seen"] = now
        st.query_params["recipe"] = now
    with right, st.container(border=True, height="stretch"):
        recipe = view.choose_from("recipe", names, t("results.recipe"), default)
        _details(found, table, next(row for row in table.rows if row.recipe == recipe))
    _comparison(found, run, table)


def damage(found: Artifacts, run: Run) -> None:
    """What each class lost, recipe by recipe."""
    split = view.choose_from("split", ("test", "validation"), t("results.split"), "test", _split, few=True)
    rows = []
    for recipe in found.recipes():
        if recipe == DENSE:
            continue
        compared = found.metrics(recipe).against_dense.get(split)
        for one in compared.by_class if compared else []:
            rows += [(recipe, one.name, one.rows, one.dense, one.own, one.drop, one.low, one.high)]
    frame = pd.DataFrame(rows, columns=["recipe", "class", "rows", "dense", "own", "drop", "low", "high"])
    if frame.empty:
        st.caption(t("compression.no_classes"))
        return
    with st.container(border=True):
        st.markdown(f"**{t('compression.damage')}**")
        st.caption(t("compression.damage_note"))
        drawing = recipe_charts.damage(frame, kind=t("results.class"), scheme=view.scheme())
        view.chart(drawing, frame, key="damage", alt_text=t("compression.damage"))


def flipped(found: Artifacts, run: Run) -> None:
    """The rows that one model gets right and the other does not, side by side."""
    recipes = [name for name in found.recipes() if name != DENSE]
    if not recipes:
        st.caption(t("compression.no_recipes"))
        return
    with st.container(horizontal=True, gap="medium"):
        recipe = view.choose_from("recipe", recipes, t("results.recipe"), _released(found) or recipes[0], few=True)
        split = view.choose_from("split", ("test", "validation"), t("results.split"), "test", _split, few=True)
    compared = found.metrics(recipe).against_dense.get(split)
    if compared is None:
        raise Unreadable("unreadable.shape", file="metrics.json")
    drop = compared.drop
    view.cards(
        {
            t("compression.drop"): (figures.number(drop.value, 4), figures.interval(drop.low, drop.high, 4)),
            t("compression.at_most"): (figures.number(compared.at_most, 4), t("compression.at_most_small")),
            t("compression.lost"): (figures.number(compared.lost), t("compression.lost_small")),
            t("compression.won"): (figures.number(compared.won), t("compression.won_small")),
            t("compression.mcnemar"): (figures.chance(compared.mcnemar_p), t("compression.mcnemar_small", rows=drop.rows)),
        },
        columns=5,
    )
    changed = compared.changed
    if not changed:
        st.caption(t("compression.none_flipped" if compared.lost is not None else "compression.not_counted"))
        return
    _flipped_rows(found, changed[:MOST_FLIPPED])


def timing(found: Artifacts, run: Run) -> None:
    """How the clock was read, and what it said."""
    rows: list[dict[str, Any]] = []
    machine: dict[str, Any] = {}
    threads = rounds = 0
    for recipe in found.recipes():
        latency = found.latency(recipe)
        machine, threads, rounds = latency.machine, latency.threads, latency.rounds
        for name, variant in latency.variants.items():
            if name == recipe or (recipe == DENSE and name == EAGER):
                for batch, figure in variant.batches.items():
                    rows.append(
                        {
                            "recipe": name,
                            "batch": batch,
                            "median": figure.median_ms,
                            "low": figure.low_ms,
                            "high": figure.high_ms,
                            "p95": figure.p95_ms,
                            "calls": figure.runs,
                            "memory": variant.peak_memory_bytes,
                        }
                    )
    if not rows:
        raise Unreadable("unreadable.shape", file="latency.json")
    frame = pd.DataFrame(rows)
    cpu = figures.escape(machine.get("cpu", figures.NOTHING), 80)
    st.caption(t("compression.protocol", rounds=rounds, threads=threads, cpu=cpu, cores=figures.escape(machine.get("cores", ""))))
    for batch in dict.fromkeys(frame["batch"]):
        with st.container(border=True):
            st.markdown(f"**{t('compression.batch', batch=figures.escape(batch))}**")
            some = frame[frame["batch"] == batch]
            drawing = recipe_charts.latency(some, median=t("compression.median_ms"), p95="p95", scheme=view.scheme())
            view.chart(drawing, some, key=f"latency_{batch}", alt_text=t("compression.batch", batch=batch))


def bundle(found: Artifacts, run: Run) -> None:
    """The release to take away, and its card."""
    released = _released(found)
    present = [name for name in BUNDLE if (found.place / "release" / name).is_file()]
    with st.container(horizontal=True):
        if released:
            st.download_button(
                t("compression.bundle"),
                lambda: _zipped(found, present),
                file_name=f"{found.use_case}-{released}.zip",
                mime="application/zip",
                type="primary",
                icon=":material/download:",
                key="bundle",
                on_click="ignore",
            )
        if "card.md" in present:
            card = found.words("release/card.md")
            st.download_button(
                t("compression.card"), card, file_name="card.md", icon=":material/description:", key="card", on_click="ignore"
            )
    if not released:
        st.caption(t("compression.no_bundle"))
    with st.container(border=True):
        st.markdown(figures.prose(found.card()))


def _cost() -> fronts.Cost:
    chosen = view.choose_from(
        "cost", fronts.COSTS, t("compression.against"), "latency_1", lambda name: t(f"compression.{name}"), few=True
    )
    return next(cost for cost in fronts.COSTS if cost == chosen)


def _details(found: Artifacts, table: Table, row: Row) -> None:
    """One recipe's figures, each with what it is compared with."""
    status = "chosen" if row.chosen else row.status
    colour, icon = STATUS.get(status, ("gray", ":material/circle:"))
    st.badge(_standing(status), color=colour, icon=icon)
    drop = t("compression.drop_of", value=figures.number(row.drop.value, 4), low_high=_span(row)) if row.drop else ""
    first = headline.figure(row.metric, row.value)
    st.metric(figures.escape(headline.name_of(row.metric)), first, drop or None, delta_color="off", delta_arrow="off")
    dense, eager = fronts.speedup(row, DENSE), fronts.speedup(row, EAGER)
    told = " · ".join(
        t("compression.times", ratio=f"{speed.ratio:.1f}", low_high=f"{speed.low:.1f}–{speed.high:.1f}", other=other)
        for speed, other in ((dense, DENSE), (eager, EAGER))
        if speed
    )
    st.metric(t("results.latency"), figures.milliseconds(fronts.of_row(row, "latency_1")), None)
    if told:
        st.caption(told)
    share = t("results.of_dense", share=figures.percent(row.size_share))
    st.metric(t("results.size"), figures.size(row.bytes), share, delta_color="off", delta_arrow="off")
    with suppress(Unreadable):  # said above the views
        st.caption(figures.escape(next((each.why for each in found.verdict().candidates if each.recipe == row.recipe), ""), 600))


def _comparison(found: Artifacts, run: Run, table: Table) -> None:
    """All recipes in one table."""
    frame = fronts.comparison(table.rows, _seconds(run, found.use_case))
    metric = headline.name_of(table.rows[0].metric)
    ends = [("interval", "low", "high", ".4f"), ("drop_interval", "drop_low", "drop_high", "+.4f")]
    spans = {
        name: [
            f"{low:{form}} … {high:{form}}" if pd.notna(low) else figures.NOTHING
            for low, high in zip(frame[a], frame[b], strict=True)
        ]
        for name, a, b, form in ends
    }
    shown = frame.assign(status=frame["status"].map(_standing), **spans)[list(SHOWN)]
    number, column = st.column_config.NumberColumn, st.column_config.TextColumn
    columns = {
        "recipe": column(t("results.recipe"), pinned=True),
        "status": column(t("compression.contract")),
        "value": number(metric, format="%.4f"),
        "interval": column("95 %"),
        "drop": number(t("compression.drop"), format="%+.4f"),
        "drop_interval": column("95 %"),
        "latency_1": number(t("compression.short_1"), format="%.3f ms"),
        "latency_64": number(t("compression.short_64"), format="%.2f ms"),
        "over_dense": number(t("compression.over_dense"), format="%.2f×"),
        "over_eager": number(t("compression.over_eager"), format="%.2f×"),
        "bytes": number(t("results.size"), format="bytes"),
        "size_share": number(t("compression.share"), format="percent"),
        "parameters": number(t("compression.parameters"), format="localized"),
        "seconds": number(t("compression.seconds"), format="%.0f s"),
    }
    view.table(shown, key="comparison", alt_text=t("compression.table_alt"), columns=columns, csv=frame)
    st.caption(t("compression.table_note", threads=table.threads, cpu=figures.escape(table.machine.get("cpu", ""), 80)))


def _seconds(run: Run, use_case: str) -> dict[str, float]:
    """Seconds it took to make each recipe's model: the training and its own compression, where both were timed."""
    took = {name: stage.seconds for name, stage in story.stages(run, use_case).items() if stage.seconds is not None}
    earlier = story.times(runs.latest(run.root, use_case, 12))
    train = took.get(f"train@{use_case}", earlier.get(f"train@{use_case}"))
    found = {}
    for recipe in Artifacts(run.root, run.folder, use_case).recipes():
        name = f"compress@{use_case}-{recipe}"
        own = took.get(name, earlier.get(name))
        if own is not None and train is not None:
            found[recipe] = own + train
    return found


def _flipped_rows(found: Artifacts, rows: list[Flipped]) -> None:
    pictures = gallery.of(found, [str(row.own.get("pixels", "")) for row in rows])
    if not pictures:
        lines = [
            {
                t("compression.side"): t(f"compression.{row.side}"),
                "file": row.file,
                "row": row.row,
                **{t("compression.own_of", name=view.word("column", name)): value for name, value in row.own.items()},
                **{
                    t("compression.dense_of", name=view.word("column", name)): value
                    for name, value in row.dense.items()
                    if name in ("predicted", "confidence")
                },
            }
            for row in rows
        ]
        view.table(pd.DataFrame(lines), key="flipped", alt_text=t("compression_view.flipped"))
        return
    with st.grid("auto", min_column_width=150, gap="small"):
        for row in rows:
            own, dense = row.own, row.dense
            with st.container(border=True, gap="xsmall"):
                data = pictures.get(str(own.get("pixels")))
                shown = gallery.picture(data) if data else None
                if shown:
                    st.image(shown, alt=figures.clean(own.get("label", ""), 60), width=96)
                side = "red" if row.side == "lost" else "green"
                st.markdown(f":gray-badge[{figures.escape(own.get('label', ''), 20)}] :{side}-badge[{_answer(own)}]")
                st.caption(t("compression.dense_said", answer=_answer(dense)))


def _answer(said: dict[str, Any]) -> str:
    return f"{figures.escape(said.get('predicted', ''), 20)} · {figures.percent(said.get('confidence'), 0)}"


def _released(found: Artifacts) -> str | None:
    try:
        return found.verdict().released
    except Unreadable:
        return None


def _span(row: Row) -> str:
    return figures.interval(row.drop.low, row.drop.high, 4) if row.drop else ""


def _standing(status: str) -> str:
    """How a recipe stands to its contract, in the reader's words where the catalogue knows them."""
    return t(f"compression.status_{status.replace(' ', '_')}") if status in STATUS else figures.clean(status, 40)


def _split(name: str) -> str:
    return t(f"results.{name}")


def _zipped(found: Artifacts, names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, Path(found.file(f"release/{name}")).read_bytes())
    return buffer.getvalue()
