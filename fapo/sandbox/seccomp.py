"""A seccomp filter for what Landlock lets through: sockets, new processes, other processes, kernel interfaces.

The filter is classic BPF over `struct seccomp_data` (<linux/seccomp.h>). Denied calls fail with EPERM; a call from a
foreign architecture kills the process.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from fapo.sandbox.syscalls import PR_SET_SECCOMP, prctl

_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_CLONE_THREAD = 0x00010000
_AF_UNIX = 1
_MODE_FILTER = 2
_X32_BIT = 0x40000000


@dataclass(frozen=True, slots=True)
class _Table:
    """System call numbers of an architecture. `special` calls are decided by their arguments."""

    audit_arch: int
    special: dict[str, int]
    denied: tuple[int, ...]


_COMMON_DENIED = (
    424, 434, 438,  # pidfd_send_signal, pidfd_open, pidfd_getfd
    425, 426, 427,  # io_uring
    428, 429, 430, 431, 432, 433, 442,  # open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr
    440, 452,  # process_madvise, fchmodat2
)  # fmt: skip

_TABLES = {
    "x86_64": _Table(
        audit_arch=0xC000003E,
        special={"clone": 56, "clone3": 435, "kill": 62, "tgkill": 234, "socketpair": 53, "prlimit64": 302},
        denied=(
            57, 58, 59, 322,  # fork, vfork, execve, execveat
            41, 42, 43, 49, 50, 288,  # socket, connect, accept, bind, listen, accept4
            101, 310, 311, 312,  # ptrace, process_vm_readv, process_vm_writev, kcmp
            129, 200, 297,  # rt_sigqueueinfo, tkill, rt_tgsigqueueinfo
            155, 161, 165, 166, 272, 308,  # pivot_root, chroot, mount, umount2, unshare, setns
            248, 249, 250, 298, 321, 323,  # add_key, request_key, keyctl, perf_event_open, bpf, userfaultfd
            303, 304, 175, 176, 313, 246, 320,  # name_to_handle_at, open_by_handle_at, modules, kexec
            103, 135, 159, 163, 164, 167, 168, 169, 170, 171, 172, 173, 179, 227, 305,  # administration, clocks
            141, 142, 144, 203, 251, 256, 279, 314,  # priorities, affinity and pages of other processes
            90, 91, 92, 93, 94, 260, 268,  # chmod, fchmod, chown, fchown, lchown, fchownat, fchmodat
            132, 235, 261, 280, 188, 189, 190, 197, 198, 199, 76, 254, 300,  # times, xattrs, truncate, watches
            *_COMMON_DENIED,
        ),
    ),
    "aarch64": _Table(
        audit_arch=0xC00000B7,
        special={"clone": 220, "clone3": 435, "kill": 129, "tgkill": 131, "socketpair": 199, "prlimit64": 261},
        denied=(
            221, 281,  # execve, execveat
            198, 203, 202, 200, 201, 242,  # socket, connect, accept, bind, listen, accept4
            117, 270, 271, 272,  # ptrace, process_vm_readv, process_vm_writev, kcmp
            138, 130, 240,  # rt_sigqueueinfo, tkill, rt_tgsigqueueinfo
            41, 51, 40, 39, 97, 268,  # pivot_root, chroot, mount, umount2, unshare, setns
            217, 218, 219, 241, 280, 282,  # add_key, request_key, keyctl, perf_event_open, bpf, userfaultfd
            264, 265, 105, 106, 273, 104, 294,  # name_to_handle_at, open_by_handle_at, modules, kexec
            116, 92, 171, 89, 170, 224, 225, 142, 161, 162, 60, 112, 266,  # administration, clocks
            140, 118, 119, 122, 30, 238, 239, 274,  # priorities, affinity and pages of other processes
            52, 53, 54, 55,  # fchmod, fchmodat, fchownat, fchown
            88, 5, 6, 7, 14, 15, 16, 45, 27, 262,  # times, xattrs, truncate, watches
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


def build_filter(machine: str, own_pid: int) -> bytes:
    """The filter program for an architecture, with `own_pid` as the only process that may be signalled."""
    table = _TABLES[machine]
    special = table.special
    allow_self = [_argument(0), _instruction(_JUMP_EQUAL, own_pid, 1, 0), _refuse()]
    program = [
        _instruction(_LOAD, _ARCH_AT),
        _instruction(_JUMP_EQUAL, table.audit_arch, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        program += [_instruction(_JUMP_ABOVE, _X32_BIT, 0, 1), _refuse()]
    program += _when_called(special["clone3"], _refuse(errno.ENOSYS))
    program += _when_called(special["clone"], _argument(0), _instruction(_JUMP_SET, _CLONE_THREAD, 1, 0), _refuse())
    program += _when_called(special["kill"], *allow_self)
    program += _when_called(special["tgkill"], *allow_self)
    program += _when_called(special["socketpair"], _argument(0), _instruction(_JUMP_EQUAL, _AF_UNIX, 1, 0), _refuse())
    program += _when_called(
        special["prlimit64"],
        _argument(0),
        _instruction(_JUMP_EQUAL, 0, 2, 0),
        _instruction(_JUMP_EQUAL, own_pid, 1, 0),
        _refuse(),
    )
    for number in table.denied:
        program += [_instruction(_JUMP_EQUAL, number, 0, 1), _refuse()]
    program.append(_instruction(_RETURN, _ALLOW))
    return b"".join(program)


def install() -> None:
    """Install the filter for this process and its threads to come. Needs PR_SET_NO_NEW_PRIVS. Raises OSError."""
    program = build_filter(platform.machine(), os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.create_string_buffer(header, len(header)))
