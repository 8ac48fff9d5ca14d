"""Attacks on a sandbox, and how to run them all in one process at a level.

An attack is a text of Python: that it raises OSError, MemoryError or ValueError means that it was held off. Each has a
folder of its own below `variant` (readable in the sandbox), `scratch` (writable) and `hidden`.
"""

from __future__ import annotations

import glob
import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fapo.sandbox.canary import KERNEL_FILES
from fapo.sandbox.launch import outer_command
from fapo.sandbox.policy import Level, Policy, runtime_paths

ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

FILES = {
    "read a held-out file": "(hidden / 'labels').read_text()",
    "read it through a link": "os.symlink(hidden / 'labels', scratch / 'l'); (scratch / 'l').read_text()",
    "read it through a link that was there": "(scratch / 'link').read_text()",
    "read it through a hard link": "os.link(hidden / 'labels', scratch / 'h'); (scratch / 'h').read_text()",
    "read it by a handle": "handle = os.open(hidden / 'labels', os.O_PATH); open(f'/proc/self/fd/{handle}').read()",
    "move it": "os.rename(hidden / 'labels', scratch / 'm')",
    "list a folder outside": "os.listdir(hidden)",
    "list the root": "os.listdir('/')",
    "list the home": "os.listdir(home)",
    "read /etc/passwd": "open('/etc/passwd').read()",
    "write outside": "(hidden / 'new').write_text('x')",
    "write to /tmp": "come_and_go(Path('/tmp', f'fapo-attack-{os.getpid()}'))",
    "write to /dev/shm": "come_and_go(Path('/dev/shm', f'fapo-attack-{os.getpid()}'))",
    "make a folder outside": "(hidden / 'folder').mkdir()",
    "write into the variant": "(variant / 'pipeline.py').write_text('x')",
    "delete from the variant": "(variant / 'pipeline.py').unlink()",
    "write into a package": "Path(json.__file__).open('r+').close()",
    "truncate a file outside": "os.truncate(hidden / 'labels', 0)",
    "change the mode of a file outside": "os.chmod(hidden / 'labels', 0o777)",
    "change the mode of a file that may be read": "os.chmod(variant / 'pipeline.py', 0o777)",
    "change the times of a file outside": "os.utime(hidden / 'labels', (0, 0))",
    "watch a folder outside": "call(libc.inotify_add_watch, libc.inotify_init(), bytes(hidden), 0xFFF)",
}

PROCESSES = {
    "list processes": "os.listdir('/proc')",
    "read the parent's environment": "open(f'/proc/{parent}/environ').read()",
    "read its own starter's environment": "open(f'/proc/{os.getppid()}/environ').read()",
    "read the parent's memory map": "open(f'/proc/{parent}/maps').read()",
    "read the parent's memory": "open(f'/proc/{parent}/mem', 'rb').close()",
    "go through the parent's root": "open(f'/proc/{parent}/root/etc/passwd').read()",
    "go through the parent's folder": "os.listdir(f'/proc/{parent}/cwd')",
    "list the parent's descriptors": "os.listdir(f'/proc/{parent}/fd')",
    "trace the parent": "trace(parent)",
    "ask whether the parent lives": "os.kill(parent, 0)",
    "kill another process": "os.kill(victim(), signal.SIGKILL)",
    "kill a group": "os.killpg(victim(), signal.SIGKILL)",
    "signal by a descriptor": "a, b = socket.socketpair(); fcntl.fcntl(a, fcntl.F_SETOWN, victim())",
    "open a handle on the parent": "os.pidfd_open(parent)",
    "read the limits of the parent": "resource.prlimit(parent, resource.RLIMIT_NOFILE)",
    "slow down the parent": "os.setpriority(os.PRIO_PROCESS, parent, os.getpriority(os.PRIO_PROCESS, parent))",
    "pin the parent": "os.sched_setaffinity(parent, os.sched_getaffinity(parent))",
    "run a program": "subprocess.run(['/bin/true'], check=True)",
    "fork": "os._exit(0) if os.fork() == 0 else os.wait()",
    "leave a daemon": "os.fork() or os.setsid() or os._exit(0)",
    "fork a bomb": "[os.fork() or os._exit(0) for _ in range(64)]",
}

