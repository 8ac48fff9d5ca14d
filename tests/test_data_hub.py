"""A split on the hub is the one at the pinned commit, with a network and without, or there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

FIRST, SECOND, AS_JSON = "a1" * 20, "b2" * 20, "c3" * 20
NAME = "acme/set"


def table(label: str) -> bytes:
    file = BytesIO()
    parquet.write_table(pyarrow.table({"key": ["k"], "text": ["016"], "label": [label]}), file)
    return file.getvalue()


FILES = {
    FIRST: {"data/test-00000-of-00001.parquet": table("2012")},
    SECOND: {"data/test-00000-of-00001.parquet": table("null")},
    AS_JSON: {"data/test.jsonl": b'{"key": "k", "text": "016", "label": "2012"}\n'},
}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as loading one public data set takes."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(b"[]")

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        for revision, files in FILES.items():
            if path == f"/api/datasets/{NAME}/revision/{revision}":
                names = [{"rfilename": name} for name in files]
                return self.answer(json.dumps({"id": NAME, "sha": revision, "siblings": names, "tags": []}).encode())
            if path.startswith(f"/api/datasets/{NAME}/tree/{revision}"):
                found = [{"type": "file", "path": name, "size": len(body), "oid": ""} for name, body in files.items()]
                return self.answer(json.dumps(found).encode())
            prefix = f"/datasets/{NAME}/resolve/{revision}/"
            if path.startswith(prefix):
                body = files.get(path.removeprefix(prefix))
                if body is not None:
                    return self.answer(body, X_Repo_Commit=revision, ETag=f'"{revision}"')
                return self.answer(b"", 404, X_Error_Code="EntryNotFound", X_Repo_Commit=revision)
        return self.answer(b"{}", 404, X_Error_Code="RepoNotFound")


LOAD = """
import json, sys
from fapo.data import Columns, HubSplit, load_cases
from fapo.errors import UsageError
found = {}
for name, revision, split in json.loads(sys.argv[1]):
    try:
        source = HubSplit(id=name, revision=revision, split=split)
        (case,) = load_cases(source, columns=Columns(id="key", inputs=("text",), expected=("label",)))
        found[f"{name} {revision} {split}"] = [case.id, case.inputs, case.expected]
    except UsageError as error:
        found[f"{name} {revision} {split}"] = str(error)
print(json.dumps(found))
"""


def load(home: Path, *wanted: tuple[str, str, str], **environment: str) -> dict[str, object]:
    """What each (name, revision, split) gave, a case or the error, in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(wanted)],
        env=kept | {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"} | environment,
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


Loaded = tuple[dict[str, object], dict[str, object]]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """What was loaded with the hub in reach, then without it."""
    home = tmp_path_factory.mktemp("home")
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        near = f"http://127.0.0.1:{server.server_port}"
        wanted = [(NAME, FIRST, "test"), (NAME, AS_JSON, "test"), (NAME, FIRST, "dev"), ("acme/none", FIRST, "test")]
        online = load(home, *wanted, HF_ENDPOINT=near)
        server.shutdown()
        thread.join()
    return online, load(home, (NAME, FIRST, "test"), (NAME, SECOND, "test"), HF_HUB_OFFLINE="1")


def test_the_values_of_the_pinned_commit_come_unchanged(loaded: Loaded) -> None:
    assert loaded[0][f"{NAME} {FIRST} test"] == ["k", {"text": "016"}, {"label": "2012"}]


def test_what_was_fetched_once_needs_no_network(loaded: Loaded) -> None:
    assert loaded[1][f"{NAME} {FIRST} test"] == loaded[0][f"{NAME} {FIRST} test"]


def test_another_commit_in_the_cache_does_not_stand_in_for_the_pinned_one(loaded: Loaded) -> None:
    found = str(loaded[1][f"{NAME} {SECOND} test"])
    assert found.startswith(f"{NAME}@{SECOND[:12]} test: cannot be fetched, and is not in the cache")
    assert "\n" not in found


def test_files_whose_values_would_be_guessed_are_refused(loaded: Loaded) -> None:
    assert "its files are json, whose values `datasets` would guess" in str(loaded[0][f"{NAME} {AS_JSON} test"])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [(f"{NAME} {FIRST} dev", 'Unknown split "dev"'), (f"acme/none {FIRST} test", "'acme/none' doesn't exist")],
)
def test_what_the_hub_does_not_have_is_named(loaded: Loaded, wanted: str, message: str) -> None:
    found = str(loaded[0][wanted])
    assert "cannot be loaded from the hub" in found
    assert message in found
    assert "\n" not in found
