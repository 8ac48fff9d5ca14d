"""The leakage check: no case text, case id or expected answer in what the agent wrote.

A phrase is EIGHT_WORDS in a row: on 884 CVE descriptions and sentences that a writer would honestly use, runs of six
words often met by chance, runs of eight only in near quotations. What more than COMMON different texts say is the
subject's own language (`allows remote attackers to execute arbitrary code`) and gives no case away.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fapo.records import Case

EIGHT_WORDS = 8
SHORT_TEXT_WORDS = 4
"""A case text of at least so many words, but fewer than a phrase, counts where it is repeated as a whole."""
COMMON = 2
SHARED = 10
"""A passage may serve several cases; what more than so many have in common is the task's own wording."""
LITERAL_WORDS = 4
LITERAL_CHARACTERS = 24
ID_CHARACTERS = 6
ANSWER_CHARACTERS = 8

What = Literal["text", "id", "answer", "literal", "short literal", "argument"]
Hashes = NDArray[np.uint64]

_IDENTIFIER = re.compile(r"[A-Za-z]\w*(?::[A-Za-z]\w*)+")
_NAME = re.compile(r"[A-Za-z][\w:]*\w")
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_WEIGHTS = np.random.default_rng(20260619).integers(0, 2**63, EIGHT_WORDS, dtype=np.uint64) * np.uint64(2) + np.uint64(
    1
)


@dataclass(frozen=True, slots=True)
class Passage:
    """A text inside a file, and the line where it starts, from 1."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Leak:
    """A place in a text that repeats a case. `phrase` is the passage, normalized; `line` counts from 1."""

    what: What
    phrase: str
    line: int


def words_of(text: str) -> list[str]:
    """The words of a text without regard to case, marks, punctuation, invisible characters and layout.

    Scripts that do not put spaces between words yield one word for each character.
    """
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        visible = "".join(char for char in decomposed if unicodedata.category(char) not in ("Mn", "Cf"))
        text = _UNSPACED.sub(r" \g<0> ", visible)
    return _WORD.findall(text.casefold())


class LeakIndex:
    """All that must not be repeated of some cases. Built once, then asked for every variant.

    What it knows of held-out cases must not reach the agent through its answers: whoever shows a Leak of an `id`, an
    `answer` or a `short literal`, which can be guessed, must not say which one it was, nor where.
    """

    def __init__(
        self, texts: Mapping[str, int], ids: Iterable[str], answers: Iterable[str], arguments: Iterable[str] = ()
    ) -> None:
        """`texts` maps each text to the number of cases that have it; `arguments` are names that only scorers read."""
        self._arguments = frozenset(arguments)
        self._vocabulary: dict[str, int] = {}
        split = [(words_of(text), cases) for text, cases in texts.items()]
        encoded = [self._encode(words) for words, _ in split]
        telling = (codes for codes, (_, cases) in zip(encoded, split, strict=True) if _tells(len(codes), cases))
        self._texts = _drop_common(_phrases(telling), encoded)
        self._answers = _drop_common(_phrases(self._encode(words_of(answer)) for answer in answers), encoded)
        self._ids = {size: np.unique(runs) for size, runs in _phrases(self._encode(words_of(i)) for i in ids).items()}
        self._short = {" ".join(words) for words, cases in split if len(words) > 1 and cases <= COMMON}
        self._haystack = " \n ".join(["", *(" ".join(words) for words, cases in split if cases <= SHARED), ""])

    @classmethod
    def build(cls, cases: Iterable[Case]) -> LeakIndex:
        """The index of all texts of the cases' inputs, their ids, their expected answers, and what scorers are told."""
        texts: Counter[str] = Counter()
        ids: list[str] = []
        answers: list[str] = []
        arguments: set[str] = set()
        shown: set[str] = set()
        for case in cases:
            arguments |= set(_arguments(case.expected))
            shown |= {name for text in _strings(case.inputs) for name in _NAME.findall(text)}
            texts.update(set(_strings(case.inputs)))
            answers += {text for text in _strings(case.expected) if _answers_one_case(text)}
            if len(case.id) >= ID_CHARACTERS and not "".join(words_of(case.id)).isdecimal():
                ids.append(case.id)
        return cls(texts, ids, answers, arguments - shown)

    def find(self, text: str, *, answers: bool) -> Iterator[Leak]:
        """The leaks in a text, in no special order; expected answers only if asked for."""
        words: list[str] = []
        lines: list[int] = []
        for number, line in enumerate(text.splitlines(), 1):
            found = words_of(line)
            words += found
            lines += [number] * len(found)
        codes = np.fromiter((self._vocabulary.get(word, 0) for word in words), dtype=np.uint64, count=len(words))
        tables: list[tuple[What, dict[int, Hashes]]] = [("text", self._texts), ("id", self._ids)]
        tables += [("answer", self._answers)] if answers else []
        for what, table in tables:
            for size, hashes in table.items():
                for start in np.flatnonzero(_among(_runs(codes, size), hashes)):
                    yield Leak(what, " ".join(words[start : start + size]), lines[start])

    def find_arguments(self, text: str) -> Iterator[Leak]:
        """Names in a text by which cases tell the score function what to check."""
        for number, line in enumerate(text.splitlines(), 1):
            for name in _NAME.findall(line):
                if name in self._arguments:
                    yield Leak("argument", name, number)

    def find_literal(self, literal: Passage) -> Leak | None:
        """Whether a string literal of code is a piece of a case text that only few texts have, or all of a short one.

        A literal counts from LITERAL_WORDS words or LITERAL_CHARACTERS characters on; a shorter one of two words only
        where it is a whole text.
        """
        words = words_of(literal.text)
        phrase = " ".join(words)
        if len(words) >= LITERAL_WORDS or len(phrase) >= LITERAL_CHARACTERS:
            found = 1 <= self._haystack.count(f" {phrase} ") <= COMMON
            return Leak("literal", phrase, literal.line) if found else None
        return Leak("short literal", phrase, literal.line) if phrase in self._short else None

    def _encode(self, words: Sequence[str]) -> Hashes:
        """Words as numbers from 1; 0 stands for words that no case has."""
        numbers = self._vocabulary
        return np.array([numbers.setdefault(word, len(numbers) + 1) for word in words], dtype=np.uint64)


