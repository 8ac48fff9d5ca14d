"""Words, sentences and typed values in a text, as the lexical reader sees them."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import Stemmer

_STEMMER = Stemmer.Stemmer("english")
_WORD = re.compile(r"[^\W_]+")
_SENTENCE_END = re.compile(
    r"(?<!\b[A-Z])(?<!\b(?:Mr|Dr|St|No|vs))(?<!\bMrs)(?<!\b(?:i\.e|e\.g))[.!?][\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])"
)

_STOP_WORDS = (
    "a an the of in to for is are was were be been by on with or and this that it its as at from can could may might "
    "which not no do does did has have had will would should i you he she they we me my your his her their our them "
    "if then than so such also about into over under out up s t am any all some there here when where who whom whose "
    "what why how please"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())

_MONTHS = (
    "january february march april may june july august september october november december "
    "jan feb mar apr jun jul aug sept sep oct nov dec"
)
_MONTH = "(?:" + "|".join(_MONTHS.split()) + r")\b\.?"
_NUMBER_WORDS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
NUMBER_WORDS = _NUMBER_WORDS.split()

DATE = re.compile(
    rf"\b\d{{4}}-\d{{2}}-\d{{2}}\b|\b\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+\d{{4}}\b)?"
    rf"|\b{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s+\d{{4}}\b)?|\b{_MONTH}\s+\d{{4}}\b"
    r"|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b",
    re.IGNORECASE,
)
YEAR = re.compile(r"\b1\d{3}\b|\b20\d{2}\b")
MONEY = re.compile(
    r"(?:[$€£]\s?|\b(?:USD|EUR|GBP|CHF|NOK|SEK|JPY)\s?)\d[\d,]*(?:\.\d+)?"
    r"|\b\d[\d,]*(?:\.\d+)?\s?(?:[€£$]|(?:USD|EUR|GBP|CHF|NOK|SEK|JPY|dollars?|euros?|pounds?)\b)",
    re.IGNORECASE,
)
NUMBER = re.compile(
    r"(?<![\w.-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w-]|\.\d)|\b(?:" + "|".join(NUMBER_WORDS) + r")\b", re.IGNORECASE
)
EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
URL = re.compile(r"\bhttps?://[^\s<>\"')]+")
PHONE = re.compile(r"(?<!\w)\+?\d[\d ()/-]{6,}\d\b")
IDENTIFIER = re.compile(r"#?\b(?=[\w-]*\d)[A-Z0-9](?:[\w-]*\w)?\b", re.IGNORECASE)
CAPITALIZED = re.compile(
    r"\b[A-Z][\w&'’]*(?:-[\w]+)*(?:(?:\s+(?:of|the|de|van|von|and|for|al)){0,2}(?:\s+|(?<=\b[A-Z])\.\s)[A-Z][\w&'’]*(?:-[\w]+)*)*"
)


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    return str(_STEMMER.stemWord(word))


@lru_cache(maxsize=4096)
def stems(text: str) -> tuple[str, ...]:
    """The stems of a text's words in order, without stop words."""
    return tuple(stem(word) for word in _WORD.findall(text.lower()) if word not in STOP_WORDS)


@lru_cache(maxsize=4096)
def positions(text: str) -> tuple[tuple[str, int, int], ...]:
    """The stems of all words of a text, stop words too, each with where it begins and ends."""
    return tuple((stem(match.group().lower()), match.start(), match.end()) for match in _WORD.finditer(text))


def bigrams(tokens: Sequence[str]) -> set[tuple[str, str]]:
    return set(itertools.pairwise(tokens))


def contains(tokens: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether `phrase` occurs in `tokens` word by word, without a gap."""
    width = len(phrase)
    return any(tuple(tokens[at : at + width]) == tuple(phrase) for at in range(len(tokens) - width + 1))


def rarity(documents: Iterable[Iterable[str]]) -> dict[str, float]:
    """How telling each stem is among documents: log(1 + documents / documents with it)."""
    sets = [set(document) for document in documents]
    counts = Counter(token for document in sets for token in document)
    return {token: math.log(1 + len(sets) / count) for token, count in counts.items()}


@lru_cache(maxsize=1024)
def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text; list lines and paragraphs end one too."""
    found: list[str] = []
    for line in text.splitlines():
        start = 0
        for match in _SENTENCE_END.finditer(line):
            found.append(line[start : match.end()].strip())
            start = match.end()
        found.append(line[start:].strip())
    return tuple(sentence for sentence in found if sentence)


def names_in(text: str) -> list[str]:
    """Capitalized spans of a text in order. A stop word that only begins a sentence is not part of one."""
    found = []
    for match in CAPITALIZED.finditer(text):
        words = match.group().split()
        while words and words[0].lower().rstrip(".") in STOP_WORDS:
            words = words[1:]
        if words:
            found.append(" ".join(words))
    return found
