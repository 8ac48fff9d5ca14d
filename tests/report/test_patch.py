"""A patch is right when git applies it and the new files come out, byte for byte."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from fapo.report.patch import unified_patch

Files = Mapping[str, bytes]
LONG = "".join(f"line {number}\n" for number in range(40)).encode()


def write(files: Files, directory: Path) -> None:
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)


def read(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    found = {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}
    return {path: content for path, content in found.items() if not path.startswith(".git/")}


def git(directory: Path, *arguments: str, patch: str) -> None:
    command = ["git", "-c", "core.autocrlf=false", "-C", str(directory), *arguments]
    done = subprocess.run(command, input=patch.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() + patch


def applied(old: Files, new: Files, directory: Path) -> dict[str, bytes]:
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "init", "-q", str(directory)], check=True)
    write(old, directory)
    git(directory, "apply", "--whitespace=nowarn", "-", patch=unified_patch(old, new))
    return read(directory)


CASES: dict[str, tuple[Files, Files]] = {
    "a change in the middle": ({"a.py": LONG}, {"a.py": LONG.replace(b"line 20", b"line twenty")}),
    "two changes far apart": (
        {"a.py": LONG},
        {"a.py": LONG.replace(b"line 2\n", b"").replace(b"line 33\n", b"x\ny\n")},
    ),
    "a new file": ({"a.py": b"a\n"}, {"a.py": b"a\n", "prompts/deep/b.md": b"User:\nhello\n"}),
    "a deleted file": ({"a.py": b"a\n", "b.py": b"b\nc\n"}, {"a.py": b"a\n"}),
    "a new empty file": ({"a.py": b"a\n"}, {"a.py": b"a\n", "empty.md": b""}),
    "a deleted empty file": ({"a.py": b"a\n", "empty.md": b""}, {"a.py": b"a\n"}),
    "a file emptied": ({"a.py": b"a\n"}, {"a.py": b""}),
    "a file filled": ({"a.py": b""}, {"a.py": b"a"}),
    "no newline at the old end": ({"a.py": b"a\nb"}, {"a.py": b"a\nb\n"}),
    "no newline at the new end": ({"a.py": b"a\nb\n"}, {"a.py": b"a\nb"}),
    "no newline at either end": ({"a.py": b"a\nb"}, {"a.py": b"c\nb"}),
    "a changed last line without newline": ({"a.py": b"a\nb"}, {"a.py": b"a\nc"}),
    "a new file without newline": ({}, {"a.py": b"a"}),
    "carriage returns": ({"a.py": b"a\r\nb\r\n"}, {"a.py": b"a\r\nc\r\n"}),
    "form feeds and line separators": ({"a.py": "a\x0cb\u2028c\x85\n".encode()}, {"a.py": "a\x0cb\u2028d\n".encode()}),
    "names with spaces": ({"my prompt.md": b"a\n"}, {"my prompt.md": b"b\n", "new one.md": b"c\n"}),
    "names beyond ASCII": ({"prompts/größe.md": b"a\n"}, {"prompts/größe.md": b"b\n", '"q".md': b"c\n"}),
    "lines that look like a patch": (
        {"a.md": b"--- a\n+++ b\n@@ -1 +1 @@\n"},
        {"a.md": b"--- b\n+++ b\n@@ -1 +1 @@\n"},
    ),
    "bytes that are no text": ({"r.bin": bytes(range(256))}, {"r.bin": bytes(range(255, -1, -1)) * 3}),
    "new and deleted bytes": ({"old.bin": b"\0\1"}, {"new.bin": b"\xff\xfe\0" * 100}),
}


@pytest.mark.parametrize("name", CASES)
def test_git_applies_the_patch(name: str, tmp_path: Path) -> None:
    old, new = CASES[name]
    assert applied(old, new, tmp_path / "repo") == dict(new)


@pytest.mark.parametrize("name", CASES)
def test_git_takes_the_patch_back(name: str, tmp_path: Path) -> None:
    old, new = CASES[name]
    directory = tmp_path / "repo"
    applied(old, new, directory)
    git(directory, "apply", "--reverse", "--whitespace=nowarn", "-", patch=unified_patch(old, new))
    assert read(directory) == dict(old)


def test_random_edits_survive(tmp_path: Path) -> None:
    dice = random.Random(7)
    ends = ["\n", "\n", "\n", "\r\n", ""]
    for number in range(40):
        old = [f"{dice.randint(0, 5)}\n" for _ in range(dice.randint(0, 30))]
        new = [line for line in old if dice.random() > 0.2]
        for _ in range(dice.randint(1, 4)):
            new.insert(dice.randint(0, len(new)), f"{dice.randint(0, 9)}{dice.choice(ends)}")
        before, after = {"f": "".join(old).encode()}, {"f": "".join(new).encode()}
        assert applied(before, after, tmp_path / str(number)) == after


def test_a_patch_applies_below_another_directory(tmp_path: Path) -> None:
    old, new = {"prompts/a.md": b"User:\nold\n"}, {"prompts/a.md": b"User:\nnew\n"}
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    write({f"pipelines/mine/{path}": content for path, content in old.items()}, tmp_path)
    git(tmp_path, "apply", "--directory=pipelines/mine", "-", patch=unified_patch(old, new))
    assert read(tmp_path) == {"pipelines/mine/prompts/a.md": b"User:\nnew\n"}


def test_equal_files_make_no_patch() -> None:
    assert unified_patch({"a": b"x", "b": b"\0"}, {"a": b"x", "b": b"\0"}) == ""


def test_files_come_in_order_of_their_paths() -> None:
    files = {"c": b"1\n", "a": b"1\n", "b": b"1\n"}
    assert unified_patch({}, files) == unified_patch({}, dict(sorted(files.items())))
    headers = [line for line in unified_patch({}, files).splitlines() if line.startswith("diff")]
    assert headers == sorted(headers)
