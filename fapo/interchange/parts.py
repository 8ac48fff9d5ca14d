"""What readers of foreign prompt files share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import frontmatter
import yaml

from fapo.errors import UsageError
from fapo.pipeline.prompts import SAMPLING, parse_prompt


def front_matter(text: str, path: Path) -> tuple[dict[str, Any], str]:
    """The front matter of a file, and what follows it."""
    try:
        meta, body = frontmatter.parse(text)
    except yaml.YAMLError as error:
        raise UsageError(f"broken YAML front matter: {' '.join(str(error).split())}", path=path) from None
    return meta, body


def checked_sampling(parameters: Any, path: Path) -> dict[str, Any]:
    """Call parameters as a prompt file may set them. Raises UsageError for others, which would be lost."""
    if not isinstance(parameters, Mapping):
        raise UsageError("the model's parameters must be a mapping such as {temperature: 0}", path=path)
    if unknown := sorted(set(parameters) - SAMPLING):
        raise UsageError(f"a prompt has no place for the parameter `{unknown[0]}`: remove it first", path=path)
    return dict(parameters)


def prompt_text(
    sections: Iterable[tuple[str, str]], *, role: str, sampling: Mapping[str, Any], output: str, path: Path
) -> str:
    """The text of a prompt file, checked as fapo will read it. Raises UsageError."""
    head: dict[str, Any] = {"model": role}
    if sampling:
        head["sampling"] = dict(sampling)
    if output != "text":
        head["output"] = output
    body = "\n\n".join(f"{name.title()}:\n{source}" for name, source in sections)
    text = f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n{body}\n"
    read = parse_prompt(text, path)
    if read.sections != tuple(sections):
        raise UsageError("a line of a message reads like the beginning of another: `System:`, `User:`", path=path)
    return text
