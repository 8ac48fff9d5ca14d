"""Landlock: rights on files, TCP, abstract sockets and signals, given up for good by an unprivileged process.

Constants and structures are those of the kernel's <linux/landlock.h>; the three system calls have the same numbers on
every architecture.
"""

from __future__ import annotations

import ctypes
import os
import platform
import stat
import struct
from pathlib import Path

from fapo.sandbox.policy import Policy
from fapo.sandbox.syscalls import syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH, _NET_PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many file rights an ABI knows, from its first version on."""
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ALL_SCOPES = 0b11
_READ = _READ_FILE | _READ_DIR | _EXECUTE
_FILE_ONLY = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

REQUIRED_ABI = 3
"""Older ABIs do not handle truncate()."""
PORTS_ABI = 4
SIGNALS_ABI = 6


def abi_version() -> int:
    """The kernel's Landlock ABI, 0 where there is none."""
    if platform.system() != "Linux":  # the number means something else elsewhere
        return 0
    try:
        return syscall(_CREATE_RULESET, 0, 0, _VERSION_FLAG)
    except OSError:
        return 0


def restrict(policy: Policy) -> None:
    """Give up all handled rights but those of the policy.

    Paths that do not exist are left out. Needs PR_SET_NO_NEW_PRIVS. Raises OSError.
    """
    abi = abi_version()
    handled = (1 << max(count for first, count in _RIGHTS_BY_ABI.items() if first <= max(abi, 1))) - 1
    net = _BIND_TCP | _CONNECT_TCP if abi >= PORTS_ABI and policy.network != "private" else 0
    scopes = _ALL_SCOPES if abi >= SIGNALS_ABI else 0
    attributes = struct.pack("=QQQ", handled, net, scopes)
    size = 24 if abi >= SIGNALS_ABI else 16 if abi >= PORTS_ABI else 8
    ruleset = syscall(_CREATE_RULESET, ctypes.create_string_buffer(attributes, 24), size, 0)
    try:
        for path in policy.readable():
            _allow(ruleset, path, _READ & handled)
        for path in policy.write:
            _allow(ruleset, path, handled & ~_EXECUTE)
        _allow(ruleset, Path(os.devnull), _READ_FILE | _WRITE_FILE)
        if policy.port is not None:
            _add_rule(ruleset, _NET_PORT, struct.pack("=QQ", _CONNECT_TCP, policy.port))
        syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _FILE_ONLY
        _add_rule(ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, handle))
    finally:
        os.close(handle)


def _add_rule(ruleset: int, kind: int, rule: bytes) -> None:
    syscall(_ADD_RULE, ruleset, kind, ctypes.create_string_buffer(rule, len(rule)), 0)