NETWORK = {
    "connect by TCP": "socket.create_connection(('127.0.0.1', ports['tcp']), 5)",
    "connect by TCP to another address": "socket.create_connection((address, ports['tcp']), 5)",
    "send with the first packet": "socket.socket().sendto(b'x', socket.MSG_FASTOPEN, ('127.0.0.1', ports['tcp']))",
    "connect by several paths": "socket.socket(proto=262).connect(('127.0.0.1', ports['tcp']))",
    "send by UDP": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', ports['udp']))",
    "connect to a unix socket": "socket.socket(socket.AF_UNIX).connect(str(base / 'stream'))",
    "connect to an abstract socket": "socket.socket(socket.AF_UNIX).connect('\\0' + str(base))",
    "send a datagram from a pair": "socket.socketpair(type=socket.SOCK_DGRAM)[0].sendto(b'x', str(base / 'datagram'))",
    "open a netlink socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "open a vsock socket": "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
    "listen": "socket.create_server(('127.0.0.1', 0))",
}

KERNEL = {
    "make a user namespace": "call(libc.unshare, 0x10000000)",
    "set up io_uring": "call(libc.syscall, 425, 4, ctypes.create_string_buffer(256))",
    "make a key ring": "call(libc.syscall, {'x86_64': 250, 'aarch64': 219}[machine], 1, b'x')",
    "share memory by number": "call(libc.shmctl, libc.shmget(0, 4096, 0o1600), 0, None)",
    "write a large file": "(scratch / 'big').write_bytes(b'x' * 2**21)",
    "take much memory": "bytearray(2**30)",
    "take much shared memory": "mmap.mmap(-1, 2**30)",
    "take memory as a file": "os.memfd_create('x')",
    "raise the limit": "resource.setrlimit(resource.RLIMIT_DATA, (2**31, 2**31)); bytearray(2**30)",
}

ROOT = {
    "mount": "call(libc.mount, b'none', bytes(scratch), b'tmpfs', 0, None); call(libc.umount, bytes(scratch))",
    "change the root": "os.chroot(scratch)",
    "open a packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "become another user": "os.setuid(65534)",
    "own a file": "os.chown(hidden / 'labels', 65534, 65534)",
}
"""Attacks that an ordinary user cannot make anywhere."""

SETTINGS = {
    f"open {name} for writing": f"os.open({name!r}, os.O_WRONLY)"
    for pattern in KERNEL_FILES
    for name in glob.glob(pattern)
    if os.access(name, os.W_OK)
}

ATTACKS = FILES | PROCESSES | NETWORK | KERNEL | (ROOT if os.geteuid() == 0 else {}) | SETTINGS

_ATTACKER = """
import ctypes, fcntl, json, mmap, os, platform, resource, signal, socket, subprocess, sys
from pathlib import Path
from fapo.sandbox.confine import confine
from fapo.sandbox.policy import Policy, runtime_paths

order = json.loads(sys.stdin.read())
level, parent, ports, address, home = (order[key] for key in ("level", "parent", "ports", "address", "home"))
base, machine, libc = Path(order["base"]), platform.machine(), ctypes.CDLL(None, use_errno=True)

def call(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def come_and_go(path):
    path.touch()
    path.unlink()

def trace(pid):
    call(libc.syscall, {"x86_64": 101, "aarch64": 117}[machine], 0x4206, pid, 0, 0)  # to the end of this process

def victim():
    return order["victim"] if level != "none" else subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE,
                                                                     start_new_session=True).pid

def attempt(body, number):
    variant, scratch, hidden = (base / kind / str(number) for kind in ("variant", "scratch", "hidden"))
    try:
        exec(body, globals() | locals())
        return "done"
    except (OSError, MemoryError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    except BaseException as error:
        return f"unexpected: {type(error).__name__}: {error}"

def in_a_process_of_its_own(body, number):
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, attempt(body, number).encode())
        os._exit(0)
    os.close(write)
    with open(read) as stream:
        said = stream.read()
    os.wait()
    return said

readable = (base / "variant", *runtime_paths())
policy = Policy(read=readable, write=(base / "scratch",), memory_bytes=2**29, file_bytes=2**20)
confine(policy, level)
run = in_a_process_of_its_own if level == "none" else attempt
print(json.dumps([run(body, number) for number, body in enumerate(order["bodies"])]))
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of each attack, and what the host saw: changed files, arrived messages, a dead victim."""

    outcomes: dict[str, str]
    changed: list[str]
    arrived: list[str]
    victim_lives: bool


