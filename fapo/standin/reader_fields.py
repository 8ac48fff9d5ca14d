"""Named fields in a text: which ones a prompt asks for, and what the text says of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from fapo.standin.reader_prompt import Prompt
from fapo.standin.reader_words import (
    CAPITALIZED,
    DATE,
    EMAIL,
    IDENTIFIER,
    MONEY,
    NUMBER,
    NUMBER_WORDS,
    PHONE,
    STOP_WORDS,
    URL,
    positions,
    stem,
    stems,
)

_SKELETON_KEY = re.compile(r"[\"'](\w[\w .-]{0,40})[\"']\s*:\s*(\"[^\"\n]*\"|'[^'\n]*'|<[^>\n]*>|[^,}\n]*)")
_FIELD_LINE = re.compile(
    r"(?:[-*•]|\d+[.)])\s+[\"'`*]{0,2}([A-Za-z]\w*(?: \w+){0,3}?)[\"'`*]{0,2}"
    r"\s*(?:[:(—–-]\s*(.*))?"
)
_FIELD_LIST = re.compile(
    r"\b(?:fields|keys|properties|attributes|columns)\b(?: are| is)?\s*:?\s+([^.\n;{}]+)|"
    r"\bextract (?:the )?(?:following )?(?:fields |values |details )?:?\s*([^.\n;{}]+?)(?= "
    r"(?:from|as|in|and return|and reply)\b|[.\n])",
    re.IGNORECASE,
)
_ORDER = re.compile(r"(reply|return|use|do|don't|never|always|be|keep|only|no|if|write|give|answer|quote|null)\b", re.I)
_ANSWER_NAMES = frozenset(("answer", "result", "response", "output", "reply", "label", "category", "choice"))
_GENERIC = frozenset(("number", "no", "id", "code", "date", "name", "value", "the", "of", "to", "is", "in", "text"))
_PRODUCT = re.compile(
    r"\b(?:\d+|" + "|".join(NUMBER_WORDS) + r")\s*(?:x\s+|(?:units?|pieces?|pcs|boxes|packs?|copies)\s+)?"
    r"(?:of\s+)?(?:the\s+)?"
    r"([a-z][\w-]*(?: [a-z][\w-]*){0,3}?)"
    r"(?= (?:to|for|by|at|on|in|from|with|and|is|are|please|until|before|under)\b|[,.;:!?\n(]|$)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\b(?:to|in|at|from|near|for)\s+$", re.IGNORECASE)
_UNTIL = re.compile(r"\b(?:by|until|before|due|on|no later than)\s+$", re.IGNORECASE)
_PERSON = re.compile(
    r"\b(?:i am|i'm|this is|name is|regards,?|sincerely,?|thanks,?|from|mr\.?|mrs\.?|ms\.?|dear|by)\s+$", re.IGNORECASE
)
_GREETING_WORDS = "hi hello hey dear please thanks thank best kind regards sincerely subject"
_GREETINGS = frozenset(_GREETING_WORDS.split())
_NEAR_WORDS = 12
_BREAK = 0.4
_LABELLED = 3.0
_HINT = 0.3


@dataclass(frozen=True, slots=True)
class Wanted:
    name: str
    description: str

    @property
    def words(self) -> tuple[str, ...]:
        parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", self.name)
        return tuple(part.lower() for part in parts)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: how its name or description hints at it, and how it looks in a text."""

    hint: re.Pattern[str]
    find: Callable[[str], Iterator[tuple[int, str]]]
    numeric: bool = False
    before: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class _Value:
    text: str
    at: int
    evidence: float


def wanted_fields(prompt: Prompt) -> tuple[Wanted, ...]:
    """The fields that the instructions name, as a JSON skeleton, a list or a comma list, or that examples show."""
    return _wanted(prompt.instructions) or _shown(prompt)


def is_answer(field: Wanted) -> bool:
    return field.name.lower() in _ANSWER_NAMES


@lru_cache(maxsize=256)
def _wanted(told: str) -> tuple[Wanted, ...]:
    skeleton = re.search(r"\{[^{}]*\}", told)
    found = [
        Wanted(key, value.strip(" \"'<>")) for key, value in _SKELETON_KEY.findall(skeleton.group() if skeleton else "")
    ]
    if not found:
        lines = [match for line in told.split("\n") if (match := _FIELD_LINE.fullmatch(line.strip()))]
        named = [match for match in lines if not _ORDER.match(match.group(1))]
        found = [Wanted(match.group(1), (match.group(2) or "").rstrip(")")) for match in named]
    if not found:
        for match in _FIELD_LIST.finditer(told):
            parts = re.split(r",\s*(?:and\s+)?|\s+and\s+", match.group(1) or match.group(2))
            names = [re.sub(r"^(the|its|an?)\s+", "", part.strip(" \"'`*")) for part in parts]
            if len(names) > 1 or match.group(1):
                found = [Wanted(name, "") for name in names if name and len(name.split()) <= 4]
                break
    return tuple({field.name: field for field in found}.values())


