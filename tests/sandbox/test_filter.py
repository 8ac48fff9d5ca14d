"""The system call filter's program, run by a small machine: also for processors that the tests do not run on.

Numbers are those of <asm/unistd_64.h> (x86_64) and <asm-generic/unistd.h> (aarch64).
"""

from __future__ import annotations

import errno
import struct

import pytest

from fapo.sandbox.policy import Policy
from fapo.sandbox.seccomp import build_filter

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOWED, KILLED = 0x7FFF0000, 0x80000000
REFUSED = 0x00050000 | errno.EPERM
UNKNOWN = 0x00050000 | errno.ENOSYS
PID = 4242

NUMBERS = {
    "read": (0, 63), "openat": (257, 56), "exit_group": (231, 94), "futex": (202, 98),
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "clone": (56, 220), "clone3": (435, 435), "execve": (59, 221), "execveat": (322, 281),
    "kill": (62, 129), "tgkill": (234, 131), "tkill": (200, 130), "prlimit64": (302, 261),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "io_uring_setup": (425, 425), "bpf": (321, 280), "keyctl": (250, 219), "fchmodat": (268, 53),
    "utimensat": (280, 88), "mmap": (9, 222), "memfd_create": (319, 279), "fcntl": (72, 25), "ioctl": (16, 29),
    "shmget": (29, 194), "pidfd_open": (434, 434), "newer": (463, 463),
}  # fmt: skip

UNIX, INET, INET6, NETLINK, PACKET, VSOCK = 1, 2, 10, 16, 17, 40
STREAM, DGRAM, CLOEXEC = 1, 2, 0x80000
FASTOPEN = 0x20000000
THREAD, NEWUSER, NEWNET, SIGCHLD = 0x3D0F00, 0x10000000, 0x40000000, 17

NOTHING = Policy(read=())
PRIVATE = Policy(read=(), network="private")
PORT = Policy(read=(), network="port", port=80)
PROGRAMS = Policy(read=(), network="port", port=80, programs=True)

ALWAYS = [
    (("read", 3), ALLOWED), (("openat",), ALLOWED), (("exit_group", 0), ALLOWED), (("futex",), ALLOWED),
    (("clone", THREAD), ALLOWED), (("clone3",), UNKNOWN), (("newer",), UNKNOWN),
    (("clone", NEWUSER | SIGCHLD), REFUSED), (("clone", NEWNET | SIGCHLD), REFUSED),
    (("socketpair", UNIX, STREAM | CLOEXEC), ALLOWED), (("socketpair", UNIX, DGRAM), REFUSED),
    (("socket", UNIX, STREAM), REFUSED), (("socket", NETLINK, STREAM), REFUSED), (("socket", PACKET, STREAM), REFUSED),
    (("socket", VSOCK, STREAM), REFUSED), (("socket", INET, DGRAM), REFUSED), (("socket", INET, STREAM, 262), REFUSED),
    (("kill", PID, 9), ALLOWED), (("prlimit64", 0), ALLOWED), (("prlimit64", 1), REFUSED),
    (("fcntl", 3, 1), ALLOWED), (("fcntl", 3, 8), REFUSED), (("fcntl", 3, 15), REFUSED),
    (("ioctl", 3, 0x5401), ALLOWED), (("ioctl", 3, 0x5412), REFUSED), (("ioctl", 3, 0x8901), REFUSED),
    (("mmap", 0, 4096, 3, 0x22), ALLOWED),
    *(((name,), REFUSED) for name in (
        "ptrace", "process_vm_readv", "unshare", "setns", "mount", "io_uring_setup", "bpf", "keyctl", "fchmodat",
        "utimensat", "shmget", "pidfd_open",
    )),
]  # fmt: skip

