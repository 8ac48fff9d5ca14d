"""A seccomp filter for what Landlock lets through: sockets, new processes, other processes, kernel interfaces.

The filter is classic BPF over `struct seccomp_data` (<linux/seccomp.h>). Denied calls fail with EPERM, calls newer than
the tables with ENOSYS; a call from a foreign architecture kills the process.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from fapo.sandbox.policy import Policy
from fapo.sandbox.syscalls import PR_SET_SECCOMP, prctl

_LOAD, _AND, _JUMP_EQUAL, _JUMP_FROM, _JUMP_SET, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_CLONE_THREAD = 0x00010000
_CLONE_NAMESPACES = 0x7E020000
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_SOCK_STREAM, _SOCK_TYPE = 1, 0xF
_TCP = 6
_MSG_FASTOPEN = 0x20000000
_SHARED_ANONYMOUS = 0x21
_REFUSED_FCNTLS = (8, 15)  # F_SETOWN, F_SETOWN_EX: whom a signal is sent when there is something to read
_REFUSED_IOCTLS = (0x8901, 0x8902, 0x5412, 0x541C)  # FIOSETOWN, SIOCSPGRP; TIOCSTI, TIOCLINUX: typing into terminals
_MODE_FILTER = 2
_X32_BIT = 0x40000000
_FIRST_UNKNOWN = 463  # after mseal, of Linux 6.10


@dataclass(frozen=True, slots=True)
class _Table:
    """System call numbers of an architecture. `named` calls are allowed by some policies, or for some arguments."""

    audit_arch: int
    named: dict[str, int]
    denied: tuple[int, ...]


_START = ("fork", "vfork", "execve", "execveat")
_LISTEN = ("bind", "listen", "accept", "accept4")
_SEND = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}
"""Where these calls have their flags."""

_COMMON_DENIED = (
    424, 434, 438,  # pidfd_send_signal, pidfd_open, pidfd_getfd
    425, 426, 427,  # io_uring
    428, 429, 430, 431, 432, 433, 442,  # open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr
    440, 443, 452, 457, 458,  # process_madvise, quotactl_fd, fchmodat2, statmount, listmount
)  # fmt: skip

_TABLES = {
    "x86_64": _Table(
        audit_arch=0xC000003E,
        named={
            "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "clone": 56, "clone3": 435,
            "kill": 62, "tgkill": 234, "tkill": 200, "prlimit64": 302,
            "socket": 41, "socketpair": 53, "connect": 42, "bind": 49, "listen": 50, "accept": 43, "accept4": 288,
            "sendto": 44, "sendmsg": 46, "sendmmsg": 307, "mmap": 9, "memfd_create": 319,
            "fcntl": 72, "ioctl": 16,
        },
        denied=(
            101, 310, 311, 312,  # ptrace, process_vm_readv, process_vm_writev, kcmp
            129, 297,  # rt_sigqueueinfo, rt_tgsigqueueinfo
            155, 161, 165, 166, 272, 308,  # pivot_root, chroot, mount, umount2, unshare, setns
            248, 249, 250, 298, 321, 323,  # add_key, request_key, keyctl, perf_event_open, bpf, userfaultfd
            303, 304, 175, 176, 313, 246, 320,  # name_to_handle_at, open_by_handle_at, modules, kexec
            103, 135, 159, 163, 164, 167, 168, 169, 170, 171, 172, 173, 179, 227, 305,  # administration, clocks
            141, 142, 144, 203, 251, 256, 279, 314,  # priorities, affinity and pages of other processes
            90, 91, 92, 93, 94, 260, 268,  # chmod, fchmod, chown, fchown, lchown, fchownat, fchmodat
            132, 235, 261, 280, 188, 189, 190, 197, 198, 199, 76, 254, 300,  # times, xattrs, truncate, watches
            29, 30, 31, 64, 65, 66, 68, 69, 70, 71, 220, 240, 241,  # shared memory, semaphores and queues by number
            *_COMMON_DENIED,
        ),
    ),
    "aarch64": _Table(
        audit_arch=0xC00000B7,
        named={
            "execve": 221, "execveat": 281, "clone": 220, "clone3": 435,
            "kill": 129, "tgkill": 131, "tkill": 130, "prlimit64": 261,
            "socket": 198, "socketpair": 199, "connect": 203, "bind": 200, "listen": 201, "accept": 202, "accept4": 242,
            "sendto": 206, "sendmsg": 211, "sendmmsg": 269, "mmap": 222, "memfd_create": 279,
            "fcntl": 25, "ioctl": 29,
        },
        denied=(
            117, 270, 271, 272,  # ptrace, process_vm_readv, process_vm_writev, kcmp
            138, 240,  # rt_sigqueueinfo, rt_tgsigqueueinfo
            41, 51, 40, 39, 97, 268,  # pivot_root, chroot, mount, umount2, unshare, setns
            217, 218, 219, 241, 280, 282,  # add_key, request_key, keyctl, perf_event_open, bpf, userfaultfd
            264, 265, 105, 106, 273, 104, 294,  # name_to_handle_at, open_by_handle_at, modules, kexec
            116, 92, 171, 89, 170, 224, 225, 142, 161, 162, 60, 112, 266,  # administration, clocks
            140, 118, 119, 122, 30, 238, 239, 274,  # priorities, affinity and pages of other processes
            52, 53, 54, 55,  # fchmod, fchmodat, fchownat, fchown
            88, 5, 6, 7, 14, 15, 16, 45, 27, 262,  # times, xattrs, truncate, watches
            194, 195, 196, 190, 191, 192, 193, 186, 187, 188, 189, 180, 181,  # shared memory, semaphores and queues
            *_COMMON_DENIED,
        ),
    ),
}  # fmt: skip


def supported() -> bool:
    """Whether there is a table for this machine."""
    return platform.machine() in _TABLES


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _refuse(code: int = errno.EPERM) -> bytes:
    return _instruction(_RETURN, _ERRNO | code)


def _when_called(number: int, *body: bytes) -> list[bytes]:
    """Run `body` for one system call, then load the number again for what follows."""
    again = _instruction(_LOAD, _NUMBER_AT)
    return [_instruction(_JUMP_EQUAL, number, 0, len(body) + 1), *body, again]


def _argument(index: int) -> bytes:
    """Load the low half of an argument. Both architectures are little-endian."""
    return _instruction(_LOAD, _ARGUMENTS_AT + 8 * index)


def _argument_among(index: int, *values: int, mask: int = 0xFFFFFFFF) -> list[bytes]:
    """Refuse the call unless an argument has one of these values."""
    jumps = [_instruction(_JUMP_EQUAL, value, len(values) - at, 0) for at, value in enumerate(values)]
    return [_argument(index), _instruction(_AND, mask), *jumps, _refuse()]


def _argument_not_among(index: int, *values: int) -> list[bytes]:
    """Refuse the call if an argument has one of these values."""
    body = [_argument(index)]
    for value in values:
        body += [_instruction(_JUMP_EQUAL, value, 0, 1), _refuse()]
    return body


def _argument_without(index: int, bits: int) -> list[bytes]:
    """Refuse the call if an argument has any of these bits."""
    return [_argument(index), _instruction(_JUMP_SET, bits, 0, 1), _refuse()]


def _argument_with(index: int, bits: int) -> list[bytes]:
    return [_argument(index), _instruction(_JUMP_SET, bits, 1, 0), _refuse()]


def build_filter(machine: str, policy: Policy, *, own_pid: int, signals_confined: bool) -> bytes:
    """The filter program for an architecture.

    `own_pid` is the only process that may be signalled, but for a policy with programs where something else keeps
    signals inside the sandbox.
    """
    table = _TABLES[machine]
    program = [
        _instruction(_LOAD, _ARCH_AT),
        _instruction(_JUMP_EQUAL, table.audit_arch, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        program += [_instruction(_JUMP_FROM, _X32_BIT, 0, 1), _refuse()]
    program += [_instruction(_JUMP_FROM, _FIRST_UNKNOWN, 0, 1), _refuse(errno.ENOSYS)]
    bodies = _process_rules(policy, own_pid, signals_confined) | _network_rules(policy)
    for name, body in bodies.items():
        if name in table.named:
            program += _when_called(table.named[name], *body)
    for number in table.denied:
        program += [_instruction(_JUMP_EQUAL, number, 0, 1), _refuse()]
    program.append(_instruction(_RETURN, _ALLOW))
    return b"".join(program)


def _memory_rules() -> dict[str, list[bytes]]:
    """Memory that is shared and in no file is not limited by RLIMIT_DATA; only several processes need it."""
    both = [_argument(3), _instruction(_AND, _SHARED_ANONYMOUS), _instruction(_JUMP_EQUAL, _SHARED_ANONYMOUS, 0, 1)]
    return {"mmap": [*both, _refuse()], "memfd_create": [_refuse()]}


def _process_rules(policy: Policy, own_pid: int, signals_confined: bool) -> dict[str, list[bytes]]:
    """What happens at calls that start, signal and limit processes; no rule means that they go through."""
    rules = {
        "clone3": [_refuse(errno.ENOSYS)],  # its flags are out of a filter's sight; C libraries then use clone
        "fcntl": _argument_not_among(1, *_REFUSED_FCNTLS),
        "ioctl": _argument_not_among(1, *_REFUSED_IOCTLS),
    }
    if policy.programs:
        rules["clone"] = _argument_without(0, _CLONE_NAMESPACES)
        rules["prlimit64"] = _argument_among(0, 0)
    else:
        rules["clone"] = _argument_with(0, _CLONE_THREAD)
        rules["prlimit64"] = _argument_among(0, 0, own_pid)
        rules |= _memory_rules() | {name: [_refuse()] for name in _START}
    if not (policy.programs and signals_confined):
        rules |= {name: _argument_among(0, own_pid) for name in ("kill", "tgkill")}
        rules["tkill"] = [_refuse()]
    return rules


def _network_rules(policy: Policy) -> dict[str, list[bytes]]:
    """What happens at calls that make and join sockets; no rule means that they go through.

    A pair of datagram sockets could send to any socket of the machine, by the name of a file.
    """
    stream = _argument_among(1, _SOCK_STREAM, mask=_SOCK_TYPE)
    rules = {"socketpair": [*_argument_among(0, _AF_UNIX), *stream]}
    if policy.network == "none":
        return rules | {name: [_refuse()] for name in ("socket", "connect", *_LISTEN)}
    rules["socket"] = [*_argument_among(0, _AF_INET, _AF_INET6), *stream, *_argument_among(2, 0, _TCP)]
    rules |= {name: _argument_without(flags, _MSG_FASTOPEN) for name, flags in _SEND.items()}
    if policy.network == "port":
        rules |= {name: [_refuse()] for name in _LISTEN}
    return rules


def install(policy: Policy, *, signals_confined: bool) -> None:
    """Install the filter for this process and its threads to come. Needs PR_SET_NO_NEW_PRIVS. Raises OSError."""
    program = build_filter(platform.machine(), policy, own_pid=os.getpid(), signals_confined=signals_confined)
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.create_string_buffer(header, len(header)))
