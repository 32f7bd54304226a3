"""An HTTP client that refuses private addresses and other protocols, so that a URL or redirect cannot reach internal services."""

from __future__ import annotations

import socket
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from typing import IO, Any
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener, getproxies


class DownloadError(OSError):
    """A mirror that failed or must not be used. The message says why."""


def url_opener(url: str) -> OpenerDirector:
    """An opener for `url` over http and https only, which connects to no private address unless `url` names this machine."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError("is neither http nor https")
    if urlsplit(url).scheme in getproxies():  # a proxy resolves names itself, so only redirects can be checked here
        return build_opener(_RedirectHandler())
    loopback = _is_loopback(urlsplit(url).hostname or "")
    return build_opener(_HttpHandler(loopback), _HttpsHandler(loopback), _RedirectHandler())


class _RedirectHandler(HTTPRedirectHandler):
    max_redirections = 5

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise DownloadError(f"redirects to {newurl}, which is neither http nor https")
        host = urlsplit(newurl).hostname or ""
        if _is_private(host) and not _is_loopback(urlsplit(req.full_url).hostname or ""):
            raise DownloadError(f"redirects to {newurl}, a private address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _HttpConnection(HTTPConnection):
    def __init__(self, *arguments: Any, loopback: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.loopback = loopback

    def connect(self) -> None:
        self.sock = connect_to_public(self.host, self.port, self.timeout, self.loopback)


class _HttpsConnection(HTTPSConnection):
    def __init__(self, *arguments: Any, loopback: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.loopback = loopback

    def connect(self) -> None:
        connection = connect_to_public(self.host, self.port, self.timeout, self.loopback)
        self.sock = self._context.wrap_socket(connection, server_hostname=self.host)  # type: ignore[attr-defined]


class _HttpHandler(HTTPHandler):
    def __init__(self, loopback: bool) -> None:
        super().__init__()
        self.loopback = loopback

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(partial(_HttpConnection, loopback=self.loopback), req)


class _HttpsHandler(HTTPSHandler):
    def __init__(self, loopback: bool) -> None:
        super().__init__()
        self.loopback = loopback

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(partial(_HttpsConnection, loopback=self.loopback), req)


def connect_to_public(host: str, port: int, timeout: float | None, loopback: bool) -> socket.socket:
    """A connection to `host`. The name is resolved once, so that it cannot change between the check and the connection."""
    addresses = [str(address[4][0]) for address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in addresses:
        if _is_private(address) and not (loopback and _is_loopback(address)):
            raise DownloadError(f"{host} is at {address}, a private address")
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), timeout)
        except OSError:
            continue  # an error of the last address is raised
    return socket.create_connection((addresses[-1], port), timeout)


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host.partition("%")[0]).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
