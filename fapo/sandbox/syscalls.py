"""The system interfaces that confinement needs, by ctypes."""

from __future__ import annotations

import ctypes
import os
import signal
import struct

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
_CAPABILITIES_VERSION = 0x20080522
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1 << 1, 1 << 2

_libc = ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments: object) -> int:
    """Make a system call; raises OSError. Integers are passed as longs."""
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *converted))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def prctl(option: int, *arguments: object) -> None:
    """Call prctl(2); raises OSError."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    converted = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in padded]
    _check(_libc.prctl(ctypes.c_int(option), *converted))


def die_with_parent(parent: int) -> None:
    """Have this process killed when process `parent`, which started it, ends, also by SIGKILL."""
    prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def hide_memory() -> None:
    """Keep other processes of the same user from reading this one's memory, environment and descriptors."""
    prctl(PR_SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Give up what makes root more than an ordinary user, but access to other users' files; raises OSError."""
    header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    sets = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, sets))
    effective, permitted = (
        held & (_CAP_DAC_OVERRIDE | _CAP_DAC_READ_SEARCH) for held in struct.unpack("=6I", sets)[:2]
    )
    _check(_libc.capset(header, struct.pack("=6I", effective, permitted, 0, 0, 0, 0)))


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
