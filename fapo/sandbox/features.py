"""What this machine offers to a sandbox, as far as one can tell without trying it out."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fapo.sandbox import landlock, seccomp

_UNSHARE_USER = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000) != 0)"


@dataclass(frozen=True, slots=True)
class Features:
    """`landlock_abi` is 0 and `bubblewrap` None where there is none. `seccomp` needs a machine that fapo knows."""

    kernel: str
    machine: str
    landlock_abi: int
    seccomp: bool
    user_namespaces: bool
    bubblewrap: Path | None
    bubblewrap_version: str | None


def find_features() -> Features:
    program = shutil.which("bwrap")
    return Features(
        kernel=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        landlock_abi=landlock.abi_version(),
        seccomp=seccomp.supported() and Path("/proc/sys/kernel/seccomp").is_dir(),
        user_namespaces=platform.system() == "Linux" and _user_namespaces(),
        bubblewrap=Path(program) if program else None,
        bubblewrap_version=_version(program) if program else None,
    )


def _user_namespaces() -> bool:
    return subprocess.run([sys.executable, "-I", "-S", "-c", _UNSHARE_USER], check=False).returncode == 0


def _version(program: str) -> str | None:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.split()[-1] if done.stdout.split() else None
