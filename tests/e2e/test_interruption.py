"""Ctrl-C and kill -9, at many instants: what is left can be resumed, ends the same, and pays for nothing twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import fapo, start

PIPELINE = Path(__file__).parent.parent / "pipelines" / "prompt_suffices"


def journal(folder: Path) -> Path:
    return next((folder / "runs").glob("*/journal.jsonl"))


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes] | None, seconds: float = 60) -> bool:
    """Poll until `condition()`; False where `process` ended first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        if process is not None and process.poll() is not None:
            return False
        time.sleep(0.01)
    raise AssertionError("the awaited state did not come")


def lines(folder: Path, name: str) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (folder / "runs").glob(f"*/{name}"))


def essence(result: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on interruptions."""
    variants = [{k: v[k] for k in ("id", "level", "technique", "verdict", "difference")} for v in result["variants"]]
    return {key: result[key] for key in ("status", "baseline", "best", "test_gain", "levels")} | {"variants": variants}


def paid(folder: Path) -> int:
    """Replies that were paid for, over all traces of a run."""
    total = 0
    for path in (folder / "runs").glob("*/evaluations/*/traces.jsonl"):
        for line in path.read_text().splitlines():
            total += sum(step["usage"]["llm_calls"] for step in json.loads(line)["steps"])
    return total


def left_over(folder: Path) -> list[str]:
    """Processes that still mention the folder, or its run, in their command or environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text:
            found.append(f"{entry.name}: {(entry / 'cmdline').read_bytes()[:200]!r}")
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = fapo(folder, "optimize", PIPELINE, "--json")
    assert done.code == 0, done.err
    return folder, done.json


MOMENTS = {
    "in the first evaluation": ("evaluations/000-validation/traces.jsonl", 5),
    "in the second evaluation": ("evaluations/000-train/traces.jsonl", 5),
    "in the validation of a variant": ("evaluations/0[0-9][1-9]-validation/traces.jsonl", 3),
    "when test is open": ("evaluations/000-test/traces.jsonl", 3),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_is_resumed_to_the_same_end(
    undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path, moment: str
) -> None:
    name, count = MOMENTS[moment]
    process = start(tmp_path, "optimize", PIPELINE)
    wait_for(lambda: lines(tmp_path, name) >= count, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not left_over(tmp_path), None, seconds=20)
    done = fapo(tmp_path, "optimize", "--resume", journal(tmp_path).parent, "--json")
    assert done.code == 0, done.err
    reference, result = undisturbed
    assert essence(done.json) == essence(result)
    assert paid(tmp_path) <= paid(reference)


def test_ctrl_c_saves_and_says_how_to_go_on(undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    process = start(tmp_path, "optimize", PIPELINE)
    wait_for(lambda: lines(tmp_path, "evaluations/000-train/traces.jsonl") >= 5, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    output = (tmp_path / "output.txt").read_text()
    match = re.search(r"fapo optimize --resume (\S+)", output)
    assert match, output
    assert "Traceback" not in output
    assert left_over(tmp_path) == []
    done = fapo(tmp_path, "optimize", "--resume", match.group(1), "--json")
    assert essence(done.json) == essence(undisturbed[1])


def test_a_finished_run_can_be_resumed_and_pays_nothing(undisturbed: tuple[Path, dict[str, Any]]) -> None:
    folder, result = undisturbed
    before = journal(folder).read_bytes()
    done = fapo(folder, "optimize", "--resume", result["run_dir"], "--json")
    assert essence(done.json) == essence(result)
    assert journal(folder).read_bytes() == before


def test_an_interrupted_evaluation_is_resumed_without_paying_twice(tmp_path: Path) -> None:
    process = start(tmp_path, "eval", PIPELINE, "--concurrency", "2")
    wait_for(lambda: lines(tmp_path, "traces.jsonl") >= 10, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    directory = next((tmp_path / "runs").iterdir())
    done = fapo(tmp_path, "eval", PIPELINE, "--resume", directory, "--json")
    assert done.code == 0, done.err
    (tmp_path / "whole").mkdir()
    whole = fapo(tmp_path / "whole", "eval", PIPELINE, "--json")
    assert done.json["score"] == whole.json["score"]
    assert done.json["usage"]["llm_calls"] <= whole.json["usage"]["llm_calls"]
