"""`fapo ui` as a process, as a user starts it."""

from __future__ import annotations

import http.cookiejar
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

from tests.support.command import FAPO, environment


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """The address with its token, while `fapo ui` serves the runs below `folder`."""
    (folder / "runs").mkdir(exist_ok=True)
    process = subprocess.Popen([*FAPO, "ui", "--no-open", *options], env=environment(folder), cwd=folder,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


class Tab:
    """A browser's tab without a browser: it keeps the cookie, and reads pages and streams."""

    def __init__(self, url: str) -> None:
        self.base = url.split("/?")[0]
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self._opener.open(url, timeout=30).close()

    def open(self, path: str, **headers: str) -> HTTPResponse:
        answer: HTTPResponse = self._opener.open(urllib.request.Request(self.base + path, headers=headers), timeout=30)
        return answer


def next_event(stream: HTTPResponse) -> dict[str, str]:
    """The next server-sent event, comments passed over: its fields by name, lines of `data` joined."""
    fields: dict[str, str] = {}
    for raw in stream:
        line = raw.decode().rstrip("\r\n")
        if not line and fields:
            return fields
        name, _, value = line.partition(": ")
        if name:
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value
    raise EOFError("the stream has ended")
