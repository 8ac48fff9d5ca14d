"""Becomes a program on a poorer machine: `python poor_machine.py WITHOUT,... COMMAND [ARGUMENT...]`.

`landlock`: as on a kernel without it. `namespaces`: as in Docker, or where an ordinary user may not make them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

from fapo.sandbox.syscalls import PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, prctl

UNSHARE, CLONE = {"x86_64": (272, 56), "aarch64": (97, 220)}.get(platform.machine(), (0, 0))
CLONE3 = 435
LANDLOCK = (444, 445, 446)
NEW_USER_NAMESPACE = 0x10000000


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def refuse(code: int) -> bytes:
    return instruction(0x06, 0x00050000 | code)


def main() -> None:
    without, command = sys.argv[1].split(","), sys.argv[2:]
    program = [instruction(0x20, 0)]
    if "landlock" in without:
        for number in LANDLOCK:
            program += [instruction(0x15, number, 0, 1), refuse(errno.ENOSYS)]
    if "namespaces" in without:
        program += [instruction(0x15, CLONE3, 0, 1), refuse(errno.ENOSYS)]
        program += [instruction(0x15, UNSHARE, 0, 1), refuse(errno.EPERM)]
        flagged = [instruction(0x20, 16), instruction(0x45, NEW_USER_NAMESPACE, 0, 1), refuse(errno.EPERM)]
        program += [instruction(0x15, CLONE, 0, 3), *flagged]
    program.append(instruction(0x06, 0x7FFF0000))
    code = b"".join(program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_SECCOMP, 2, ctypes.create_string_buffer(header, len(header)))
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