LISTENING = [("bind", 3), ("listen", 3), ("accept", 3), ("accept4", 3)]
SENDING = [(("sendto", 3, 0, 1, flags), verdict) for flags, verdict in ((0, ALLOWED), (FASTOPEN, REFUSED))] + [
    (("sendmsg", 3, 0, FASTOPEN), REFUSED), (("sendmmsg", 3, 0, 1, FASTOPEN), REFUSED), (("sendmsg", 3, 0, 0), ALLOWED),
]  # fmt: skip
TCP = [(("socket", family, STREAM | CLOEXEC, kind), ALLOWED) for family in (INET, INET6) for kind in (0, 6)]
ALONE = [
    (("clone", SIGCHLD), REFUSED), (("execve",), REFUSED), (("execveat",), REFUSED), (("memfd_create",), REFUSED),
    (("mmap", 0, 4096, 3, 0x21), REFUSED), (("mmap", 0, 4096, 3, 0x01), ALLOWED), (("prlimit64", PID), ALLOWED),
    (("kill", 1, 9), REFUSED), (("kill", -1, 9), REFUSED), (("tgkill", 1, 1, 9), REFUSED), (("tkill", 1, 9), REFUSED),
    (("tgkill", PID, 7, 9), ALLOWED),
]  # fmt: skip

EXPECTED = {
    "nothing": (NOTHING, [
        *ALWAYS, *ALONE, *((call, REFUSED) for call in [*LISTENING, ("connect", 3), ("socket", INET, STREAM)]),
    ]),
    "private": (PRIVATE, [*ALWAYS, *ALONE, *TCP, *SENDING, *((c, ALLOWED) for c in [*LISTENING, ("connect", 3)])]),
    "port": (PORT, [*ALWAYS, *ALONE, *TCP, *SENDING, (("connect", 3), ALLOWED), *((c, REFUSED) for c in LISTENING)]),
    "programs": (PROGRAMS, [
        *ALWAYS, *TCP, *SENDING, *((call, REFUSED) for call in LISTENING), (("clone", SIGCHLD), ALLOWED),
        (("execve",), ALLOWED), (("kill", 1, 9), ALLOWED), (("prlimit64", PID), REFUSED), (("memfd_create",), ALLOWED),
        (("mmap", 0, 4096, 3, 0x21), ALLOWED),
    ]),
}  # fmt: skip


def verdict(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Run a classic BPF program as the kernel does, for the instructions that filters are made of."""
    words = [argument & 0xFFFFFFFFFFFFFFFF for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *words)
    instructions = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        code, if_true, if_false, value = instructions[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x54:
                accumulator &= value
            case 0x15:
                at += if_true if accumulator == value else if_false
            case 0x35:
                at += if_true if accumulator >= value else if_false
            case 0x45:
                at += if_true if accumulator & value else if_false
            case 0x06:
                return int(value)
            case other:
                raise AssertionError(f"unknown instruction {other:#x}")


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize("name", EXPECTED)
def test_a_filter_decides_as_its_policy_says(machine: str, name: str) -> None:
    policy, expected = EXPECTED[name]
    program = build_filter(machine, policy, own_pid=PID, signals_confined=True)
    column = list(ARCHITECTURES).index(machine)
    found = {
        call: verdict(program, ARCHITECTURES[machine], NUMBERS[str(call[0])][column], *map(int, call[1:]))
        for call, _ in expected
    }
    assert found == dict(expected)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_where_nothing_else_confines_signals_programs_may_signal_only_the_first_process(machine: str) -> None:
    program = build_filter(machine, PROGRAMS, own_pid=PID, signals_confined=False)
    kill = NUMBERS["kill"][list(ARCHITECTURES).index(machine)]
    assert verdict(program, ARCHITECTURES[machine], kill, PID, 9) == ALLOWED
    assert verdict(program, ARCHITECTURES[machine], kill, 1, 9) == REFUSED


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_calls_of_another_architecture_end_the_process(machine: str) -> None:
    program = build_filter(machine, NOTHING, own_pid=PID, signals_confined=True)
    assert verdict(program, 0x40000003, 20) == KILLED


def test_calls_by_their_x32_numbers_are_refused() -> None:
    program = build_filter("x86_64", NOTHING, own_pid=PID, signals_confined=True)
    assert verdict(program, ARCHITECTURES["x86_64"], 0x40000000 | 41, INET, STREAM) == REFUSED


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize("policy", [NOTHING, PRIVATE, PORT, PROGRAMS])
def test_a_filter_is_no_longer_than_the_kernel_takes(machine: str, policy: Policy) -> None:
    assert len(build_filter(machine, policy, own_pid=PID, signals_confined=True)) // 8 < 4096
