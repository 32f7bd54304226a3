"""The catalogue of texts is complete in both languages, and untrusted text is never treated as markup."""

import ast
import dataclasses
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import yaml

from dashboard.components.canvas import decoded
from dashboard.readers.prefect_api import Schedule
from dashboard.readers.runs.run_records import _STAGE_STATES, _STATES
from dashboard.text import cron_text, formatting, translations
from dashboard.ui import locale
from dashboard.views.schedules import deployments
from tasks.core.settings import Contract

DASHBOARD = Path(translations.__file__).parents[1]
SOURCES = sorted(DASHBOARD.rglob("*.py"))
NAMED_OUTSIDE: tuple[str, ...] = (
    "use_case",
    "stage",
    "stage_about",
    "section",
    "reason",
    "requested_by",
    "alias",
    "change",
    "plan_reason",
    "statistic",
    "question",
    "setting",
    "step",
    "step_about",
    "step_setting",
    "space",
    "metric",
    "baseline",
    "corruption",
    "flow_state",
    "weekday",
    "verdict",
    "versions_verdict",
    "term",
    "column",
    "curve",
)
"""Groups whose words are said of names that do not come from the dashboard's code."""
TEXT_ELEMENTS = {"title", "header", "subheader", "markdown", "caption", "info", "warning", "error", "success", "button"}
TEXT_ELEMENTS |= {"metric", "text"}
TEXT_ELEMENTS |= {
    "expander",
    "popover",
    "toggle",
    "selectbox",
    "multiselect",
    "text_input",
    "text_area",
    "file_uploader",
    "download_button",
}
TEXT_ELEMENTS |= {"segmented_control", "pills", "badge", "toast", "link_button", "form_submit_button", "number_input"}
TEXT_ELEMENTS |= {"tabs", "spinner"}


def fields(sentence: Any) -> Any:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def calls() -> Iterator[Any]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path, node


def name_of(function: Any) -> Any:
    return function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""


def keys_in(node: Any) -> Iterator[Any]:
    """The keys an expression may give, as regular expressions: what is put into an f-string stands for any word."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
        yield re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        yield "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"\w+" for part in node.values)
    if isinstance(node, ast.IfExp):
        yield from (*keys_in(node.body), *keys_in(node.orelse))


def patterns() -> Iterator[Any]:
    """All keys that are asked for in the code, and where."""
    for path, call in calls():
        name, first = name_of(call.func), call.args[0] if call.args else None
        if name in ("t", "empty_state", "has", "Unreadable") and first is not None:
            yield from ((path, pattern) for pattern in keys_in(first))
        if name == "word" and isinstance(first, ast.Constant):
            yield path, re.escape(str(first.value)) + r"\.[\w-]+"
        if name == "choose_view":
            yield path, re.escape(ast.literal_eval(call.args[1])) + r"_view\.\w+"


def test_every_text_has_the_same_placeholders_in_every_language() -> None:
    for key, texts in translations.catalogue().items():
        assert set(texts) == set(translations.LANGUAGES), f"{key} is not in every language"
        assert all(words.strip() for words in texts.values()), f"{key} is empty"
        assert len({frozenset(fields(words)) for words in texts.values()}) == 1, f"{key} puts in different words"


def test_every_key_used_in_the_code_is_in_the_catalogue() -> None:
    keys = translations.catalogue()
    for path, pattern in patterns():
        assert any(re.fullmatch(pattern, key) for key in keys), f"{path.name} asks for {pattern}"


def constants(path: Any) -> Any:
    """The words in a file's code, those with blanks as keys have them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {word.replace(" ", "_") for word in texts}


