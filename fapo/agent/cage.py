"""The sandbox of one session: what the agent's process may touch, and its only way out, to its model's API."""

from __future__ import annotations

import secrets
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from fapo.agent.credentials import FILES, NETWORK, PROXIES, CredentialsKind, key_in, key_variable, kind_of, reachable
from fapo.agent.handover import taken_over
from fapo.agent.inside import Order
from fapo.agent.login import StoredLogin
from fapo.agent.protocol import AgentTask
from fapo.agent.proxy import USER, ApiProxy, ConnectProxy, Proxy
from fapo.errors import IsolationError
from fapo.sandbox.landlock import PORTS_ABI
from fapo.sandbox.launch import outer_command
from fapo.sandbox.policy import Level, Policy, runtime_paths

PRIVATE = ("user", "config", "tmp")
"""The folders below `AgentTask.home` that the agent's process may write."""

_SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo",
    "/dev/null", "/dev/zero", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu",
)  # fmt: skip
_MEMORY_BYTES = 8 * 2**30
_OPEN_FILES = 4096
_PORT = 8080  # of a network in which nothing else is
_LONGEST_SHEBANG = 256


@dataclass(frozen=True, slots=True)
class Cage:
    """What a session's process is started with. `environment` holds a token in the place of a key.

    A way out is served on `port`; at level `full` that is a port of the sandbox's own network, whose listener the
    process sends to `handover` first.
    """

    level: Level
    policy: Policy
    environment: Mapping[str, str] = field(repr=False)
    port: int
    handover: Path | None

    def command(self, program: Path) -> list[str]:
        """The words that start `program` in the cage, in front of its arguments. Raises IsolationError."""
        if self.level == "none":
            return [str(program)]
        shown = (self.handover.parent,) if self.handover else ()
        outer = replace(self.policy, read=(*self.policy.read, *runtime_paths(), *shown))
        order = Order(self.level, self.policy, self.port, self.handover)
        inside = [sys.executable, "-I", "-B", "-m", "fapo.agent.inside", order.to_json()]
        return [*outer_command(outer, self.level), *inside, str(program)]


def require_way_out(level: Level, landlock_abi: int) -> None:
    """Raise IsolationError where a level cannot let a process reach its model's API and nothing else."""
    if level == "landlock" and landlock_abi < PORTS_ABI:
        raise IsolationError(
            "the agent's network cannot be limited here: install bubblewrap (apt install bubblewrap), or use "
            f"Linux 6.7 or newer (Landlock ABI {PORTS_ABI}; found {landlock_abi})"
        )


def open_ends(kind: CredentialsKind, level: Level) -> tuple[str, ...]:
    """What the sandbox of the agent's process leaves open, a sentence each."""
    if level == "none":
        return ("the agent's process is not confined: the user's files, keys and network are open to it",)
    ends = []
    if kind in ("bedrock", "vertex"):
        ends.append(f"the credentials for {kind.title()} can be read by the agent's process")
    if level == "landlock":
        ends.append("the agent's process can connect to one TCP port of any host, and may stat any file")
    return tuple(ends)


@asynccontextmanager
async def open_cage(task: AgentTask, program: Path, level: Level) -> AsyncIterator[Cage]:
    """A cage for `task` whose way out is served for as long as the context lasts."""
    token, variable = secrets.token_urlsafe(32), key_variable(task.environment)
    proxy = _way_out(task.environment, program, level, token)
    if proxy is None:
        yield Cage(level, Policy(read=()), task.environment, 0, None)
        return
    async with served(proxy, level) as (port, handover):
        address = f"127.0.0.1:{port}"
        if variable is not None:
            replaced: tuple[str, ...] = (*NETWORK, "CLAUDE_SECURESTORAGE_CONFIG_DIR")
            own = {"ANTHROPIC_BASE_URL": f"http://{address}", variable: token}
        else:
            replaced = PROXIES
            own = {"HTTPS_PROXY": f"http://{USER}:{token}@{address}"}
        kept = {name: value for name, value in task.environment.items() if name not in replaced}
        policy = agent_policy(task, program, level, port)
        yield Cage(level, policy, {**kept, **own}, port, handover)


def _way_out(environment: Mapping[str, str], program: Path, level: Level, token: str) -> Proxy | None:
    """The proxy for a kind of credentials. Without a sandbox, only a key that was given is worth holding back."""
    kind, given = kind_of(environment), key_in(environment)
    if given is not None:
        return ApiProxy(given.current, token, environment)
    if level == "none":
        return None
    if kind == "login":
        login = StoredLogin(Path(environment.get("CLAUDE_SECURESTORAGE_CONFIG_DIR", "")), program, environment)
        return ApiProxy(login.current, token, environment)
    return ConnectProxy(reachable(environment), token, environment)


def agent_policy(task: AgentTask, program: Path, level: Level, port: int) -> Policy:
    """Of this machine: the workspace, the private folders, the program and what it takes to run it, and where the
    program itself signs in, the files that it needs for that."""
    signs_in = key_variable(task.environment) is None
    named = [Path(task.environment[name]) for name in FILES if signs_in and task.environment.get(name)]
    home = task.home.absolute()
    return Policy(
        read=(*map(Path, _SYSTEM), *_files_of(program), *named),
        write=(task.workspace.absolute(), *(home / folder for folder in PRIVATE)),
        memory_bytes=_MEMORY_BYTES,
        open_files=_OPEN_FILES,
        network="private" if level == "full" else "port",
        port=None if level == "full" else port,
        programs=True,
    )


def _files_of(program: Path) -> list[Path]:
    """A program; if it is a script its interpreter, and if it was installed by npm its package."""
    real = program.resolve()
    found = [program.absolute(), real]
    with real.open("rb") as file:
        first = file.readline(_LONGEST_SHEBANG).decode(errors="replace")
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    if words and Path(words[0]).name == "env":
        words = [shutil.which(words[-1]) or words[-1]]
    found += [path for word in words[:1] for path in (Path(word), Path(word).resolve())]
    package = next((folder for folder in real.parents if folder.parent.name == "node_modules"), None)
    return [*found, package] if package else found


@asynccontextmanager
async def served(proxy: Proxy, level: Level) -> AsyncIterator[tuple[int, Path | None]]:
    """The port that the agent's process will find the proxy at, and at level `full` where to hand over a listener."""
    try:
        if level == "full":
            async with taken_over(proxy.listen) as handover:
                yield _PORT, handover
        else:
            listener = socket.create_server(("127.0.0.1", 0))
            await proxy.listen(listener)
            yield listener.getsockname()[1], None
    finally:
        await proxy.aclose()
