"""Words, stems and overlap: the lexical tools of the reader."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import Stemmer

_WORD = re.compile(r"[A-Za-z0-9]+(?:['’][a-z]+)?")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])|\n+")
STOP_WORDS = frozenset(
    """
    a an the of in to for is are was were be been being by on with or and this that these those it its as at from can
    could may might will would should shall must do does did has have had not no if then than so such into via which
    who whom what when where why how there their they them he she his her you your we our i my me us also any all
    """.split()
)
_stemmer = Stemmer.Stemmer("english")


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    return str(_stemmer.stemWord(word.lower()))


@lru_cache(maxsize=20_000)
def stems(text: str) -> tuple[str, ...]:
    """The stemmed words of a text without stop words, in order."""
    return tuple(stem(word) for word in _WORD.findall(text) if word.lower() not in STOP_WORDS)


def sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def bigrams(words: Sequence[str]) -> set[tuple[str, str]]:
    return set(itertools.pairwise(words))


def rarity(texts: Iterable[Sequence[str]]) -> dict[str, float]:
    """Inverse document frequency of each stem over the texts."""
    documents = [set(words) for words in texts]
    counts = Counter(word for words in documents for word in words)
    return {word: math.log(1 + len(documents) / count) for word, count in counts.items()}


def overlap(words: Iterable[str], others: Iterable[str], weights: dict[str, float] | None = None) -> float:
    """How much of `words` stands in `others`: a count of distinct stems, or the sum of their weights."""
    shared = set(words) & set(others)
    return float(len(shared)) if weights is None else sum(weights.get(word, 1.0) for word in shared)
