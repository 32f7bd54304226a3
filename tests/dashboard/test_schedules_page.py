"""The schedules page: deployments, their schedules, and a server that fails."""

from typing import Any
from unittest.mock import patch

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.readers import prefect_api
from dashboard.readers.prefect_api import Deployment, FlowRun, RequestRefused, Schedule
from dashboard.readers.project_files import Unreadable
from tests.support.dashboard_pages import PAGE_MARKS, open_page

pytestmark = PAGE_MARKS

HOSTILE = "<script>alert(1)</script>"


class FakeServer:
    """A server that knows one deployment."""

    url = "http://127.0.0.1:1/api"

    def __init__(self, error: Any = None) -> None:
        self.error = error
        self.calls: list[Any] = []

    def deployments(self) -> Any:
        if self.error:
            raise self.error
        nightly = Schedule("00000000-0000-0000-0000-000000000001", True, cron="0 3 * * *", timezone="UTC")
        return [Deployment("00000000-0000-0000-0000-000000000002", f"vision {HOSTILE}", "Grow it.", False, {}, (nightly,))]

    def flow_runs(self, deployment: Any, *, ahead: Any, limit: Any = 3) -> Any:
        return [FlowRun("x", "y", "Completed", "", "2026-11-20T03:00:00+00:00")]

    def pause(self, deployment: Any, *, paused: Any) -> None:
        self.calls.append(paused)

    def set_schedule(self, deployment: Any, schedule: Any, **changed: Any) -> None:
        self.calls.append(changed)

    def add_schedule(self, deployment: Any, **added: Any) -> None:
        self.calls.append(added)

    def remove_schedule(self, deployment: Any, schedule: Any) -> None:
        self.calls.append(schedule.id)


def test_schedules_are_in_words_and_can_be_paused(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    server = FakeServer()
    with patch.object(prefect_api, "server", lambda root: server):
        app = open_page(monkeypatch, projects["nothing"], "schedules")
        assert not app.exception
        assert any("every day at 03:00" in each.value for each in app.markdown)
        assert any(each.value.startswith("next ") and each.value.endswith("03:00 in UTC") for each in app.caption)
        app.button(key="pause_00000000-0000-0000-0000-000000000002").click().run()
    assert server.calls == [True]


def test_a_server_lost_between_two_clicks_is_a_message(monkeypatch: pytest.MonkeyPatch, projects: Any) -> None:
    def lose_server(deployment: Any, *, paused: Any) -> None:
        raise Unreadable("prefect.lost", reason="gone")

    server = FakeServer()
    monkeypatch.setattr(server, "pause", lose_server)
    with patch.object(prefect_api, "server", lambda root: server):
        app = open_page(monkeypatch, projects["nothing"], "schedules")
        app.button(key="pause_00000000-0000-0000-0000-000000000002").click().run()
    assert not app.exception
    assert "did not respond: gone" in app.toast[0].value


def schedule_forms(server: Any) -> Any:
    """The forms that change the schedules of a deployment."""

    def script(server):  # type: ignore[no-untyped-def]  # Streamlit runs its source without the imports of this module
        from dashboard.views.schedules import schedule_form

        schedule_form.edit(server, server.deployments()[0])

    return AppTest.from_function(script, kwargs={"server": server}, default_timeout=60).run()


def test_a_schedule_is_changed_and_removed() -> None:
    schedule_id, server = "00000000-0000-0000-0000-000000000001", FakeServer()
    app = schedule_forms(server)
    app.text_input(key=f"cron_{schedule_id}").set_value(" 30  4 * * 1-5 ")
    app.text_input(key=f"zone_{schedule_id}").set_value("Europe/Berlin")
    app.button(key=f"save_{schedule_id}").click().run()
    assert server.calls == [{"cron": "30 4 * * 1-5", "timezone": "Europe/Berlin", "active": True}]
    app.button(key=f"remove_{schedule_id}").click().run()
    assert server.calls[1:] == [schedule_id]


@pytest.mark.parametrize(
    ("line", "zone", "expected"),
    [
        ("3 * * *", "UTC", "has 4"),
        ("61 3 * * *", "UTC", "The minute cannot be 61"),
        ("0 3 * * *", "Europe/Berln", "Did you mean Europe/Berlin"),
    ],
)
def test_an_invalid_schedule_is_an_error_message_and_is_not_sent(line: Any, zone: Any, expected: Any) -> None:
    schedule_id, server = "00000000-0000-0000-0000-000000000001", FakeServer()
    app = schedule_forms(server)
    app.text_input(key=f"cron_{schedule_id}").set_value(line)
    app.text_input(key=f"zone_{schedule_id}").set_value(zone)
    app.button(key=f"save_{schedule_id}").click().run()
    assert expected in app.error[0].value
    assert server.calls == []


@pytest.mark.parametrize("error", [Unreadable("prefect.lost", reason="gone"), RequestRefused("no")])
def test_a_server_error_is_a_message(monkeypatch: pytest.MonkeyPatch, projects: Any, error: Any) -> None:
    with patch.object(prefect_api, "server", lambda root: FakeServer(error)):
        app = open_page(monkeypatch, projects["nothing"], "schedules")
    assert not app.exception
