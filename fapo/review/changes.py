"""What a variant changed, file by file, and at which level."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import frontmatter
import yaml

from fapo.records import LEVELS, Level

Snapshot = Mapping[str, bytes]
"""Relative POSIX path to content, of all files of a variant."""

SPEC_FILE = "pipeline.yaml"
PROMPT_PATH = re.compile(r"prompts/[^/]+\.md")
_MAX_NODES = 100_000
_RANK = (*LEVELS, "immutable")


Reach = Level | Literal["immutable"]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that differs.

    `parts` says what changed in it and at which level each part lies; `level` is the highest of them, `immutable` where
    a part lies at none, and None where only formatting changed. A line counts as added or removed by its text, wherever
    it stands. `error` holds why the file's YAML cannot be read, and `line` where.
    """

    path: str
    level: Reach | None
    kind: Literal["added", "modified", "deleted"]
    added_lines: int
    removed_lines: int
    parts: tuple[tuple[Reach, str], ...] = ()
    error: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class LevelChange:
    """All that changed. `level` is the highest level touched; None where nothing that counts changed at any level."""

    level: Level | None
    files: tuple[FileChange, ...]


def changed_level(parent: Snapshot, candidate: Snapshot) -> LevelChange:
    """Compare two snapshots.

    `prompt` is the text of an existing prompt below its front matter; `parameter` its `sampling` and `params:` of
    pipeline.yaml; `structure` all code, other front matter, and prompts and resources that are new. Other keys of
    pipeline.yaml, existing resources and files that are no part of a pipeline are immutable. Broken YAML is noted in
    the FileChange and never raised.
    """
    paths = sorted(parent.keys() | candidate.keys())
    files = tuple(_compare(path, parent.get(path), candidate.get(path)) for path in paths
                  if parent.get(path) != candidate.get(path))  # fmt: skip
    touched = {file.level for file in files}
    return LevelChange(next((level for level in reversed(LEVELS) if level in touched), None), files)


def text_of(content: bytes | None) -> str | None:
    """The text of a file, or None where it is missing, not UTF-8, or holds a NUL."""
    try:
        return None if content is None or b"\0" in content else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def split_prompt(text: str) -> tuple[dict[str, Any], str]:
    """Front matter and body of a prompt. Raises yaml.YAMLError or ValueError where the front matter is broken."""
    meta, body = frontmatter.parse(text)
    return dict(meta), str(body)


def _compare(path: str, old: bytes | None, new: bytes | None) -> FileChange:
    kind: Literal["added", "modified", "deleted"] = "added" if old is None else "deleted" if new is None else "modified"
    added, removed = _line_counts(old or b"", new or b"")
    try:
        parts = tuple(_parts(path, old, new))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        offset = 1 if path == SPEC_FILE else 2  # front matter starts below its `---`
        reason = " ".join(str(getattr(error, "problem", None) or "it cannot be read").split())
        line = mark.line + offset if mark else None
        return FileChange(path, "immutable", kind, added, removed, (), reason, line)
    level = max((reach for reach, _ in parts), key=_RANK.index, default=None)
    return FileChange(path, level, kind, added, removed, parts)


def _parts(path: str, old: bytes | None, new: bytes | None) -> Iterator[tuple[Reach, str]]:
    before, after = text_of(old), text_of(new)
    if path == SPEC_FILE:
        yield from _spec_parts(before, after)
    elif PROMPT_PATH.fullmatch(path):
        if before is not None and after is not None:
            yield from _prompt_parts(before, after)
        else:
            split_prompt(after or "")
            yield "structure", "a whole prompt file"
    elif path.startswith("resources/"):
        yield ("structure", "a new resource") if old is None else ("immutable", "an existing resource")
    elif path.endswith(".py") and not path.startswith("prompts/"):
        yield "structure", "code"
    else:
        yield "immutable", "a file that is no part of a pipeline"


def _prompt_parts(before: str, after: str) -> Iterator[tuple[Reach, str]]:
    (old_meta, old_body), (new_meta, new_body) = split_prompt(before), split_prompt(after)
    if old_body != new_body:
        yield "prompt", "the prompt's text"
    for key in _changed_keys(old_meta, new_meta):
        yield "parameter" if key == "sampling" else "structure", f"`{key}` in the front matter"


def _spec_parts(before: str | None, after: str | None) -> Iterator[tuple[Reach, str]]:
    if before is None or after is None:
        yield "immutable", "the whole file"
        return
    old, new = yaml.safe_load(before), yaml.safe_load(after)
    if not isinstance(old, dict) or not isinstance(new, dict):
        raise ValueError(f"{SPEC_FILE} holds no mapping")
    for key in _changed_keys(old, new):
        yield "parameter" if key == "params" else "immutable", f"`{key}`"


def _changed_keys(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> list[str]:
    missing = object()
    keys = [key for key in {**old, **new} if not _same(old.get(key, missing), new.get(key, missing))]
    return sorted(str(key) for key in keys)


def _same(one: Any, other: Any) -> bool:
    """Equal in value and type. What is too large or refers to itself (YAML aliases can) is never the same."""
    pairs = [(one, other)]
    for _ in range(_MAX_NODES):
        if not pairs:
            return True
        a, b = pairs.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, dict):
            if a.keys() != b.keys():
                return False
            pairs.extend((a[key], b[key]) for key in a)
        elif isinstance(a, list):
            if len(a) != len(b):
                return False
            pairs.extend(zip(a, b, strict=True))
        elif repr(a) != repr(b):
            return False
    return False


def _line_counts(old: bytes, new: bytes) -> tuple[int, int]:
    before, after = Counter(old.splitlines()), Counter(new.splitlines())
    return (after - before).total(), (before - after).total()
