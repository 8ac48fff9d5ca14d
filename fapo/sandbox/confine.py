"""Confines the current process, for good."""

from __future__ import annotations

import resource
import socket
from dataclasses import dataclass
from pathlib import Path

from fapo.errors import IsolationError
from fapo.sandbox import landlock, seccomp
from fapo.sandbox.policy import Level, Policy
from fapo.sandbox.syscalls import PR_SET_NO_NEW_PRIVS, drop_capabilities, hide_memory, prctl

_PROCESSES = 512


@dataclass(frozen=True, slots=True)
class Confinement:
    """What was applied."""

    level: Level
    landlock_abi: int


def confine(policy: Policy, level: Level = "landlock") -> Confinement:
    """Apply the inner layers of `level` to this process and all its threads and children to come.

    These are resource limits, Landlock and seccomp. To be called before any other thread is started; for level `full`
    in a process that was started with `outer_command`. Raises IsolationError where a part is missing: there is no half
    confinement. Level `none` applies nothing.
    """
    if level == "none":
        return Confinement("none", 0)
    abi = landlock.abi_version()
    _require(policy, level, abi)
    _limit_resources(policy, level)
    try:
        hide_memory()
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        drop_capabilities()
        landlock.restrict(policy)
        seccomp.install(policy, signals_confined=level == "full" or abi >= landlock.SIGNALS_ABI)
    except OSError as error:
        raise IsolationError(f"code cannot be confined here: {error}") from None
    return Confinement(level, abi)


def _require(policy: Policy, level: Level, abi: int) -> None:
    if abi < landlock.REQUIRED_ABI or not seccomp.supported():
        raise IsolationError(
            f"Landlock ABI {landlock.REQUIRED_ABI} is needed (found {abi}): use Linux 6.2 or newer on x86_64 or "
            "aarch64; in a container, its seccomp profile has to allow the landlock calls, as Docker's does"
        )
    if policy.network == "private" and level != "full":
        raise IsolationError("a network of its own needs level `full`, and this is level `landlock`")
    if policy.network == "port" and abi < landlock.PORTS_ABI:
        raise IsolationError(f"a network limited to a port needs Linux 6.7 (Landlock ABI 4; found {abi})")
    if level == "full" and not _inside(policy):
        raise IsolationError("level `full` was asked for in a process that bubblewrap did not start")


def _inside(policy: Policy) -> bool:
    """Whether bubblewrap is this process's init, and its network the loopback alone where it has to be."""
    if Path("/proc/1/comm").read_text() != "bwrap\n":
        return False
    return policy.network == "port" or [name for _, name in socket.if_nameindex()] == ["lo"]


def _limit_resources(policy: Policy, level: Level) -> None:
    """RLIMIT_DATA and not RLIMIT_AS: numerical libraries reserve far more address space than they use.

    Outside of a user namespace RLIMIT_NPROC would count all that the user runs; for root the kernel ignores it.
    """
    limits = {
        resource.RLIMIT_DATA: policy.memory_bytes,
        resource.RLIMIT_FSIZE: policy.file_bytes,
        resource.RLIMIT_NOFILE: policy.open_files,
        resource.RLIMIT_CORE: 0,
    }
    if policy.programs and level == "full":
        limits[resource.RLIMIT_NPROC] = _PROCESSES
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))
