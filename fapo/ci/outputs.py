"""What machines read: `$GITHUB_OUTPUT`, `$GITHUB_STEP_SUMMARY` and JUnit XML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fapo.errors import StorageError
from fapo.store.files import write_atomic

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was held against its condition. `passed` is None where it was not asked."""

    name: str
    passed: bool | None
    message: str


def junit_xml(suite: str, checks: Sequence[Check], *, seconds: float, error: str | None = None) -> str:
    """The checks as JUnit XML, one test case each; with `error`, one more that says why there is no result."""
    root = ElementTree.Element("testsuites")
    counts = {
        "tests": len(checks) + (error is not None), "failures": sum(check.passed is False for check in checks),
        "errors": int(error is not None), "skipped": sum(check.passed is None for check in checks),
    }  # fmt: skip
    attributes = {name: str(number) for name, number in counts.items()} | {"time": f"{seconds:.3f}"}
    tests = ElementTree.SubElement(root, "testsuite", {"name": f"fapo.{suite}"} | attributes)
    for check in checks:
        case = ElementTree.SubElement(
            tests, "testcase", {"classname": f"fapo.{suite}", "name": check.name, "time": "0"}
        )
        message = _NOT_XML.sub("", check.message)
        if check.passed is None:
            ElementTree.SubElement(case, "skipped", {"message": message})
        elif not check.passed:
            ElementTree.SubElement(case, "failure", {"message": message, "type": "fapo"}).text = message
        else:
            ElementTree.SubElement(case, "system-out").text = message
    if error is not None:
        case = _case(tests, suite, "result")
        ElementTree.SubElement(case, "error", {"message": _NOT_XML.sub("", error), "type": "fapo"})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(tests: ElementTree.Element, suite: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(tests, "testcase", {"classname": f"fapo.{suite}", "name": name, "time": "0"})


def write_junit(path: Path | None, text: str) -> None:
    if path is not None:
        write_atomic(path, text)


def write_outputs(variables: Mapping[str, str], values: Mapping[str, object]) -> None:
    """Add `name=value` lines to the file that `GITHUB_OUTPUT` names; None is written as nothing."""
    lines = (f"{name}={'' if value is None else ' '.join(str(value).split())}" for name, value in values.items())
    _append(variables.get("GITHUB_OUTPUT"), "\n".join(lines))


def write_step_summary(variables: Mapping[str, str], markdown: str) -> None:
    """Add Markdown to the page of the job, where `GITHUB_STEP_SUMMARY` names its file."""
    _append(variables.get("GITHUB_STEP_SUMMARY"), markdown.rstrip("\n") + "\n")


def write_fault(
    variables: Mapping[str, str], junit: Path | None, suite: str, message: str, *, code: int, seconds: float
) -> None:
    """Tell machines that there is no result, and why."""
    write_outputs(variables, {"status": "error", "exit-code": code, "message": message})
    write_step_summary(variables, f"## fapo: {suite}: no result\n\n{message}")
    write_junit(junit, junit_xml(suite, [], seconds=seconds, error=message))


def _append(path: str | None, text: str) -> None:
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise StorageError.of(path, error) from None
