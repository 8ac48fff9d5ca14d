"""Prompts of DSPy's chat format, in which marked fields go in and come out, as the plain question that they ask.

The format is that of `dspy.ChatAdapter`: `[[ ## name ## ]]` before each field, and an objective at the end of the
system message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_OBJECTIVE = re.compile(r"your objective is:\s*(.+?)\s*$", re.DOTALL)
_OUTPUTS = re.compile(r"Your output fields are:\n(.*?)\n(?:All interactions|Outputs will be)", re.DOTALL)
_NAME = re.compile(r"^\d+\. `(\w+)`", re.MULTILINE)
_FIELD = re.compile(r"\[\[ ## (\w+) ## \]\]\n(.*?)(?=\n\[\[ ## |\nRespond with the corresponding|\Z)", re.DOTALL)
_END = "[[ ## completed ## ]]"


@dataclass(frozen=True, slots=True)
class MarkedPrompt:
    """The question as plain messages, and the fields that the answer is to be marked with; the last holds it."""

    messages: tuple[dict[str, str], ...]
    outputs: tuple[str, ...]

    def mark(self, answer: str) -> str:
        """The answer in the format that was asked for. Fields before the last are given the same text."""
        fields = [f"[[ ## {name} ## ]]\n{answer}" for name in self.outputs]
        return "\n\n".join([*fields, _END])


def find_marked(messages: Sequence[Mapping[str, Any]]) -> MarkedPrompt | None:
    """The marked prompt in chat messages; None where there is none. Demonstrations in between stay out."""
    system = next((str(message["content"]) for message in messages if message.get("role") == "system"), "")
    last = str(messages[-1].get("content")) if messages else ""
    outputs, objective = _OUTPUTS.search(system), _OBJECTIVE.search(system)
    if _END not in system or outputs is None or objective is None or messages[-1].get("role") != "user":
        return None
    lines = [" ".join(objective[1].split()), ""]
    for name, text in _FIELD.findall(last):
        gap = "\n" if "\n" in text.strip() else " "
        lines.append(f"{name.replace('_', ' ').capitalize()}:{gap}{text.strip()}")
    names = tuple(_NAME.findall(outputs[1]))
    return MarkedPrompt(({"role": "user", "content": "\n".join(lines)},), names) if names else None
