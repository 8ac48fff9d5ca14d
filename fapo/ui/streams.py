"""Server-sent events: what is appended to journals and traces, whichever process writes them.

Files are asked for their size a few times a second. A journal's events are numbered by bytes, so that a browser that
reconnects misses none and sees none twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import anyio
from anyio.to_thread import run_sync
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request

from fapo.errors import FapoError
from fapo.evaluation.evaluate import TRACES_FILE
from fapo.store.files import is_locked
from fapo.ui.library import JOURNAL, Library
from fapo.ui.run_facts import read_run
from fapo.ui.site import Site, number, site_of

T = TypeVar("T")
_EVERY_S = 0.3


def stream_run(request: Request) -> EventSourceResponse:
    """Lines of the journal as they come, and with them the figures of the run."""
    site, name = site_of(request), request.path_params["name"]
    site.library.run(name)
    last = request.headers.get("last-event-id", "")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else number(request, "after")
    return _response(_run_events(site, name, after))


async def _run_events(site: Site, name: str, after: int) -> AsyncIterator[ServerSentEvent]:
    directory = site.library.run(name)
    seen: object = None
    async for stamp in _changes(site, lambda: _run_stamp(directory)):
        if seen is None and stamp[0] <= after and not stamp[2]:
            seen = stamp
            continue
        try:
            facts = await run_sync(read_run, site.library, site.comparer, name)
        except (FapoError, sqlite3.Error):
            continue  # the page says so when it is loaded
        for line in facts.lines:
            if line.end > after:
                yield ServerSentEvent(site.text("_line.html", line=line, run=facts), event="line", id=str(line.end))
        after = max(after, facts.end)
        yield ServerSentEvent(site.text("_run.html", run=facts), event="state")
        seen = stamp


def _run_stamp(directory: Path) -> tuple[int, int, bool]:
    """Changes when a run's page does: the size of the journal, that of all traces, and whether it is worked on."""
    traces = sum(path.stat().st_size for path in directory.glob(f"evaluations/*/{TRACES_FILE}"))
    return _size(directory / JOURNAL), traces, is_locked(directory)


def stream_evaluation(request: Request) -> EventSourceResponse:
    """Says when an evaluation has more cases."""
    site = site_of(request)
    place = site.library.evaluation(request.path_params["at"])
    start = number(request, "after")
    return _response(_growth(site, lambda: _size(place.directory / TRACES_FILE), start))


def stream_runs(request: Request) -> EventSourceResponse:
    """Says when there is something new among the runs."""
    site = site_of(request)
    return _response(_growth(site, lambda: _runs_stamp(site.library), None))


async def _growth(site: Site, stamp: Callable[[], object], known: object) -> AsyncIterator[ServerSentEvent]:
    async for found in _changes(site, stamp):
        if known is not None and found != known:
            yield ServerSentEvent("", event="grown")
        known = found


async def _changes(site: Site, stamp: Callable[[], T]) -> AsyncIterator[T]:
    """A stamp at once, and whenever it is another, at most a few times a second."""
    last: T | None = None
    while not site.closing():
        found = await run_sync(stamp)
        if last is None or found != last:
            last = found
            yield found
        await anyio.sleep(_EVERY_S)


def _runs_stamp(library: Library) -> object:
    found = []
    for path in sorted(path for path in library.runs_dir.glob("*") if path.is_dir()):
        log = path / JOURNAL
        found.append((path.name, _size(log) or _size(path / TRACES_FILE), is_locked(path)))
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _response(events: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    return EventSourceResponse(events, ping=15)
