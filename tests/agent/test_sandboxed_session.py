"""A model with a shell that attacks the sandbox of its own process, through the real CLI.

The guard and the permission rules are off, and the policy is widened by a shell and a Python, so that the operating
system alone stands in the way. The same attacks are also played to a plain CLI: unless marked as harmless, they get
through there.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import claude_agent_sdk
import psutil
import pytest

from fapo.agent import confine
from fapo.agent.cage import open_cage
from fapo.agent.claude import find_cli
from fapo.sandbox.policy import Level, runtime_paths
from fapo.sandbox.probe import CONFINING
from tests.agent.attacks import ATTACKS, BREACHED, CANARY, ORDINARY, PERMITTED, PROXY, Attack, Kind, Placed, bash

if TYPE_CHECKING:
    from aiohttp import web

    from tests.agent.conftest import Block, Stage

KEY = f"{CANARY}-real-key"
PROGRAMS = (Path("/bin"), Path("/usr/bin"), *runtime_paths())
TOOLS = ["Read", "Write", "Grep", "Bash"]


@dataclass
class Targets:
    """What is attacked beside files: a process, and a socket for each attack of the network."""

    victim: subprocess.Popen[bytes]
    sockets: dict[str, socket.socket] = field(default_factory=dict)

    def place(self, name: str) -> str:
        address = self.sockets[name].getsockname()
        if isinstance(address, bytes):
            return address[1:].decode()
        return address if isinstance(address, str) else str(address[1])

    def reached(self) -> set[str]:
        watch = select.poll()
        names = {target.fileno(): name for name, target in self.sockets.items()}
        for descriptor in names:
            watch.register(descriptor, select.POLLIN)
        return {names[descriptor] for descriptor, _ in watch.poll(0)}


@contextmanager
def lay_out(stage: Stage) -> Iterator[Targets]:
    with ExitStack() as stack:
        targets = Targets(stack.enter_context(start_victim(stage)))
        for name, attack in ATTACKS.items():
            if attack.target:
                targets.sockets[name] = stack.enter_context(open_target(attack.target, stage.root / name))
        yield targets


@contextmanager
def start_victim(stage: Stage) -> Iterator[subprocess.Popen[bytes]]:
    """A process with secrets in its environment and arguments, with a number that no process of a sandbox has."""
    command = ["/bin/sh", "-c", "read line", f"{CANARY}-argument"]
    variables = {"SECRET": f"{CANARY}-environment"}
    while True:
        with subprocess.Popen(command, stdin=subprocess.PIPE, env=variables, cwd=stage.root) as victim:
            if victim.pid > 2000:
                yield victim
                victim.kill()
                return
            victim.kill()


def open_target(kind: Kind, path: Path) -> socket.socket:
    if kind == "tcp":
        return socket.create_server(("127.0.0.1", 0))
    target = socket.socket(
        socket.AF_INET if kind == "udp" else socket.AF_UNIX,
        socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM,
    )
    target.bind(("127.0.0.1", 0) if kind == "udp" else str(path) if kind == "unix" else f"\0{path}")
    if kind != "udp":
        target.listen()
    return target


def set_traps(stage: Stage) -> None:
    root = stage.root
    for path in (
        "secret/labels.jsonl", "secret/moved.jsonl", f"secret/{CANARY}-name", "splits/test.jsonl",
        "user/.ssh/id_ed25519", "user/.aws/credentials", "run/config.yaml", "run/journal.jsonl", "run/state.json",
        "run/trials/1.json",
    ):  # fmt: skip
        stage.put(root / path, f"{CANARY}-{path}\n")
    (root / "elsewhere").mkdir()
    stage.put(root / "home" / "claude", "in a plain session there is no launcher\n")
    (stage.workspace / "link.jsonl").symlink_to(root / "secret" / "labels.jsonl")


def calls() -> Iterator[tuple[str, Attack]]:
    for name, (work, _) in ORDINARY.items():
        yield f"ok_{name}", work
    yield "process_limit", bash("ulimit -u")
    yield "permitted", PERMITTED
    for name, (attack, _) in PROXY.items():
        yield f"proxy_{name}", attack
    yield from ATTACKS.items()


def turns(stage: Stage, targets: Targets, endpoint: str, handover: Path | None) -> list[list[Block]]:
    """One call a turn."""
    places = {
        "root": stage.root,
        "ws": stage.workspace,
        "victim": targets.victim.pid,
        "fapo": os.getpid(),
        "endpoint": endpoint.rpartition(":")[2],
        "handover": handover or "/nonexistent/handover",
    }
    told: list[list[Block]] = []
    for name, attack in calls():
        known = {**places, "name": name, "target": targets.place(name) if attack.target else ""}
        arguments = {key: Placed(text).substitute(known) for key, text in attack.arguments.items()}
        told.append([{"type": "tool_use", "name": attack.tool, "input": arguments, "id": name}])
    return told


def files(root: Path) -> dict[str, str]:
    """What every regular file below `root` holds."""
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(root)): path.read_text(encoding="utf-8", errors="replace") for path in found}


@dataclass(frozen=True)
class Request:
    path: str
    key: str | None


@dataclass
class Scene:
    """A session that is over. `requests` are those that the endpoint got."""

    stage: Stage
    level: Level | None
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)
    killed: bool = False
    survivors: set[str] = field(default_factory=set)
    ended: str = ""

    def got_through(self, name: str) -> bool:
        attack, (_, answer) = ATTACKS[name], self.stage.outcome(name)
        return {
            "told": CANARY in answer or BREACHED in answer,
            "changed": self.before.get(attack.lands) != self.after.get(attack.lands),
            "reached": name in self.reached,
            "killed": self.killed,
            "survived": name in self.survivors,
        }[attack.sign]

    def changed(self) -> set[str]:
        """Files that changed, came or went, outside of what the session may write."""
        mine = ("workspace/", "home/config/", "home/tmp/", "home/user/")
        return {path for path, _ in self.before.items() ^ self.after.items() if not path.startswith(mine)}


def play(stage: Stage, level: Level | None, programs: tuple[Path, ...] = PROGRAMS) -> Scene:
    """A whole session at a level with more programs than fapo's own policy has, or with None of a plain CLI."""
    set_traps(stage)
    scene = Scene(stage, level)
    with lay_out(stage) as targets:
        asyncio.run(hold_session(scene, targets, programs))
        scene.after = files(stage.root)
        scene.reached = targets.reached()
        scene.killed = targets.victim.poll() is not None
        scene.survivors = end_survivors(stage)
    return scene