def _shown(prompt: Prompt) -> tuple[Wanted, ...]:
    for example in prompt.examples:
        try:
            value = json.loads(example.answer)
        except ValueError:
            continue
        if isinstance(value, dict):
            return tuple(Wanted(str(name), "") for name in value)
    return ()


# -- values


def value_of(field: Wanted, text: str, *, careful: bool, unknown: str | None) -> Any:
    """What `text` says of a field, as a JSON value; None where nothing is found, or nothing certain where told so.

    Hasty reading takes a value next to a label, else the first of its kind; careful reading the one nearest to words
    of the field's name and description.
    """
    told = f"{' '.join(field.words)} {field.description}".lower()
    if choices := _choices(field.description):
        return _chosen(choices, text, unknown)
    if re.search(r"\b(true|false|boolean|whether)\b", told):
        return _stated(field, text)
    kind = _kind(field)
    values = list(_values(field, kind, text, careful=careful))
    best = max(values, key=lambda value: (value.evidence, -value.at), default=None)
    if best is None:
        return None
    if careful and unknown is not None and best.evidence <= 0 and len({value.text for value in values}) > 1:
        return None
    return _as_json(best.text, kind, told)


def _choices(description: str) -> list[str]:
    match = re.search(r"\b(?:one of|either)\b:?\s*(.+)|^([\w -]+(?:\s*[|/]\s*[\w -]+)+)$", description, re.IGNORECASE)
    if match is None:
        return []
    parts = re.split(r",\s*(?:or\s+)?|\s+or\s+|\s*[|/]\s*", (match.group(1) or match.group(2)).rstrip(".)"))
    return [part.strip(" \"'`") for part in parts if part.strip(" \"'`")]


def _chosen(choices: list[str], text: str, unknown: str | None) -> str | None:
    words = set(stems(text))
    shared = [len(set(stems(choice.replace("_", " "))) & words) for choice in choices]
    if unknown is not None and not any(shared):
        return None
    return choices[shared.index(max(shared))]


def _stated(field: Wanted, text: str) -> bool:
    words = {stem(word) for word in field.words if word not in STOP_WORDS}
    tokens = positions(text)
    for at, (token, _, _) in enumerate(tokens):
        if token in words:
            return not {"not", "no", "never", "t", "without"} & {before for before, _, _ in tokens[max(0, at - 3) : at]}
    return False


def _kind(field: Wanted) -> Kind:
    """The kind that the name hints at, or else the description."""
    told = (" ".join(field.words), field.description.lower())
    return next((kind for text in told for kind in _KINDS if kind.hint.search(text)), _TEXT)


def _values(field: Wanted, kind: Kind, text: str, *, careful: bool) -> Iterator[_Value]:
    label = r"[\s_-]+".join(map(re.escape, field.words))
    for match in re.finditer(rf"(?im)^\W*{label}\s*[:=#]\s*(.+)$|\b{label}\s*[:=#]\s*([^\n,;]+)", text):
        said = (match.group(1) or match.group(2)).strip()
        inside = next((value for _, value in kind.find(said)), None) if kind is not _TEXT else said.rstrip(".")
        if inside:
            yield _Value(inside, match.start(), _LABELLED)
    mentions = _mentions(field, text) if careful else []
    for at, value in kind.find(text):
        evidence = _nearness(at, at + len(value), text, mentions)
        if kind.before and careful and kind.before.search(text[:at]):
            evidence += _HINT
        yield _Value(value, at, evidence)


def _mentions(field: Wanted, text: str) -> list[tuple[int, int, float]]:
    """Where words of the field stand, with their weight: its name's own words, its general ones, its description's."""
    own = {stem(word): 0.5 if word in _GENERIC else 1.0 for word in field.words}
    own.update({word: 0.4 for word in stems(field.description) if word not in own})
    return [(start, end, own[token]) for token, start, end in positions(text) if token in own]


