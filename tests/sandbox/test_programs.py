"""A sandbox in which programs may be run, as the coding agent's needs it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from fapo.sandbox.policy import Level, Policy, runtime_paths
from fapo.sandbox.probe import CONFINING
from tests.sandbox.attacks import run_code

SHELL = (Path("/bin"), Path("/usr/bin"))

RUNNER = """
import json, os, subprocess, sys
from pathlib import Path
from fapo.sandbox.confine import confine
from fapo.sandbox.policy import Policy, runtime_paths

level, workspace, scripts = json.loads(sys.stdin.read())
read = (Path("/bin"), Path("/usr/bin"), *runtime_paths())
confine(Policy(read=read, write=(Path(workspace),), programs=True), level)
os.chdir(workspace)
said = {}
for script in scripts:
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True)
    said[script] = [done.returncode, done.stdout]
print(json.dumps(said))
"""


def run_scripts(level: Level, workspace: Path, *scripts: str) -> dict[str, list[object]]:
    """Exit code and output of shell scripts, one after another in one sandbox."""
    policy = Policy(read=(*SHELL, *runtime_paths()), write=(workspace,), programs=True)
    said = run_code(RUNNER, policy, level, said=json.dumps([level, str(workspace), scripts]))
    found: dict[str, list[object]] = json.loads(said)
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "labels").write_text("label\n")
    return tmp_path / "workspace"


@pytest.mark.parametrize("level", CONFINING)
def test_programs_do_their_work(level: Level, workspace: Path) -> None:
    work = {
        "echo hello > file && cat file": "hello\n",
        "echo a | cat | cat": "a\n",
        "sleep 100 & kill $! && wait $! || echo killed": "killed\n",
        "mkdir -p a/b && mv file a/b && ls a/b": "file\n",
        "echo gone > /dev/null": "",
    }
    said = run_scripts(level, workspace, *work)
    assert {script: output for script, (_, output) in said.items()} == work


@pytest.mark.parametrize("level", CONFINING)
def test_programs_are_confined_as_what_started_them(level: Level, workspace: Path) -> None:
    labels, parent = workspace.parent / "labels", os.getpid()
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, start_new_session=True) as victim:
        attacks = [
            f"cat {labels}",
            f"ln -s {labels} link && cat link",
            f"echo x >> {labels}",
            f"rm {labels}",
            f"cat /proc/{parent}/environ",
            f"ls /proc/{parent}/root/",
            f"kill {victim.pid}",
            f"kill -KILL -- -{victim.pid}",
            "unshare --user true",
            "mount -t tmpfs none .",
            f"chmod 777 {labels}",
            "cp /bin/true . && ./true",
        ]
        free = run_scripts("none", workspace, *attacks[:2])
        said = run_scripts(level, workspace, *attacks)
        assert victim.stdin is not None
        victim.stdin.close()
        assert victim.wait() == 0
    assert [code for code, _ in free.values()] == [0, 0]
    assert [script for script, (code, _) in said.items() if code == 0] == []
    assert labels.read_text() == "label\n"


def start_a_daemon(level: Level, workspace: Path) -> tuple[int, bool]:
    """The daemon's process id, as the sandbox has it, and whether it is gone. It holds the other end of a pipe."""
    os.mkfifo(workspace / "pipe")
    with open(os.open(workspace / "pipe", os.O_RDONLY | os.O_NONBLOCK)) as pipe:
        script = "setsid sleep 1000 > pipe 2> pipe & echo $!"
        said = run_scripts(level, workspace, script)[script][1]
        watch = select.poll()
        watch.register(pipe, 0)
        gone = bool(watch.poll(5000 if level == "full" else 0))
    return int(str(said)), gone


@pytest.mark.needs_level("full")
def test_nothing_that_was_started_outlives_level_full(workspace: Path) -> None:
    assert start_a_daemon("full", workspace)[1]


def test_a_daemon_outlives_a_free_process(workspace: Path) -> None:
    daemon, gone = start_a_daemon("none", workspace)
    os.kill(daemon, signal.SIGKILL)
    assert not gone


@pytest.mark.parametrize("level", CONFINING)
def test_claude_code_starts(level: Level, workspace: Path) -> None:
    spec = find_spec("claude_agent_sdk")
    assert spec is not None
    assert spec.origin is not None
    cli = Path(spec.origin).parent / "_bundled" / "claude"
    code = f"""
        import os
        from pathlib import Path
        from fapo.sandbox.confine import confine
        from fapo.sandbox.policy import Policy, runtime_paths
        cli, workspace = Path({str(cli)!r}), Path({str(workspace)!r})
        policy = Policy(read=(cli, *runtime_paths()), write=(workspace,), network="port", port=9, programs=True)
        confine(policy, {level!r})
        environment = {{**os.environ, "HOME": str(workspace), "TMPDIR": str(workspace)}}
        os.execve(cli, [str(cli), "--version"], environment)
    """
    policy = Policy(read=(cli, *runtime_paths()), write=(workspace,), network="port", port=9, programs=True)
    assert "Claude Code" in run_code(code, policy, level)
