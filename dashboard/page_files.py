"""The pages by section of the navigation, with their icons, and the scripts that draw them."""

from __future__ import annotations

PAGES = {
    "pipeline": {
        "run": ":material/play_circle:",
        "history": ":material/history:",
        "compare": ":material/compare_arrows:",
        "recipes": ":material/experiment:",
        "own_data": ":material/upload_file:",
        "schedules": ":material/calendar_clock:",
    },
    "findings": {
        "data": ":material/fact_check:",
        "labels": ":material/label:",
        "results": ":material/query_stats:",
        "compression": ":material/compress:",
        "try_it": ":material/draw:",
    },
    "serving": {"models": ":material/workspace_premium:", "monitoring": ":material/monitor_heart:"},
    "project": {"versions": ":material/account_tree:", "about": ":material/info:"},
}


def script(page: str) -> str:
    """The path of a page's script, relative to the entry script."""
    section = next(section for section, pages in PAGES.items() if page in pages)
    return f"app_pages/{section}/{page}.py"
