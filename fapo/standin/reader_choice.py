"""Choosing among options by the evidence in the item."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fapo.standin.reader_prompt import Example, Option, Prompt
from fapo.standin.reader_spans import ranked_sentences
from fapo.standin.reader_words import bigrams, contains, rarity, stems

_ALIAS = re.compile(r"\(([^()]+)\)|[\"'`]([^\"'`]{2,40})[\"'`]")
_SHORT_ID = re.compile(r"\W?\w{1,2}\W?")
_OTHERS_WEIGHT = 0.4
_BIGRAM = 1.5
_ALIAS_HIT = 5.0
_EXAMPLE = 4.0
_LIKE = 0.2
_UNORDERED_PRIOR = 0.2


@dataclass(frozen=True, slots=True)
class Scored:
    """The options' scores in their order, and whether any has evidence at all."""

    scores: tuple[float, ...]
    supported: bool


@dataclass(frozen=True, slots=True)
class _Text:
    """What is searched for evidence: its stems in order, as a set, and their pairs."""

    tokens: tuple[str, ...]
    words: frozenset[str]
    pairs: set[tuple[str, str]]

    @classmethod
    def of(cls, text: str) -> _Text:
        tokens = stems(text)
        return cls(tokens, frozenset(tokens), bigrams(tokens))


def score_options(prompt: Prompt, *, careful: bool) -> Scored:
    """Hasty reading counts shared words; careful reading weighs how telling, complete and literal a match is."""
    item, others = prompt.item, prompt.others
    if prompt.passages and not careful:
        others = "\n".join([others, *(f"{passage.title} {passage.text}" for passage in prompt.passages)])
    elif prompt.passages:
        others = "\n".join([others, *ranked_sentences(prompt.item, prompt.passages, top=3)])
    first, second = _Text.of(item), _Text.of(others)
    tokens = [_tokens(option) for option in prompt.options]
    if careful:
        evidence = _careful(prompt.options, tokens, first, second)
    else:
        evidence = [float(len(set(words) & (first.words | second.words))) for words in tokens]
    votes = _votes(prompt.options, prompt.examples, first)
    supported = any(evidence) or any(votes)
    prior = [_prior(option) if careful else 0.0 for option in prompt.options]
    return Scored(tuple(map(sum, zip(evidence, votes, prior, strict=True))), supported)


def _tokens(option: Option) -> tuple[str, ...]:
    named = not _SHORT_ID.fullmatch(option.key) and not any(character.isdigit() for character in option.key)
    return stems(f"{option.key.replace('_', ' ')} {option.text}" if named else option.text or option.key)


def _careful(options: Sequence[Option], tokens: Sequence[tuple[str, ...]], item: _Text, others: _Text) -> list[float]:
    telling = rarity(tokens)
    found = []
    for option, words in zip(options, tokens, strict=True):
        score = _match(option, words, item, telling)
        found.append(score + _OTHERS_WEIGHT * _match(option, words, others, telling) if others.words else score)
    return found


def _match(option: Option, words: tuple[str, ...], text: _Text, telling: dict[str, float]) -> float:
    own = set(words)
    total = sum(telling[word] for word in own)
    shared = sum(telling[word] for word in own & text.words)
    score = shared * (0.3 + shared / total) if total else 0.0
    score += _BIGRAM * len(bigrams(words) & text.pairs)
    for alias in _aliases(option):
        if contains(text.tokens, alias):
            score += _ALIAS_HIT
    return score


def _aliases(option: Option) -> list[tuple[str, ...]]:
    """Other names of an option: what stands in parentheses or quotes in it, and an id that is more than a counter."""
    texts = [match.group(1) or match.group(2) for match in _ALIAS.finditer(option.text)]
    if any(character.isdigit() for character in option.key) and not _SHORT_ID.fullmatch(option.key):
        texts.append(option.key)
    return [alias for alias in (stems(text) for text in texts) if alias]


def _prior(option: Option) -> float:
    return (1.0 if option.ordered else _UNORDERED_PRIOR) / (1 + option.place)


def _votes(options: Sequence[Option], examples: Sequence[Example], item: _Text) -> list[float]:
    """What worked examples say: each votes for its answer, as much as its input is like the item."""
    votes = [0.0] * len(options)
    for example in examples:
        given = set(stems(example.given))
        alike = len(given & item.words) / max(len(given | item.words), 1)
        likeness = alike if alike >= _LIKE else 0.0
        for place, option in enumerate(options):
            if likeness and named_in(example.answer, option):
                votes[place] += _EXAMPLE * likeness
    return votes


def named_in(text: str, option: Option) -> bool:
    """Whether a text names an option by its key, or by its whole text."""
    key = re.escape(option.key)
    if re.search(rf"(?<![\w-]){key}(?![\w-])", text, re.IGNORECASE if len(option.key) > 1 else 0):
        return True
    return bool(option.text) and option.text.casefold() in text.casefold()
