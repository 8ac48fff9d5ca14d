"""The server of `fapo ui`: routes, errors, and the life of the process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import fapo
from fapo.errors import FapoError, UsageError
from fapo.ui import case_pages, compare_pages, run_pages, streams
from fapo.ui.access import HOST, Access, Gate
from fapo.ui.library import Library, SealedTest, UnknownPlace
from fapo.ui.site import Site, site_of

_ASSETS = Path(__file__).parent / "assets"
_ECHARTS = Path(fapo.__file__).parent / "report" / "assets" / "echarts.min.js"


def _echarts(request: Request) -> Response:
    """The charting library, which reports carry, too."""
    return FileResponse(_ECHARTS)


ROUTES = [
    Route("/", run_pages.show_runs),
    Route("/part/runs", run_pages.part_runs),
    Route("/stream/runs", streams.stream_runs),
    Route("/run/{name}", run_pages.show_run),
    Route("/stream/run/{name}", streams.stream_run),
    Route("/run/{name}/variant/{variant}", run_pages.show_variant),
    Route("/evaluation/{at:path}", case_pages.show_evaluation),
    Route("/part/figures/{at:path}", case_pages.part_figures),
    Route("/part/cases/{at:path}", case_pages.part_cases),
    Route("/trace/{at:path}", case_pages.show_trace),
    Route("/part/trace/{at:path}", case_pages.part_trace),
    Route("/stream/evaluation/{at:path}", streams.stream_evaluation),
    Route("/compare", compare_pages.show_compare),
    Route("/part/changes", compare_pages.part_changes),
    Route("/pair", compare_pages.show_pair),
    Route("/part/pair", compare_pages.part_pair),
    Route("/assets/echarts.js", _echarts),
    Mount("/assets", StaticFiles(directory=_ASSETS)),
]


def create_app(library: Library, access: Access, closing: Callable[[], bool] = lambda: False) -> Gate:
    """The pages behind their gate."""
    errors = {FapoError: _expected, sqlite3.Error: _index, HTTPException: _http, Exception: _unexpected}
    app = Starlette(routes=ROUTES, exception_handlers=errors)
    app.state.site = Site(library, closing)
    return Gate(app, access)


def _expected(request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, UnknownPlace) else 403 if isinstance(error, SealedTest) else 500
    return site_of(request).page("message.html", status=status, title=_titles(error), text=str(error))


def _titles(error: Exception) -> str:
    if isinstance(error, SealedTest):
        return "Test is sealed"
    return "Not found" if isinstance(error, UnknownPlace) else "This cannot be shown"


def _index(request: Request, error: Exception) -> Response:
    site = site_of(request)
    text = f"{site.library.index.path}: {error}; free space, or delete the file: it is made anew"
    return site.page("message.html", status=500, title="The index of traces cannot be used", text=text)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return site_of(request).page("message.html", status=error.status_code, title="Not found",
                                 text=f"{request.url.path}: {error.detail}")  # fmt: skip


def _unexpected(request: Request, error: Exception) -> Response:
    text = f"{type(error).__name__}: {error}"
    return site_of(request).page("message.html", status=500, title="A bug of fapo ui", text=text)


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def open_socket(port: int) -> socket.socket:
    """A listening socket on the loopback address; port 0 takes a free one. Raises UsageError."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise UsageError(f"port {port} cannot be used ({error.strerror}); --port names another") from None


async def serve(library: Library, listening: socket.socket, access: Access, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM. `ready` is called once requests are answered."""
    app = create_app(library, access, lambda: server.should_exit)
    config = uvicorn.Config(app, log_level="error", access_log=False, server_header=False, date_header=False,
                            timeout_graceful_shutdown=2, lifespan="off", ws="none")  # fmt: skip
    server = _Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _end, server)
    loop.call_soon(ready)
    await server.serve(sockets=[listening])


def _end(server: uvicorn.Server) -> None:
    server.should_exit = True