async def hold_session(scene: Scene, targets: Targets, programs: tuple[Path, ...]) -> None:
    stage = scene.stage
    script: list[list[Block]] = []

    async def note(request: web.Request) -> None:
        scene.requests.append(Request(request.path, request.headers.get("x-api-key")))

    async with stage.serve(script, note) as endpoint:
        given = {"ANTHROPIC_BASE_URL": endpoint, "ANTHROPIC_API_KEY": KEY, "IS_SANDBOX": "1"}
        task = stage.task(endpoint, environment=given)
        cli = find_cli(Path(claude_agent_sdk.__file__).parent)
        assert cli is not None
        async with open_cage(task, cli, scene.level or "none") as cage:
            script += turns(stage, targets, endpoint, cage.handover)
            if scene.level is None:
                home = {"HOME": f"{stage.home}/user", "CLAUDE_CONFIG_DIR": f"{stage.home}/config"}
                variables = {**given, **home, "NO_PROXY": "127.0.0.1"}
                start = cli
            else:
                cage = replace(cage, policy=replace(cage.policy, read=(*cage.policy.read, *programs)))
                start, variables = confine.write_launcher(task, cli, cage), confine.environment(task, cage)
            scene.before = files(stage.root)
            scene.ended = await converse(stage, start, variables)


