"""The two system interfaces that confinement needs, by ctypes."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38

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
    if _libc.prctl(ctypes.c_int(option), *converted) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def die_with_parent(parent: int) -> None:
    """Have this process killed when process `parent`, which started it, ends, also by SIGKILL."""
    prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def hide_memory() -> None:
    """Keep other processes of the same user from reading this one's memory, environment and descriptors."""
    prctl(PR_SET_DUMPABLE, 0)
