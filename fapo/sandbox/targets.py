"""What the canary attacks, and what can be seen of an attack afterwards, whatever the canary says."""

from __future__ import annotations

import ctypes
import glob
import hashlib
import os
import resource
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from fapo.sandbox.canary import KERNEL_FILES, Order
from fapo.sandbox.policy import Level

Answer = dict[str, dict[str, str]]
"""By claim: the attacks that were not stopped, as the canary says, and what each came back with."""

_SURVIVAL_MS = 300


@contextmanager
def lay_out() -> Iterator[Targets]:
    """Targets in a directory of their own, taken away afterwards."""
    with ExitStack() as stack:
        base = Path(tempfile.mkdtemp(prefix="fapo-probe-")).resolve()
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        yield Targets(base, stack)


class Targets:
    """Files, sockets and memory of this process, and another process. For one attack."""

    def __init__(self, base: Path, stack: ExitStack) -> None:
        self.base = base
        self._file_secret, self._memory_secret = secrets.token_hex(16), secrets.token_hex(16)
        self._memory = ctypes.create_string_buffer(self._memory_secret.encode())
        self._lay_out_files()
        self._held_out = stack.enter_context(open(base / "held-out"))  # noqa: SIM115  held open as a target
        self._open_sockets(stack)
        self._start_victim(stack)
        self._alive, self._canary_alive = _pair(stack)
        self._leash, self._canary_leash = _pair(stack)

    def _lay_out_files(self) -> None:
        for folder in ("variant", "scratch", "outside"):
            (self.base / folder).mkdir()
        for name in ("written", "truncated", "unlinked", "renamed", "mode"):
            (self.base / "outside" / name).write_text(name)
        (self.base / "held-out").write_text(self._file_secret)
        (self.base / "scratch" / "link").symlink_to(self.base / "held-out")
        self._files = self._snapshot()

    def _snapshot(self) -> dict[str, tuple[int, str]]:
        paths = [path for folder in ("variant", "outside") for path in (self.base / folder).iterdir()]
        return {str(path.relative_to(self.base)): (path.stat().st_mode, path.read_text()) for path in paths}

    def _open_sockets(self, stack: ExitStack) -> None:
        self._abstract = f"fapo-probe-{secrets.token_hex(8)}"
        kinds: dict[str, tuple[int, int, Any]] = {
            "TCP": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "UDP": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "a unix socket": (socket.AF_UNIX, socket.SOCK_STREAM, str(self.base / "stream")),
            "an abstract unix socket": (socket.AF_UNIX, socket.SOCK_STREAM, "\0" + self._abstract),
            "a unix datagram": (socket.AF_UNIX, socket.SOCK_DGRAM, str(self.base / "datagram")),
        }
        self._sockets: dict[str, socket.socket] = {}
        for name, (family, kind, address) in kinds.items():
            target = self._sockets[name] = stack.enter_context(socket.socket(family, kind))
            target.bind(address)
            if kind == socket.SOCK_STREAM:
                target.listen()

    def _start_victim(self, stack: ExitStack) -> None:
        command = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]
        self._victim = subprocess.Popen(command, stdin=subprocess.PIPE, env={}, start_new_session=True)
        stack.enter_context(self._victim)
        stack.callback(self._victim.kill)
        self._victim_state = self._look_at_victim()

    def _look_at_victim(self) -> tuple[object, ...]:
        pid = self._victim.pid
        try:
            return os.getpriority(os.PRIO_PROCESS, pid), resource.prlimit(pid, resource.RLIMIT_NOFILE)
        except OSError:
            return ()

    @property
    def descriptors(self) -> tuple[int, int]:
        """What the canary inherits."""
        return self._canary_alive.fileno(), self._canary_leash.fileno()

    def order(self, level: Level) -> Order:
        return Order(
            level=level,
            base=str(self.base),
            parent=os.getpid(),
            victim=self._victim.pid,
            held_out_descriptor=self._held_out.fileno(),
            directory=os.getcwd(),
            memory_at=ctypes.addressof(self._memory),
            memory_size=len(self._memory_secret),
            port=self._sockets["TCP"].getsockname()[1],
            udp_port=self._sockets["UDP"].getsockname()[1],
            abstract=self._abstract,
            leash=self._canary_leash.fileno(),
        )

    def breaches(self, answer: Answer) -> dict[str, list[str]]:
        """By claim, the ways in which it was breached. To be called once, after the canary has ended.

        What left a trace here counts by its trace; reading counts if the secret came back; only what leaves neither is
        taken from the canary.
        """
        return {
            "held-out files": self._read(answer["held-out files"]),
            "keys": self._seen(answer["keys"]),
            "network": self._reached(answer["network"]),
            "writes": self._written(),
            "signals": self._signalled(),
            "kernel settings": sorted(answer["kernel settings"]),
            "io_uring": sorted(answer["io_uring"]),
            "namespaces": sorted(answer["namespaces"]),
            "processes": sorted(answer["processes"]),
            "survivors": self._survived(),
            "memory": sorted(answer["memory"]),
        }

    def _read(self, found: dict[str, str]) -> list[str]:
        links = os.stat(self.base / "held-out").st_nlink
        ways = [way for way, text in found.items() if self._file_secret in text]
        return ways if links == 1 else list(dict.fromkeys([*ways, "a hard link"]))

    def _seen(self, found: dict[str, str]) -> list[str]:
        expected = {"/proc/PID/mem": self._memory_secret, "process_vm_readv": self._memory_secret, "ptrace": "0"}
        with suppress(OSError):
            expected["/proc/PID/environ"] = hashlib.sha256(Path("/proc/self/environ").read_bytes()).hexdigest()
        return [way for way, text in found.items() if text == expected.get(way)]

    def _reached(self, found: dict[str, str]) -> list[str]:
        ways = [way for way in found if way not in self._sockets]
        ready = _ready(self._sockets.values(), 0)
        return [name for name, target in self._sockets.items() if target.fileno() in ready] + ways

    def _written(self) -> list[str]:
        now = self._snapshot()
        ways = sorted(path for path in now.keys() | self._files.keys() if now.get(path) != self._files.get(path))
        memory_file = Path("/dev/shm", self.base.name)  # noqa: S108  which the canary tries to make
        if memory_file.exists():
            memory_file.unlink()
            ways.append(str(memory_file.parent))
        return ways

    def _signalled(self) -> list[str]:
        """The victim ends by itself once its input is closed, unless a signal has come first."""
        ways = [] if self._look_at_victim() == self._victim_state else ["priority or limits"]
        assert self._victim.stdin is not None
        self._victim.stdin.close()
        return ways if self._victim.wait() == 0 else [*ways, "kill"]

    def _survived(self) -> list[str]:
        """Only a process that the canary left behind still holds its end of the pipe open."""
        self._canary_alive.close()
        return [] if _ready([self._alive], _SURVIVAL_MS) else ["a process in the background"]


def can_change_kernel() -> bool:
    """Whether this process may itself write to any of the kernel's settings that the canary tries."""
    return any(os.access(name, os.W_OK) for pattern in KERNEL_FILES for name in glob.glob(pattern))


def _pair(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    stack.callback(ours.close)
    stack.callback(theirs.close)
    return ours, theirs


def _ready(sockets: Iterable[socket.socket], wait_ms: int) -> list[int]:
    """Descriptors of the sockets that have something to read, or whose other end is closed."""
    watch = select.poll()
    for watched in sockets:
        watch.register(watched, select.POLLIN)
    return [descriptor for descriptor, _ in watch.poll(wait_ms)]
