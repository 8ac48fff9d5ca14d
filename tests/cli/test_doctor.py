"""`fapo doctor` tells what the machine holds off, and fails where it can confine nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fapo.sandbox.probe import REQUIRED, WANTED
from tests.sandbox import poor_machine
from tests.support.levels import HERE, STRONGEST


def doctor(home: Path, *options: str, without: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a machine that lacks something, with this environment alone."""
    poorer = [sys.executable, poor_machine.__file__, without]
    environment = {
        "PATH": os.defpath, "HOME": str(home), "FAPO_RUNS_DIR": str(home / "runs" / "new"), "LANG": "C.UTF-8",
        "FAPO_CACHE_DIR": str(home / "cache"), "NO_COLOR": "1", "TERM": "dumb", **variables,
    }  # fmt: skip
    command = [*poorer, sys.executable, "-m", "fapo.cli", "doctor", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_each_level_is_reported_with_its_claims(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert [level["level"] for level in found["levels"]] == ["full", "landlock", "none"]
    assert [level["level"] for level in found["levels"] if level["works"]] == list(HERE)
    assert {claim["name"] for level in found["levels"] for claim in level["claims"]} == {*REQUIRED, *WANTED}
    assert found["auto"] == STRONGEST
    assert found["machine"]["landlock_abi"] >= 3
    assert min(found["free_bytes"].values()) > 0


def test_it_looks_for_credentials_and_shows_none(tmp_path: Path) -> None:
    assert json.loads(doctor(tmp_path, "--json").stdout)["agent"]["credentials"] is None
    done = doctor(tmp_path, "--json", ANTHROPIC_API_KEY="sk-secret")
    assert json.loads(done.stdout)["agent"]["credentials"] == "api_key"
    assert "sk-secret" not in done.stdout
    done = doctor(tmp_path, "--json", OPENAI_API_KEY="sk-other")
    agent = json.loads(done.stdout)["agent"]
    assert (agent["credentials"], agent["codex_credentials"]) == (None, "openai_key")
    assert agent["codex"].endswith("codex")
    assert "sk-other" not in done.stdout


def test_the_table_names_what_is_attacked_and_the_level_that_is_taken(tmp_path: Path) -> None:
    shown = doctor(tmp_path).stdout
    rows = [line.split("  ")[0] for line in shown.splitlines()]
    assert [row for row in rows if row in (*REQUIRED, *WANTED)] == [*REQUIRED, *WANTED]
    assert f"takes level {STRONGEST}" in shown
    assert "set ANTHROPIC_API_KEY" in shown


@pytest.mark.needs_level("full")
def test_without_namespaces_a_weaker_level_is_taken_and_the_remedy_told(tmp_path: Path) -> None:
    done = doctor(tmp_path, without="namespaces")
    assert done.returncode == 0
    assert "takes level landlock" in done.stdout
    assert "level full does not work" in done.stdout
    assert "allow user namespaces" in done.stdout


def test_where_nothing_confines_it_fails(tmp_path: Path) -> None:
    shown, as_json = (doctor(tmp_path, *options, without="landlock") for options in ((), ("--json",)))
    assert shown.returncode == as_json.returncode == 1
    assert "none is run" in shown.stdout
    assert "Linux 6.2" in shown.stdout
    assert json.loads(as_json.stdout)["auto"] is None


def test_programs_folders_and_extras_are_checked_with_a_remedy_for_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = doctor(tmp_path, "--json", FAPO_RUNS_DIR=str(tmp_path / "file" / "runs"), GROQ_API_KEY="gsk-secret", PATH="")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1
    assert "gsk-secret" not in done.stdout
    assert checks["model keys"]["found"] == "GROQ_API_KEY"
    assert (checks["folder of runs"]["status"], "FAPO_RUNS_DIR" in checks["folder of runs"]["remedy"]) == ("bad", True)
    assert (checks["git"]["status"], checks["Python"]["status"]) == ("missing", "ok")
    assert all(check["remedy"] for check in checks.values() if check["status"] != "ok")


def test_models_are_asked_only_where_that_is_wished(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--json", "--probe", "standin/reader", "--probe", "openai/gpt-4.1-mini")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1
    assert checks["probe standin/reader"]["found"].startswith("answers in")
    assert "set OPENAI_API_KEY" in checks["probe openai/gpt-4.1-mini"]["found"]
    assert not (tmp_path / "cache").exists()
