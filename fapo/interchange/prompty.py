"""Prompts as `.prompty` files: YAML front matter, Jinja2, and a line such as `system:` before each message.

Format: prompty.ai, file format of 2024 (`model.api: chat`, `model.parameters`). What it has no place for, the role of
the model and how the reply is read, stands under `metadata.fapo`, so that what was exported is read back unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fapo.errors import UsageError
from fapo.interchange.parts import checked_sampling, front_matter, prompt_text
from fapo.pipeline.prompts import Prompt

SUFFIX = ".prompty"
_ROLE_LINE = re.compile(r"^[ \t]*#?[ \t]*(system|user|assistant)[ \t]*:[ \t]*$", re.IGNORECASE | re.MULTILINE)


def to_prompty(prompt: Prompt, models: Mapping[str, str]) -> str:
    """A prompt as the text of a `.prompty` file. `models` has the LiteLLM model string of each role.

    Raises UsageError where a line of a message would be read as the beginning of another.
    """
    for _, source in prompt.sections:
        if found := _ROLE_LINE.search(source):
            raise UsageError(
                f"the line `{found.group().strip()}` would begin a message in a .prompty file; put it differently",
                path=f"prompts/{prompt.name}.md",
            )
    provider, _, model = models.get(prompt.model, "").partition("/")
    settings: dict[str, Any] = {"api": "chat"}
    if model:
        settings["configuration"] = {"type": provider, "name": model}
    if prompt.sampling:
        settings["parameters"] = dict(prompt.sampling)
    head = {
        "name": prompt.name,
        "model": settings,
        "inputs": {name: {"type": "string"} for name in sorted(prompt.variables)},
        "template": "jinja2",
        "metadata": {"fapo": {"model": prompt.model, "output": prompt.output}},
    }
    body = "\n\n".join(f"{role}:\n{source}" for role, source in prompt.sections)
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n{body}\n"


def from_prompty(text: str, path: Path) -> tuple[str, str | None]:
    """The text of a fapo prompt file, and the model that the `.prompty` file names, if any.

    Raises UsageError for what a prompt file has no place for.
    """
    meta, body = front_matter(text, path)
    template = meta.get("template", "jinja2")
    kind = template.get("format", template.get("type")) if isinstance(template, dict) else template
    if kind not in ("jinja2", None):
        raise UsageError(f"its template is {kind}, not jinja2: rewrite the placeholders", path=path)
    settings = meta.get("model") or {}
    if not isinstance(settings, dict):
        settings = {"configuration": {"name": str(settings)}}
    if settings.get("api", "chat") != "chat":
        raise UsageError(f"`model.api` is {settings['api']}; only chat can be taken over", path=path)
    own = (meta.get("metadata") or {}).get("fapo") or {}
    parameters = settings.get("parameters") or settings.get("options") or {}
    return (
        prompt_text(
            _sections(body, path),
            role=str(own.get("model", "task")),
            sampling=checked_sampling(parameters, path),
            output=str(own.get("output", "text")),
            path=path,
        ),
        _named(settings),
    )


def _sections(body: str, path: Path) -> list[tuple[str, str]]:
    marks = list(_ROLE_LINE.finditer(body))
    if not marks:
        return [("user", body.strip())]
    if body[: marks[0].start()].strip():
        raise UsageError(f"text before the first `{marks[0].group(1)}:` line", path=path)
    ends = [mark.start() for mark in marks[1:]] + [len(body)]
    return [(mark.group(1).lower(), body[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)]


def _named(settings: Mapping[str, Any]) -> str | None:
    configuration = settings.get("configuration") or {}
    name = settings.get("id") or configuration.get("name") or configuration.get("azure_deployment")
    kind = configuration.get("type") or settings.get("provider")
    if not name:
        return None
    return f"{'azure' if kind == 'azure_openai' else kind}/{name}" if kind else str(name)
