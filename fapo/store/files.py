"""Files that survive a kill -9 at any instant: atomic replace, and append by whole lines."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import TypeAdapter

from fapo.errors import StorageError, UsageError

T = TypeVar("T")


def write_atomic(path: Path, data: str | bytes) -> None:
    """Replace `path` by `data`, whole or not at all. Raises StorageError."""
    raw = data.encode() if isinstance(data, str) else data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError.of(path, error) from None


def write_file(path: Path, data: str | bytes) -> None:
    """Write what need not be whole after a kill, and make the folders above it. Raises StorageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    except OSError as error:
        raise StorageError.of(path, error) from None


def make_directory(path: Path) -> Path:
    """Create `path`, or say in one line why that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        hint = "set FAPO_RUNS_DIR or FAPO_CACHE_DIR to a folder you can write to"
        raise UsageError(f"cannot be written ({error.strerror}); {hint}", path=path) from None


_adapters: dict[type, TypeAdapter[Any]] = {}


def _adapter(kind: type) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def to_json(record: Any) -> bytes:
    """One record as one line of JSON, without the line feed."""
    return _adapter(type(record)).dump_json(record)


def to_python(record: Any) -> Any:
    """One record as plain JSON-able Python."""
    return _adapter(type(record)).dump_python(record, mode="json")


def from_json(kind: type[T], line: bytes | str) -> T:
    """The record of type `kind` that `line` holds."""
    record: T = _adapter(kind).validate_json(line)
    return record


class LineLog:
    """An append-only file of JSON lines, each written whole or not at all; a kill leaves at most a torn tail.

    Raises StorageError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            cut_torn_tail(path)
            self._file: IO[bytes] = path.open("ab", buffering=0)
        except OSError as error:
            raise StorageError.of(path, error) from None
        self._end = self._file.seek(0, os.SEEK_END)

    def append(self, line: bytes) -> int:
        """Write one line; returns where it begins, bytes from the start of the file."""
        begins, left = self._end, memoryview(line + b"\n")
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(begins)
            raise StorageError.of(self.path, error) from None
        self._end += len(line) + 1
        return begins

    def close(self) -> None:
        self._file.close()


def cut_torn_tail(path: Path) -> None:
    """Drop what follows the last line feed: a record whose writing was interrupted."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        position = size
        while position > 0:
            step = min(65536, position)
            file.seek(position - step)
            cut = file.read(step).rfind(b"\n")
            if cut >= 0:
                position = position - step + cut + 1
                break
            position -= step
        if position != size:
            file.truncate(position)


def read_lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a log, without a torn tail."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@contextlib.contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Hold a directory for this process; the lock goes with the process.

    Raises UsageError if another holds it, StorageError if it cannot be written.
    """
    path = directory / ".lock"
    try:
        opened = path.open("w")
    except OSError as error:
        raise StorageError.of(path, error) from None
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError("another fapo process is working on it", path=directory) from None
        yield


def is_locked(directory: Path) -> bool:
    """Whether a process holds the directory by `lock_directory`; does not get in the way of one that begins."""
    try:
        status = (directory / ".lock").stat()
    except OSError:
        return False
    try:
        held = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return _can_not_be_locked(directory)
    inode = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    return any(fields[1:4] == ["FLOCK", "ADVISORY", "WRITE"] and inode in fields for fields in map(str.split, held))


def _can_not_be_locked(directory: Path) -> bool:
    try:
        with (directory / ".lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
