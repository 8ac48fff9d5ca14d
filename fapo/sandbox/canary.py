"""The canary: a process that confines itself and then attacks what it is told to, with its parent's targets only.

Started by `probe.py` as `python -I -B -m fapo.sandbox.canary`, with an Order on stdin; it answers with one JSON object
on stdout. What an attack has read is sent as it is: the canary is told no secret, so it cannot claim one.
"""

from __future__ import annotations

import ctypes
import glob
import hashlib
import json
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fapo.errors import IsolationError
from fapo.sandbox.confine import confine
from fapo.sandbox.policy import Level, Policy, runtime_paths
from fapo.sandbox.syscalls import syscall

MEMORY_BYTES = 2**29
FORKS = 8
KERNEL_FILES = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/dev/kmsg", "/dev/mem",
    "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/*/cgroup.procs", "/sys/kernel/uevent_helper",
)  # fmt: skip
_CLONE_NEWUSER = 0x10000000
_IO_URING_SETUP = 425
_PTRACE_SEIZE = 0x4206

Found = dict[str, str]


@dataclass(frozen=True, slots=True)
class Order:
    """What to attack: what `targets.py` laid out in `base`, and processes, descriptors and memory of the parent."""

    level: Level
    base: str
    parent: int
    victim: int
    held_out_descriptor: int
    directory: str
    memory_at: int
    memory_size: int
    port: int
    udp_port: int
    abstract: str
    leash: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def canary_policy(level: Level, base: Path) -> Policy:
    """The weakest policy that pipeline code gets at this level."""
    return Policy(
        read=(base / "variant", *runtime_paths()),
        write=(base / "scratch",),
        memory_bytes=MEMORY_BYTES,
        network="private" if level == "full" else "none",
    )


def _tried(attacks: dict[str, Callable[[], object]]) -> Found:
    """What each attack that was not stopped came back with."""
    found: Found = {}
    for name, attack in attacks.items():
        try:
            found[name] = str(attack())
        except (OSError, MemoryError, ValueError, OverflowError):
            continue
    return found


def _reads(order: Order) -> Found:
    held_out, scratch = Path(order.base, "held-out"), Path(order.base, "scratch")
    process = Path("/proc", str(order.parent))

    def through_own_link() -> str:
        (scratch / "own-link").symlink_to(held_out)
        return (scratch / "own-link").read_text()

    def through_hard_link() -> str:
        (scratch / "hard-link").hardlink_to(held_out)
        return (scratch / "hard-link").read_text()

    return _tried(
        {
            "its path": held_out.read_text,
            "a symbolic link": (scratch / "link").read_text,
            "a symbolic link of its own": through_own_link,
            "a hard link": through_hard_link,
            "/proc/PID/root": (process / "root" / held_out.relative_to("/")).read_text,
            "/proc/PID/cwd": (process / "cwd" / os.path.relpath(held_out, order.directory)).read_text,
            "/proc/PID/fd": (process / "fd" / str(order.held_out_descriptor)).read_text,
        }
    )


def _keys(order: Order) -> Found:
    def environment() -> str:
        return hashlib.sha256(Path(f"/proc/{order.parent}/environ").read_bytes()).hexdigest()

    def memory_file() -> str:
        with open(f"/proc/{order.parent}/mem", "rb", buffering=0) as memory:
            memory.seek(order.memory_at)
            return memory.read(order.memory_size).decode(errors="replace")

    def memory_call() -> str:
        copy = ctypes.create_string_buffer(order.memory_size)
        local = (ctypes.c_size_t * 2)(ctypes.addressof(copy), order.memory_size)
        remote = (ctypes.c_size_t * 2)(order.memory_at, order.memory_size)
        syscall(310 if os.uname().machine == "x86_64" else 270, order.parent, local, 1, remote, 1, 0)
        return copy.raw.decode(errors="replace")

    def trace() -> int:
        return syscall(101 if os.uname().machine == "x86_64" else 117, _PTRACE_SEIZE, order.victim, 0, 0)

    attacks: dict[str, Callable[[], object]] = {
        "/proc/PID/environ": environment,
        "/proc/PID/mem": memory_file,
        "process_vm_readv": memory_call,
        "ptrace": trace,
    }
    return _tried(attacks)


def _writes(order: Order) -> Found:
    base = Path(order.base)
    return _tried(
        {
            "a new file": lambda: (base / "outside" / "new").write_text("x"),
            "a new file in the variant": lambda: (base / "variant" / "new").write_text("x"),
            "an existing file": lambda: (base / "outside" / "written").write_text("x"),
            "truncate": lambda: os.truncate(base / "outside" / "truncated", 0),
            "unlink": (base / "outside" / "unlinked").unlink,
            "rename": lambda: (base / "outside" / "renamed").rename(base / "scratch" / "renamed"),
            "chmod": lambda: (base / "outside" / "mode").chmod(0o777),
            "a memory file system": lambda: Path("/dev/shm", base.name).write_text("x"),  # noqa: S108
        }
    )


