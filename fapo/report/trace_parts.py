"""What a trace holds, as labels and printable texts: the same for Markdown and HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class InputPart:
    """A part of what a step was given: a chat message by its role, an argument by its name, or all without a label."""

    label: str
    value: Any
    is_message: bool = False


def input_parts(inputs: Any) -> Iterator[InputPart]:
    """Messages by role for a model step, arguments for a function step, whatever there is for anything else."""
    messages = inputs.get("messages") if isinstance(inputs, dict) else None
    if isinstance(messages, list) and all(isinstance(message, dict) for message in messages):
        for message in messages:
            yield InputPart(str(message.get("role", "no role")), message.get("content"), True)
            if extra := {key: part for key, part in message.items() if key not in ("role", "content")}:
                yield InputPart("", extra, True)
        return
    if isinstance(inputs, dict) and set(inputs) <= {"args", "kwargs"} and _is_call(inputs):
        arguments = {str(number): value for number, value in enumerate(inputs.get("args", []), start=1)}
        yield from field_parts({**arguments, **inputs.get("kwargs", {})})
    else:
        yield InputPart("", inputs)


def field_parts(values: Any) -> Iterator[InputPart]:
    """The fields of an object; anything else as a whole."""
    if not isinstance(values, dict) or not values:
        yield InputPart("", values)
        return
    for name, value in values.items():
        yield InputPart(str(name), value)


def _is_call(inputs: dict[str, Any]) -> bool:
    return isinstance(inputs.get("args", []), list) and isinstance(inputs.get("kwargs", {}), dict)


def value_text(value: Any, limit: int) -> str:
    """A value as printable text; of more than `limit` characters both ends, with a note of the length."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        text = "\n".join(f"[{number}] {item}" for number, item in enumerate(value, start=1))
    else:
        text = json_text(value, indent=2)
    return CONTROL.sub("�", _cut(text, limit).replace("\r\n", "\n")).encode("utf-8", "replace").decode()


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    tail = limit // 4
    head = limit - tail
    note = f"… [{len(text) - limit:,} of {len(text):,} characters left out] …"
    return f"{text[:head]}\n{note}\n{text[len(text) - tail :]}"


def json_text(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=repr)


def one_line(text: str) -> str:
    """Text on one line, so that it cannot start a heading or a list of its own."""
    return CONTROL.sub("�", " ".join(text.split())).encode("utf-8", "replace").decode()
