"""What a confined process may do."""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import fapo


@dataclass(frozen=True, slots=True)
class Policy:
    """What remains allowed after `confine`: reading below `read`, everything below `write`, and these resources.

    All else on the file system, the network, other processes, new programs and new processes are denied.
    """

    read: tuple[Path, ...]
    write: tuple[Path, ...] = ()
    memory_bytes: int = 4 * 2**30
    file_bytes: int = 256 * 2**20
    open_files: int = 512


def runtime_paths() -> tuple[Path, ...]:
    """What a Python interpreter and its packages read while they run: no home, no /etc but the loader's, no /proc tree.

    Of fapo itself only the package folder, never the checkout around it, which holds benchmarks and scores.
    """
    stdlib = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    on_path = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages", "lib-dynload")]
    shared = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", str(Path(sys.base_prefix) / "lib")]
    single = [
        "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo", "/dev/null", "/dev/zero", "/dev/urandom",
        "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu",
    ]  # fmt: skip
    package = str(Path(fapo.__file__).resolve().parent)
    named = [*stdlib, *on_path, *shared, *single, package]
    return tuple(dict.fromkeys(Path(name) for name in named if name and Path(name).exists()))
