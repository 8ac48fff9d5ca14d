"""Sentences and spans: what in a text answers a question, matters most, or is worth searching for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fapo.standin.reader_prompt import Passage, Prompt
from fapo.standin.reader_rules import Rules
from fapo.standin.reader_words import (
    DATE,
    EMAIL,
    MONEY,
    NUMBER,
    STOP_WORDS,
    YEAR,
    bigrams,
    contains,
    names_in,
    positions,
    rarity,
    sentences,
    stems,
)

_TITLE_WEIGHT = 0.5
_HOP = 0.6
_PAIR = 0.5
_READ_SENTENCES = 3
_HASTY_WORDS = 20
_CAUSES = re.compile(r"\b(due to|because|caus|result|lack|fail|missing|leads? to|allow|improper|reason|root)", re.I)
_ASKS_CAUSE = re.compile(r"\b(caus|why|weakness|wrong|root|reason|flaw|problem|defect|fault|mistake)", re.I)
_NEGATION = re.compile(r"\b(not|no|never)\b|n't\b")
_BE_OR_DO = frozenset(("is", "are", "was", "were", "do", "does", "did", "can", "has", "have", "had"))
_CLAUSE = re.compile(r"[,;:]\s+|\s+(?=(?:due to|because|caused by|which|that)\b)")


@dataclass(frozen=True, slots=True)
class Candidate:
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    passage: int


def ranked_sentences(question: str, passages: Sequence[Passage], *, top: int) -> list[str]:
    """The sentences that answer best, the best first, by the rarity of the words they share with the question."""
    return [candidate.text for candidate in _ranked(question, passages)[:top]]


def _ranked(question: str, passages: Sequence[Passage]) -> list[Candidate]:
    found = [_Sentence(text, at) for at, passage in enumerate(passages) for text in sentences(passage.text)]
    telling = rarity(stems(sentence.text) for sentence in found)
    asked = stems(question)
    words, pairs = set(asked), bigrams(asked)
    titles = [stems(passage.title) for passage in passages]
    scores = []
    for sentence in found:
        tokens = stems(sentence.text)
        shared = words & set(tokens)
        score = sum(telling[word] for word in shared) + _PAIR * len(pairs & bigrams(tokens))
        score += _TITLE_WEIGHT * len((words & set(titles[sentence.passage])) - shared)
        scores.append(score)
    if scores and len(passages) > 1:
        scores = _with_hop(found, scores, asked, titles)
    order = sorted(range(len(found)), key=lambda at: -scores[at])
    return [Candidate(found[at].text, scores[at]) for at in order]


def _with_hop(
    found: Sequence[_Sentence], scores: list[float], asked: tuple[str, ...], titles: Sequence[tuple[str, ...]]
) -> list[float]:
    """Raise the sentences of a passage whose title the best sentence names and the question does not."""
    best = max(range(len(found)), key=lambda at: scores[at])
    tokens = stems(found[best].text)
    named = {
        at
        for at, title in enumerate(titles)
        if title and at != found[best].passage and contains(tokens, title) and not contains(asked, title)
    }
    gained = _HOP * scores[best]
    return [
        score + gained if sentence.passage in named and score > 0 else score
        for sentence, score in zip(found, scores, strict=True)
    ]


def sources(prompt: Prompt) -> list[Passage]:
    """What there is to read: the passages, and the fields that are not the question."""
    question = prompt.question
    fields = [Passage("", field.text) for field in prompt.fields if field.text.strip() != question.strip()]
    return [*prompt.passages, *fields]


# -- answers


def answers(prompt: Prompt, rules: Rules) -> list[Candidate]:
    """Sentences, or spans where a short answer is asked for, that may answer the question; empty without evidence."""
    question = prompt.question or prompt.item
    ranked = [candidate for candidate in _ranked(question, sources(prompt)) if candidate.score > 0]
    if not ranked or not (rules.short or rules.alone or rules.json or rules.tag or rules.prefix or rules.max_words):
        return ranked
    read = ranked[: _READ_SENTENCES if rules.careful else 1]
    spans = [span for sentence in read for span in _spans(question, sentence)]
    return sorted(spans, key=lambda span: -span.score) or ranked


def _spans(question: str, sentence: Candidate) -> list[Candidate]:
    """The spans of a sentence that are of the kind asked for, scored by how near they stand to the shared words."""
    asked = {token for token, _, _ in positions(question) if token not in STOP_WORDS}
    shared = [(start, end) for token, start, end in positions(sentence.text) if token in asked]
    found = []
    for span in _of_kind(question, sentence.text):
        at = sentence.text.find(span)
        if set(stems(span)) and set(stems(span)) <= set(stems(question)):
            continue
        far = min((_distance(at, at + len(span), where) for where in shared), default=len(sentence.text))
        found.append(
            Candidate(span, sentence.score * (1.0 - min(far, 80) / 160) + _preposition(question, sentence.text, at))
        )
    return found or [Candidate(part, sentence.score * 0.5) for part in _rest(asked, sentence.text)]


def _distance(start: int, end: int, where: tuple[int, int]) -> int:
    return max(where[0] - end, start - where[1], 0)


def _preposition(question: str, text: str, at: int) -> float:
    before = text[:at].lower().split()[-1:]
    if re.match(r"\W*where\b", question, re.I) and before and before[0] in ("in", "at", "from", "near", "to"):
        return 0.5
    return 0.5 if re.search(r"\bby whom\b|\bwho\b", question, re.I) and before == ["by"] else 0.0


def _of_kind(question: str, text: str) -> list[str]:
    asks = question.lower()
    if re.search(r"\b(what|which) year\b", asks):
        return YEAR.findall(text)
    if re.search(r"\bwhen\b|\b(what|which) (date|day|month)\b|\bdeadline\b", asks):
        return DATE.findall(text) or YEAR.findall(text) or _names(text)
    if re.search(r"\bhow much\b|\bprice|\bcost", asks):
        return MONEY.findall(text) or NUMBER.findall(text)
    if re.search(r"\bhow (many|old|long|far|tall|high|large|big|often)\b|\bnumber\b", asks):
        return NUMBER.findall(text)
    if re.search(r"\be-?mail", asks):
        return EMAIL.findall(text) or _names(text)
    if re.search(r"\b(who|whom|whose|where)\b", asks):
        return _names(text)
    return [*_names(text), *NUMBER.findall(text)]


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(names_in(text)))


def _rest(asked: set[str], text: str) -> list[str]:
    """The words after the last one that the question shares, or else before the first."""
    shared = [(start, end) for token, start, end in positions(text) if token in asked]
    if not shared:
        return []
    after = text[shared[-1][1] :].strip(" ,.;:!?")
    before = text[: shared[0][0]].strip(" ,.;:!?")
    return [part for part in (re.sub(r"^(is|was|are|were|be|the|a|an)\s+", "", after), before) if part]


# -- what matters


def summary(prompt: Prompt, rules: Rules) -> str:
    """The sentences that matter: hasty reading takes the first and cuts it, careful reading the most salient."""
    passages = [*prompt.passages, *(Passage(field.label, field.text) for field in prompt.fields)]
    if prompt.question and len(passages) > 1:
        passages = [passage for passage in passages if passage.text.strip() != prompt.question.strip()]
    texts = [text for passage in passages for text in sentences(passage.text)]
    count = rules.sentences or (4 if rules.keep_all else 2)
    if not rules.careful:
        return " ".join((texts[0] if texts else "").split()[:_HASTY_WORDS])
    if prompt.question:
        chosen = set(ranked_sentences(prompt.question, passages, top=count))
    else:
        chosen = set(_salient(texts, prompt.instructions)[:count])
    return " ".join(text for text in dict.fromkeys(texts) if text in chosen)


def _salient(texts: Sequence[str], instructions: str) -> list[str]:
    """Sentences by what the instructions ask for, then by how many words they share with the other sentences."""
    cues = set(stems(instructions))
    counts: dict[str, int] = {}
    for text in texts:
        for token in set(stems(text)):
            counts[token] = counts.get(token, 0) + 1
    asks_cause = _ASKS_CAUSE.search(instructions)

    def salience(text: str) -> float:
        tokens = set(stems(text))
        common = sum(1 for token in tokens if counts[token] > 1) / (len(tokens) + 3)
        return len(tokens & cues) + common + (2.0 if asks_cause and _CAUSES.search(text) else 0.0)

    return sorted(texts, key=lambda text: -salience(text))


def key_phrase(prompt: Prompt, rules: Rules) -> list[Candidate]:
    """The clauses of the item, scored like sentences; hasty reading knows only the first."""
    clauses = [part.strip(" .") for text in sentences(prompt.item) for part in _CLAUSE.split(text) if part.strip(" .")]
    if not rules.careful:
        clauses = clauses[:1]
    ranked = _salient(clauses, prompt.instructions)
    return [Candidate(text, float(len(ranked) - at)) for at, text in enumerate(ranked)]


def query(prompt: Prompt, rules: Rules) -> str:
    """Search words: those of the item that carry meaning, and names that its sources add, most relevant first."""
    asked = prompt.question or prompt.item
    words = [word for word in re.findall(r"[^\W_](?:[\w'’.-]*\w)?", asked) if word.lower() not in STOP_WORDS]
    known = set(stems(asked))
    reading = [Passage(passage.title, passage.text) for passage in sources(prompt) if passage.text != asked]
    best = ranked_sentences(asked, reading, top=2 if rules.careful else 1)
    added: list[str] = []
    for name in (name for text in best for name in names_in(text)):
        if set(stems(name)) - known and name not in added:
            added.append(name)
    return " ".join(dict.fromkeys([*words, *added[:3]]))


def yes_or_no(question: str, ranked: Sequence[Candidate]) -> str:
    """Yes where one sentence holds most of what is asked and no negation that the question lacks."""
    asked = set(stems(question))
    if not ranked or not asked:
        return "no"
    held = set(stems(ranked[0].text))
    denied = bool(re.search(r"\b(not|no|never)\b|n't\b", ranked[0].text)) != bool(
        re.search(r"\b(not|never)\b", question)
    )
    return "yes" if len(asked & held) / len(asked) >= 0.6 and not denied else "no"


def is_yes_or_no(question: str) -> bool:
    first = question.strip().split(" ")[0].lower()
    return (
        first in ("is", "are", "was", "were", "do", "does", "did", "can", "has", "have", "had")
        and " or " not in question
    )