def _nearness(start: int, end: int, text: str, mentions: list[tuple[int, int, float]]) -> float:
    """How close the nearest mentions are, in words; one before the value counts more, one in another sentence less."""
    best: dict[float, float] = {}
    for mention_start, mention_end, weight in mentions:
        if mention_start >= start and mention_end <= end:
            continue
        before = mention_end <= start
        between = text[mention_end:start] if before else text[end:mention_start]
        gap = len(between.split())
        if gap <= _NEAR_WORDS:
            near = weight / (1 + gap) * (1.0 if before else 0.6)
            if re.search(r"[.!?]\s|\n", between):
                near *= _BREAK
            best[weight] = max(best.get(weight, 0.0), near)
    return sum(best.values())


def _as_json(text: str, kind: Kind, told: str) -> Any:
    if re.search(r"yyyy-mm-dd|\biso\b", told) and (date := _iso_date(text)):
        return date
    if kind.numeric or re.search(r"\b(integer|as a number|number only|float)\b", told):
        digits = re.sub(r"[^\d.]", "", text.replace(",", "")).strip(".")
        if digits.count(".") <= 1 and digits:
            return float(digits) if "." in digits else int(digits)
        if text.lower() in NUMBER_WORDS:
            return NUMBER_WORDS.index(text.lower()) + 1
    return text


def _iso_date(text: str) -> str | None:
    plain = re.sub(r"(?<=\d)(st|nd|rd|th)\b|\bof\b|[,.](?=\s|$)", "", text)
    plain = re.sub(r"\bsept\b", "sep", " ".join(plain.split()), flags=re.IGNORECASE)
    for form in ("%Y-%m-%d", "%d %B %Y", "%d %b %Y", "%B %d %Y", "%b %d %Y", "%d.%m.%Y", "%d/%m/%Y"):
        try:
            return datetime.strptime(plain, form).date().isoformat()
        except ValueError:
            continue
    return None


# -- kinds of values


def _all(pattern: re.Pattern[str]) -> Callable[[str], Iterator[tuple[int, str]]]:
    return lambda text: ((match.start(), match.group().strip()) for match in pattern.finditer(text))


def _names(text: str) -> Iterator[tuple[int, str]]:
    for match in CAPITALIZED.finditer(text):
        start, value = match.start(), match.group()
        while value and value.split()[0].lower().strip(".,") in STOP_WORDS | _GREETINGS:
            cut = len(value.split()[0])
            rest = value[cut:].lstrip()
            start += len(value) - len(rest)
            value = rest
        if value and not DATE.match(text[start:]):
            yield start, value


def _codes(text: str) -> Iterator[tuple[int, str]]:
    """Tokens with a digit that are no part of a date, an amount or an address."""
    taken = [match.span() for pattern in (DATE, MONEY, EMAIL, URL) for match in pattern.finditer(text)]
    for match in IDENTIFIER.finditer(text):
        if not any(start <= match.start() < end for start, end in taken):
            yield match.start(), match.group().lstrip("#")


def _numbers(text: str) -> Iterator[tuple[int, str]]:
    taken = [match.span() for match in DATE.finditer(text)]
    for match in NUMBER.finditer(text):
        if not any(start <= match.start() < end for start, end in taken):
            yield match.start(), match.group()


def _products(text: str) -> Iterator[tuple[int, str]]:
    for match in _PRODUCT.finditer(text):
        first = match.group(1).split()[0].lower()
        if first not in STOP_WORDS and not DATE.match(text[match.start() :]):
            yield match.start(1), match.group(1)


def _plain(text: str) -> Iterator[tuple[int, str]]:
    yield from _names(text)
    yield from _codes(text)


def _hint(expression: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{expression})\b")


_KINDS = (
    Kind(_hint("e-?mails?|mail address"), _all(EMAIL)),
    Kind(_hint("url|link|website|web address"), _all(URL)),
    Kind(_hint("phone|telephone|mobile|fax"), _all(PHONE)),
    Kind(_hint("dates?|days?|when|due|deadline|until"), _all(DATE), before=_UNTIL),
    Kind(_hint("price|total|cost|sum|fee|payment|currency|amount|money|budget|salary"), _all(MONEY)),
    Kind(_hint("quantity|qty|count|how many|number of|age|pieces|units|copies"), _numbers, numeric=True),
    Kind(_hint("number|no|id|ids|identifier|code|reference|ref|sku|zip|postcode|version|serial"), _codes),
    Kind(_hint("products?|items?|articles?|goods"), _products),
    Kind(_hint("city|town|place|country|destination|location|region|where|ship|address|venue"), _names, before=_PLACE),
    Kind(
        _hint("name|person|customer|sender|who|contact|recipient|author|client|employee|buyer"), _names, before=_PERSON
    ),
)
_TEXT = Kind(re.compile(""), _plain)
