from __future__ import annotations

import os
from pathlib import Path

import pytest

from fapo.errors import UsageError
from fapo.store.variants import belongs, freeze_snapshot, snapshot_digest, take_snapshot


def make(directory: Path, *paths: str) -> None:
    for path in paths:
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path)


def test_only_what_a_variant_consists_of_is_taken(tmp_path: Path) -> None:
    own = ("pipeline.yaml", "pipeline.py", "lib/helper.py", "prompts/a.md", "resources/names.tsv")
    beside = ("data/test.jsonl", "data/make.py", "score.txt", "labels.csv", ".env", ".git/config", "tests/t.py")
    make(tmp_path, *own, *beside, "prompts/.hidden", "__pycache__/x.py")
    assert set(take_snapshot(tmp_path)) == set(own)


@pytest.mark.parametrize(
    "path", ["validation.jsonl", "data/x.py", ".env", "prompts/.x", "lib/__pycache__/a.py", "x.csv"]
)
def test_what_lies_beside_a_pipeline_does_not_belong(path: str) -> None:
    assert not belongs(path)


def test_a_snapshot_written_and_taken_again_is_the_same(tmp_path: Path) -> None:
    snapshot = {"pipeline.py": b"x = 1\n", "prompts/a.md": "ä".encode(), "resources/b.bin": bytes(range(256))}
    freeze_snapshot(snapshot, tmp_path / "000")
    assert take_snapshot(tmp_path / "000") == snapshot
    assert snapshot_digest(take_snapshot(tmp_path / "000")) == snapshot_digest(snapshot)


def test_a_variant_that_was_left_half_written_is_written_anew(tmp_path: Path) -> None:
    make(tmp_path / ".001.partial", "pipeline.py", "prompts/old.md")
    make(tmp_path / "001", "pipeline.py", "prompts/other.md")
    freeze_snapshot({"pipeline.py": b"x = 2\n"}, tmp_path / "001")
    assert take_snapshot(tmp_path / "001") == {"pipeline.py": b"x = 2\n"}
    assert os.listdir(tmp_path) == ["001"]


def test_a_digest_tells_contents_and_paths_apart() -> None:
    digests = {
        snapshot_digest(s) for s in ({"a.py": b"x"}, {"a.py": b"y"}, {"b.py": b"x"}, {"a.py": b"x", "b.py": b""})
    }
    assert len(digests) == 4


def test_a_pipeline_that_a_package_manager_installed_by_hard_link_is_taken(tmp_path: Path) -> None:
    (tmp_path / "cache.py").write_text("x = 1\n")
    (tmp_path / "pipeline").mkdir()
    os.link(tmp_path / "cache.py", tmp_path / "pipeline" / "pipeline.py")
    assert take_snapshot(tmp_path / "pipeline", hard_links=True) == {"pipeline.py": b"x = 1\n"}


@pytest.mark.parametrize("kind", ["symlink", "hard link", "fifo", "linked directory"])
def test_links_and_special_files_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "labels.py").write_text("secret")
    pipeline = tmp_path / "pipeline"
    (pipeline / "prompts").mkdir(parents=True)
    path = pipeline / "prompts" / "x.md"
    match kind:
        case "symlink":
            path.symlink_to(secret / "labels.py")
        case "hard link":
            os.link(secret / "labels.py", path)
        case "fifo":
            os.mkfifo(path)
        case "linked directory":
            (pipeline / "resources").symlink_to(secret)
    with pytest.raises(UsageError, match=r"(prompts/x.md|resources): links and special files"):
        take_snapshot(pipeline)
