"""The composite action's shell steps, run as GitHub runs them, on the stand-ins and a real remote."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.command import environment
from tests.support.repositories import bare_remote, checkout, commit_all, git
from tests.support.scripted import PIPELINE

ACTION: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "action.yml").read_text())


@dataclass(frozen=True)
class Job:
    """A job in a fresh checkout, which the action's steps run in one after the other."""

    tree: Path
    temp: Path

    def evaluate(self, text: str, inputs: dict[str, str]) -> str:
        """The few expressions that the action has."""

        def value(found: re.Match[str]) -> str:
            name = found.group(1).strip()
            if name.startswith("inputs."):
                return inputs[name.removeprefix("inputs.")]
            return {"runner.temp": str(self.temp), "github.token": "a-token", "github.action_path": "."}[name]

        return re.sub(r"\$\{\{(.*?)\}\}", value, text)

    def run(self, given: dict[str, str], **variables: str) -> tuple[int, dict[str, str], str]:
        """Exit code of the first step that fails, outputs by name, and what was printed."""
        defaults = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()}
        assert given.keys() <= defaults.keys()
        inputs = {name: self.evaluate(text, defaults) for name, text in (defaults | given).items()}
        output = self.temp / "output.txt"
        output.write_text("")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        base = environment(self.temp, CI="true", GITHUB_OUTPUT=str(output), GITHUB_RUN_ID="5", PATH=path)
        printed = ""
        for step in ACTION["runs"]["steps"]:
            if "run" not in step:
                continue
            own = {name: self.evaluate(text, inputs) for name, text in step.get("env", {}).items()}
            script = self.temp / "step.sh"
            script.write_text(step["run"])
            shell = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)]
            done = subprocess.run(shell, cwd=self.tree, env=base | own | variables, capture_output=True, text=True,
                                  check=False)  # fmt: skip
            printed += done.stdout + done.stderr
            if done.returncode:
                break
        values = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return done.returncode, values, printed


@pytest.fixture
def job(tmp_path: Path) -> Job:
    tree = checkout(bare_remote(tmp_path, PIPELINE), tmp_path / "tree").top
    return Job(tree, tmp_path / "temp")


def test_a_night_pushes_its_lock(job: Job, tmp_path: Path) -> None:
    job.temp.mkdir()
    code, values, printed = job.run({"pipeline": "pipe", "pull-request": "false", "arguments": "--optimize never"})
    assert code == 0, printed
    assert (values["status"], values["exit-code"]) == ("baseline", "0")
    assert set(values) >= {"score", "branch", "pull-request", "message"}
    assert git(tmp_path / "remote.git", "show", "fapo-lock:pipe/fapo.lock")
    assert (job.temp / "fapo-junit.xml").is_file()
    assert git(job.tree, "status", "--porcelain") == "?? pipe/fapo.lock"


def test_a_pull_request_is_held_against_its_base(job: Job) -> None:
    job.temp.mkdir()
    git(job.tree, "checkout", "--quiet", "-b", "change")
    route = job.tree / "pipe" / "prompts" / "route.md"
    route.write_text(route.read_text().replace("Choose the team", "Answer with only the name. Choose the team"))
    commit_all(job.tree, "a change")
    git(job.tree, "update-ref", "-d", "refs/remotes/origin/main")
    given = {"command": "gate", "pipeline": "pipe", "fail-under": "0.9", "arguments": "--limit 20"}
    code, values, printed = job.run(given, GITHUB_BASE_REF="main")
    assert code == 0, printed
    assert values["status"] == "passed"
    assert "points against origin/main" in values["message"]


def test_a_new_pipeline_has_nothing_to_be_compared_with(job: Job) -> None:
    job.temp.mkdir()
    git(job.tree, "mv", "pipe", "new")
    commit_all(job.tree, "moved")
    given = {"command": "gate", "pipeline": "new", "arguments": "--limit 3"}
    code, _, printed = job.run(given, GITHUB_BASE_REF="main")
    assert code == 0, printed
    assert "::notice::new is new" in printed


def test_another_command_is_refused(job: Job) -> None:
    job.temp.mkdir()
    code, _, printed = job.run({"command": "rm -rf", "pipeline": "$(touch owned)"})
    assert code == 2
    assert "use ci or gate" in printed
    assert not (job.tree / "owned").exists()


def test_every_output_is_one_of_its_steps_and_no_input_is_pasted_into_a_script() -> None:
    steps = ACTION["runs"]["steps"]
    known = {step["id"] for step in steps if "id" in step}
    for value in (output["value"] for output in ACTION["outputs"].values()):
        assert re.fullmatch(r"\$\{\{ (steps\.(\w+)\.outputs\.[\w-]+|inputs\.[\w-]+|runner\.temp) \}\}[\w/-]*", value)
        assert all(name in known for name in re.findall(r"steps\.(\w+)\.", value))
    assert all("${{" not in step.get("run", "") for step in steps)
