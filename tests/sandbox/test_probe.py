"""What a level holds off is found out by attacking: by any user, and on poorer machines than this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fapo.sandbox.policy import Level
from fapo.sandbox.probe import CONFINING, REQUIRED, WANTED, choose_level
from tests.sandbox import poor_machine
from tests.support.levels import EVERY, STRONGEST

CHECKOUT = Path(__file__).parents[2]
NOBODY = 65534

PROBE = """
import dataclasses, json, sys
from fapo.sandbox.probe import probe_level
print(json.dumps([dataclasses.asdict(probe_level(level)) for level in sys.argv[1:]]))
"""
CHOOSE = """
import json
from fapo.errors import IsolationError
from fapo.sandbox.probe import choose_level
try:
    print(json.dumps(choose_level("auto").level))
except IsolationError as error:
    print(json.dumps(f"refused: {error}"))
"""


@dataclass(frozen=True)
class Somebody:
    """A user, and an interpreter that this user can run and that imports fapo."""

    uid: int
    python: str

    def run(self, code: str, *arguments: str) -> Any:
        done = subprocess.run(
            [self.python, "-I", "-B", "-c", code, *arguments], capture_output=True, text=True, check=False, cwd="/",
            user=self.uid if self.uid != os.geteuid() else None,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def interpreters_of_anybody() -> list[str]:
    """Interpreters of the system, new enough for fapo, that an ordinary user can run; empty unless this is root."""
    found = []
    for name in ("/usr/bin/python3", "/usr/local/bin/python3") if os.geteuid() == 0 else ():
        version = [name, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        if Path(name).exists() and subprocess.run(version, check=False, user=NOBODY, cwd="/").returncode == 0:
            found.append(name)
    return found[:1]


@pytest.fixture(scope="module", params=["this user", *(f"nobody, {name}" for name in interpreters_of_anybody())])
def somebody(request: pytest.FixtureRequest) -> Iterator[Somebody]:
    _, _, interpreter = request.param.partition(", ")
    if not interpreter:
        yield Somebody(os.geteuid(), sys.executable)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        subprocess.run([interpreter, "-m", "venv", "--without-pip", folder], check=True)
        (packages,) = Path(folder).glob("lib/python3*/site-packages")
        (packages / "fapo.pth").write_text(f"{CHECKOUT}\n")
        yield Somebody(NOBODY, f"{folder}/bin/python")


@pytest.fixture(scope="module")
def reports(somebody: Somebody) -> dict[Level, dict[str, Any]]:
    found = somebody.run(PROBE, *EVERY)
    return {report["level"]: report for report in found}


@pytest.mark.parametrize("level", CONFINING)
def test_all_claims_of_a_confining_level_hold(reports: dict[Level, dict[str, Any]], level: Level) -> None:
    assert reports[level]["works"], reports[level]["reason"]
    assert {claim["name"] for claim in reports[level]["claims"]} == {*REQUIRED, *WANTED}
    assert [claim for claim in reports[level]["claims"] if claim["holds"] is False] == []


def test_without_confinement_the_same_attacks_breach_everything(
    reports: dict[Level, dict[str, Any]], somebody: Somebody
) -> None:
    assert not reports["none"]["works"]
    holds = {claim["name"]: claim["holds"] for claim in reports["none"]["claims"]}
    settings = holds.pop("kernel settings")
    assert set(holds.values()) == {False}
    assert settings is (False if somebody.uid == 0 else None)


def test_the_strongest_level_that_works_is_chosen(somebody: Somebody) -> None:
    assert somebody.run(CHOOSE) == STRONGEST


def test_no_isolation_is_not_probed() -> None:
    report = choose_level("none")
    assert (report.level, report.works, report.claims) == ("none", True, ())


def choose_on_a_machine(without: str, path: str = os.defpath) -> str:
    command = [sys.executable, poor_machine.__file__, without, sys.executable, "-I", "-B", "-c", CHOOSE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": path}, cwd="/")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout))


@pytest.mark.needs_level("full")
def test_without_user_namespaces_code_is_confined_by_landlock() -> None:
    assert choose_on_a_machine("namespaces") == "landlock"


def test_without_bubblewrap_code_is_confined_by_landlock(tmp_path: Path) -> None:
    assert choose_on_a_machine("", str(tmp_path)) == "landlock"


@pytest.mark.needs_level("full")
@pytest.mark.parametrize("without", ["landlock", "landlock,namespaces"])
def test_without_landlock_nothing_is_run_and_the_message_says_what_to_do(without: str) -> None:
    said = choose_on_a_machine(without)
    assert said.startswith("refused: code cannot be confined on this machine")
    assert "Linux 6.2" in said
    assert "--isolation none" in said
    assert ("allow user namespaces" in said) is ("namespaces" in without)


def test_a_missing_bubblewrap_is_named_with_what_to_install(tmp_path: Path) -> None:
    assert "apt install bubblewrap" in choose_on_a_machine("landlock", str(tmp_path))


def test_a_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {"PATH": os.defpath, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-I", "-B", "-c", PROBE, *EVERY]
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert b'"claims": []' not in done.stdout
    assert list(tmp_path.iterdir()) == []


FORK = """
import os
from fapo.sandbox.confine import confine
from fapo.sandbox.policy import Policy, runtime_paths
confine(Policy(read=runtime_paths(), programs=True), "full")
started = 0
read, write = os.pipe()
try:
    while started < 600:
        if os.fork() == 0:
            os.read(read, 1)
        started += 1
except OSError:
    pass
print(started, flush=True)
os._exit(0)
"""
START_FORKS = f"""
import json, subprocess, sys
from fapo.sandbox.launch import outer_command
from fapo.sandbox.policy import Policy, runtime_paths
outer = outer_command(Policy(read=runtime_paths(), programs=True), "full")
done = subprocess.run([*outer, sys.executable, "-I", "-B", "-c", {FORK!r}], capture_output=True, text=True, env={{}})
print(json.dumps([int(done.stdout), done.stderr]))
"""


@pytest.mark.needs_level("full")
def test_programs_of_an_ordinary_user_are_limited_in_number(somebody: Somebody) -> None:
    """The kernel applies no such limit to root."""
    started, errors = somebody.run(START_FORKS)
    assert errors == ""
    assert (started < 512) is (somebody.uid != 0)
