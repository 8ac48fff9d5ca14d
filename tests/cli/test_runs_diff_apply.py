"""`fapo runs`, `diff` and `apply`: what was run is listed, and the best variant goes into the pipeline or nowhere."""

from __future__ import annotations

import resource
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fapo.errors import StorageError
from fapo.optimize.apply import apply_variant, best_variant
from fapo.store.variants import take_snapshot, write_snapshot
from tests.support.command import fapo, optimize
from tests.support.scripted import PIPELINE

ROUTE = "prompts/route.md"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("ran")
    shutil.copytree(PIPELINE, folder / "pipeline", ignore=shutil.ignore_patterns("fapo.lock"))
    return folder, Path(optimize(folder, folder / "pipeline")["run_dir"])


@pytest.fixture
def pipeline(ran: tuple[Path, Path], tmp_path: Path) -> Path:
    target = tmp_path / "target"
    shutil.copytree(PIPELINE, target, ignore=shutil.ignore_patterns("fapo.lock"))
    (target / ROUTE).chmod(0o640)
    return target


def git(target: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(target), "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True,
                   capture_output=True)  # fmt: skip


def test_runs_are_listed(ran: tuple[Path, Path]) -> None:
    folder, run = ran
    fapo(folder, "eval", PIPELINE, "--limit", "3", "--json")
    rows = fapo(folder, "runs", "--json").json["runs"]
    assert [row["kind"] for row in rows] == ["eval", "optimize"]
    assert rows[1]["name"] == run.name
    assert (rows[1]["status"], rows[1]["score"], rows[1]["best"]) == ("improved", 0.0, 1.0)
    assert rows[0]["status"] == "validation"
    shown = fapo(folder, "runs")
    assert run.name in shown.out
    assert "improved" in shown.out


def test_no_runs_yet(tmp_path: Path) -> None:
    done = fapo(tmp_path, "runs")
    assert done.code == 0
    assert done.out.startswith("no runs in")


def test_diff_is_a_patch_that_git_takes(ran: tuple[Path, Path], pipeline: Path) -> None:
    folder, run = ran
    patch = fapo(folder, "diff", run).out
    assert patch == (run / "best.patch").read_text()
    git(pipeline, "init", "-q")
    subprocess.run(["git", "-C", str(pipeline), "apply", "-"], input=patch.encode(), check=True)
    best = run / "variants" / "001"
    assert (pipeline / ROUTE).read_bytes() == (best / ROUTE).read_bytes()


def test_apply_writes_what_changed_and_keeps_modes(ran: tuple[Path, Path], pipeline: Path) -> None:
    folder, run = ran
    done = fapo(folder, "apply", run, "--to", pipeline, "--json")
    assert done.json == {"variant": "001", "to": str(pipeline), "changed": [ROUTE]}
    assert (pipeline / ROUTE).read_bytes() == (run / "variants" / "001" / ROUTE).read_bytes()
    assert (pipeline / ROUTE).stat().st_mode & 0o777 == 0o640
    again = fapo(folder, "apply", run, "--to", pipeline)
    assert "is in" in again.out
    assert "already" in again.out


def test_apply_refuses_what_has_changed_since(ran: tuple[Path, Path], pipeline: Path) -> None:
    folder, run = ran
    before = (pipeline / ROUTE).read_text() + "One more line.\n"
    (pipeline / ROUTE).write_text(before)
    refused = fapo(folder, "apply", run, "--to", pipeline)
    assert refused.code == 2
    assert "changed since the run began" in " ".join(refused.err.split())
    assert (pipeline / ROUTE).read_text() == before


def test_apply_refuses_what_is_not_committed(ran: tuple[Path, Path], pipeline: Path) -> None:
    folder, run = ran
    original = (pipeline / ROUTE).read_text()
    git(pipeline, "init", "-q")
    (pipeline / ROUTE).write_text("User:\n{{ message }}\n")
    git(pipeline, "add", "-A")
    git(pipeline, "commit", "-qm", "an earlier one")
    (pipeline / ROUTE).write_text(original)
    refused = fapo(folder, "apply", run, "--to", pipeline)
    assert refused.code == 2
    assert f"{ROUTE}: not committed" in " ".join(refused.err.split())
    git(pipeline, "add", "-A")
    git(pipeline, "commit", "-qm", "as it was optimized")
    assert fapo(folder, "apply", run, "--to", pipeline).code == 0


def test_apply_refuses_what_git_does_not_know(ran: tuple[Path, Path], pipeline: Path) -> None:
    folder, run = ran
    git(pipeline.parent, "init", "-q")
    refused = fapo(folder, "apply", run.name, "--to", pipeline)
    assert (refused.code, f"{ROUTE}: not committed" in " ".join(refused.err.split())) == (2, True)
    (pipeline.parent / ".gitignore").write_text("target/\n")
    assert fapo(folder, "apply", run.name, "--to", pipeline).code == 0


def test_apply_is_whole_or_can_be_made_again(ran: tuple[Path, Path], tmp_path: Path) -> None:
    _, run = ran
    found = best_variant(run)
    baseline = {"pipeline.yaml": b"old", "prompts/a.md": b"old", "gone.py": b"old"}
    files = {"pipeline.yaml": b"new", "prompts/a.md": b"new", "deep/er.py": b"new"}
    best = replace(found, baseline=baseline, files=files)
    write_snapshot(baseline, tmp_path)
    (tmp_path / ".fapo-apply-left").mkdir()
    (tmp_path / "prompts" / "a.md").write_bytes(b"new")  # as after a kill between two files
    assert apply_variant(best, tmp_path) == ("deep/er.py", "gone.py", "pipeline.yaml")
    assert take_snapshot(tmp_path) == files
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert apply_variant(best, tmp_path) == ()


def test_apply_changes_nothing_where_not_all_can_be_written(ran: tuple[Path, Path], tmp_path: Path) -> None:
    _, run = ran
    baseline, files = {"a.py": b"old", "prompts/a.md": b"old"}, {"a.py": b"new", "prompts/a.md": b"new" * 4096}
    best = replace(best_variant(run), baseline=baseline, files=files)
    write_snapshot(baseline, tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            apply_variant(best, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert take_snapshot(tmp_path) == baseline


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    for command in ("diff", "apply"):
        refused = fapo(tmp_path, command, tmp_path)
        assert refused.code == 2
        assert "not a run of fapo optimize" in " ".join(refused.err.split())
