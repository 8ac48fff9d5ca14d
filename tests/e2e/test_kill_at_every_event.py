"""kill -9 after each event of the journal: resumed, the run ends as an undisturbed one and pays no reply twice."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_interruption import PIPELINE, essence, journal, left_over, lines, paid, wait_for
from tests.support.command import fapo, start

EVENTS = 22


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = fapo(folder, "optimize", PIPELINE, "--json")
    assert done.code == 0, done.err
    return folder, done.json


def test_every_event_of_the_journal_is_covered(undisturbed: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = undisturbed
    assert lines(folder, "journal.jsonl") == EVENTS


@pytest.mark.parametrize("events", range(1, EVENTS))
def test_killed_after_an_event(undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path, events: int) -> None:
    process = start(tmp_path, "optimize", PIPELINE)
    wait_for(lambda: lines(tmp_path, "journal.jsonl") >= events, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not left_over(tmp_path), None, seconds=20)
    done = fapo(tmp_path, "optimize", "--resume", journal(tmp_path).parent, "--json")
    assert done.code == 0, done.err
    reference, result = undisturbed
    assert essence(done.json) == essence(result)
    assert paid(tmp_path) <= paid(reference)
