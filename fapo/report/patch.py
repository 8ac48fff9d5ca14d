"""The difference between two variants as a patch that `git apply` accepts."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher

_CONTEXT = 3
_MODE = "100644"
_BINARY_LINE = 52
"""Bytes on one line of a binary patch; its length is written as one letter, so 52 at most."""


def unified_patch(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> str:
    """A git patch from the files of `old` to those of `new`, by POSIX path, in order of the paths.

    Equal files are left out; without a difference the patch is empty. Files that are not UTF-8 text become
    binary patches.
    """
    return "".join(
        part
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
        for part in _file_patch(path, old.get(path), new.get(path))
    )


def _file_patch(path: str, before: bytes | None, after: bytes | None) -> Iterator[str]:
    a, b = _quoted(f"a/{path}"), _quoted(f"b/{path}")
    yield f"diff --git {a} {b}\n"
    if before is None:
        yield f"new file mode {_MODE}\n"
    elif after is None:
        yield f"deleted file mode {_MODE}\n"
    old_id, new_id = _blob_id(before), _blob_id(after)
    yield f"index {old_id}..{new_id}{f' {_MODE}' if before is not None and after is not None else ''}\n"
    old_text, new_text = _text(before), _text(after)
    if old_text is None or new_text is None:
        yield from _binary(before or b"", after or b"")
        return
    hunks = list(_hunks(_lines(old_text), _lines(new_text)))
    if hunks:
        yield f"--- {'/dev/null' if before is None else _named(a)}\n"
        yield f"+++ {'/dev/null' if after is None else _named(b)}\n"
        yield from hunks


def _blob_id(content: bytes | None) -> str:
    """The name that git gives to a file's content; a binary patch is applied only where it matches."""
    if content is None:
        return "0" * 40
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _text(content: bytes | None) -> str | None:
    if content is None:
        return ""
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _lines(text: str) -> list[str]:
    """Lines with their line feeds. Only a line feed ends a line for git, whatever `splitlines` thinks."""
    parts = text.split("\n")
    lines = [f"{part}\n" for part in parts[:-1]]
    return lines + parts[-1:] if parts[-1] else lines


def _hunks(old: list[str], new: list[str]) -> Iterator[str]:
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_CONTEXT):
        first, last = group[0], group[-1]
        yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n"
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (_marked(" ", line) for line in old[i1:i2])
            else:
                yield from (_marked("-", line) for line in old[i1:i2])
                yield from (_marked("+", line) for line in new[j1:j2])


def _range(start: int, end: int) -> str:
    length = end - start
    return f"{start + 1 if length else start},{length}"


def _marked(mark: str, line: str) -> str:
    return f"{mark}{line}" if line.endswith("\n") else f"{mark}{line}\n\\ No newline at end of file\n"


def _quoted(path: str) -> str:
    """A path as git writes it: in quotes with octal escapes where it holds control signs, quotes or
    non-ASCII.
    """
    raw = path.encode("utf-8", "surrogateescape")
    if all(32 <= byte < 127 and byte not in b'"\\' for byte in raw):
        return path
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in raw) + '"'


def _named(quoted: str) -> str:
    """A path on a `---` or `+++` line: a tab ends one with spaces, as git writes it."""
    return f"{quoted}\t" if " " in quoted and not quoted.startswith('"') else quoted


def _binary(before: bytes, after: bytes) -> Iterator[str]:
    """Both contents in full, so that the patch can be reversed too."""
    yield "GIT binary patch\n"
    for content in (after, before):
        yield f"literal {len(content)}\n"
        packed = zlib.compress(content, 9)
        for start in range(0, len(packed), _BINARY_LINE):
            chunk = packed[start : start + _BINARY_LINE]
            length = chr(ord("A") + len(chunk) - 1) if len(chunk) <= 26 else chr(ord("a") + len(chunk) - 27)
            yield f"{length}{base64.b85encode(chunk, pad=True).decode()}\n"
        yield "\n"
