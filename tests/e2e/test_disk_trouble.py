"""A disk that is full: one line says so, what was written is whole, and with room again the work goes on from there.

A limit on the size of files stands in for the disk: the write that crosses it is cut short, and the next one fails.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.e2e.test_interruption import PIPELINE, essence, left_over, paid
from tests.support.command import Done, builtin, fapo

QUICKSTART = "quickstart"
CASES_IN_FLIGHT = 3 * 32  # at the default concurrency


def fapo_on_a_full_disk(folder: Path, kibibytes: int, *arguments: str | Path) -> Done:
    return fapo(folder, *arguments, program=["prlimit", f"--fsize={kibibytes * 1024}"])


def told(done: Done) -> str:
    assert done.code == 3, done.err
    assert "Traceback" not in done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("error")]
    return line


def test_an_evaluation_stops_with_whole_lines_and_goes_on(tmp_path: Path) -> None:
    line = told(fapo_on_a_full_disk(tmp_path, 64, "eval", QUICKSTART))
    match = re.search(r"(\S+)/traces.jsonl: cannot be written \(File too large\).* fapo eval --resume (\S+)", line)
    assert match, line
    directory = Path(match.group(1))
    assert match.group(2) == str(directory)
    records = [json.loads(text) for text in (directory / "traces.jsonl").read_text().splitlines()]
    assert 10 < len(records) < 80
    assert left_over(tmp_path) == []
    done = fapo(tmp_path, "eval", "--resume", directory, "--json")
    (tmp_path / "whole").mkdir()
    whole = fapo(tmp_path / "whole", "eval", QUICKSTART, "--json")
    assert done.json["score"] == whole.json["score"]
    kept = (directory / "traces.jsonl").read_text().splitlines()[: len(records)]
    assert [json.loads(text) for text in kept] == records


def test_an_optimization_goes_on_to_the_same_end(tmp_path: Path) -> None:
    reference = fapo(tmp_path, "optimize", PIPELINE, "--json").json
    folder = tmp_path / "full"
    folder.mkdir()
    room = max(path.stat().st_size for path in (tmp_path / "runs").rglob("traces.jsonl")) // 1024
    stopped = fapo_on_a_full_disk(folder, room * 2 // 3, "optimize", PIPELINE)
    told(stopped)
    match = re.search(r"fapo optimize --resume (\S+)", stopped.err)
    assert match, stopped.err
    assert left_over(folder) == []
    done = fapo(folder, "optimize", "--resume", match.group(1), "--json")
    assert essence(done.json) == essence(reference)
    # The cache was as full: what was on its way could be kept nowhere.
    assert paid(folder) <= paid(tmp_path) + CASES_IN_FLIGHT


def test_without_room_for_replies_it_goes_on_and_says_that_it_keeps_none(tmp_path: Path) -> None:
    """One call at a time: each reply is a transaction of its own, which writes two pages at least.

    So ten of them come to twice the room that there is, and what is told of ten cases to half of it.
    """
    pipeline = builtin("pipelines", QUICKSTART)
    done = fapo_on_a_full_disk(tmp_path, 40, "eval", pipeline, "--json", "--limit", "10", "--concurrency", "1")
    assert done.code == 0, done.err
    assert done.err.count("replies are no longer cached") == 1
    assert done.json["score"]["n"] == 10
    assert Path(done.json["evaluation_dir"], "traces.jsonl").stat().st_size < 40 * 1024 * 2 // 3
