"""Confines the current process, for good."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from fapo.errors import IsolationError
from fapo.sandbox import landlock, seccomp
from fapo.sandbox.policy import Policy
from fapo.sandbox.syscalls import PR_SET_NO_NEW_PRIVS, hide_memory, prctl


@dataclass(frozen=True, slots=True)
class Confinement:
    """What was applied."""

    level: str
    landlock_abi: int


def confine(policy: Policy) -> Confinement:
    """Apply resource limits, Landlock and seccomp to this process and all its threads to come.

    To be called before any other thread is started. Raises IsolationError where a part is missing: there is no half
    confinement.
    """
    try:
        abi = landlock.abi_version()
    except (OSError, AttributeError):
        abi = 0
    if abi < landlock.REQUIRED_ABI or not seccomp.supported():
        raise IsolationError(
            f"pipeline code cannot be confined here: this needs Linux 6.2 or newer on x86_64 or aarch64 with Landlock "
            f"(ABI {landlock.REQUIRED_ABI}; found {abi}); run fapo in a Linux container or VM, "
            "or trust the code and say --isolation none"
        )
    _limit_resources(policy)
    hide_memory()
    try:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        landlock.restrict(policy.read, policy.write)
        seccomp.install()
    except OSError as error:
        raise IsolationError(f"pipeline code cannot be confined here: {error}") from None
    return Confinement("landlock", abi)


def _limit_resources(policy: Policy) -> None:
    """RLIMIT_DATA and not RLIMIT_AS: numerical libraries reserve far more address space than they use."""
    limits = {
        resource.RLIMIT_DATA: policy.memory_bytes,
        resource.RLIMIT_FSIZE: policy.file_bytes,
        resource.RLIMIT_NOFILE: policy.open_files,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))
