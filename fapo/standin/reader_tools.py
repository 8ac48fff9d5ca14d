"""Tools in a chat request: which one to call next, with what arguments, and what their results say.

A tool is worth calling if its description shares words with what is asked and its required arguments stand in the
text. Hasty reading calls the best one and answers; told to take care it goes on, also with values that earlier results
brought, until no tool is left that could help.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fapo.standin.reader_fields import Wanted, value_of
from fapo.standin.reader_prompt import content_of
from fapo.standin.reader_words import stems

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: dict[str, Any]

    @property
    def id(self) -> str:
        return f"call_{hashlib.sha256(self.text.encode()).hexdigest()[:16]}"

    @property
    def text(self) -> str:
        return f"{self.name}({json.dumps(self.arguments, sort_keys=True, ensure_ascii=False)})"

    def as_message_part(self) -> dict[str, Any]:
        function = {"name": self.name, "arguments": json.dumps(self.arguments, ensure_ascii=False)}
        return {"id": self.id, "type": "function", "function": function}


def next_call(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], choice: Any, *, careful: bool
) -> ToolCall | None:
    """The tool to call now; None where it is time to answer. `choice` is the request's `tool_choice`."""
    functions = [tool["function"] for tool in tools if tool.get("type") == "function" and "function" in tool]
    made = list(_made(messages))
    if choice == "none" or not functions:
        return None
    if isinstance(choice, Mapping):
        functions = [each for each in functions if each["name"] == choice.get("function", {}).get("name")]
    forced = choice == "required" or isinstance(choice, Mapping)
    if made and not (careful or forced):
        return None
    asked = set(stems(question_of(messages)))
    text = "\n".join([*reversed(results_of(messages)), question_of(messages)])
    found = []
    for place, function in enumerate(functions):
        shared = len(asked & set(stems(_described(function))))
        arguments = _arguments(function, text, careful=careful)
        call = None if arguments is None else ToolCall(function["name"], arguments)
        if call is not None and call.text not in made and (shared or forced):
            found.append((shared, -place, call))
    return max(found, key=lambda each: each[:2])[2] if found else None


def question_of(messages: Sequence[Message]) -> str:
    """The text of the last message of the user."""
    return next((content_of(message) for message in reversed(messages) if message.get("role") == "user"), "")


def results_of(messages: Sequence[Message]) -> list[str]:
    """What the tools answered, each as text; JSON as lines of `key: value`."""
    return [_as_lines(content_of(message)) for message in messages if message.get("role") == "tool"]


def answer_of(messages: Sequence[Message]) -> str | None:
    """The value of the result whose name shares most words with the question, the latest of equals; None for none."""
    asked = set(stems(question_of(messages)))
    best, value = 0, None
    for result in results_of(messages):
        for line in result.split("\n"):
            match = re.fullmatch(r"([\w .-]+): (.+)", line)
            shared = len(asked & set(stems(match.group(1).replace("_", " ")))) if match else 0
            if match and shared and shared >= best:
                best, value = shared, match.group(2)
    return value


def without_tools(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The conversation as one that had no tools: their results stand below the question, as documents."""
    kept = [dict(message) for message in messages if message.get("role") in ("system", "developer")]
    found = "\n".join(f"[{number}] {' '.join(text.split())}" for number, text in enumerate(results_of(messages), 1))
    question = question_of(messages)
    return [*kept, {"role": "user", "content": f"{question}\n\nDocuments:\n{found}" if found else question}]


def _made(messages: Sequence[Message]) -> Iterator[str]:
    """The calls so far, as `ToolCall.text` writes them."""
    for message in messages:
        for call in message.get("tool_calls") or ():
            try:
                arguments = json.loads(call["function"]["arguments"])
            except (KeyError, TypeError, ValueError):
                arguments = {}
            yield ToolCall(str(call.get("function", {}).get("name")), arguments).text


def _described(function: Mapping[str, Any]) -> str:
    named = _properties(function)
    texts = [function["name"], function.get("description") or "", *named]
    texts += [str(schema.get("description", "")) for schema in named.values()]
    return " ".join(texts).replace("_", " ")


def _properties(function: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = (function.get("parameters") or {}).get("properties") or {}
    return found


def _arguments(function: Mapping[str, Any], text: str, *, careful: bool) -> dict[str, Any] | None:
    """The arguments that the text gives; None where a required one is missing."""
    given = {}
    for name, schema in _properties(function).items():
        choices = schema.get("enum")
        told = f"one of: {', '.join(map(str, choices))}" if choices else str(schema.get("description", ""))
        value = value_of(Wanted(name, told), text, careful=careful, unknown="null" if choices else None)
        if value is not None and not _is_no_name(value, f"{name} {told}"):
            given[name] = str(value) if schema.get("type") == "string" else value
    required = (function.get("parameters") or {}).get("required") or ()
    return given if all(name in given for name in required) else None


def _is_no_name(value: Any, told: str) -> bool:
    """Whether a name is asked for and the value is a number or a code."""
    return bool(re.search(r"\bname\b", told) and re.search(r"\d", str(value)))


def _as_lines(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    rows = value if isinstance(value, list) else [value]
    return "\n".join(
        "\n".join(f"{key}: {part}" for key, part in row.items()) if isinstance(row, dict) else str(row) for row in rows
    )