async def converse(stage: Stage, start: Path, variables: dict[str, str]) -> str:
    options = claude_agent_sdk.ClaudeAgentOptions(
        cwd=stage.workspace,
        cli_path=start,
        env={**variables, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
        model=stage.task("").model,
        permission_mode="bypassPermissions",
        tools=TOOLS,
        setting_sources=[],
    )
    ended = "without a result"
    async for message in claude_agent_sdk.query(prompt="Attack.", options=options):
        if isinstance(message, claude_agent_sdk.ResultMessage):
            ended = f"error: {message.result}" if message.is_error else message.subtype
    return ended


def end_survivors(stage: Stage) -> set[str]:
    """Of what attacks left behind, their names."""
    names = {str(stage.root / name): name for name in ATTACKS}
    found = [(process, names.get((process.info["cmdline"] or [""])[0])) for process in psutil.process_iter(["cmdline"])]
    for process, name in found:
        if name:
            process.kill()
    return {name for _, name in found if name}


@pytest.fixture(scope="module", params=CONFINING)
def confined(request: pytest.FixtureRequest, make_stage: Callable[[], Stage]) -> Scene:
    return play(make_stage(), request.param)


@pytest.fixture(scope="module")
def plain(make_stage: Callable[[], Stage]) -> Scene:
    return play(make_stage(), None)


def test_the_session_went_to_its_end(confined: Scene) -> None:
    assert confined.ended == "success"


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_work_is_done(confined: Scene, name: str) -> None:
    failed, answer = confined.stage.outcome(f"ok_{name}")
    assert not failed, answer
    assert ORDINARY[name][1] in answer


@pytest.mark.parametrize("level", CONFINING)
def test_by_fapos_own_policy_there_is_no_shell(level: Level, make_stage: Callable[[], Stage]) -> None:
    scene = play(make_stage(), level, programs=())
    assert scene.ended == "success"
    done = {name for name in ORDINARY if not scene.stage.outcome(f"ok_{name}")[0]}
    assert done == {"read_tool", "write_tool"}


@pytest.mark.parametrize("name", ATTACKS)
def test_the_attack_is_held_off(confined: Scene, name: str) -> None:
    assert not confined.got_through(name), confined.stage.outcome(name)[1]


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if not attack.harmless])
def test_the_attack_gets_through_where_nothing_confines_it(plain: Scene, name: str) -> None:
    assert plain.got_through(name), plain.stage.outcome(name)[1]


def test_the_processes_that_were_to_stay_had_started(confined: Scene) -> None:
    started = (confined.stage.workspace / "started").read_text().split()
    assert set(started) == {name for name, attack in ATTACKS.items() if attack.sign == "survived"}


def test_processes_are_limited_where_the_limit_is_the_sandboxs_own(confined: Scene) -> None:
    """The number is told rather than reached: for root the kernel does not enforce it."""
    limited = "512" in confined.stage.outcome("process_limit")[1]
    assert limited == (confined.level == "full")


def test_nothing_changed_but_what_the_session_may_write(confined: Scene) -> None:
    assert confined.changed() == set()


@pytest.mark.parametrize("name", PROXY)
def test_the_way_out_refuses(confined: Scene, name: str) -> None:
    assert f"status {PROXY[name][1]}" in confined.stage.outcome(f"proxy_{name}")[1]


@pytest.mark.parametrize("name", PROXY)
def test_the_endpoint_itself_would_not_refuse_so(plain: Scene, name: str) -> None:
    answer = plain.stage.outcome(f"proxy_{name}")[1]
    assert "status " in answer
    assert f"status {PROXY[name][1]}" not in answer


def test_the_way_out_lets_a_message_through(confined: Scene) -> None:
    assert "status 400" in confined.stage.outcome("permitted")[1]


def test_the_endpoint_gets_messages_with_the_real_key_and_nothing_else(confined: Scene) -> None:
    assert set(confined.requests) == {Request("/v1/messages", KEY)}


def test_no_secret_is_told_to_the_model(confined: Scene) -> None:
    assert not [body for body in confined.stage.requests if CANARY in body]


def test_the_key_is_told_to_the_model_where_nothing_confines_the_process(plain: Scene) -> None:
    assert KEY in plain.stage.requests[-1]