def _tells(words: int, cases: int) -> bool:
    """Whether a text of so many words, which so many cases have, gives one of them away."""
    return cases <= (SHARED if words >= EIGHT_WORDS else COMMON) and words >= SHORT_TEXT_WORDS


def _strings(value: Any) -> Iterator[str]:
    """All texts inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)


def _arguments(expected: Any, depth: int = 0) -> Iterator[str]:
    """Of what is expected, names that are no answers: `kind:name`, and keys with an underscore of records in a list."""
    if isinstance(expected, str) and _IDENTIFIER.fullmatch(expected):
        yield expected
    elif isinstance(expected, dict):
        for key, part in expected.items():
            if depth > 1 and "_" in str(key):
                yield str(key)
            yield from _arguments(part, depth + 1)
    elif isinstance(expected, list | tuple):
        for part in expected:
            yield from _arguments(part, depth + 1)


def _answers_one_case(answer: str) -> bool:
    """Whether an answer is specific enough to look for. A single lower-case word is vocabulary, not an answer."""
    words = words_of(answer)
    if not words or (len(words) == 1 and answer.strip().isalpha() and answer == answer.lower()):
        return False
    return len(words) >= 2 or len(answer.strip()) >= ANSWER_CHARACTERS


def _runs(codes: Hashes, size: int) -> Hashes:
    """A hash of every run of `size` words, modulo 2^64."""
    count = max(len(codes) - size + 1, 0)
    total = np.zeros(count, dtype=np.uint64)
    for offset in range(size):
        total += codes[offset : offset + count] * _WEIGHTS[offset]
    return total


def _phrases(items: Iterable[Hashes]) -> dict[int, Hashes]:
    """The runs of EIGHT_WORDS of each item, and shorter items whole, by their number of words; each once an item."""
    found: dict[int, list[Hashes]] = {}
    for item in items:
        if size := min(len(item), EIGHT_WORDS):
            found.setdefault(size, []).append(np.unique(_runs(item, size)))
    return {size: np.concatenate(runs) for size, runs in found.items()}


def _drop_common(phrases: dict[int, Hashes], texts: Sequence[Hashes]) -> dict[int, Hashes]:
    """The sorted phrases that at most COMMON of their own items and at most COMMON texts contain."""
    kept = {}
    for size, runs in phrases.items():
        rare, own = np.unique(runs, return_counts=True)
        rare = rare[own <= COMMON]
        within = [run[_among(run, rare)] for text in texts if len(run := np.unique(_runs(text, size)))]
        seen, count = np.unique(np.concatenate([*within, rare[:0]]), return_counts=True)
        kept[size] = rare[~_among(rare, seen[count > COMMON])]
    return kept


def _among(values: Hashes, table: Hashes) -> NDArray[np.bool_]:
    """Which values are in a sorted table."""
    if len(table) == 0:
        return np.zeros(len(values), dtype=np.bool_)
    place = np.minimum(np.searchsorted(table, values), len(table) - 1)
    return np.asarray(table[place] == values, dtype=np.bool_)
