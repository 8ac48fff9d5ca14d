"""Prompt files: Markdown with YAML front matter and `System:` / `User:` sections, filled by Jinja2.

Imported by the worker, so it stays light.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import frontmatter
import jinja2
import jinja2.meta
import yaml

from fapo.errors import PipelineError, UsageError, did_you_mean

PROMPT_DIR = "prompts"
_SECTION = re.compile(r"^(System|User|Assistant):[ \t]*$", re.MULTILINE)
_LIKE_SECTION = re.compile(r"^[ \t]*(system|user|assistant)[ \t]*:[ \t]*$", re.MULTILINE | re.IGNORECASE)
_FRONT_KEYS = {"model", "sampling", "output"}
SAMPLING = frozenset({
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "presence_penalty",
    "frequency_penalty", "reasoning_effort", "response_format",
})  # fmt: skip
"""The call parameters that a prompt may set. No others leave the worker: some would name another endpoint or key."""
_ENVIRONMENT = jinja2.Environment(undefined=jinja2.StrictUndefined)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt file. `sections` are (role, template source) pairs in order."""

    name: str
    sections: tuple[tuple[str, str], ...]
    model: str = "task"
    sampling: dict[str, Any] = field(default_factory=dict)
    output: Literal["text", "json"] = "text"

    @property
    def variables(self) -> frozenset[str]:
        """The names that a caller must supply."""
        sources = (_ENVIRONMENT.parse(source) for _, source in self.sections)
        return frozenset().union(*(jinja2.meta.find_undeclared_variables(tree) for tree in sources))

    def render(self, variables: dict[str, Any]) -> list[dict[str, str]]:
        """Chat messages with all placeholders filled. An unknown placeholder is a PipelineError."""
        try:
            return [
                {"role": role, "content": _compiled(source).render(variables).strip()} for role, source in self.sections
            ]
        except jinja2.UndefinedError as error:
            given = ", ".join(sorted(variables)) or "nothing"
            message = f"prompts/{self.name}.md: {error.message}; the step passes {given}"
            raise PipelineError(message, kind="placeholder", step=self.name) from None

    def parse(self, text: str) -> Any:
        """The reply as the front matter's `output` declares it."""
        if self.output == "text":
            return text
        return parse_json_reply(text, self.name)


@functools.cache
def _compiled(source: str) -> jinja2.Template:
    """A template by its text: compiling takes a hundred times as long as filling it."""
    return _ENVIRONMENT.from_string(source)


def parse_json_reply(text: str, step: str) -> Any:
    """The JSON value of a reply, with or without a Markdown code fence around it."""
    fenced = re.search(r"```(?:json)?\s*\n(.*?)```", text, re.DOTALL)
    body = (fenced.group(1) if fenced else text).strip()
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        message = f"step {step}: the reply is not JSON ({error.msg} at character {error.pos})"
        raise PipelineError(message, kind="invalid_json", step=step) from None


def parse_prompt(text: str, path: Path) -> Prompt:
    """Read the text of a prompt file. Raises UsageError with file and line."""
    try:
        meta, body = frontmatter.parse(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 2 if error.problem_mark else 1
        raise UsageError(f"broken YAML front matter: {error.problem}", path=path, line=line) from None
    if not meta and text.startswith("---") and body.strip() != text.strip():
        raise UsageError("the front matter must be a mapping, such as `sampling: {temperature: 0}`", path=path, line=1)
    if unknown := set(meta) - _FRONT_KEYS:
        hint = did_you_mean(str(min(unknown)), _FRONT_KEYS)
        raise UsageError(f"unknown key `{min(unknown)}` in the front matter{hint}", path=path, line=1)
    sampling = meta.get("sampling") or {}
    if not isinstance(sampling, dict):
        raise UsageError("`sampling` must be a mapping such as {temperature: 0}", path=path, line=1)
    if unknown := set(sampling) - SAMPLING:
        hint = did_you_mean(str(min(unknown)), SAMPLING)
        raise UsageError(f"unknown sampling parameter `{min(unknown)}`{hint}", path=path, line=1)
    output = meta.get("output", "text")
    if output not in ("text", "json"):
        raise UsageError("`output` is `text` or `json`", path=path, line=1)
    prompt = Prompt(path.stem, _sections(body, path), str(meta.get("model", "task")), sampling, output)
    try:
        _ = prompt.variables
    except jinja2.TemplateSyntaxError as error:
        raise UsageError(f"template: {error.message}", path=path) from None
    return prompt


def _sections(body: str, path: Path) -> tuple[tuple[str, str], ...]:
    marks = list(_SECTION.finditer(body))
    misspelt = next((mark for mark in _LIKE_SECTION.finditer(body) if not _SECTION.fullmatch(mark.group())), None)
    if misspelt is not None and all(mark.group(1) != "User" for mark in marks):
        right = misspelt.group(1).capitalize()
        raise UsageError(f"`{misspelt.group().strip()}` begins no section: write `{right}:`", path=path)
    if not marks:
        raise UsageError("a prompt needs a `User:` line, and may have a `System:` line before it", path=path)
    if body[: marks[0].start()].strip():
        raise UsageError(f"text before the first `{marks[0].group(1)}:` line", path=path)
    ends = [mark.start() for mark in marks[1:]] + [len(body)]
    return tuple((mark.group(1).lower(), body[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True))


def load_prompts(directory: Path) -> dict[str, Prompt]:
    """All prompts of a pipeline directory by step name."""
    prompts = {}
    for file in sorted((directory / PROMPT_DIR).glob("*.md")):
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot be read as UTF-8 text: {error}", path=file) from None
        prompts[file.stem] = parse_prompt(text, file)
    return prompts
