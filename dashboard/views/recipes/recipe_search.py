"""Search for recipes from the page: start it, watch its front grow, and write a recipe of the front to params.yaml."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard.analysis import search_points
from dashboard.charts import search_charts
from dashboard.readers.searches import recipe_trials, search_process
from dashboard.readers.searches.recipe_trials import Trials
from dashboard.readers.searches.search_process import Search
from dashboard.text import formatting, translations
from dashboard.ui import metric_text, page_context, parameter_form, pickers, widgets
from dashboard.ui.locale import t, word
from dashboard.views.recipes import importance, params_change, search_status, step_text
from flows.parameters import params_edits
from flows.recipe_search.trial_results import Tried
from tasks.core import params_file
from tasks.core.errors import UserError

BUDGETS = {"10m": 600, "30m": 1800, "2h": 7200, "8h": 28800}
"""Budgets to choose from, as `bonsai compress` takes them, in seconds."""
DEFAULT_BUDGET = "30m"
DEFAULT_NAME = "searched"


def show(root: Path, use_case: str) -> None:
    """The form that starts a search, its state, and what the searches on this dense model have found."""
    search = search_process.read(root, use_case, "compress")
    running = search is not None and search.is_running
    if not running:
        _start_form(root, use_case)

    @st.fragment(run_every=search_status.REFRESH_S if running else None, key="recipe_search")
    def live() -> None:
        with page_context.error_boundary():
            now = search_process.read(root, use_case, "compress")
            if running and not (now and now.is_running):
                st.rerun()
            name = recipe_trials.results_name(root, use_case, _settings(root, use_case, now))
            trials = recipe_trials.read(root, use_case, name)
            if now:
                share = now.elapsed_s / float(now.facts["budget_s"])
                search_status.show(now, _summary(now, trials), share)
            if trials.count:
                _results(root, use_case, trials)
            elif not now:
                page_context.empty_state("recipes.search_none")

    live()


def _settings(root: Path, use_case: str, search: Search | None) -> str:
    """The hash of the settings whose trials to show; empty where they cannot be run, and the button that starts says why."""
    if search and search.is_running:
        return str(search.facts["settings"])
    try:
        return recipe_trials.settings_hash(root, use_case)
    except UserError:
        return ""


def _start_form(root: Path, use_case: str) -> None:
    with st.container(border=True, key="start_recipe_search"):
        st.markdown(t("recipes.search_note", use_case=pickers.title(use_case)))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            budget = st.segmented_control(
                t("recipes.budget"),
                list(BUDGETS),
                default=DEFAULT_BUDGET,
                required=True,
                format_func=lambda name: t(f"recipes.budget_{name}"),
                key="search_budget",
                help=t("recipes.budget_help"),
            )
            if st.button(t("recipes.start_search"), type="primary", icon=":material/play_arrow:", key="start_search"):
                with page_context.error_boundary():
                    facts = {"budget_s": BUDGETS[budget], "settings": recipe_trials.settings_hash(root, use_case)}
                    search_process.start(root, use_case, "compress", ["--budget", budget], facts)
                    st.rerun()


def _summary(search: Search, trials: Trials) -> str:
    if not trials.count:
        return t("recipes.preparing" if search.is_running else "recipes.tried_none")
    full = len(trials.front) + len(trials.dominated)
    return t("recipes.tried", count=trials.count, full=full, front=len(trials.front))


def _results(root: Path, use_case: str, trials: Trials) -> None:
    picked = pickers.choose_from("cost", search_points.COSTS, t("compression.against"), "bytes", _cost, as_buttons=True)
    cost = next(each for each in search_points.COSTS if each == picked)
    tried = [*trials.front, *trials.dominated, *trials.partial]
    points = search_points.recipe_points(trials, cost, {str(one.recipe): step_text.line(one.recipe) for one in tried})
    allowed_cost = search_points.allowed_cost(trials, cost)
    left, right = st.columns([5, 3], gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.caption(t("recipes.front_note"))
        drawing = search_charts.front(
            points,
            search_points.stairs(trials, cost),
            (allowed_cost, trials.contract.max_drop) if allowed_cost else None,
            titles=(t(f"recipes.axis_{cost}"), t("recipes.axis_drop")),
            groups={group: t(f"recipes.group_{group}") for group in search_points.GROUPS},
        )
        widgets.chart(drawing, points, key="search_front", alt_text=t("recipes.front_alt"))
    with right, st.container(border=True, height="stretch"):
        _use(root, use_case, trials)
    _importances(root, trials)


def _importances(root: Path, trials: Trials) -> None:
    """What the settings of the recipes explain of drop, latency and size."""
    count, shares = recipe_trials.importances(root, trials.results)
    if not shares:
        return
    with st.container(border=True):
        st.markdown(f"**{t('recipes.importance_recipes')}**")
        measure = pickers.choose_from("measure", list(shares), t("recipes.objective"), next(iter(shares)), _cost, as_buttons=True)
        st.caption(t("recipes.importance_efforts"))
        importance.chart({_setting(name): share for name, share in shares[measure].items()}, count, key="recipe_importances")


def _setting(name: str) -> str:
    """A parameter of the space that is searched, such as the kind of network."""
    return word("space", name) if translations.has(f"space.{name}") else parameter_form.label_of(name)


def _cost(name: str) -> str:
    return t(f"recipes.cost_{name}")


def _use(root: Path, use_case: str, trials: Trials) -> None:
    """One recipe of the front with its figures, and the button that writes it to params.yaml."""
    if not trials.front:
        st.caption(t("recipes.none_full"))
        return
    by_id = {recipe_trials.recipe_id(one): one for one in trials.front}
    best = recipe_trials.recipe_id(trials.best) if trials.best else ""
    chosen = st.selectbox(
        t("recipes.of_front"),
        list(by_id),
        index=list(by_id).index(best) if best in by_id else 0,
        format_func=lambda name: _label(by_id[name], is_best=name == best),
        key=f"front_{trials.results}",
    )
    one = by_id[chosen]
    with st.container(horizontal=True, gap="xsmall"):
        step_text.badges(one.recipe)
    if settings := step_text.settings(one.recipe):
        st.caption(settings)
    result = one.result
    figures = {
        t("compression.drop"): (metric_text.signed(result.drop), metric_text.signed_interval(result.drop_low, result.drop_high)),
        t("results.size"): (formatting.size(result.bytes), t("results.of_dense", share=formatting.percent(result.size_share))),
        t("recipes.speedup"): (f"{result.speedup:.1f}×", f"{result.speedup_low:.1f}–{result.speedup_high:.1f}×"),
    }
    widgets.cards(figures, columns=3)
    st.caption(t("recipes.best_keeps" if trials.best is one else "recipes.validation_only"))
    recipes = params_file.read_params(root / params_edits.FILE).recipes
    if same := next((name for name, steps in recipes.items() if steps == one.recipe), ""):
        st.caption(t("recipes.already", recipe=formatting.escape(same, 64)))
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(t("recipes.name"), _free_name(recipes), key=f"use_name_{len(recipes)}", max_chars=64, width=180)
        if st.button(t("recipes.use"), type="primary", icon=":material/check:", key="use_recipe"):
            _write(root, str(name or "").strip(), one)


def _write(root: Path, name: str, one: Tried) -> None:
    try:
        edit = params_edits.with_recipe(root, name, one.recipe)
    except UserError as error:
        params_change.refuse(error)
    else:
        params_change.write(root, edit, t("recipes.added", recipe=formatting.escape(name, 64)))
    st.rerun()


def _free_name(taken: dict[str, list[dict[str, object]]]) -> str:
    names = [DEFAULT_NAME, *(f"{DEFAULT_NAME}-{number}" for number in range(2, 1000))]
    return next(name for name in names if name not in taken)


def _label(one: Tried, *, is_best: bool) -> str:
    parts = [formatting.size(one.result.bytes), f"{one.result.speedup:.1f}×", metric_text.signed(one.result.drop)]
    return " · ".join([*([t("recipes.best")] if is_best else []), *parts, step_text.line(one.recipe)])
