"""Connections to this machine bypass proxies, and one kind of proxy that the client cannot use is left out."""

import os

import pytest

from flows import settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "")  # restored after the test


def test_this_machine_is_added_to_the_hosts_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "intranet,localhost")
    settings.bypass_proxies()
    settings.bypass_proxies()
    assert os.environ["no_proxy"] == "intranet,localhost,127.0.0.1,::1"
    assert os.environ["NO_PROXY"] == "127.0.0.1,localhost,::1"


def test_no_proxy_for_any_host_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    settings.bypass_proxies()
    assert os.environ["NO_PROXY"] == "*"


def test_a_socks_proxy_that_the_client_has_no_package_for_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    settings.bypass_proxies()
    assert "ALL_PROXY" not in os.environ
    assert os.environ["HTTPS_PROXY"] == "http://127.0.0.1:9"
