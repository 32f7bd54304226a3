"""The command `bonsai serve`: released models over HTTP."""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import Annotated, cast

import typer

from flows import settings

TOKEN_VARIABLE = "BONSAI_SERVE_TOKEN"
USE_CASES_VARIABLE, LIMITS_VARIABLE, LOG_VARIABLE = "BONSAI_SERVE_USE_CASES", "BONSAI_SERVE_LIMITS", "BONSAI_SERVE_LOG"
"""How the command tells its worker processes what to serve."""
GRACE_S = 30


def serve(
    use_cases: Annotated[
        list[str] | None, typer.Argument(metavar="USE_CASE", help="Use cases; without one, all that have a model.")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help=f"Address to listen on; other than loopback needs {TOKEN_VARIABLE}.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port.")] = 8080,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Number of processes.")] = 1,
    max_body_mb: Annotated[int, typer.Option("--max-body-mb", min=1, max=1000, help="Largest body of a request.")] = 20,
    max_rows: Annotated[int, typer.Option("--max-rows", min=1, max=1_000_000, help="Most inputs of a request.")] = 10_000,
    keep: Annotated[
        str,
        typer.Option(
            "--log", metavar="inputs|features|none", help="What is kept of requests: also the inputs, or nothing at all."
        ),
    ] = "features",
    log_share: Annotated[float, typer.Option("--log-share", min=0, max=1, help="Share of the requests that is kept.")] = 1.0,
    log_mb: Annotated[int, typer.Option("--log-mb", min=1, help="Most disk space of a use case's log.")] = 500,
    shadow_share: Annotated[
        float, typer.Option("--shadow-share", min=0, max=1, help="Share of the kept requests that the challenger answers too.")
    ] = 0.1,
) -> None:
    """Serve released models over HTTP.

    Serves the champion of each use case, or the project's release where none was promoted; a promotion or rollback takes effect
    within about a second, without a lost request. Documentation is at /docs. Ctrl-C ends it after the requests under way.
    Requests are recorded in monitoring/, for `bonsai monitor`; POST /feedback takes right answers.
    """
    import uvicorn

    from flows.cli import serve_command
    from tasks.core.errors import UserError

    root = settings.project_root()
    if not is_loopback(host) and not os.environ.get(TOKEN_VARIABLE):
        raise UserError(
            f"{host} can be reached from elsewhere, and there is no token; set {TOKEN_VARIABLE} to a long random text, "
            "or leave --host out"
        )
    os.chdir(root)
    names = use_cases or with_models()
    os.environ[USE_CASES_VARIABLE] = ",".join(names)
    os.environ[LOG_VARIABLE] = f"{checked_choice(keep)},{log_share},{log_mb * 1_000_000},{shadow_share}"
    os.environ[LIMITS_VARIABLE] = f"{max_body_mb * 1_000_000},{max_rows}"
    options = {"host": host, "port": port, "log_level": "warning", "timeout_graceful_shutdown": GRACE_S, "server_header": False}
    app = application()  # a mistake is told before anything listens
    print(f"serving {', '.join(names)} at http://{host}:{port}, documentation at /docs; Ctrl-C ends it", file=sys.stderr)
    if workers == 1:
        uvicorn.run(app, **options)  # type: ignore[arg-type]
    else:
        uvicorn.run(f"{serve_command.__name__}:application", factory=True, workers=workers, **options)  # type: ignore[arg-type]


def application() -> object:
    """The application of the project in the current directory, as the command's variables say."""
    from pathlib import Path

    from flows.request_log.records import Kept, LogSettings
    from flows.serving.app import create_app
    from flows.serving.recorder import RecorderSettings, RequestRecorder
    from flows.serving.requests import Limits
    from flows.serving.served_models import ServedModels

    body_bytes, rows = map(int, os.environ[LIMITS_VARIABLE].split(","))
    models = ServedModels(Path.cwd(), os.environ[USE_CASES_VARIABLE].split(","))
    keep, share, max_bytes, shadow_share = os.environ[LOG_VARIABLE].split(",")
    log = LogSettings(keep=cast(Kept, keep), share=float(share), max_bytes=int(max_bytes))
    recorder = RequestRecorder(models.root, models, RecorderSettings(log, float(shadow_share)), print_line)
    token = os.environ.get(TOKEN_VARIABLE, "")
    return create_app(models, token=token, limits=Limits(body_bytes, rows), log=print_line, recorder=recorder)


def checked_choice(keep: str) -> str:
    """The choice of what is kept; raises a `UserError` for another word."""
    from flows.request_log.records import KEPT
    from tasks.core.errors import UserError
    from tasks.core.registry import unknown_name

    if keep not in KEPT:
        raise UserError(unknown_name("--log: no such choice", keep, KEPT))
    return keep


def print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def with_models() -> list[str]:
    """The use cases of the project in the current directory that have a champion or a released model."""
    from pathlib import Path

    from flows.registry import history
    from tasks.core.errors import UserError

    names = history.use_cases_with_models(Path.cwd())
    if not names:
        raise UserError("no use case has a released model yet; `bonsai run` makes one, `bonsai promote` makes it the champion")
    return names


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
