"""What machines read is well formed, whatever is in it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from fapo.ci.outputs import Check, junit_xml, write_outputs, write_step_summary
from fapo.ci.pages import safe
from fapo.errors import StorageError


def test_junit_has_a_test_case_for_each_check_and_one_for_an_error() -> None:
    checks = [Check("good", True, "1 & 2"), Check("bad", False, "<no>\x00\x1b[31m"), Check("open", None, "not asked")]
    (suite,) = ElementTree.fromstring(junit_xml("p", checks, seconds=1.5, error="no \x08result"))
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "time")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1", "time": "1.500"}
    assert [[child.tag for child in case] for case in suite] == [["system-out"], ["failure"], ["skipped"], ["error"]]
    failure, error = suite.find("testcase/failure"), suite.find("testcase/error")
    assert failure is not None
    assert failure.text == "<no>[31m"
    assert error is not None
    assert error.get("message") == "no result"


def test_outputs_are_one_line_each_and_are_added(tmp_path: Path) -> None:
    variables = {"GITHUB_OUTPUT": str(tmp_path / "out"), "GITHUB_STEP_SUMMARY": str(tmp_path / "page")}
    write_outputs(variables, {"a": "one\nb=injected", "c": None, "d": 0.5})
    write_outputs(variables, {"e": True})
    assert (tmp_path / "out").read_text() == "a=one b=injected\nc=\nd=0.5\ne=True\n"
    write_step_summary(variables, "# x")
    write_step_summary(variables, "# y\n")
    assert (tmp_path / "page").read_text() == "# x\n\n# y\n\n"
    write_outputs({}, {"a": 1})
    with pytest.raises(StorageError):
        write_outputs({"GITHUB_OUTPUT": str(tmp_path)}, {"a": 1})


def test_an_agents_words_mention_nobody_and_end_no_cell() -> None:
    shown = safe("ask @team | see https://x.example <img src=x> #12 [a](b)\n# big `code`")
    assert "@team" not in shown
    assert "https://" not in shown
    assert "#12" not in shown
    assert "<" not in shown
    assert "\n" not in shown
    assert "\\|" in shown
    assert "\\[a\\](b)" in shown
