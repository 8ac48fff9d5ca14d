"""What a prompt consists of, as far as its form tells: instructions, options, passages, examples, fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+(?P<text>\S.*)$")
_KEYED = re.compile(r"^\(?(?P<key>[A-Za-z]{0,8}[-_]?\d{1,6}|[A-Z])(?:\)|[.:]|\s+[—–-])\s+(?P<text>\S.*)$")
_LABEL = re.compile(r"^(?P<label>[A-Z][A-Za-z0-9 _/()-]{0,40}):[ \t]*(?P<value>.*)$")
_PASSAGE = re.compile(r"^\s*\[(?P<number>\d+)\]\s*(?P<text>\S.*)$")
_OPTION_HEADING = re.compile(
    r"\b(options?|candidates?|categor|choices?|choose|one of|labels?|classes|teams?|these are)\b", re.I
)
_FIELD_HEADING = re.compile(r"\b(fields?|keys?|json)\b", re.I)
_PASSAGE_HEADING = re.compile(r"^(passages?|context|documents?|evidence|search results?)\b", re.I)
_EXAMPLE_INPUT = re.compile(r"^(example )?(input|question|text)\b", re.I)
_EXAMPLE_OUTPUT = re.compile(r"^(example )?(output|answer|label)\b", re.I)
_SKELETON = re.compile(r"\{[^{}]*\"[\w -]+\"\s*:[^{}]*\}", re.DOTALL)
_NAMED_FIELDS = re.compile(r"\b(?:fields?|keys?)\b[^:\n]*:\s*(?P<names>[\w ]+(?:,\s*(?:and\s+)?[\w ]+)+)", re.I)


@dataclass(frozen=True, slots=True)
class Option:
    """One of several answers. `answer` is what naming it means: its key, or else its text."""

    key: str | None
    text: str
    rank: int

    @property
    def answer(self) -> str:
        return self.key or self.text


@dataclass(frozen=True, slots=True)
class Passage:
    title: str
    text: str


@dataclass(slots=True)
class Parts:
    """A prompt, taken apart. `fields` are the labelled texts of the user's message, in order."""

    instructions: str = ""
    options: list[Option] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    examples: list[tuple[str, str]] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, str] = field(default_factory=dict)
    """Names of the values to extract, each with what the prompt says about it."""

    @property
    def question(self) -> str:
        """The field that asks something, if there is one."""
        return next(
            (text for label, text in self.fields.items() if label.lower().startswith(("question", "claim"))), ""
        )

    @property
    def item(self) -> str:
        """The text to treat: the longest field."""
        return max(self.fields.values(), key=len, default="")


