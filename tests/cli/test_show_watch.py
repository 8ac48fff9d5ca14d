"""`fapo show` reads a run or an evaluation back; `fapo watch` follows one that another process makes, to its end."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.command import FAPO, environment, fapo, optimize, start
from tests.support.scripted import PIPELINE


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with one run, made with an eye on it, and an evaluation."""
    folder = tmp_path_factory.mktemp("watched")
    shutil.copytree(PIPELINE, folder / "pipeline", ignore=shutil.ignore_patterns("fapo.lock"))
    run = Path(optimize(folder, folder / "pipeline", "--no-noise-floor", "--no-review-agent")["run_dir"])
    assert fapo(folder, "eval", folder / "pipeline", "--limit", "4", "--json").code == 0
    return folder, run


def in_terminal(folder: Path, *arguments: str, term: str = "xterm-256color") -> str:
    """What a terminal of 80 columns is sent."""
    main, other = pty.openpty()
    variables = environment(folder, TERM=term, COLUMNS="80")
    with subprocess.Popen([*FAPO, *arguments], stdout=other, stderr=other, stdin=other, env=variables) as process:
        os.close(other)
        shown = b""
        while select.select([main], [], [], 120)[0]:
            try:
                shown += os.read(main, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
        process.wait()
    os.close(main)
    return shown.decode()


def test_a_run_is_shown_by_verdict_variants_and_what_to_do_next(ran: tuple[Path, Path]) -> None:
    folder, run = ran
    shown = fapo(folder, "show", run.name).out
    assert "Variant 001 (prompt) is better than the baseline on test" in shown
    assert f"fapo apply {run.name}" in shown
    assert "stand-in" in shown
    found = fapo(folder, "show", run.name, "--json").json
    assert (found["status"], found["best"]["variant"], found["best"]["level"]) == ("improved", "001", "prompt")
    assert found["baseline"]["test"] < found["best"]["test"] == 1.0
    reported = (run / "report.md").read_text()
    low, high = found["test_gain"]["ci95"]
    assert f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}" in reported


def test_an_evaluation_is_shown_by_score_steps_and_the_lowest_cases(ran: tuple[Path, Path]) -> None:
    folder, run = ran
    latest = fapo(folder, "show", "latest").out
    assert "on 4 cases" in latest
    assert "where it is lost:  fapo attribute" in latest
    found = fapo(folder, "show", f"{run.name}/evaluations/001-test", "--json").json
    assert (found["split"], found["variant"], found["score"]["mean"]) == ("test", "001", 1.0)
    assert found["failing"] == []


@pytest.mark.parametrize("command", ["show", "watch"])
def test_what_is_neither_is_named(command: str, tmp_path: Path) -> None:
    refused = fapo(tmp_path, command, tmp_path)
    assert (refused.code, "neither a run nor an evaluation" in refused.err) == (2, True)


def test_a_run_that_has_not_ended_says_how_to_go_on(ran: tuple[Path, Path], tmp_path: Path) -> None:
    folder, run = ran
    copy = tmp_path / "runs" / run.name
    shutil.copytree(run, copy)
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "journal.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:20])
    shown = fapo(tmp_path, "show", "latest")
    assert shown.code == 0, shown.err
    assert "This run did not end, so nothing is proved" in shown.out
    assert f"fapo optimize --resume {run.name}" in shown.out
    watched = fapo(tmp_path, "watch", "latest", "--interval", "0.05")
    assert watched.code == 1
    assert "no process works on it any more" in watched.out
    applied = fapo(tmp_path, "apply", "latest", "--to", folder / "pipeline")
    assert "nothing to apply" in applied.out


def test_a_running_one_is_followed_to_its_end(tmp_path: Path) -> None:
    shutil.copytree(PIPELINE, tmp_path / "pipeline", ignore=shutil.ignore_patterns("fapo.lock"))
    process = start(tmp_path, "optimize", tmp_path / "pipeline", "--no-noise-floor", "--no-review-agent")
    runs = tmp_path / "runs"
    while not list(runs.glob("*/run.json")):
        assert process.poll() is None
    watched = fapo(tmp_path, "watch", "latest", "--interval", "0.1")
    assert process.wait() == 0
    assert watched.code == 0, watched.err
    events = [line for line in watched.out.splitlines() if line[:2].strip().isdigit()]
    assert "level prompt opened" in events[0]
    assert any("variant 001" in line and "accepted" in line for line in events)
    assert watched.out.splitlines()[-2].startswith("Variant 001 (prompt) is better than the baseline on test")
    assert "\x1b" not in watched.out


def test_colour_and_motion_are_for_real_terminals_only(ran: tuple[Path, Path]) -> None:
    folder, run = ran
    live = in_terminal(folder, "watch", run.name)
    assert "\x1b[" in live
    assert "\x1b" not in in_terminal(folder, "watch", run.name, term="dumb")


@pytest.mark.parametrize("command", ["runs", "show RUN", "show latest", "compare", "trace latest CASE", "diff RUN"])
def test_pipes_and_dumb_terminals_get_plain_text_with_tables_of_80_columns(
    command: str, ran: tuple[Path, Path]
) -> None:
    folder, run = ran
    if command == "compare":
        command = f"compare {run}/evaluations/000-test {run}/evaluations/001-test"
    case = fapo(folder, "show", "latest", "--json").json["failing"][0] if "CASE" in command else ""
    arguments = command.replace("RUN", run.name).replace("CASE", case).split()
    piped = fapo(folder, *arguments)
    assert piped.code == 0, piped.err
    assert "\x1b" not in piped.out
    dumb = in_terminal(folder, *arguments, term="dumb")
    assert "\x1b" not in dumb
    tables = [line for line in piped.out.splitlines() if "   " in line.strip() and "fapo " not in line]
    assert all(len(line) <= 80 for line in tables if not line.startswith("gain on"))
