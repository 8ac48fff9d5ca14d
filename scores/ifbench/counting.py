"""IFBench: how many of something a reply has to hold, and in which shares."""

from __future__ import annotations

import re

from .registry import verifies
from .text import EDGES, STOP_WORDS, bare, count_words, sentences, tokens

_CONJUNCTIONS = frozenset("and but for nor or so yet".split())
_NAMES = (
    "Emma Liam Sophia Jackson Olivia Noah Ava Lucas Isabella Mason Mia Ethan Charlotte Alexander Amelia Benjamin "
    "Harper Leo Zoe Daniel Chloe Samuel Lily Matthew Grace Owen Abigail Gabriel Ella Jacob Scarlett Nathan "
    "Victoria Elijah Layla Nicholas Audrey David Hannah Christopher Penelope Thomas Nora Andrew Aria Joseph "
    "Claire Ryan Stella Jonathan"
).split()
_PRONOUNS = frozenset(
    "i me we us you he him she her it they them my mine our ours your yours his hers its their theirs myself "
    "ourselves yourself yourselves himself herself itself themselves this that these those who whom whose which "
    "what whoever whomever whatever whichever anybody anyone anything everybody everyone everything nobody "
    "nothing somebody someone something each either neither both all some any none".split()
)
_JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
_TOLERANCE = 2  # percent


@verifies("count:word_count_range", "the number of words is out of the range that was asked for")
def word_count_range(reply: str, min_words: float, max_words: float) -> bool:
    return min_words <= count_words(reply) <= max_words


@verifies("count:unique_word_count", "there are too few different words")
def unique_word_count(reply: str, N: float) -> bool:
    return len({word.strip(EDGES) for word in reply.lower().split()}) >= N


@verifies("count:conjunctions", "there are too few different coordinating conjunctions")
def conjunctions(reply: str, small_n: float) -> bool:
    return len({word for word in reply.split() if word.strip(EDGES).lower() in _CONJUNCTIONS}) >= small_n


@verifies("count:person_names", "too few names of the given list are mentioned")
def person_names(reply: str, N: float) -> bool:
    return sum(bool(re.search(rf"\b{name}\b", reply)) for name in _NAMES) >= N


@verifies("count:numbers", "the count of numbers is not the one that was asked for")
def numbers(reply: str, N: float) -> bool:
    return len(re.findall(r"\d+", bare(reply))) == N


@verifies("count:pronouns", "there are too few pronouns")
def pronouns(reply: str, N: float) -> bool:
    return sum(word in _PRONOUNS for word in tokens(reply.replace("/", " ").lower())) >= N


@verifies("count:punctuation", "a standard punctuation mark is missing")
def punctuation(reply: str) -> bool:
    rest = reply.replace("?!", "", 1) if "?!" in reply else reply.replace("!?", "", 1)
    return (rest != reply or "‽" in reply) and set(".,!?;:") <= set(rest)


@verifies("count:words_japanese", "a word that should be Japanese is not")
def words_japanese(reply: str, N: float) -> bool:
    every = (word.strip(EDGES) for position, word in enumerate(reply.split(), 1) if position % N == 0)
    return all(_JAPANESE.search(word) for word in every if word and not word.isdigit())


@verifies("count:keywords_multiple", "a keyword occurs too often or not often enough")
def keywords_multiple(reply: str, keyword1: str, keyword2: str, keyword3: str, keyword4: str, keyword5: str) -> bool:
    wanted = zip((keyword1, keyword2, keyword3, keyword4, keyword5), (1, 2, 3, 5, 7), strict=True)
    return all(reply.lower().count(word.strip().lower()) == times for word, times in wanted)


@verifies("ratio:stop_words", "the share of stop words is too large")
def stop_words(reply: str, percentage: float) -> bool:
    words = count_words(reply)
    found = sum(token.lower() in STOP_WORDS for token in tokens(reply))
    return words > 0 and 100 * found / words <= percentage


@verifies("ratio:overlap", "the overlap with the reference text is not the one that was asked for")
def overlap(reply: str, reference_text: str, percentage: float) -> bool:
    """Trigrams are of characters, as published."""
    ours, theirs = _trigrams(reply), _trigrams(reference_text)
    return bool(ours) and abs(100 * len(ours & theirs) / len(ours) - percentage) <= _TOLERANCE


def _trigrams(text: str) -> set[str]:
    return {text[start : start + 3] for start in range(len(text) - 2)}


@verifies("ratio:sentence_type", "there are not twice as many statements as questions")
def sentence_type(reply: str) -> bool:
    statements, questions, _ = _kinds(reply)
    return statements == 2 * questions


@verifies("ratio:sentence_balance", "statements, questions and exclamations are not balanced")
def sentence_balance(reply: str) -> bool:
    return len(set(_kinds(reply))) == 1


@verifies("ratio:sentence_words", "the reply is not three sentences of equal length")
def sentence_words(reply: str) -> bool:
    """That the words differ is asked for, but not checked by the published verifier."""
    lengths = [len(sentence) for sentence in sentences(reply)]
    return len(lengths) == 3 and len(set(lengths)) == 1


def _kinds(reply: str) -> tuple[int, int, int]:
    ends = [sentence[-1:] for sentence in sentences(reply)]
    return ends.count("."), ends.count("?"), ends.count("!")
