"""Prompts as Dotprompt files (`.prompt`): YAML front matter and Handlebars, with `{{role "system"}}` before a message.

Format: google.github.io/dotprompt. Handlebars has no counterpart to most of Jinja2, and treats white space around its
blocks otherwise, so only plain placeholders (`{{ name }}`, `{{ name.part }}`) are taken over; all else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import jinja2.nodes
import yaml

from fapo.errors import UsageError
from fapo.interchange.parts import checked_sampling, front_matter, prompt_text
from fapo.pipeline.prompts import Prompt

SUFFIX = ".prompt"
_CONFIG = {"top_p": "topP", "max_tokens": "maxOutputTokens", "stop": "stopSequences"}
_READ = {theirs: ours for ours, theirs in _CONFIG.items()}
_TAG = re.compile(r"\{\{\{?(.*?)\}?\}\}", re.DOTALL)
_ROLE = re.compile(r"""role\s+["'](system|user|model|assistant)["']""")
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_WORDS = {"else", "this", "history", "media", "section", "true", "false", "null", "undefined", "json"}


def to_dotprompt(prompt: Prompt, models: Mapping[str, str]) -> str:
    """A prompt as the text of a `.prompt` file. Raises UsageError for what Handlebars cannot say."""
    head: dict[str, Any] = {}
    if model := models.get(prompt.model):
        head["model"] = model
    if prompt.sampling:
        head["config"] = {_CONFIG.get(name, name): value for name, value in prompt.sampling.items()}
    head["input"] = {"schema": dict.fromkeys(sorted(prompt.variables), "any")}
    head["output"] = {"format": prompt.output}
    head["fapo.model"] = prompt.model
    body = "\n".join(_message(role, source, prompt.name) for role, source in prompt.sections)
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n{body}\n"


def _message(role: str, source: str, name: str) -> str:
    theirs = "model" if role == "assistant" else role
    return f'{{{{role "{theirs}"}}}}\n{_handlebars(source, name)}'


def _handlebars(source: str, name: str) -> str:
    def refuse(what: str, line: int) -> UsageError:
        return UsageError(
            f"{what} has no counterpart in Dotprompt; .prompty keeps it", path=f"prompts/{name}.md ({line})"
        )

    out: list[str] = []
    for node in jinja2.Environment(keep_trailing_newline=True).parse(source).body:  # prompts are no HTML
        if not isinstance(node, jinja2.nodes.Output):
            raise refuse(f"`{type(node).__name__.lower()}`", node.lineno)
        for part in node.nodes:
            if isinstance(part, jinja2.nodes.TemplateData):
                if "{{" in part.data or "\\" in part.data[-1:]:
                    raise refuse("a literal `{{`, or a backslash before a placeholder,", part.lineno)
                out.append(part.data)
                continue
            path = _dotted(part)
            if path is None or path.split(".")[0] in _WORDS:
                raise refuse(f"the expression on line {part.lineno} of a message", part.lineno)
            out.append(f"{{{{{path}}}}}")
    return "".join(out)


def _dotted(node: jinja2.nodes.Node) -> str | None:
    if isinstance(node, jinja2.nodes.Name):
        return node.name
    if isinstance(node, jinja2.nodes.Getattr):
        before = _dotted(node.node)
        return None if before is None else f"{before}.{node.attr}"
    return None


def from_dotprompt(text: str, path: Path) -> tuple[str, str | None]:
    """The text of a fapo prompt file, and the model that the file names, if any. Raises UsageError."""
    meta, body = front_matter(text, path)
    output = meta.get("output") or {}
    config = {_READ.get(name, name): value for name, value in (meta.get("config") or {}).items()}
    model = meta.get("model")
    return (
        prompt_text(
            _sections(body, path),
            role=str(meta.get("fapo.model", "task")),
            sampling=checked_sampling(config, path),
            output="json" if output.get("format") == "json" else "text",
            path=path,
        ),
        None if model is None else str(model),
    )


def _sections(body: str, path: Path) -> list[tuple[str, str]]:
    sections: list[tuple[str, list[str]]] = [("user", [])]
    end = 0
    for tag in _TAG.finditer(body):
        sections[-1][1].append(_literal(body[end : tag.start()]))
        end = tag.end()
        inner = tag.group(1).strip()
        if role := _ROLE.fullmatch(inner):
            name = role.group(1)
            sections.append(("assistant" if name == "model" else name, []))
        elif inner.startswith("!"):
            continue
        elif _NAME.fullmatch(inner) and inner.split(".")[0] not in _WORDS:
            sections[-1][1].append(f"{{{{ {inner} }}}}")
        else:
            line = body.count("\n", 0, tag.start()) + 1
            raise UsageError(f"`{tag.group()}` on line {line} of the template cannot be taken over", path=path)
    sections[-1][1].append(_literal(body[end:]))
    joined = [(role, "".join(parts).strip()) for role, parts in sections]
    return joined[1:] if len(joined) > 1 and not joined[0][1] else joined


def _literal(text: str) -> str:
    """Text that Jinja2 gives back as it is."""
    return re.sub(r"\{[%#]", lambda found: f"{{{{ '{found.group()}' }}}}", text)