def known_to(path: Any, words: Any) -> Any:
    """The words in a file and in those files of the dashboard that it imports by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dashboard")
    ]
    names = {name for node in imports for name in (*(alias.name for alias in node.names), node.module.rpartition(".")[2])}
    return set().union(*(words[other] for other in words if other == path or other.stem in names))


def test_every_text_of_the_catalogue_is_used() -> None:
    words = {path: constants(path) for path in SOURCES}
    words_by_path = {path: known_to(path, words) for path in SOURCES}
    written = set().union(*words.values())
    requested = {(path, pattern.replace(r"[\w-]+", r"\w+")) for path, pattern in patterns()}

    def gives(key: Any, path: Any, pattern: Any) -> Any:
        """Whether the pattern gives the key, what is put into it being a word that its file knows."""
        found = re.fullmatch(pattern.replace(r"\w+", r"([\w-]+)"), key)
        return found and all(word in words_by_path[path] for word in found.groups())

    for key in translations.catalogue():
        if key.partition(".")[0] in NAMED_OUTSIDE or key in written:
            continue
        assert any(gives(key, path, pattern) for path, pattern in requested), f"{key} is not used"


def test_pages_show_no_text_outside_of_the_catalogue() -> None:
    for path, call in calls():
        if not (isinstance(call.func, ast.Attribute) and call.func.attr in TEXT_ELEMENTS and call.args):
            continue
        first = call.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            assert not re.search(r"[A-Za-z]{3}", first.value), f"{path.name}:{call.lineno} says {first.value!r}"


def test_every_state_has_a_name() -> None:
    assert {f"state.{state}" for state in _STATES.values()} <= set(translations.catalogue())
    assert {f"stage_state.{state}" for state in _STAGE_STATES.values()} <= set(translations.catalogue())


@pytest.mark.parametrize(
    "words",
    [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "**bold** _it_ `code` $x$ :red[x]",
        "# title",
        "| a | b |",
        "~~x~~ http://x",
    ],
)
def test_markup_from_outside_is_escaped(words: Any) -> None:
    escaped = formatting.escape(words)
    plain = re.sub(r"\\(.)", r"\1", escaped)
    assert plain == words
    assert not re.search(r"(?<!\\)[<\[*_`$#:|~]", escaped)


@pytest.mark.parametrize(
    "words",
    [
        "![x](http://elsewhere/x.png)",
        "![x][1]\n\n[1]: http://elsewhere/x.png",
        "<img src=http://elsewhere/x.png>",
        "| a | <script>alert(1)</script> |",
        r"\![x](http://elsewhere/x.png) \[y](javascript:alert(1)) \\<b>",
        "<http://elsewhere>",
    ],
)
def test_prose_from_outside_keeps_its_headings_but_no_picture_link_or_html(words: Any) -> None:
    shown = formatting.safe_markdown(f"# A card\n\n**bold** {words}")
    assert shown.startswith("# A card\n\n**bold** ")
    assert not re.search(r"(?<!\\)(\\\\)*[\[\]<$]", shown)


def test_code_from_outside_cannot_end_its_own_span() -> None:
    assert formatting.code("a` ![x](http://elsewhere) `b") == "`a' ![x](http://elsewhere) 'b`"


def test_characters_that_move_or_hide_text_are_made_visible() -> None:
    assert formatting.clean("a‮b​c\x00d\ne") == "a�b�c�d e"
    assert len(formatting.clean("x" * 1_000_000)) == 300


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.01, "10 ms"), (0.4, "0.4 s"), (12, "12 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (None, "–"), (float("nan"), "–")],
)
def test_durations_have_fitting_units(seconds: Any, expected: Any) -> None:
    assert formatting.duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 B"), (999, "999 B"), (53062, "53.1 kB"), (5_000_000, "5 MB"), (2e9, "2 GB"), ("x", "–")]
)
def test_sizes_carry_units(count: Any, expected: Any) -> None:
    assert formatting.size(count) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12345, "12,345"), (0.98765, "0.988"), (1e-7, "1e-07"), (float("inf"), "–"), (True, "–"), ("x", "–"), (None, "–")],
)
def test_numbers_have_significant_digits(value: Any, expected: Any) -> None:
    assert formatting.number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1234567.8, "1,234,568"),
        (-125.2651, "-125.3"),
        (0.0123456, "0.01235"),
        (0.0, "0.000"),
        (42, "42.00"),
        (1e-9, "1e-09"),
        (1e20, "1e+20"),
        (float("nan"), "–"),
        (None, "–"),
    ],
)
def test_numbers_of_any_unit_have_four_significant_digits(value: Any, expected: Any) -> None:
    assert formatting.significant(value) == expected


@pytest.mark.parametrize("at", ["", None, 7, "yesterday", "2026-13-01"])
def test_a_time_that_is_none_is_a_dash(at: Any) -> None:
    assert formatting.local_time(at) == "–"


def test_a_recorded_time_is_shown_in_the_readers_zone() -> None:
    assert formatting.local_time("2026-11-22T14:03:00+00:00", UTC) == "22 Nov 14:03"
    assert formatting.parse_time("2026-11-22T14:03:00").tzinfo is UTC


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", " =1", "\t=1"])
def test_a_cell_that_a_spreadsheet_would_run_is_neutralised(cell: Any) -> None:
    assert formatting.csv_cell(cell) == f"'{cell}"


def test_other_cells_stay_as_they_are() -> None:
    assert formatting.csv_cell("plain") == "plain"
    assert formatting.csv_cell(-3.5) == -3.5


@pytest.mark.parametrize(
    ("line", "english", "chinese"),
    [
        ("*/15 * * * *", "every 15 minutes", "每 15 分钟"),
        ("5 * * * *", "every hour at minute 05", "每小时第 05 分"),
        ("30 3 * * *", "every day at 03:30", "每天 03:30"),
        ("0 15,3 * * *", "every day at 03:00 and 15:00", "每天 03:00、15:00"),
        ("0 3 * * 1-5", "Monday to Friday at 03:00", "周一至周五 03:00"),
        ("0 3 * * mon-FRI", "Monday to Friday at 03:00", "周一至周五 03:00"),
        ("0 3 * * 7", "every Sunday at 03:00", "每周日 03:00"),
        ("0 3 * * 0-6", "every day at 03:00", "每天 03:00"),
        ("0 3 * * 1,4", "every Monday and Thursday at 03:00", "每周一、周四 03:00"),
        ("0 3 * * 0,1,4", "every Monday, Thursday and Sunday at 03:00", "每周一、周四、周日 03:00"),
        ("0 */6 * * *", "every 6 hours from 00:00", "自 00:00 起每 6 小时"),
        ("30 */6 * * 6", "every Saturday every 6 hours from 00:30", "每周六 自 00:30 起每 6 小时"),
        ("0 9-17 * * 1-5", "Monday to Friday hourly from 09:00 to 17:00", "周一至周五 09:00 至 17:00 每小时"),
        ("0 3 1 * *", "on day 1 of each month at 03:00", "每月 1 日 03:00"),
        ("0 3 1 1 *", r"cron: 0 3 1 1 \*", r"cron：0 3 1 1 \*"),
        ("0 3 1 * 1", r"cron: 0 3 1 \* 1", r"cron：0 3 1 \* 1"),
        ("0 3 * * */2", r"cron: 0 3 \* \* \*/2", r"cron：0 3 \* \* \*/2"),
        ("nonsense", "cron: nonsense", "cron：nonsense"),
        ("99 3 * * *", r"cron: 99 3 \* \* \*", r"cron：99 3 \* \* \*"),
    ],
)
def test_a_cron_expression_is_described_in_words(monkeypatch: pytest.MonkeyPatch, line: Any, english: Any, chinese: Any) -> None:
    for language, expected in (("en", english), ("zh", chinese)):
        monkeypatch.setattr(locale, "language", lambda language=language: language)
        assert deployments.in_words(Schedule("x", True, cron=line)) == expected


@pytest.mark.parametrize(
    ("line", "zone", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-12-02T02:30:00+01:00"),
        ("30 2 * * *", "", "2026-12-02T02:30:00+00:00"),
        ("0 3 * * 1-5", "Asia/Shanghai", "2026-12-02T03:00:00+08:00"),
        ("0 3 31 2 *", "UTC", None),
        ("nonsense", "UTC", None),
        ("0 3 * * *", "Nowhere/Town", None),
    ],
)
def test_the_next_time_of_a_cron_expression_is_in_its_zone(line: str, zone: str, expected: Any) -> None:
    at = cron_text.next_time(line, zone, datetime(2026, 12, 1, 12, tzinfo=UTC))
    assert (at.isoformat() if at else None) == expected


@pytest.mark.parametrize(
    "drawing", [None, 3, "", "data:text/html;base64,PGI+", "data:image/png;base64,!!!", "data:image/png;base64," + "A" * 300_000]
)
def test_a_drawing_that_is_none_is_refused(drawing: Any) -> None:
    assert decoded(drawing) is None


def test_every_stage_and_every_term_of_the_contract_has_a_word() -> None:
    catalogue = tomllib.loads((DASHBOARD / "text" / "translations.toml").read_text())
    stages = set(yaml.safe_load((DASHBOARD.parent / "dvc.yaml").read_text())["stages"])
    assert stages <= set(catalogue["stage"])
    assert stages <= set(catalogue["stage_about"])
    terms = {field.name for field in dataclasses.fields(Contract)}
    assert terms <= set(catalogue["setting"])
    assert terms - {"champion"} <= set(catalogue["term"]), "the folder of the champion is no term of its own"
