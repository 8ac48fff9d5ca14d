"""The outer layers of a sandbox: a command that starts a process in namespaces of its own, by bubblewrap."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from fapo.errors import IsolationError
from fapo.sandbox.policy import PRIVATE_DIRECTORIES, Level, Policy

# As root, /proc/sys/kernel/core_pattern can be opened for writing through a writable /proc, capabilities or not.
_NAMESPACES = (
    "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
    "--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev",
)  # fmt: skip
_MOST_LINKS = 40  # as the kernel


def outer_command(policy: Policy, level: Level) -> list[str]:
    """The words in front of a command that start it inside the outer layers of `level`; none where there are none.

    The command's process then calls `confine` itself. Inherited descriptors pass through, and so does the
    environment, which the caller scrubs: bubblewrap's own stays readable inside. Raises IsolationError.
    """
    if level != "full":
        return []
    program = shutil.which("bwrap")
    if program is None:
        raise IsolationError("`bwrap` is not on PATH: apt install bubblewrap")
    network = ["--share-net"] if policy.network == "port" else []
    private_tmp = ["--size", str(policy.file_bytes), "--tmpfs", "/tmp"]  # noqa: S108  inside the sandbox
    return [program, *_NAMESPACES, *network, *private_tmp, *_mounts(policy), "--remount-ro", "/", "--"]


def _mounts(policy: Policy) -> list[str]:
    """Show what the policy names at its own place, with the symbolic links that lead there."""
    links: dict[Path, str] = {}
    modes: dict[Path, str] = {}
    for paths, mode in ((policy.readable(), "--ro-bind-try"), (policy.write, "--bind-try")):
        for path in paths:
            found, real = _follow(path)
            links |= found
            if not _is_private(real):
                modes[real] = mode
    arguments: list[str] = []
    for real in sorted(modes):
        above = next((modes[parent] for parent in real.parents if parent in modes), None)
        if modes[real] != above:
            arguments += [modes[real], str(real), str(real)]
    for link, target in links.items():
        if not _is_private(link) and not any(parent in modes for parent in link.parents):
            arguments += ["--symlink", target, str(link)]
    return arguments


def _is_private(path: Path) -> bool:
    proc, dev, tmp = PRIVATE_DIRECTORIES
    return path == tmp or path.is_relative_to(proc) or path.is_relative_to(dev)


def _follow(path: Path) -> tuple[dict[Path, str], Path]:
    """The symbolic links on the way to `path`, by their own place, and where it really is."""
    links: dict[Path, str] = {}
    here, ahead, hops = Path("/"), list(path.absolute().parts[1:]), 0
    while ahead:
        step = ahead.pop(0)
        if step == "..":
            here = here.parent
            continue
        here /= step
        if os.path.islink(here):
            hops += 1
            if hops > _MOST_LINKS:
                raise IsolationError(f"{path}: its symbolic links lead in a circle")
            links[here] = os.readlink(here)
            target = Path(links[here])
            here = Path("/") if target.is_absolute() else here.parent
            ahead = [*(part for part in target.parts if part != "/"), *ahead]
    return links, here
