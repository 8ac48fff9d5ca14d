"""The instruction of a prompt file, as a text that an optimizer of instructions can replace: its System section."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

import jinja2
import jinja2.meta

from fapo.pipeline.prompts import PROMPT_DIR

_MARK = re.compile(r"^(System|User|Assistant):[ \t]*$\n?", re.MULTILINE)
_FRONT = re.compile(r"\A---[ \t]*\r?\n.*?^---[ \t]*\r?\n", re.DOTALL | re.MULTILINE)
_SYNTAX = jinja2.Environment(undefined=jinja2.StrictUndefined)


def instructions(snapshot: Mapping[str, bytes]) -> dict[str, str]:
    """Step to the text of its prompt's System section, which is empty where there is none."""
    found = {}
    for path, content in sorted(snapshot.items()):
        if path.startswith(f"{PROMPT_DIR}/") and path.endswith(".md"):
            text = content.decode("utf-8")
            _, begin, end = _place(text)
            found[PurePosixPath(path).stem] = text[begin:end].strip()
    return found


def with_instructions(snapshot: Mapping[str, bytes], texts: Mapping[str, str]) -> dict[str, bytes]:
    """A snapshot with the System sections of some steps replaced.

    A text that is no template, or that does not have exactly the placeholders of the one before, is taken literally.
    Raises KeyError for a step without a prompt, ValueError for a text that loses a placeholder.
    """
    changed = dict(snapshot)
    for step, text in texts.items():
        path = f"{PROMPT_DIR}/{step}.md"
        old = snapshot[path].decode("utf-8")
        head, begin, end = _place(old)
        before = old[begin:end].strip()
        if text.strip() == before:
            continue
        changed[path] = f"{old[:head]}System:\n{_template(text.strip(), before)}\n\n{old[end:].lstrip()}".encode()
    return changed


def _place(text: str) -> tuple[int, int, int]:
    """Where the first section begins, and where the System section's text begins and ends."""
    front = _FRONT.match(text)
    marks = list(_MARK.finditer(text, front.end() if front else 0))
    first = marks[0]
    if first.group(1) != "System":
        return first.start(), first.start(), first.start()
    return first.start(), first.end(), marks[1].start() if len(marks) > 1 else len(text)


def _template(text: str, before: str) -> str:
    wanted = _variables(before) or set()
    if _variables(text) == wanted:
        return text
    if wanted:
        raise ValueError(f"it loses or adds placeholders: {', '.join(sorted(wanted))}")
    return "{% raw %}" + text.replace("{% endraw %}", "") + "{% endraw %}"


def _variables(text: str) -> set[str] | None:
    try:
        return jinja2.meta.find_undeclared_variables(_SYNTAX.parse(text))
    except jinja2.TemplateSyntaxError:
        return None