def content_of(message: Mapping[str, Any]) -> str:
    """A chat message's text, also where it comes in parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


def take_apart(messages: Sequence[Mapping[str, Any]]) -> Parts:
    """Read the form of a prompt. Nothing is assumed about its subject."""
    parts = Parts()
    told: list[str] = []
    for message in messages:
        text = content_of(message)
        if message.get("role") in ("system", "developer"):
            told.append(text)
            _read_lists(text.split("\n"), parts)
        else:
            told.append(_read_user(text, parts))
    parts.instructions = "\n".join(told)
    _read_wanted(parts)
    if parts.wanted:
        parts.options = []
    return parts


def _read_lists(lines: Sequence[str], parts: Parts) -> set[int]:
    """Collect the option lists among lines: bullets in a row that are keyed, or stand under a heading.

    Returns the numbers of the lines that were used, headings included.
    """
    used: set[int] = set()
    heading: int | None = None
    block: list[int] = []
    for number, line in enumerate([*lines, ""]):
        if _BULLET.match(line):
            block.append(number)
            continue
        if not line.strip() and not block:
            continue
        if block:
            title = lines[heading].strip() if heading is not None else ""
            texts = [match["text"].strip() for place in block if (match := _BULLET.match(lines[place]))]
            if _take_block(title, texts, parts):
                used |= {*block} | ({heading} if heading is not None and title.endswith(":") else set())
            block = []
        if line.strip():
            heading = number
    return used


def _take_block(heading: str, block: list[str], parts: Parts) -> bool:
    """Read a list as fields to extract or as options; False where it is neither."""
    if _FIELD_HEADING.search(heading) and not _OPTION_HEADING.search(heading):
        for text in block:
            name, _, about = text.partition(":")
            parts.wanted.setdefault(name.strip().strip("`\"'"), about.strip())
        return True
    keyed = [_KEYED.match(text) for text in block]
    if not (all(keyed) or _OPTION_HEADING.search(heading)):
        return False
    for rank, (text, match) in enumerate(zip(block, keyed, strict=True)):
        key, words = (match["key"], match["text"]) if match else _plain_option(text)
        _add_option(parts, Option(key, words, rank))
    return True


def _plain_option(text: str) -> tuple[str | None, str]:
    """`billing: questions about invoices` is named by its first part; a bare `billing` is its own name."""
    name, colon, about = text.partition(": ")
    if colon and len(name.split()) <= 4:
        return name.strip("`\"'* "), f"{name} {about}"
    return None, text.strip("`\"'* ")


def _add_option(parts: Parts, new: Option) -> None:
    for place, old in enumerate(parts.options):
        if old.answer.lower() == new.answer.lower():
            parts.options[place] = Option(old.key, f"{old.text} | {new.text}", min(old.rank, new.rank))
            return
    parts.options.append(new)


def _read_user(text: str, parts: Parts) -> str:
    """Sort a user message's lines into fields, passages, examples and options; returns what is left as instructions."""
    left: list[str] = []
    label = ""
    value: list[str] = []
    pending_input = ""
    lines = text.split("\n")
    used = _read_lists(lines, parts)

    def close() -> None:
        nonlocal label, value, pending_input
        body = "\n".join(value).strip()
        if label and body:
            if _EXAMPLE_OUTPUT.match(label) and pending_input:
                parts.examples.append((pending_input, body))
                parts.fields.pop(_last_key(parts.fields), None)
                pending_input = ""
            elif not _PASSAGE_HEADING.match(label) or not parts.passages:
                pending_input = body if _EXAMPLE_INPUT.match(label) else ""
                parts.fields[_free_key(parts.fields, label)] = body
        label, value = "", []

    for number, line in enumerate(lines):
        if number in used:
            continue
        passage, labelled = _PASSAGE.match(line), _LABEL.match(line)
        if passage:
            title, bar, body = passage["text"].partition(" | ")
            parts.passages.append(Passage(title if bar else "", body if bar else passage["text"]))
        elif labelled and not line.rstrip().endswith("?"):
            close()
            label, value = labelled["label"], [labelled["value"]]
        elif label and line.strip() and not (line.rstrip().endswith("?") and value and not value[-1].strip()):
            value.append(line)
        elif not line.strip():
            if label:
                value.append("")
        else:
            close()
            left.append(line)
    close()
    if not parts.fields and left:
        parts.fields["text"] = "\n".join(left)
        return ""
    return "\n".join(left)


def _last_key(fields: Mapping[str, str]) -> str:
    return next(reversed(list(fields)), "")


def _free_key(fields: Mapping[str, str], label: str) -> str:
    number, key = 1, label
    while key in fields:
        number += 1
        key = f"{label} {number}"
    return key


def _read_wanted(parts: Parts) -> None:
    """Which named values the instructions ask for: a JSON skeleton, a list of fields, or `fields: a, b and c`."""
    if "json" not in parts.instructions.lower():
        parts.wanted = {}
        return
    if skeleton := _SKELETON.search(parts.instructions):
        pairs = re.findall(r"\"([\w -]+)\"\s*:\s*(\"[^\"]*\"|[^,}\n]*)", skeleton.group(0))
        parts.wanted = {name: about.strip("\"' <>.") for name, about in pairs} | {
            name: about for name, about in parts.wanted.items() if about
        }
    elif not parts.wanted and (named := _NAMED_FIELDS.search(parts.instructions)):
        parts.wanted = dict.fromkeys(_split_names(named["names"]), "")


def _split_names(text: str) -> Iterable[str]:
    for part in text.split(","):
        for name in re.split(r"\band\b", part):
            if name.strip():
                yield name.strip().replace(" ", "_")