def _network(order: Order) -> Found:
    base = Path(order.base)
    address = ("127.0.0.1", order.port)

    def tcp() -> None:
        with socket.create_connection(address, 1) as connection:
            connection.sendall(b"tcp")

    def fast_open() -> None:
        with socket.socket() as sender:
            sender.sendto(b"x", socket.MSG_FASTOPEN, address)

    def multipath() -> None:
        with socket.socket(proto=262) as sender:
            sender.settimeout(1)
            sender.connect(address)

    def udp() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(b"UDP", ("127.0.0.1", order.udp_port))

    def unix(name: str) -> None:
        with socket.socket(socket.AF_UNIX) as sender:
            sender.settimeout(1)
            sender.connect(name)

    def paired_datagram() -> None:
        one, other = socket.socketpair(type=socket.SOCK_DGRAM)
        with one, other:
            one.sendto(b"x", str(base / "datagram"))

    def other_family(family: int, kind: int) -> None:
        socket.socket(family, kind).close()

    attacks: dict[str, Callable[[], object]] = {
        "TCP": tcp,
        "TCP fast open": fast_open,
        "multipath TCP": multipath,
        "UDP": udp,
        "a unix socket": lambda: unix(str(base / "stream")),
        "an abstract unix socket": lambda: unix("\0" + order.abstract),
        "a unix datagram": paired_datagram,
        "netlink": lambda: other_family(socket.AF_NETLINK, socket.SOCK_RAW),
        "vsock": lambda: other_family(socket.AF_VSOCK, socket.SOCK_STREAM),
    }
    return _tried(attacks)


def _kernel() -> Found:
    def open_for_writing(name: str) -> None:
        os.close(os.open(name, os.O_WRONLY))

    names = [name for pattern in KERNEL_FILES for name in glob.glob(pattern) or [pattern]]
    return _tried({name: lambda name=name: open_for_writing(name) for name in names})  # type: ignore[misc]


def _signals(order: Order) -> Found:
    victim = order.victim
    if victim == os.getpid():  # which the number means in a process namespace of its own
        return {}
    attacks: dict[str, Callable[[], object]] = {
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, victim, 19),
        "limits": lambda: resource.prlimit(victim, resource.RLIMIT_NOFILE, (16, 16)),
        "a process handle": lambda: signal.pidfd_send_signal(os.pidfd_open(victim), signal.SIGTERM),
        "kill": lambda: os.kill(victim, signal.SIGTERM),
        "kill of the group": lambda: os.killpg(victim, signal.SIGKILL),
    }
    return _tried(attacks)


def _wanted(order: Order) -> dict[str, Found]:
    def take_memory() -> None:
        mmap.mmap(-1, 2 * MEMORY_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()

    def take_shared_memory() -> None:
        mmap.mmap(-1, 2 * MEMORY_BYTES).close()

    return {
        "memory": _tried({"private memory": take_memory, "shared memory": take_shared_memory}),
        "io_uring": _tried({"io_uring_setup": lambda: syscall(_IO_URING_SETUP, 4, ctypes.create_string_buffer(256))}),
        "processes": _tried({f"process {n}": lambda: _start_survivor(order) for n in range(FORKS)}),
        "namespaces": _tried({"unshare": _new_user_namespace}),
    }


def _new_user_namespace() -> None:
    syscall(272 if os.uname().machine == "x86_64" else 97, _CLONE_NEWUSER)


def _start_survivor(order: Order) -> None:
    """A daemon that holds what it inherits open until the parent closes its end of `leash`."""
    if os.fork():
        return
    try:
        os.setsid()
        for descriptor in range(3):
            os.close(descriptor)
        os.read(order.leash, 1)
    finally:
        os._exit(0)


def main() -> None:
    order = Order(**json.loads(sys.stdin.read()))
    try:
        confine(canary_policy(order.level, Path(order.base)), order.level)
    except IsolationError as error:
        print(json.dumps({"error": str(error)}))
        return
    answer: dict[str, Any] = {
        "held-out files": _reads(order),
        "keys": _keys(order),
        "network": _network(order),
        "writes": _writes(order),
        "kernel settings": _kernel(),
        "signals": _signals(order),
        **_wanted(order),
    }
    with suppress(BrokenPipeError):
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
