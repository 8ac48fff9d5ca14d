"""Cases from the tests of promptfoo: `promptfooconfig.yaml`, or a file of tests (YAML, JSON, JSONL).

Format: promptfoo.dev, test cases. A test's `vars` become inputs. What is expected is the value of its only `equals`
assertion, or a variable that is named; other assertions are kept as metadata and judge nothing here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fapo.errors import UsageError
from fapo.records import Case

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def cases_of_promptfoo(path: Path, expected: str | None = None) -> tuple[Case, ...]:
    """The tests of a file as cases. `expected` names the variable that holds the answer; it is no input then.

    Raises UsageError, with the number of the test, where one has no expected value.
    """
    tests, default = _tests(path)
    names = Counter(str(test.get("description")) for test in tests)
    return tuple(
        _case(_merged(default, test), expected, number, path, unique=names[str(test.get("description"))] == 1)
        for number, test in enumerate(tests, 1)
    )


def _tests(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Tests in order, and what `defaultTest` adds to each."""
    content = _read(path)
    default: dict[str, Any] = {}
    if isinstance(content, dict):
        found = content.get("defaultTest") or {}
        if not isinstance(found, dict):
            raise UsageError("`defaultTest` names a file: put it in place", path=path)
        default, content = found, content.get("tests")
    if isinstance(content, str):
        if "://" in content and not content.startswith("file://"):
            raise UsageError(f"its tests are at {content}: fetch them first", path=path)
        return _tests(path.parent / content.removeprefix("file://"))[0], default
    if not isinstance(content, list) or not content:
        raise UsageError("no tests: a list, or `tests:` with one", path=path)
    for number, test in enumerate(content, 1):
        if not isinstance(test, dict) or not isinstance(test.get("vars"), dict):
            raise UsageError(f"test {number} has no `vars` of its own", path=path)
    return content, default


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        return json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_TextLoader)  # noqa: S506
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", path=path) from None
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"cannot be read: {' '.join(str(error).split())}", path=path) from None


class _TextLoader(yaml.SafeLoader):
    """Leaves dates as the texts that they are in the file."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # the name and form are PyYAML's
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _merged(default: Mapping[str, Any], test: Mapping[str, Any]) -> dict[str, Any]:
    together = {**default, **test}
    together["vars"] = {**(default.get("vars") or {}), **test["vars"]}
    together["assert"] = [*(default.get("assert") or []), *(test.get("assert") or [])]
    return together


def _case(test: dict[str, Any], expected: str | None, number: int, path: Path, *, unique: bool) -> Case:
    inputs = dict(test["vars"])
    equal = [check.get("value") for check in test["assert"] if check.get("type") == "equals"]
    name = expected
    if name is None:
        if len(equal) != 1:
            found = "no `equals` assertion" if not equal else f"{len(equal)} `equals` assertions"
            raise UsageError(f"test {number} has {found}: name the variable with the answer by --expected", path=path)
        placeholder = _PLACEHOLDER.fullmatch(str(equal[0]).strip())
        name = placeholder.group(1) if placeholder else None
    if name is not None and name not in inputs:
        raise UsageError(f"test {number} has no variable `{name}`", path=path)
    answer = inputs.pop(name) if name is not None else equal[0]
    if not inputs:
        raise UsageError(f"test {number} has no variable but the answer", path=path)
    metadata = dict(test.get("metadata") or {})
    others = [check for check in test["assert"] if check.get("type") != "equals"]
    if others:
        metadata["assert"] = others
    description = test.get("description")
    if description and not unique:
        metadata["description"] = description
    case_id = str(description) if description and unique else f"test-{number:04}"
    return Case(case_id, inputs, answer if isinstance(answer, dict) else {"answer": answer}, metadata)
