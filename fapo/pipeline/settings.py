"""The parameter level as data: single settings of a pipeline's files, changed without touching what is around them."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from fapo.errors import UsageError
from fapo.pipeline.prompts import PROMPT_DIR, SAMPLING
from fapo.pipeline.spec import SPEC_FILE

PARAMS = "params"
_FRONT = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?\n", re.DOTALL | re.MULTILINE)


def with_settings(snapshot: Mapping[str, bytes], settings: Mapping[str, Any]) -> dict[str, bytes]:
    """A snapshot with `params.NAME` or `STEP.SAMPLING` set, such as `params.k` or `answer.temperature`.

    Raises UsageError for a setting that the pipeline has not: an unknown parameter, a step without a prompt.
    """
    changed = dict(snapshot)
    for name, value in settings.items():
        owner, _, key = name.partition(".")
        path = SPEC_FILE if owner == PARAMS else f"{PROMPT_DIR}/{owner}.md"
        if path not in changed or not key:
            raise UsageError(f"no such setting: `{name}`; there are `params.NAME` and `STEP.PARAMETER`")
        text = changed[path].decode("utf-8")
        made = _with_param(text, key, value) if owner == PARAMS else _with_sampling(text, key, value)
        changed[path] = made.encode("utf-8")
    return changed


def _with_param(text: str, key: str, value: Any) -> str:
    document = _yaml().load(text)
    if key not in (document.get(PARAMS) or {}):
        raise UsageError(f"`{PARAMS}` in {SPEC_FILE} has no `{key}`")
    document[PARAMS][key] = value
    return _dumped(document)


def _with_sampling(text: str, key: str, value: Any) -> str:
    if key not in SAMPLING:
        raise UsageError(f"no such sampling parameter: `{key}`; there are {', '.join(sorted(SAMPLING))}")
    front = _FRONT.match(text)
    document = (_yaml().load(front.group(1)) if front else None) or {}
    document.setdefault("sampling", {})[key] = value
    return f"---\n{_dumped(document)}---\n{text[front.end() if front else 0 :]}"


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml


def _dumped(document: Any) -> str:
    out = io.StringIO()
    _yaml().dump(document, out)
    return out.getvalue()


def setting_names(snapshot: Mapping[str, bytes]) -> tuple[str, ...]:
    """The settings that could be changed: each parameter, and for each prompt its temperature."""
    params = _yaml().load(snapshot[SPEC_FILE].decode("utf-8")).get(PARAMS) or {}
    steps = (Path(path).stem for path in snapshot if path.startswith(f"{PROMPT_DIR}/") and path.endswith(".md"))
    return (*(f"{PARAMS}.{name}" for name in params), *(f"{step}.temperature" for step in steps))
