from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fapo.errors import UsageError
from fapo.records import CaseRecord, Failure, Prediction, Score, Step, Usage
from fapo.store.files import (
    LineLog,
    from_json,
    lock_directory,
    make_directory,
    read_lines,
    to_json,
    write_atomic,
)


def test_a_record_survives_the_way_through_json() -> None:
    step = Step("classify", "llm", {"messages": []}, "CWE-79", 0.1, 0.2, "m", Usage(1, 0, 10, None, None), "stop")
    record = CaseRecord(
        "c1", 0, (step,), Prediction({"a": [1, None]}, ("t",)), Score(0.5, {"f": 0.5}, "why"), None, 0.3
    )
    assert from_json(CaseRecord, to_json(record)) == record


def test_a_torn_last_line_is_dropped_and_written_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":2}\n{"a":')
    log = LineLog(path)
    log.append(b'{"a":3}')
    log.close()
    assert list(read_lines(path)) == [b'{"a":1}', b'{"a":2}', b'{"a":3}']


def test_a_file_that_is_only_a_torn_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"x" * 200_000)
    LineLog(path).close()
    assert path.read_bytes() == b""


def test_a_line_for_which_there_is_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    code = (
        "import resource, sys; from pathlib import Path; from fapo.store.files import LineLog\n"
        "from fapo.errors import StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "log = LineLog(Path(sys.argv[1]))\n"
        "begins = [log.append(b'x' * 600)]\n"
        "try: log.append(b'y' * 600)\n"
        "except StorageError as error: print(error)\n"
        "begins.append(log.append(b'z' * 99))\n"
        "print(begins)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[0].startswith(f"{path}: cannot be written (File too large)")
    assert done.stdout.splitlines()[1] == "[0, 601]"
    assert list(read_lines(path)) == [b"x" * 600, b"z" * 99]


def test_lines_appended_before_a_kill_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    code = (
        "import os, signal, sys; from pathlib import Path; from fapo.store.files import LineLog\n"
        "log = LineLog(Path(sys.argv[1]))\n"
        "for i in range(100): log.append(b'%d' % i)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(read_lines(path)) == [b"%d" % i for i in range(100)]


def test_an_atomic_write_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomic(path, "one")
    write_atomic(path, b"two")
    assert path.read_text() == "two"
    assert os.listdir(path.parent) == ["file"]


def test_a_directory_that_cannot_be_written_is_named_with_a_remedy(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(UsageError, match=r"file/runs: cannot be written .*FAPO_RUNS_DIR"):
        make_directory(blocker / "runs")


def test_a_directory_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        lock_directory(tmp_path),
        pytest.raises(UsageError, match="another fapo process"),
        lock_directory(tmp_path),
    ):
        pass
    with lock_directory(tmp_path):
        pass


@pytest.mark.parametrize(
    ("record", "value"),
    [
        (CaseRecord("c", 0, (), Prediction("x"), Score(0.25), None, 0.0), 0.25),
        (CaseRecord("c", 0, (), None, None, Failure("pipeline", "raised", "x"), 0.0), 0.0),
        (CaseRecord("c", 0, (), None, None, Failure("provider", "unavailable", "x"), 0.0), None),
    ],
)
def test_a_pipeline_failure_counts_zero_and_a_provider_failure_counts_nothing(
    record: CaseRecord, value: float | None
) -> None:
    assert record.value == value


def test_an_unknown_cost_makes_the_sum_unknown() -> None:
    total = Usage(1, 0, 5, 5, 0.5) + Usage(1, 0, 5, 5, None)
    assert total == Usage(2, 0, 10, 10, None)
