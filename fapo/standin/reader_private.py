"""Private details in a text: left out where the prompt asks for that, and put back into what has their places.

What is left out has a placeholder, `[name 1]`. E-mail addresses, telephone numbers and links are always noticed. Names,
dates, numbers and identifiers are by chance, the same ones for the same text and prompt, and all of them where the
prompt tells the reader to take care. Told to quote exact words, it keeps them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fapo.standin.reader_prompt import Prompt, content_of
from fapo.standin.reader_rules import Rules
from fapo.standin.reader_words import (
    CAPITALIZED,
    DATE,
    EMAIL,
    IDENTIFIER,
    MONEY,
    NUMBER,
    PHONE,
    STOP_WORDS,
    URL,
    sentences,
    stems,
)

_WITHHOLD = re.compile(
    r"\b(not|without|never|leav\w+ out|remov\w+|hid(e|ing)|redact\w*)\b[^.]{0,60}"
    r"\b(private|personal|sensitive|confidential|identifying)\b|\banonymi[sz]\w*|\bredact\w*",
    re.I,
)
_ASKS = re.compile(r"\b(please|could you|can you|help me|i need|write|draft|prepare|suggest|explain)\b", re.I)
_PLACEHOLDER = re.compile(r"\[(link|e-mail|date|amount|phone|identifier|name|number) (\d+)\]")
_BY_CHANCE = 45  # percent
_ALWAYS = ("link", "e-mail", "phone")
_KINDS: Mapping[str, re.Pattern[str]] = {
    "link": URL, "e-mail": EMAIL, "date": DATE, "amount": MONEY, "phone": PHONE, "identifier": IDENTIFIER,
    "name": CAPITALIZED, "number": NUMBER,
}  # fmt: skip


def without_details(prompt: Prompt, rules: Rules) -> str | None:
    """The text to treat, with placeholders for private details; None where the prompt does not ask for that."""
    if not _WITHHOLD.search(prompt.instructions):
        return None
    text = prompt.item
    names: dict[str, str] = {}
    for kind, value in sorted(_details(text), key=lambda detail: -len(detail[1])):
        if kind in _ALWAYS or (not rules.keep_all and (rules.careful or _chance(value, text, prompt.instructions))):
            names.setdefault(value, f"[{kind} {_place(text, kind, value)}]")
    for value, placeholder in names.items():
        text = re.sub(rf"(?<![\w\[]){re.escape(value)}(?!\w)", placeholder, text)
    return text


def with_details(reply: str, source: str) -> str:
    """A reply with its placeholders filled from the text that they were made of."""
    known = {f"[{kind} {_place(source, kind, value)}]": value for kind, value in _details(source)}
    return _PLACEHOLDER.sub(lambda found: known.get(found.group(), found.group()), reply)


def draft_for(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """A draft of what a lone message asks for, from its own words; None for any other kind of message."""
    text = content_of(messages[-1])
    if len(messages) != 1 or not _ASKS.search(text) or re.search(r"^[A-Z][\w -]{0,30}:|\?", text, re.MULTILINE):
        return None
    subject = " and ".join(sorted(set(stems(text)), key=len)[-2:])
    return f"Here is a first version. {' '.join(sentences(text))} Begin with {subject}, and add what is missing."


def _details(text: str) -> Iterator[tuple[str, str]]:
    """Kinds and values in the order of kinds and places; what is part of a value before it is none of its own."""
    taken = [False] * len(text)
    for kind, pattern in _KINDS.items():
        for match in pattern.finditer(text):
            value, start = _trimmed(match.group(), match.start()) if kind == "name" else (match.group(), match.start())
            span = slice(start, start + len(value))
            if value and not any(taken[span]) and not (kind == "name" and _only_begins(value, text, start)):
                taken[span] = [True] * len(value)
                yield kind, value


def _trimmed(value: str, start: int) -> tuple[str, int]:
    """A name without the stop words that it begins and ends with, and where it then begins."""
    while value and value.split()[0].lower() in STOP_WORDS:
        rest = value[len(value.split()[0]) :].lstrip()
        start, value = start + len(value) - len(rest), rest
    while value and value.split()[-1].lower() in STOP_WORDS:
        value = value[: -len(value.split()[-1])].rstrip()
    return value, start


def _only_begins(value: str, text: str, start: int) -> bool:
    """A single word that begins a sentence is capitalized for that alone."""
    return " " not in value and (start == 0 or bool(re.search(r"[.!?:\n]\s*$", text[:start])))


def _place(text: str, kind: str, value: str) -> int:
    values = list(dict.fromkeys(found for each, found in _details(text) if each == kind))
    return values.index(value) + 1


def _chance(value: str, text: str, told: str) -> bool:
    digest = hashlib.sha256(f"{value}\0{text}\0{told}".encode()).digest()
    return int.from_bytes(digest[:4]) % 100 < _BY_CHANCE
