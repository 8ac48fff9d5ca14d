"""Texts made comparable, and the values in a gold answer that can be looked for in them."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

MAX_TRACEABLE_TOKENS = 12
"""A longer gold value is prose: a right answer would be worded otherwise."""

_COMMON = frozenset({
    "yes", "no", "true", "false", "none", "null", "nan", "n", "a", "unknown", "other", "both", "neither",
    "maybe", "left", "right", "male", "female", "positive", "negative", "neutral", "high", "medium", "low",
    "good", "bad", "supported", "not", "supports", "refutes",
})  # fmt: skip
_ARTICLES = frozenset({"a", "an", "the"})
_GROUPING = re.compile(r",(?<=\d,)(?=\d{3}(?!\d))")
_ZERO_DECIMALS = re.compile(r"\.(?<=\d\.)0+(?!\d|\.\d)")
_DECIMAL_POINT = re.compile(r"\.(?<=\d\.)(?=\d)")
_SIGN = re.compile(r"-(?<![^\s(=:]-)(?=\d)")
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_CONTROL = re.compile(r"[\x01\x02]")
# Scripts that write no spaces between words: each sign is a token of its own.
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ASCII = bytes(code if chr(code).isalnum() else ord(" ") for code in range(128))
_TABLE = _ASCII[:1] + b".-" + _ASCII[3:] + bytes(range(128, 256))  # 1 and 2 stand for the points and signs of numbers
_CUT = re.compile(r"… \([\d,]+ characters\)$")
_COUNTING = re.compile(r"^\s*(?:\[\d+\]|\d+[.:)])\s*")
_TITLE_END = re.compile(r" \| |\t|\n")
_LONGEST_TITLE = 300
_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)```\s*$", re.DOTALL)


def normalise(text: str) -> str:
    """`text` as lower-case tokens, each with one space before it and one after the last; "" without any
    token.

    Unicode NFKC, casefolded; punctuation separates. A number is one token: `1,000.0` is `1000`, and 12 is
    not in 12.5. So `normalise(value) in normalise(text)` holds exactly where the value stands in the text
    on token boundaries.
    """
    text = _CONTROL.sub(" ", text)
    if text.isascii():
        text = text.lower()
    else:
        text = unicodedata.normalize("NFKC", text).casefold()
        text = _FOREIGN.sub(_foreign, text)
    text = _DECIMAL_POINT.sub("\x01", _ZERO_DECIMALS.sub("", _GROUPING.sub("", text)))
    text = _SIGN.sub("\x02", text)
    # Bytes translate at memory speed; a dictionary or a regular expression would cost ten times as much.
    tokens = text.encode("utf-8", "surrogatepass").translate(_TABLE).decode("utf-8", "surrogatepass").split()
    return f" {' '.join(tokens)} " if tokens else ""


def _foreign(match: re.Match[str]) -> str:
    sign = match.group()
    if sign == "\u2212":
        return "-"
    if _UNSPACED.match(sign):
        return f" {sign} "
    return sign if sign.isalnum() else " "


def leaves(value: Any) -> Iterator[str]:
    """The scalars inside any JSON value as strings, in order; keys of mappings too, since they may carry
    data.
    """
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack.extend(part for pair in reversed(item.items()) for part in reversed(pair))
        elif isinstance(item, list | tuple | set | frozenset):
            stack.extend(reversed(list(item)))
        elif isinstance(item, bool):
            yield str(item).lower()
        elif item is not None:
            yield str(item)


def is_empty(value: Any) -> bool:
    """Whether a value holds nothing at all: None, blank text, or a container of such. 0 and False are
    something.
    """
    return not any(leaf.strip() for leaf in leaves(value))


def was_cut(value: Any) -> bool:
    """Whether the trace holds only the beginning of this value, so that absence from it proves nothing."""
    return isinstance(value, str) and _CUT.search(value[-40:]) is not None


class Texts:
    """Normalised texts, each worked out once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def text(self, text: str) -> str:
        if (found := self._known.get(text)) is None:
            found = self._known[text] = normalise(text)
        return found

    def value(self, value: Any) -> str:
        """All leaves of `value` in one text; `|` keeps a match from reaching across two of them."""
        return "|".join(self.text(leaf) for leaf in leaves(value))


def is_traceable(value: str) -> bool:
    """Whether finding the normalised `value` in a text means something: not a bare label, a digit, or
    prose.
    """
    tokens = value.split()
    if not tokens or len(tokens) > MAX_TRACEABLE_TOKENS:
        return False
    if len(tokens) == 1:
        return len(tokens[0]) > 1 and value.strip() not in _COMMON
    return not all(token in _COMMON for token in tokens)


def is_common(token: str) -> bool:
    """Whether a token says nothing by itself: a label, an article, a single sign."""
    return len(token) < 2 or token in _COMMON or token in _ARTICLES


def gold_value(text: str) -> str:
    """A gold value as it is looked for: normalised, without a leading article (but "The Who" keeps it)."""
    value = normalise(text)
    first, _, rest = value.strip().partition(" ")
    return f" {rest} " if first in _ARTICLES and len(rest) > 4 else value


def document_titles(value: Any) -> Iterator[tuple[str, bool]]:
    """The titles of the documents in any JSON value as (gold value, whether text may follow in it).

    `title | text`, a tab or a line end marks a title: "Paris Hilton | ..." is not "Paris". Without a mark a
    text may open with its title. Numbers such as `[1]` before it may be counting.
    """
    for leaf in leaves(value):
        head, *rest = _TITLE_END.split(leaf[:_LONGEST_TITLE], maxsplit=1)
        for text in {head, _COUNTING.sub("", head)}:
            value = gold_value(text)
            yield value, not rest and len(value.split()) > MAX_TRACEABLE_TOKENS


def holds(text: str, values: Iterable[str]) -> bool:
    """Whether one of the normalised `values` stands in the normalised `text`."""
    return any(value and value in text for value in values)


def as_structure(value: Any) -> Any:
    """A text that is a JSON object or array, bare or in a code fence, as what it says; any other value as
    it is.
    """
    if not isinstance(value, str):
        return value
    fenced = _FENCE.match(value)
    body = (fenced.group(1) if fenced else value).strip()
    if not body.startswith(("{", "[")):
        return value
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return value