def run_code(source: str, policy: Policy, level: Level, *, said: str = "", timeout_s: float = 60) -> str:
    """Run Python in the outer layers of a level, and return what it printed. It has to confine itself."""
    command = [*outer_command(policy, level), sys.executable, "-I", "-B", "-c", textwrap.dedent(source)]
    done = subprocess.run(
        command, input=said, capture_output=True, text=True, timeout=timeout_s, check=False, env=ENVIRONMENT, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_attacks(base: Path, level: Level) -> Seen:
    """Make all attacks at a level: one after another in the confined process, and without confinement each in one."""
    for folder in ("variant", "scratch", "hidden"):
        for number in range(len(ATTACKS)):
            (base / folder / str(number)).mkdir(parents=True)
    for number in range(len(ATTACKS)):
        (base / "variant" / str(number) / "pipeline.py").write_text("x = 1\n")
        (base / "hidden" / str(number) / "labels").write_text("label")
        (base / "scratch" / str(number) / "link").symlink_to(base / "hidden" / str(number) / "labels")
    before = _files(base)
    policy = Policy(
        read=(base / "variant", *runtime_paths()), write=(base / "scratch",), memory_bytes=2**29, file_bytes=2**20
    )
    with _sockets(base) as sockets, subprocess.Popen(["/bin/cat"], stdin=-1, start_new_session=True) as victim:
        order = {
            "level": level, "base": str(base), "parent": os.getpid(), "victim": victim.pid, "home": str(Path.home()),
            "ports": {kind: sockets[kind].getsockname()[1] for kind in ("tcp", "udp")}, "address": "127.0.0.2",
            "bodies": list(ATTACKS.values()),
        }  # fmt: skip
        outcomes = json.loads(run_code(_ATTACKER, policy, level, said=json.dumps(order)))
        arrived = [kind for kind, receiver in sockets.items() if _has_news(receiver)]
        assert victim.stdin is not None
        victim.stdin.close()
        lives = victim.wait() == 0
    after = _files(base)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return Seen(dict(zip(ATTACKS, outcomes, strict=True)), changed, arrived, lives)


def _files(base: Path) -> dict[str, tuple[int, float, str]]:
    paths = [path for folder in ("variant", "hidden") for path in (base / folder).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(base)): (path.stat().st_mode, path.stat().st_mtime, path.read_text()) for path in paths
    }


@contextmanager
def _sockets(base: Path) -> Iterator[dict[str, socket.socket]]:
    with ExitStack() as stack:
        made = {
            "tcp": socket.create_server(("", 0)),
            "udp": socket.socket(type=socket.SOCK_DGRAM),
            "stream": socket.socket(socket.AF_UNIX),
            "abstract": socket.socket(socket.AF_UNIX),
            "datagram": socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        }
        for receiver in made.values():
            stack.enter_context(receiver)
            receiver.setblocking(False)
        made["udp"].bind(("127.0.0.1", 0))
        made["stream"].bind(str(base / "stream"))
        made["abstract"].bind(f"\0{base}")
        made["datagram"].bind(str(base / "datagram"))
        made["stream"].listen()
        made["abstract"].listen()
        yield made


def _has_news(receiver: socket.socket) -> bool:
    try:
        if receiver.type == socket.SOCK_STREAM:
            receiver.accept()[0].close()
        else:
            receiver.recv(1)
    except BlockingIOError:
        return False
    return True
