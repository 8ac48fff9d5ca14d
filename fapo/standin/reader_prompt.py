"""What a prompt consists of: instructions, options, passages, worked examples and labelled fields."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fapo.standin.reader_lists import ListKind, Piece, comma_options, pieces

_LABEL = re.compile(r"(?:#{1,4}\s*)?(?:\*\*)?([A-Z][\w'()/ -]{0,50}?)(?:\*\*)?\s*:(?:\*\*)?(?:\s+(.*))?")
_TAG = re.compile(r"<(/?)([a-z][\w-]*)>")
_MARKDOWN = re.compile(r"#{1,4}\s+(.+?):?")
_NOT_CONTENT = re.compile(
    r"(output |answer |response |reply )?(instructions?|tasks?|rules?|notes?|format|goal|guidelines?|hints?)\b", re.I
)
_ANSWER_LABEL = re.compile(
    r"(output|answer|label|category|result|class|response|reply|completion|prediction|choice|a|json)\b", re.I
)
_DRAFT_LABEL = re.compile(
    r"draft\b|((proposed|previous|earlier|initial|first|current|candidate|given|suggested|model'?s?)\s+)"
    r"?(answer|reply|response|label|choice|output)\b",
    re.I,
)
_DERIVED_LABEL = re.compile(r"(facts?|key\b|summar|notes?|analysis|extracted|context|hints?|reasoning|findings)", re.I)
_EXAMPLE_HEADING = re.compile(r"\bexamples?\b|\bdemonstrations?\b", re.I)
_ARROW = re.compile(r"(?:[-*]\s+)?[\"']?(.{3,}?)[\"']?\s*(?:->|=>|→)\s*[\"'`]?(.{1,80}?)[\"'`]?")
_ORDER_LABEL = re.compile(r"(choose|pick|select|classify|answer|reply|respond|return|extract|write) \w", re.I)
_SHORT_FIELD = 8
_TASK_START = re.compile(
    r"(answer|classify|choose|extract|summari[sz]e|reply|respond|return|give|list|write|name|identify|decide|select|"
    r"pick|determine|find|generate|label|assign|read|use|using|based on|from the|now|verify|check|which|what|who|"
    r"where|when|how|output|produce|your (task|job|answer)|you (are|name|get|read|will|must|should|can|have)|consider|"
    r"compare|think|look|do not|don't|never|always|if|be|quote|keep|only|begin|start|put|here (is|are)|the following|"
    r"given|please (answer|classify|choose|extract|summari[sz]e|reply|return|give|list|write|select))\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Field:
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Option:
    """`place` counts from 0 within its list; `ordered` says that the list claims to be sorted by merit."""

    key: str
    text: str
    place: int = 0
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    given: str
    answer: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt taken apart. `instructions` is one text; `fields` is what there is to treat, in order."""

    instructions: str
    options: tuple[Option, ...]
    passages: tuple[Passage, ...]
    examples: tuple[Example, ...]
    fields: tuple[Field, ...]
    draft: str | None
    option_heading: str

    @property
    def item(self) -> str:
        """The text to treat: the longest field that was not derived from another; of equals the last."""
        given = [field.text for field in self.fields if not _DERIVED_LABEL.match(field.label)]
        texts = given or [field.text for field in self.fields]
        return max(reversed(texts), key=len, default="")

    @property
    def others(self) -> str:
        item = self.item
        return "\n".join(field.text for field in self.fields if field.text is not item)

    @property
    def everything(self) -> str:
        """All fields as they stood, short ones with their labels."""
        return "\n".join(
            f"{field.label}: {field.text}" if field.label and len(field.text.split()) <= _SHORT_FIELD else field.text
            for field in self.fields
        )

    @property
    def question(self) -> str:
        """What is asked: the field of that name, or the last sentence with a question mark, or an empty text."""
        for field in reversed(self.fields):
            if re.search(r"question|claim|query\b|^q$", field.label, re.I):
                return field.text
        texts = [self.instructions, *(field.text for field in self.fields)]
        asked = [found for text in texts for found in re.findall(r"[^.?!\n]+\?", text)]
        return asked[-1].strip() if asked else ""


def parse(messages: Sequence[Mapping[str, Any]]) -> Prompt:
    """Take chat messages apart. Turns before the last user message are worked examples, one for each answered one."""
    turns = [(str(message.get("role", "user")), text_of(message.get("content"))) for message in messages]
    system = "\n\n".join(text for role, text in turns if role in ("system", "developer"))
    talk = [(role, text) for role, text in turns if role not in ("system", "developer")]
    last = max((index for index, (role, _) in enumerate(talk) if role != "assistant"), default=-1)
    user = talk[last][1] if last >= 0 else ""
    draft = None
    if last > 0 and talk[last - 1][0] == "assistant" and re.search(r"\b(check|verify|correct|revise)", user, re.I):
        draft = talk[last - 1][1].strip()
        user = "\n\n".join(text for role, text in talk[: last + 1] if role != "assistant")
    shown = [] if draft is not None else _answered(talk[:last])
    return _assembled(system, user, shown=shown, draft=draft)


def text_of(content: Any) -> str:
    """The text of a message's content: a text, or a list of parts of which those of type `text` count."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return "" if content is None else str(content)


def _answered(talk: Sequence[tuple[str, str]]) -> list[Example]:
    pairs = itertools.pairwise(talk)
    return [Example(first[1], then[1]) for first, then in pairs if first[0] != "assistant" and then[0] == "assistant"]


def _assembled(system: str, user: str, *, shown: list[Example], draft: str | None) -> Prompt:
    system_pieces = pieces(system, system + "\n" + user)
    user_pieces = pieces(user, system + "\n" + user)
    told = [_joined(system_pieces)]
    fields, examples = _fields(_joined(system_pieces), system=True)
    told_fields, user_fields = [field for field in fields if field.label], []
    found, more = _fields(_joined(user_pieces), system=False)
    for field in found:
        if field.label and _NOT_CONTENT.match(field.label):
            told.append(field.text)
        else:
            user_fields.append(field)
    user_fields, instructions = _without_tasks(user_fields, bool(system.strip()))
    told.extend(instructions)
    if not user_fields:
        user_fields = [field for field in told_fields if not _NOT_CONTENT.match(field.label)]
    if draft is None and re.search(r"\b(check|verify|correct|revise|review)\b", "\n".join(told), re.I):
        drafts = [field for field in user_fields if _DRAFT_LABEL.match(field.label)]
        if drafts and len(user_fields) > 1:
            draft = drafts[-1].text
            user_fields = [field for field in user_fields if field is not drafts[-1]]
    lists = [piece for piece in (*system_pieces, *user_pieces) if piece.kind is not ListKind.TEXT]
    options = list(_options(lists))
    listed = comma_options("\n".join(told)) if not options else []
    options.extend(Option(name, "", place) for place, name in enumerate(listed))
    return Prompt(
        instructions="\n".join(text for text in told if text.strip()),
        options=_united(options),
        passages=tuple(_passages(lists)),
        examples=(*shown, *examples, *more),
        fields=tuple(user_fields),
        draft=draft,
        option_heading=" ".join(piece.heading for piece in lists if piece.kind is ListKind.OPTIONS),
    )


def _joined(found: Sequence[Piece]) -> str:
    return "\n".join(piece.text for piece in found if piece.kind is ListKind.TEXT)


def _options(lists: Sequence[Piece]) -> Iterator[Option]:
    for piece in lists:
        if piece.kind is ListKind.OPTIONS:
            ordered = bool(re.search(r"best|rank|sorted|likel|relevan|order", piece.heading, re.I))
            for place, entry in enumerate(piece.entries):
                yield Option(entry.key, entry.text, place, ordered)


def _united(options: Sequence[Option]) -> tuple[Option, ...]:
    """One option for each key: the first, with the longer text and the better place."""
    by_key: dict[str, Option] = {}
    for option in options:
        name = option.key.casefold()
        known = by_key.get(name)
        if known is None:
            by_key[name] = option
        else:
            text = max(known.text, option.text, key=len)
            better = option if option.ordered and not known.ordered else known
            by_key[name] = Option(known.key, text, better.place, better.ordered)
    return tuple(by_key.values())


def _passages(lists: Sequence[Piece]) -> Iterator[Passage]:
    for piece in lists:
        if piece.kind is ListKind.PASSAGES:
            yield from (Passage(entry.key, entry.text) for entry in piece.entries)


def _fields(text: str, *, system: bool) -> tuple[list[Field], list[Example]]:
    """The labelled fields of a text in order; those that make worked examples are returned as such."""
    fields: list[Field] = []
    examples: list[Example] = []
    label, lines, in_examples = "", list[str](), False

    def close() -> None:
        content = "\n".join(lines).strip()
        if content:
            fields.append(Field(label, content))
        lines.clear()

    for raw in text.split("\n"):
        line = raw.strip()
        tag = _TAG.fullmatch(line)
        heading = _MARKDOWN.fullmatch(line)
        match = _LABEL.fullmatch(line)
        if match and (len(match.group(1).split()) > 6 or _ORDER_LABEL.match(match.group(1))):
            match = None
        name = tag.group(2) if tag else heading.group(1) if heading else match.group(1) if match else None
        arrow = _ARROW.fullmatch(line) if in_examples else None
        if arrow and name is None:
            examples.append(Example(arrow.group(1).strip(), arrow.group(2).strip()))
        elif name is None:
            lines.append(raw)
        else:
            close()
            if _EXAMPLE_HEADING.search(name):
                in_examples = True
            label = "" if tag and tag.group(1) else name
            lines.extend([match.group(2)] if match and match.group(2) else [])
    close()
    return _without_examples(fields, examples, system=system)


def _without_examples(
    fields: list[Field], examples: list[Example], *, system: bool
) -> tuple[list[Field], list[Example]]:
    """A field and an answer field are a worked example, where the label comes again, or in a system text."""
    labels = [field.label.casefold() for field in fields]
    kept: list[Field] = []
    index = 0
    while index < len(fields):
        field = fields[index]
        then = fields[index + 1] if index + 1 < len(fields) else None
        again = system or labels[index] in labels[index + 1 :]
        pair = then is not None and field.label and _ANSWER_LABEL.match(then.label)
        if then is not None and pair and again and not _NOT_CONTENT.match(field.label):
            examples.append(Example(field.text, then.text))
            index += 2
        else:
            if not _EXAMPLE_HEADING.search(field.label):
                kept.append(field)
            index += 1
    return kept, examples


def _without_tasks(fields: list[Field], has_system: bool) -> tuple[list[Field], list[str]]:
    """Part what is told from what is given: unlabelled paragraphs that ask for something, and a last one that does."""
    if has_system and len(fields) == 1 and not fields[0].label:
        return fields, []
    told: list[str] = []
    kept: list[Field] = []
    for index, field in enumerate(fields):
        paragraphs = [part.strip() for part in re.split(r"\n\s*\n", field.text) if part.strip()]
        last = index == len(fields) - 1
        if not field.label:
            tasks = [part for part in paragraphs if _TASK_START.match(part)]
        else:
            tasks = [part for part in paragraphs[1:][-1:] if last and _is_task(part)]
        told.extend(tasks)
        content = "\n\n".join(part for part in paragraphs if part not in tasks)
        if content:
            kept.append(Field(field.label, content))
    return kept, told


def _is_task(paragraph: str) -> bool:
    return len(paragraph.split()) <= 40 and bool(_TASK_START.match(paragraph))


def content_of(message: Mapping[str, Any]) -> str:
    return text_of(message.get("content"))
