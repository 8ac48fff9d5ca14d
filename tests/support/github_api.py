"""GitHub's API for pull requests, as far as fapo uses it: on loopback, in a thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-token"
REPOSITORY = "somebody/pipelines"


@dataclass
class FakeGitHub:
    """Keeps pull requests as GitHub does: one that is open for a head and base at most. Numbers begin at 1.

    `faults` are statuses that the next requests are answered with, whatever they ask.
    """

    port: int = 0
    pulls: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        return {"GITHUB_API_URL": f"http://127.0.0.1:{self.port}", "GITHUB_TOKEN": TOKEN,
                "GITHUB_REPOSITORY": REPOSITORY}  # fmt: skip

    def answer(self, method: str, url: str, token: str, content: dict[str, Any]) -> tuple[int, Any]:
        self.asked.append(f"{method} {url}")
        if self.faults:
            return self.faults.pop(0), {"message": "as asked for"}
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Bad credentials"}
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        pulls = f"/repos/{REPOSITORY}/pulls"
        if (method, path) == ("GET", pulls):
            owner, _, head = query["head"][0].partition(":")
            assert owner == REPOSITORY.split("/")[0]
            return 200, [pull for pull in self.pulls if pull["head"]["ref"] == head and pull["state"] == "open"]
        if (method, path) == ("POST", pulls):
            return self._open(content)
        number = path.removeprefix(f"{pulls}/")
        if method == "PATCH" and number.isdecimal() and int(number) <= len(self.pulls):
            pull = self.pulls[int(number) - 1]
            pull |= {"title": content["title"], "body": content["body"], "base": {"ref": content["base"]}}
            return 200, pull
        return 404, {"message": "Not Found"}

    def _open(self, content: dict[str, Any]) -> tuple[int, Any]:
        open_now = [pull for pull in self.pulls if pull["state"] == "open"]
        if any((pull["head"]["ref"], pull["base"]["ref"]) == (content["head"], content["base"]) for pull in open_now):
            return 422, {"message": "Validation Failed"}
        number = len(self.pulls) + 1
        self.pulls.append({
            "number": number, "state": "open", "title": content["title"], "body": content["body"],
            "head": {"ref": content["head"]}, "base": {"ref": content["base"]},
            "html_url": f"https://github.example/{REPOSITORY}/pull/{number}",
        })  # fmt: skip
        return 201, self.pulls[-1]


@contextmanager
def fake_github() -> Iterator[FakeGitHub]:
    github = FakeGitHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers.get("Authorization") or ""
            status, answer = github.answer(self.command, self.path, token, json.loads(raw or b"{}"))
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = _serve

        def log_message(self, format: str, *args: object) -> None:
            """Tests have nothing to tell on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    github.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield github
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
