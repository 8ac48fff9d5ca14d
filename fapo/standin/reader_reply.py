"""How an answer is put: as the prompt's instructions ask, and with the usual faults where they do not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from fapo.standin.reader_rules import Rules

AnswerKind = Literal["choice", "fields", "span", "sentence", "summary", "query"]

_OPENINGS: dict[str, tuple[str, ...]] = {
    "choice": (
        "Based on the information given, the best fit is {}.",
        "Having read the text, I would say the answer is {}.",
        "This looks like {}.",
    ),
    "span": ("The answer is {}.", "According to the text, the answer is {}."),
    "sentence": ("{}", "According to the text: {}"),
    "summary": ("Here is a summary: {}", "{}"),
    "query": ("Here is a search query that you could use: {}", "Search query: {}"),
}
_CLOSING = "{} could also be considered."
_FENCED = "Here is the extracted information:\n```json\n{}\n```"
_NOTHING = "I cannot answer that from the text given."
_CLOSING_SHARE = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reader found: `value`, JSON for `fields`. `full` and `runner_up` are how it may be spoken of."""

    kind: AnswerKind
    value: Any
    full: str = ""
    runner_up: str = ""


def put(answer: Answer, rules: Rules, *, mood: int) -> str:
    """The reply's text. `mood` is a number that settles which of several phrasings is used, the same for one prompt."""
    if answer.kind == "fields":
        text = json.dumps(answer.value, ensure_ascii=False)
        plain = rules.plain_json or rules.alone
        return _enclosed(text, rules) if plain or rules.tag or rules.prefix else _FENCED.format(_indented(answer.value))
    if not str(answer.value).strip():
        return _enclosed("", rules) if rules.tag or rules.prefix else _NOTHING
    value = _shaped(str(answer.value), answer.kind, rules)
    if rules.tag or rules.prefix:
        reply = _enclosed(value, rules)
        return reply if rules.alone else f"{_spoken(answer, value, mood)}\n{reply}"
    if rules.alone or (rules.short and answer.kind != "choice"):
        return value
    reply = _spoken(answer, _shaped(answer.full or str(answer.value), answer.kind, rules), mood)
    if answer.runner_up and not rules.no_hedge and mood % _CLOSING_SHARE == 0:
        reply = f"{reply} {_CLOSING.format(answer.runner_up)}"
    return reply.replace("\n", " ") if rules.one_line else reply


def _indented(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _enclosed(text: str, rules: Rules) -> str:
    text = f"<{rules.tag}>{text}</{rules.tag}>" if rules.tag else text
    return f"{rules.prefix}: {text}" if rules.prefix else text


def _spoken(answer: Answer, value: str, mood: int) -> str:
    openings = _OPENINGS[answer.kind]
    return openings[mood // _CLOSING_SHARE % len(openings)].format(value)


def _shaped(text: str, kind: AnswerKind, rules: Rules) -> str:
    if kind != "choice" and rules.max_words is not None:
        text = " ".join(text.split()[: rules.max_words])
    if rules.one_line:
        text = " ".join(text.split())
    if rules.letters:
        text = text.lower() if rules.letters == "lower" else text.upper()
    return text
