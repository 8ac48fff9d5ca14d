"""Which calls of the CLI's own tools go ahead: a function of the call and the file system, asked before each.

It knows the tools that fapo offers, and refuses every other. A path is refused unless it can be read one way only:
no `..`, no `~`, no blanks at its ends, no symbolic link that leads out of the workspace, no file with a second
name elsewhere.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

TOOLS = ("Read", "Edit", "Write", "Glob", "Grep")
OWN_TOOLS = "mcp__fapo__"


class _Denied(Exception):
    """Carries the reason, as the agent reads it."""


def check(tool_name: str, tool_input: Mapping[str, Any], *, workspace: Path, editable: Iterable[str]) -> str | None:
    """Why this call must not go ahead, or None if it may. `editable` holds globs relative to `workspace`."""
    try:
        if tool_name == "Read":
            _refuse_shared(_locate(tool_input.get("file_path"), workspace))
        elif tool_name in ("Edit", "Write"):
            _check_write(tool_input.get("file_path"), workspace, editable)
        elif tool_name in ("Glob", "Grep"):
            _check_pattern(tool_input.get("pattern" if tool_name == "Glob" else "glob"), workspace)
            _refuse_shared_below(_locate(tool_input.get("path") or ".", workspace), workspace)
        elif not tool_name.startswith(OWN_TOOLS):
            raise _Denied(f"{tool_name} is not available; use {', '.join(TOOLS)} and fapo's tools")
    except _Denied as denied:
        return str(denied)
    return None


def fits(path: str, glob: str) -> bool:
    """Whether a relative path fits a glob: `*` stays within a component, `**` stands for any number of them."""
    return _fits(path.split("/"), glob.split("/"))


def _fits(parts: list[str], globs: list[str]) -> bool:
    if not globs:
        return not parts
    if globs[0] == "**":
        return any(_fits(parts[skipped:], globs[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], globs[0]) and _fits(parts[1:], globs[1:])


def _locate(value: object, workspace: Path) -> Path:
    """The real path of what `value` names, which lies in the workspace."""
    if not isinstance(value, str) or not value:
        raise _Denied("a path is missing")
    # The CLI trims, expands `~` and normalizes before it opens: where that changes a path, it is another file.
    plain = value == value.strip() and value.isprintable() and unicodedata.is_normalized("NFC", value)
    if not plain or value.startswith("~") or "\\" in value or ".." in value.split("/"):
        raise _Denied(f"{value!r} is not a plain path: name a file of the workspace without '..' or '~'")
    root = Path(os.path.realpath(workspace))
    named = Path(os.path.normpath(workspace / value))
    real = Path(os.path.realpath(named))
    if not (named.is_relative_to(workspace) or named.is_relative_to(root)) or not real.is_relative_to(root):
        raise _Denied(f"{value} is outside of the workspace")
    return real


def _refuse_shared(path: Path) -> None:
    """Only regular files with one name, and directories, are let through; what is missing cannot leak."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise _Denied(f"{path.name} is a special file or has another name elsewhere (hard link)")


def _refuse_shared_below(base: Path, workspace: Path) -> None:
    """A search reads every file below `base`, so all of them have to pass."""
    _refuse_shared(base)
    root = os.path.realpath(workspace)
    for folder, folders, files in os.walk(base):
        for name in (*folders, *files):
            path = Path(folder, name)
            if not path.is_symlink():
                _refuse_shared(path)
            elif not Path(os.path.realpath(path)).is_relative_to(root):
                raise _Denied(f"{path.name} is a symbolic link that leads out of the workspace")


def _check_write(value: object, workspace: Path, editable: Iterable[str]) -> None:
    real = _locate(value, workspace)
    named = Path(os.path.normpath(workspace / str(value)))
    home = workspace if named.is_relative_to(workspace) else Path(os.path.realpath(workspace))
    relative = named.relative_to(home)
    if real.relative_to(os.path.realpath(workspace)) != relative:
        raise _Denied(f"{value} leads through a symbolic link")
    if any(part.startswith(".") for part in relative.parts):
        raise _Denied(f"{value} is hidden; hidden files are not part of a pipeline")
    globs = tuple(editable)
    if not any(fits(relative.as_posix(), glob) for glob in globs):
        raise _Denied(f"{relative} is not editable now; editable: {', '.join(globs) or 'nothing'}")
    _refuse_shared(real)


def _check_pattern(value: object, workspace: Path) -> None:
    """A glob may not climb out, nor start elsewhere, as far as its part before the first wildcard goes."""
    if value is None:
        return
    if not isinstance(value, str):
        raise _Denied("a pattern must be a string")
    if ".." in re.split(r"[\\/{},\s]", value) or re.search(r"(^|[{,\s])\s*~|[{,\s]\s*/", value):
        raise _Denied(f"{value!r} leaves the workspace: use a pattern relative to `path`")
    fixed = re.split(r"[*?\[{]", value, maxsplit=1)[0].rpartition("/")[0]
    if value.startswith("/"):
        _locate(fixed or "/", workspace)
    elif fixed:
        _locate(fixed, workspace)
