"""Landlock: rights on files, TCP, abstract sockets and signals, given up for good by an unprivileged process.

Constants and structures are those of the kernel's <linux/landlock.h>; the three system calls have the same numbers on
every architecture.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

from fapo.sandbox.syscalls import syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many file rights an ABI knows, from its first version on."""
_ALL_NET = 0b11
_ALL_SCOPES = 0b11
_READ = _READ_FILE | _READ_DIR | _EXECUTE
_FILE_ONLY = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

REQUIRED_ABI = 3
"""Older ABIs do not handle truncate()."""


def abi_version() -> int:
    """The kernel's Landlock ABI, 0 where there is none."""
    try:
        return syscall(_CREATE_RULESET, 0, 0, _VERSION_FLAG)
    except OSError:
        return 0


def restrict(read: Iterable[Path], write: Iterable[Path]) -> int:
    """Give up all handled rights but reading below `read` and everything below `write`; returns the ABI.

    Paths that do not exist are left out. Needs PR_SET_NO_NEW_PRIVS. Raises OSError.
    """
    abi = abi_version()
    handled = (1 << max(count for first, count in _RIGHTS_BY_ABI.items() if first <= max(abi, 1))) - 1
    net = _ALL_NET if abi >= 4 else 0
    scopes = _ALL_SCOPES if abi >= 6 else 0
    attributes = struct.pack("=QQQ", handled, net, scopes)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = syscall(_CREATE_RULESET, ctypes.create_string_buffer(attributes, 24), size, 0)
    try:
        for path in read:
            _allow(ruleset, path, _READ & handled)
        for path in write:
            _allow(ruleset, path, handled & ~_EXECUTE)
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return abi


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _FILE_ONLY
        rule = struct.pack("=Qi", rights, handle)
        syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.create_string_buffer(rule, len(rule)), 0)
    finally:
        os.close(handle)
