"""Makes the fixtures of the page tests available to all tests of the dashboard."""

from tests.support.dashboard_fixtures import all_use_cases, credit_scene, no_server, no_unexpected_error, own_main, projects

__all__ = ["all_use_cases", "credit_scene", "no_server", "no_unexpected_error", "own_main", "projects"]
