"""What a confined process may do."""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import fapo

Level = Literal["full", "landlock", "none"]
"""How strongly a process is confined. `full`: bubblewrap around Landlock, seccomp and resource limits; `landlock`: the
same without bubblewrap; `none`: not at all."""

Network = Literal["none", "private", "port"]
"""`none`: no socket but pairs of connected ones; `private`: TCP in a network namespace of its own, where only the
sandbox itself can be reached (level `full` only); `port`: TCP to one port of any host, no listening (Landlock ABI 4).
"""

PRIVATE_TMP = Path("/tmp")  # noqa: S108  the mount point, not a file in it
PRIVATE_DIRECTORIES = (Path("/proc"), Path("/dev"), PRIVATE_TMP)
"""Level `full` has its own of these. Its /tmp is empty and limited to `Policy.file_bytes`; other paths below /tmp can
still be named in a policy, those below /proc and /dev mean the sandbox's own."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What remains allowed in a sandbox: reading below `read`, everything below `write`, and these resources.

    All else on the file system, the network and other processes is denied. With `programs`, the process may start
    processes and run programs that it may read; otherwise neither. `port` belongs to network `port`.
    """

    read: tuple[Path, ...]
    write: tuple[Path, ...] = ()
    memory_bytes: int = 4 * 2**30
    file_bytes: int = 256 * 2**20
    open_files: int = 512
    network: Network = "none"
    port: int | None = None
    programs: bool = False

    def __post_init__(self) -> None:
        if (self.network == "port") != (self.port is not None):
            raise ValueError("`port` is given with network `port`, and only then")

    def readable(self) -> tuple[Path, ...]:
        """`read`, and what looking up `localhost` needs if there is a network."""
        return self.read if self.network == "none" else (*self.read, *_NAME_LOOKUP)


_NAME_LOOKUP = tuple(Path("/etc") / name for name in ("hosts", "host.conf", "nsswitch.conf", "gai.conf"))


def runtime_paths() -> tuple[Path, ...]:
    """What a Python interpreter and its packages read while they start and run: no home, of /etc the loader's alone.

    Of fapo itself only the package folder, never the checkout around it, which holds benchmarks and scores.
    """
    stdlib = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    on_path = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages", "lib-dynload")]
    shared = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", str(Path(sys.base_prefix) / "lib")]
    single = [
        "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo", "/dev/null", "/dev/zero", "/dev/urandom",
        "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu",
    ]  # fmt: skip
    interpreter = [sys.executable, str(Path(sys.prefix) / "pyvenv.cfg")]
    package = str(Path(fapo.__file__).resolve().parent)
    named = [*stdlib, *on_path, *shared, *single, *interpreter, package]
    return tuple(dict.fromkeys(Path(name) for name in named if name and os.path.exists(name)))
