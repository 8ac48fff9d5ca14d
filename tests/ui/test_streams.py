"""What is appended to a journal or to traces reaches every tab, whichever process wrote it, once."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fapo.optimize.events import Event, Journal, LevelOpened, Started
from fapo.store.files import lock_directory
from tests.support.command import FAPO, environment, fapo
from tests.support.traces import append, record, write_evaluation
from tests.support.ui_server import Tab, next_event, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served")
    with serving(folder) as url:
        yield url, folder / "runs"


def begin_run(runs: Path, name: str) -> Path:
    """A run that has just begun; returns its journal."""
    (runs / name).mkdir()
    (runs / name / "run.json").write_text(json.dumps({"pipeline": name, "source": "/nowhere", "config": {}}))
    path = runs / name / "journal.jsonl"
    log(path, Started())
    return path


def log(path: Path, event: Event) -> None:
    journal = Journal(path)
    journal.append(event)
    journal.close()


def test_each_tab_is_told_of_what_another_process_writes(served: tuple[str, Path]) -> None:
    url, runs = served
    path = begin_run(runs, "two-tabs")
    tabs = [Tab(url), Tab(url)]
    streams = [tab.open("/stream/run/two-tabs?after=0") for tab in tabs]
    for stream in streams:
        assert "began" in next_event(stream)["data"]
        assert next_event(stream)["event"] == "state"
    log(path, LevelOpened("prompt", "it is <b>open</b>"))
    for stream in streams:
        event = next_event(stream)
        assert event["event"] == "line"
        assert "it is &lt;b&gt;open&lt;/b&gt;" in event["data"]
        assert event["id"] == str(path.stat().st_size)
        stream.close()


def test_after_a_lost_connection_nothing_is_missed_or_told_twice(served: tuple[str, Path]) -> None:
    url, runs = served
    path = begin_run(runs, "reconnects")
    tab = Tab(url)
    with tab.open("/stream/run/reconnects?after=0") as stream:
        last = next_event(stream)["id"]
    log(path, LevelOpened("parameter", "while nobody looked"))
    with tab.open("/stream/run/reconnects?after=0", **{"Last-Event-ID": last}) as stream:
        assert "while nobody looked" in next_event(stream)["data"]


def test_a_torn_line_of_the_journal_is_told_once_it_is_whole(served: tuple[str, Path]) -> None:
    url, runs = served
    path = begin_run(runs, "torn")
    line = b'{"time": 1.0, "event": {"event": "level_opened", "level": "prompt", "why": "in two parts"}}\n'
    with Tab(url).open("/stream/run/torn?after=0") as stream:
        assert "began" in next_event(stream)["data"]
        assert next_event(stream)["event"] == "state"
        with path.open("ab", buffering=0) as file:
            file.write(line[:40])
            assert "in two parts" not in next_event(stream)["data"]
            file.write(line[40:])
        event = next_event(stream)
        assert (event["event"], "in two parts" in event["data"]) == ("line", True)


def test_a_run_that_another_process_works_on_is_shown_as_running(served: tuple[str, Path]) -> None:
    url, runs = served
    begin_run(runs, "held")
    tab = Tab(url)
    assert b"Interrupted. Go on with" in tab.open("/run/held").read()
    with lock_directory(runs / "held"):
        page = tab.open("/run/held").read()
        assert b"Running: the baseline is being measured." in page
        assert b'class="live"' in tab.open("/").read()


def test_an_evaluation_says_when_it_has_more_cases(served: tuple[str, Path]) -> None:
    url, runs = served
    directory = write_evaluation(runs / "grows", [record("a")])
    size = (directory / "traces.jsonl").stat().st_size
    tab = Tab(url)
    with tab.open(f"/stream/evaluation/grows?after={size}") as stream:
        append(directory, [record("b", 0.0)])
        assert next_event(stream)["event"] == "grown"
    assert b">b</span>" in tab.open("/part/cases/grows").read() or b">b " in tab.open("/part/cases/grows").read()


def test_a_port_that_is_taken_and_a_folder_that_is_not_there_are_said_in_one_line(
    served: tuple[str, Path], tmp_path: Path
) -> None:
    port = served[0].split(":")[2].split("/")[0]
    taken = fapo(served[1].parent, "ui", "--no-open", "--port", port)
    assert (taken.code, taken.out) == (2, "")
    assert f"port {port} cannot be used" in taken.err
    missing = fapo(tmp_path, "ui", "--no-open", "--runs", tmp_path / "none")
    assert missing.code == 2
    assert "no such folder of runs" in missing.err


def test_ctrl_c_ends_it_at_once_also_while_a_tab_is_open(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    process = subprocess.Popen([*FAPO, "ui", "--no-open"], env=environment(tmp_path), cwd=tmp_path, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    assert process.stdout is not None
    with Tab(process.stdout.readline().strip()).open("/stream/runs"):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors
