"""Lists in a prompt: options to choose from, passages to read. All else stays text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

_BULLET = re.compile(r"[-*•+]\s+(.*)")
_LETTER = re.compile(r"\(?([A-Za-z])[).]\s+(.*)")
_COUNT = re.compile(r"\(?(\d{1,3})[).]\s+(.*)")
_BRACKET = re.compile(r"\[(\d{1,3})\]:?\s*(.*)")
_ID = r"[A-Z][A-Z_]{0,9}[-_.]?\d[\w.]*|[a-z]{1,9}-\d[\w.]*"
_ID_FIRST = re.compile(rf"[\"'`(\[]?({_ID})[\"'`)\]]?\s*(?:(?::|—|–|=|\||-)\s+|\s)(\S.*)")
_ID_ONLY = re.compile(rf"[\"'`]?({_ID})[\"'`]?")
_KEY_FIRST = re.compile(r"[\"'`*(]{0,2}([^:|—–=\"'`]{1,60}?)[\"'`*)]{0,2}\s*(?::\*{0,2}|—|–|\||=|\s-)\s+(\S.*)")
_PIPE = re.compile(r"([^|]{1,120}?)\s*\|\s*(\S.*)")
_TITLE_COLON = re.compile(r"([^:.]{1,80}):\s+(\S.*)")

_OPTION_WORDS = re.compile(
    r"\b(options?|candidates?|categor(y|ies)|choices?|labels?|classes|(choose|pick|select|exactly)\b.*\bone|one of|"
    r"choose (from|among|between)|intents?|topics?|teams?|queues?|departments?|types|kinds|codes|alternatives|tags)\b",
    re.IGNORECASE,
)
_PASSAGE_WORDS = re.compile(
    r"\b(passages?|documents?|paragraphs?|articles?|snippets?|excerpts?|search results?|context|sources?|evidence)\b",
    re.IGNORECASE,
)
_OTHER_WORDS = re.compile(
    r"\b(rules?|steps?|instructions?|guidelines?|notes?|fields?|keys|format|facts?|summary|summaries|examples?|"
    r"requirements?|properties|points|examples?|history|emails?|message|description|text|columns)\b",
    re.IGNORECASE,
)
_CHOOSING = re.compile(
    r"\b(choose|pick|select|classify|classifies|categori[sz]e|assign|route|which|one of|label|triage|decide|name)\b",
    re.IGNORECASE,
)
_EXTRACTING = re.compile(r"\b(json|extract|fields?)\b", re.IGNORECASE)
_IMPERATIVE = re.compile(
    r"(answer|give|keep|use|do|don't|never|always|write|read|quote|be|only|reply|return|choose|prefer|if|when|make|"
    r"include|avoid|compare|consider|think|list|find|look|you|explain|state|mention|start|end|no|not|output)\b",
    re.IGNORECASE,
)
_COMMA_LIST = re.compile(
    r"\b(?:one of(?: these| the following)?(?: \w+)?|choose (?:from|among|between)|(?:options|categories|labels|"
    r"classes|choices|candidates|intents|topics|teams)(?: are)?|either)\s*(?::|are|of)?\s+"
    r"([^.\n:;(){}]+(?:\.\d[^.\n:;]*)*)",
    re.IGNORECASE,
)
_OPTION_LINE_WORDS = 40
_BARE_OPTION_WORDS = 9
_TITLED_PASSAGE_WORDS = 10


class ListKind(Enum):
    TEXT = "text"
    OPTIONS = "options"
    PASSAGES = "passages"


@dataclass(frozen=True, slots=True)
class Entry:
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text: plain lines, or a list with the heading above it."""

    kind: ListKind
    text: str
    entries: tuple[Entry, ...] = ()
    heading: str = ""


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive list lines of one form. `bodies` are their texts without the mark."""

    form: str
    marks: tuple[str, ...]
    bodies: tuple[str, ...]


def pieces(text: str, whole: str) -> list[Piece]:
    """Part a text into plain text and lists. `whole` is the prompt: it tells whether there is a choice."""
    found: list[Piece] = []
    plain: list[str] = []
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        run, end = _run(lines, index)
        heading = _heading(plain)
        piece = _as_list(run, heading, whole) if run else None
        if piece is None:
            plain.extend(lines[index : max(end, index + 1)])
        else:
            if heading and piece.kind is not ListKind.TEXT and _is_bare_heading(plain):
                _drop_heading(plain)
            found.extend([Piece(ListKind.TEXT, "\n".join(plain)), piece])
            plain = []
        index = max(end, index + 1)
    found.append(Piece(ListKind.TEXT, "\n".join(plain)))
    return found


def comma_options(text: str) -> list[str]:
    """The names in a phrase such as `one of: a, b or c`; the longest such list, or none."""
    best: list[str] = []
    for match in _COMMA_LIST.finditer(text):
        names = [
            name.strip(" \"'`*.") for name in re.split(r",\s*(?:or\s+|and\s+)?|\s+or\s+|\s*\|\s*|/", match.group(1))
        ]
        names = [name for name in names if name]
        if len(names) >= 2 and all(len(name.split()) <= 5 for name in names) and len(names) > len(best):
            best = names
    return best


def _run(lines: list[str], start: int) -> tuple[_Run | None, int]:
    """The list that begins at a line, or None, and where it ends. Indented lines continue an entry."""
    form = _form(lines[start])
    if form is None:
        return None, start
    marks, bodies = [form[1]], [form[2]]
    index, end = start + 1, start + 1
    while index < len(lines):
        line = lines[index]
        this = _form(line)
        if this and this[0] == form[0]:
            marks.append(this[1])
            bodies.append(this[2])
            end = index + 1
        elif line[:1] in " \t" and line.strip() and not this and end == index:
            bodies[-1] += " " + line.strip()
            end = index + 1
        elif line.strip() or index > end:
            break
        index += 1
    return (_Run(form[0], tuple(marks), tuple(bodies)) if len(bodies) > 1 or form[0] == "bracket" else None), end


def _form(line: str) -> tuple[str, str, str] | None:
    """The form of a list line, its mark and its text."""
    text = line.strip()
    if not text:
        return None
    first = text[0]
    if first in "-*•+":
        match = _BULLET.fullmatch(text)
        return ("bullet", "", match.group(1)) if match else None
    for name, pattern in (("bracket", _BRACKET), ("letter", _LETTER), ("count", _COUNT)):
        if match := pattern.fullmatch(text):
            return name, match.group(1), match.group(2)
    if (match := _ID_FIRST.fullmatch(text)) or (match := _ID_ONLY.fullmatch(text)):
        return "id", "", text
    if re.fullmatch(r"[^:|—–.]{1,40}\s[—–]\s\S.*", text):
        return "dash", "", text
    match = re.fullmatch(r"([A-Z])\s*[:=—–-]\s+(.*)", text)
    return ("letter", match.group(1), match.group(2)) if match else None


def _heading(plain: list[str]) -> str:
    """The line above, when it is short or ends with a colon, else its last sentence."""
    for line in reversed(plain):
        if text := line.strip():
            return re.split(r"(?<=[.?!])\s+", text)[-1][-200:] if text.endswith(":") or len(text) < 160 else ""
    return ""


def _is_bare_heading(plain: list[str]) -> bool:
    line = next(line.strip() for line in reversed(plain) if line.strip())
    return len(line.split()) <= 12 and (line.endswith(":") or line.startswith("#")) and not re.search(r"[.?!] ", line)


def _drop_heading(plain: list[str]) -> None:
    while not plain[-1].strip():
        plain.pop()
    plain.pop()


def _as_list(run: _Run, heading: str, whole: str) -> Piece | None:
    kind = _kind(run, heading, whole)
    if kind is ListKind.OPTIONS:
        return Piece(kind, "", tuple(_option_entries(run)), heading)
    if kind is ListKind.PASSAGES:
        return Piece(kind, "", tuple(_passage_entry(body) for body in run.bodies), heading)
    return None


def _kind(run: _Run, heading: str, whole: str) -> ListKind:
    if _PASSAGE_WORDS.search(heading) and not re.search(r"\boptions?\b", heading, re.IGNORECASE):
        return ListKind.PASSAGES
    ids = sum(1 for body in run.bodies if _ID_FIRST.fullmatch(body) or _ID_ONLY.fullmatch(body))
    with_ids = ids == len(run.bodies)
    if run.form == "letter":
        letters = [mark.upper() for mark in run.marks]
        return ListKind.OPTIONS if letters == [chr(65 + n) for n in range(len(letters))] else ListKind.TEXT
    if _OPTION_WORDS.search(heading) and not re.search(r"\b(fields?|keys)\b", heading, re.IGNORECASE):
        return ListKind.OPTIONS
    if run.form == "bracket":
        return ListKind.PASSAGES
    if with_ids and not _OTHER_WORDS.search(heading) and (run.form == "bullet" or _CHOOSING.search(whole)):
        return ListKind.OPTIONS
    if _OTHER_WORDS.search(heading):
        return ListKind.TEXT
    words = [len(body.split()) for body in run.bodies]
    if sum(words) / len(words) > _TITLED_PASSAGE_WORDS and all("|" in body for body in run.bodies):
        return ListKind.PASSAGES
    return ListKind.OPTIONS if _to_choose_from(run, whole) else ListKind.TEXT


def _to_choose_from(run: _Run, whole: str) -> bool:
    """Whether a list that no heading explains names things, in a prompt that has something to choose."""
    if len(run.bodies) < 2 or not _CHOOSING.search(whole) or _EXTRACTING.search(whole):
        return False
    named = [bool(_KEY_FIRST.fullmatch(body)) or len(body.split()) <= _BARE_OPTION_WORDS for body in run.bodies]
    orders = [bool(_IMPERATIVE.match(body)) for body in run.bodies]
    return (
        all(named) and sum(orders) * 3 <= len(orders) and max(len(b.split()) for b in run.bodies) <= _OPTION_LINE_WORDS
    )


def _option_entries(run: _Run) -> Iterator[Entry]:
    for mark, body in zip(run.marks, run.bodies, strict=True):
        match = _ID_FIRST.fullmatch(body) or _ID_ONLY.fullmatch(body) or _KEY_FIRST.fullmatch(body)
        if run.form == "letter" or (run.form == "count" and match is None):
            yield Entry(mark, body) if run.form == "letter" else Entry(body.strip(" \"'`*."), "")
        elif match is None:
            yield Entry(body.strip(" \"'`*."), "")
        else:
            yield Entry(match.group(1).strip(), match.group(2).strip() if match.lastindex == 2 else "")


def _passage_entry(body: str) -> Entry:
    patterns: tuple[Callable[[str], re.Match[str] | None], ...] = (_PIPE.fullmatch, _TITLE_COLON.fullmatch)
    for match in (pattern(body) for pattern in patterns):
        if match:
            return Entry(match.group(1).strip(), match.group(2).strip())
    return Entry("", body)
