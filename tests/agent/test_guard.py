"""The guard: which calls go ahead, by path, link and glob."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fapo.agent.guard import check, fits

PROMPTS = ("pipeline/prompts/*.md",)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    workspace = tmp_path / "workspace"
    (workspace / "pipeline" / "prompts").mkdir(parents=True)
    (workspace / "pipeline" / "prompts" / "answer.md").write_text("Answer.\n")
    (workspace / "pipeline" / "pipeline.py").write_text("K = 7\n")
    (tmp_path / "secret.md").write_text("secret\n")
    (tmp_path / "outside").mkdir()
    return workspace


@pytest.mark.parametrize(
    "path", ["pipeline/pipeline.py", "pipeline/missing.py", ".", "pipeline//pipeline.py", "./pipeline"]
)
def test_reading_in_the_workspace_goes_ahead(workspace: Path, path: str) -> None:
    assert check("Read", {"file_path": path}, workspace=workspace, editable=()) is None
    assert check("Read", {"file_path": f"{workspace}/{path}"}, workspace=workspace, editable=()) is None


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../secret.md", "pipeline/../../secret.md", "pipeline/../pipeline/pipeline.py", "~/x", "~root/x",
        " pipeline/pipeline.py", "pipeline/pipeline.py ", "pipeline\\pipeline.py", "pipeline/\x00", "pipeline/a\nb",
        "pipeline/e\u0301.md", "", None, 7, ["pipeline/pipeline.py"],
    ],
)  # fmt: skip
def test_a_path_that_is_outside_or_not_plain_is_refused(workspace: Path, path: object) -> None:
    assert check("Read", {"file_path": path}, workspace=workspace, editable=())
    assert check("Write", {"file_path": path}, workspace=workspace, editable=("**",))


def test_a_sibling_with_the_workspaces_name_in_front_is_outside(workspace: Path) -> None:
    assert check("Read", {"file_path": f"{workspace}2/x"}, workspace=workspace, editable=())


def test_a_missing_path_is_refused_for_a_file_and_means_the_workspace_for_a_search(workspace: Path) -> None:
    assert check("Read", {}, workspace=workspace, editable=())
    assert check("Grep", {"pattern": "K"}, workspace=workspace, editable=()) is None
    assert check("Glob", {"pattern": "**/*.md"}, workspace=workspace, editable=()) is None


def test_a_link_out_of_the_workspace_is_refused_for_every_tool(workspace: Path) -> None:
    (workspace / "link").symlink_to(workspace.parent / "outside")
    for tool, arguments in {
        "Read": {"file_path": "link/x"},
        "Write": {"file_path": "link/x"},
        "Edit": {"file_path": "link/x"},
        "Grep": {"pattern": "x", "path": "link"},
        "Glob": {"pattern": "link/*"},
    }.items():
        assert check(tool, arguments, workspace=workspace, editable=("**",)), tool


def test_a_search_is_refused_above_a_link_that_leads_out_and_goes_ahead_beside_it(workspace: Path) -> None:
    (workspace / "train").mkdir()
    (workspace / "train" / "link.md").symlink_to(workspace.parent / "secret.md")
    assert check("Grep", {"pattern": "x"}, workspace=workspace, editable=())
    assert check("Grep", {"pattern": "x", "path": "train"}, workspace=workspace, editable=())
    assert check("Grep", {"pattern": "x", "path": "pipeline"}, workspace=workspace, editable=()) is None


def test_a_way_in_from_outside_is_refused_because_the_cli_may_see_it_lead_elsewhere(workspace: Path) -> None:
    (workspace.parent / "outside" / "in").symlink_to(workspace)
    arguments = {"file_path": f"{workspace.parent}/outside/in/pipeline/pipeline.py"}
    assert check("Read", arguments, workspace=workspace, editable=())


def test_a_link_within_the_workspace_may_be_read_but_not_written(workspace: Path) -> None:
    (workspace / "pipeline" / "prompts" / "same.md").symlink_to("answer.md")
    arguments = {"file_path": "pipeline/prompts/same.md"}
    assert check("Read", arguments, workspace=workspace, editable=PROMPTS) is None
    assert check("Edit", arguments, workspace=workspace, editable=PROMPTS)


def test_a_file_with_a_second_name_is_refused(workspace: Path) -> None:
    os.link(workspace.parent / "secret.md", workspace / "pipeline" / "prompts" / "hard.md")
    for tool in ("Read", "Edit", "Write"):
        assert check(tool, {"file_path": "pipeline/prompts/hard.md"}, workspace=workspace, editable=PROMPTS), tool
    assert check("Grep", {"pattern": "x", "path": "pipeline"}, workspace=workspace, editable=())
    assert check("Grep", {"pattern": "x", "path": "pipeline/prompts/hard.md"}, workspace=workspace, editable=())


def test_a_special_file_is_refused(workspace: Path) -> None:
    os.mkfifo(workspace / "pipe")
    assert check("Read", {"file_path": "pipe"}, workspace=workspace, editable=())
    assert check("Grep", {"pattern": "x"}, workspace=workspace, editable=())


@pytest.mark.parametrize("tool", ["Edit", "Write"])
@pytest.mark.parametrize("path", ["pipeline/prompts/answer.md", "pipeline/prompts/new.md"])
def test_an_editable_file_may_be_written(workspace: Path, tool: str, path: str) -> None:
    assert check(tool, {"file_path": path}, workspace=workspace, editable=PROMPTS) is None
    assert check(tool, {"file_path": f"{workspace}/{path}"}, workspace=workspace, editable=PROMPTS) is None


@pytest.mark.parametrize(
    "path",
    ["pipeline/pipeline.py", "pipeline/prompts/deep/new.md", "pipeline/prompts", "ledger.md", "Pipeline/prompts/x.md"],
)
def test_anything_else_may_not_be_written_and_the_reason_says_what_may(workspace: Path, path: str) -> None:
    reason = check("Write", {"file_path": path}, workspace=workspace, editable=PROMPTS)
    assert reason == f"{path} is not editable now; editable: pipeline/prompts/*.md"


def test_nothing_may_be_written_when_nothing_is_editable(workspace: Path) -> None:
    reason = check("Write", {"file_path": "pipeline/prompts/answer.md"}, workspace=workspace, editable=())
    assert reason == "pipeline/prompts/answer.md is not editable now; editable: nothing"


@pytest.mark.parametrize(
    "path", [".mcp.json", ".claude/settings.json", ".git/hooks/x", "pipeline/.claude/x", "pipeline/.x"]
)
def test_a_hidden_file_may_not_be_written_whatever_is_editable(workspace: Path, path: str) -> None:
    assert check("Write", {"file_path": path}, workspace=workspace, editable=("**",))


@pytest.mark.parametrize(
    "pattern",
    ["../*", "a/../../*", "/etc/*", "~/*", "{../x,y}", "{/etc/*,y}", "{y,/etc/*}", "{~/x,y}", "/*", "x /etc/*", 7],
)
def test_a_pattern_that_leaves_the_workspace_is_refused(workspace: Path, pattern: object) -> None:
    assert check("Glob", {"pattern": pattern}, workspace=workspace, editable=())
    assert check("Grep", {"pattern": "x", "glob": pattern}, workspace=workspace, editable=())


@pytest.mark.parametrize("pattern", ["*", "**/*.md", "*.{md,py}", "pipeline/*.py", "!*.md", "train/traces/000/*"])
def test_a_pattern_in_the_workspace_goes_ahead(workspace: Path, pattern: str) -> None:
    assert check("Glob", {"pattern": pattern}, workspace=workspace, editable=()) is None
    assert check("Glob", {"pattern": f"{workspace}/{pattern}"}, workspace=workspace, editable=()) is None
    assert check("Grep", {"pattern": "../..", "glob": pattern}, workspace=workspace, editable=()) is None


@pytest.mark.parametrize(
    "tool", ["Bash", "Task", "WebFetch", "NotebookEdit", "mcp__other__read", "mcp__fapo", "read", ""]
)
def test_a_tool_that_fapo_does_not_offer_is_refused(workspace: Path, tool: str) -> None:
    assert check(tool, {"file_path": "pipeline/pipeline.py"}, workspace=workspace, editable=("**",))


def test_fapos_own_tools_go_ahead(workspace: Path) -> None:
    assert check("mcp__fapo__submit", {"hypothesis": "../../x"}, workspace=workspace, editable=()) is None


def test_a_workspace_reached_through_a_link_has_both_names(workspace: Path) -> None:
    alias = workspace.parent / "alias"
    alias.symlink_to(workspace)
    for root in (alias, workspace):
        arguments = {"file_path": f"{root}/pipeline/prompts/answer.md"}
        assert check("Read", arguments, workspace=alias, editable=PROMPTS) is None
        assert check("Edit", arguments, workspace=alias, editable=PROMPTS) is None
        assert check("Edit", {"file_path": f"{root}/pipeline/x.py"}, workspace=alias, editable=PROMPTS)


@pytest.mark.parametrize(
    ("path", "glob", "expected"),
    [
        ("a/b.md", "a/*.md", True),
        ("a/b/c.md", "a/*.md", False),
        ("a/b.md", "a/**", True),
        ("a/b/c.md", "a/**", True),
        ("a/b/c.py", "a/**/*.py", True),
        ("a/c.py", "a/**/*.py", True),
        ("a/c.pyc", "a/**/*.py", False),
        ("b/a/c.py", "a/**/*.py", False),
        ("a", "a", True),
        ("a/b", "a", False),
        ("A", "a", False),
    ],
)
def test_globs(path: str, glob: str, expected: bool) -> None:
    assert fits(path, glob) is expected
