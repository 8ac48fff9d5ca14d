"""The lexical reader: the offline stand-in for a task model.

It reads what its prompt contains, and nothing else: it finds the task by the prompt's form, answers by word evidence,
and obeys output instructions. Not told to weigh the evidence, it is hasty; not told to answer only, it chats; without
evidence it guesses. It has no knowledge of any subject.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fapo.standin.reader_prompt import Option, Parts, Passage, content_of, take_apart
from fapo.standin.reader_text import bigrams, overlap, rarity, sentences, stems
from fapo.standin.reader_values import find_value

_CAREFUL = re.compile(
    r"\b(weigh|compare|step by step|one by one|consider (each|every|all)|evidence that supports"
    r"|before you (choose|answer))\b",
    re.I,
)
_ONLY = re.compile(
    r"\b(only|just) (with )?(the )?(final |chosen |best )?(answer|id|label|name|category|team|option|class|word|key)\b"
    r"|\b(with|output|reply|return|answer)( with)? only\b|nothing else|no explanation|without (any )?explanation",
    re.I,
)
_NO_ALTERNATIVES = re.compile(r"\b(no|not name|without|never name) (any )?alternatives?\b|do not hedge", re.I)
_PLAIN_JSON = re.compile(r"plain json|only (the )?json|no code fence|nothing else|without (a )?code fence", re.I)
_QUOTES = re.compile(r"\b(quote|verbatim|exact words|word for word)\b", re.I)
_QUERY = re.compile(r"\b(search query|search terms|write a query|queries?)\b", re.I)
_UNKNOWN = re.compile(r"\b(?:say|answer|reply|write)\s+[\"'`]?(unknown|none|n/a|null)\b", re.I)
_TAG = re.compile(r"<(\w+)>\s*(?:\.\.\.|…)?\s*</\1>")
_ALIAS = re.compile(r"\(([^()]+)\)")
_PROPER = re.compile(r"(?:[A-Z][\w’'-]*)(?: (?:of|the|de|van|von|and) (?=[A-Z])| (?=[A-Z])[A-Z][\w’'-]*)*")
_WH = (("when", r"\b(?:\d{1,2} )?(?:[A-Z][a-z]+ )?\d{4}\b"), ("how many", r"\b\d[\d,]*\b"), ("what year", r"\b\d{4}\b"))
_SUMMARY_SENTENCES = 2
_TEMPERATURE_SCALE = 1.5
"""How many points of evidence a temperature of 1 blurs."""


@dataclass(frozen=True, slots=True)
class Reply:
    text: str
    finish_reason: str


def read(
    messages: Sequence[Mapping[str, Any]],
    *,
    temperature: float = 0.0,
    seed: int | None = None,
    max_tokens: int | None = None,
) -> Reply:
    """Answer a chat. Equal arguments give equal replies; `seed` tells samples of one prompt apart."""
    text = "\n".join(f"{message.get('role')}: {content_of(message)}" for message in messages)
    digest = hashlib.sha256(f"{seed}\n{temperature}\n{text}".encode()).digest()
    reader = _Reader(take_apart(messages), temperature, random.Random(digest))  # noqa: S311 - sampling, not a secret
    answer = reader.answer()
    limit = None if max_tokens is None else max(1, max_tokens) * 4
    if limit is not None and len(answer) > limit:
        return Reply(answer[:limit], "length")
    return Reply(answer, "stop")


class _Reader:
    """One prompt being answered."""

    def __init__(self, parts: Parts, temperature: float, rng: random.Random) -> None:
        self._parts = parts
        self._told = parts.instructions
        self._temperature = temperature
        self._rng = rng
        self._careful = bool(_CAREFUL.search(self._told))

    def answer(self) -> str:
        parts = self._parts
        if parts.wanted:
            return self._extract()
        if len(parts.options) >= 2:
            return self._choose()
        if _QUERY.search(self._told):
            return self._query()
        if parts.passages and parts.question:
            return self._from_passages()
        return self._summarize()

    # -- tasks

    def _choose(self) -> str:
        options = self._parts.options
        scores = self._option_scores(options)
        order = sorted(range(len(options)), key=lambda i: -scores[i])
        if scores[order[0]] <= 0 and (unknown := _UNKNOWN.search(self._told)):
            return self._wrap(unknown.group(1))
        best = self._sample(scores)
        rest = [i for i in order if i != best]
        return self._finish(options[best], options[rest[0]])

    def _option_scores(self, options: Sequence[Option]) -> list[float]:
        """Evidence for each option, in points: shared words, and when careful how rare and how complete they are."""
        texts = [stems(f"{option.key or ''} {option.text}") for option in options]
        fields = list(self._parts.fields.values())
        main = max(fields, key=len, default="")
        weights = rarity(texts)
        scores = [0.0] * len(options)
        for field in fields:
            words = stems(field)
            known, pairs = set(words), bigrams(words)
            share = 1.0 if field is main else 0.3
            for place, own in enumerate(texts):
                if self._careful:
                    scores[place] += share * self._careful_score(options[place], own, known, pairs, weights)
                else:
                    scores[place] += share * overlap(own, known)
        for place, option in enumerate(options):
            scores[place] += self._example_votes(option)
            if self._careful and scores[place] > 0:
                scores[place] += 1 / (1 + option.rank)
        return scores

    def _careful_score(
        self,
        option: Option,
        own: Sequence[str],
        known: set[str],
        pairs: set[tuple[str, str]],
        weights: dict[str, float],
    ) -> float:
        total = sum(weights[word] for word in set(own)) or 1.0
        shared = overlap(own, known, weights)
        score = shared * (0.3 + shared / total) + 1.5 * len(bigrams(own) & pairs)
        for alias in _aliases(option.text):
            words = stems(alias)
            if words and (bigrams(words) <= pairs if len(words) > 1 else words[0] in known):
                score += 5.0
        return score

    def _example_votes(self, option: Option) -> float:
        item = set(stems(self._parts.item))
        votes = 0.0
        for example, answer in self._parts.examples:
            if option.answer.lower() in answer.lower():
                words = stems(example)
                votes = max(votes, 3 * overlap(words, item) / (1 + len(set(words) | item)))
        return votes

    def _extract(self) -> str:
        item = self._parts.item
        values = {name: find_value(item, name, about) for name, about in self._parts.wanted.items()}
        text = json.dumps(values, ensure_ascii=False)
        if _PLAIN_JSON.search(self._told):
            return text
        return f"Here is the JSON:\n```json\n{text}\n```"

    def _query(self) -> str:
        question = self._parts.question or self._parts.item
        asked = set(stems(question))
        names = [
            name
            for text in [*self._parts.fields.values(), *(p.text for p in self._parts.passages)]
            if text != question
            for name in _PROPER.findall(text)
            if not set(stems(name)) <= asked
        ]
        ranked = sorted(dict.fromkeys(names), key=lambda name: -names.count(name))[:3]
        return self._wrap(" ".join([question.rstrip("?. "), *ranked]))

    def _from_passages(self) -> str:
        question = self._parts.question
        sentence = self._best_sentence(question)
        if sentence is None:
            unknown = _UNKNOWN.search(self._told)
            return self._wrap(unknown.group(1) if unknown else self._parts.passages[0].title or "unknown")
        span = _span(question, sentence)
        return self._wrap(span) if _ONLY.search(self._told) else f"According to the text, {sentence}"

    def _best_sentence(self, question: str) -> str | None:
        """The sentence with most of the question's rare words, following a named passage once where one is named."""
        asked = set(stems(question))
        rows = [(p, s) for p in self._parts.passages for s in sentences(p.text)]
        weights = rarity([stems(f"{p.title} {s}") for p, s in rows])

        def evidence(row: tuple[Passage, str]) -> float:
            return overlap(stems(f"{row[0].title} {row[1]}"), asked, weights)

        best = max(rows, key=evidence, default=None)
        if best is None or evidence(best) <= 0:
            return None
        if self._careful:
            linked = [row for row in rows if row[0].title and row[0].title in best[1] and row[0] is not best[0]]
            onward = max(linked, key=evidence, default=None)
            if onward is not None and evidence(onward) > 0:
                return onward[1]
        return best[1]

    def _summarize(self) -> str:
        """The first sentences; told to quote or to be careful, those that share most with the instructions."""
        found = sentences(self._parts.item)
        if not (self._careful or _QUOTES.search(self._told)):
            return " ".join(found[:_SUMMARY_SENTENCES])
        cues = set(stems(self._told)) | set(stems(self._parts.question))
        ranked = sorted(range(len(found)), key=lambda i: (-overlap(stems(found[i]), cues), i))
        kept = sorted(ranked[: _SUMMARY_SENTENCES + 1])
        return " ".join(found[i] for i in kept)

    # -- manners

    def _finish(self, best: Option, second: Option) -> str:
        """The answer alone where the prompt says so; otherwise mostly with the chatter that a chat model adds."""
        mood = hashlib.sha256(self._parts.item.encode()).digest()[0]
        if _ONLY.search(self._told) or mood % 4 == 1:
            return self._wrap(best.answer)
        shown = best.answer if best.key is None else f"{best.key} ({best.text.split(' | ')[0]})"
        text = f"Based on what is described, the best match is {shown}."
        if mood % 3 == 0 and not _NO_ALTERNATIVES.search(self._told):
            text += f" One could also think of {second.answer}."
        return self._wrap(text)

    def _wrap(self, text: str) -> str:
        tag = _TAG.search(self._told)
        return f"<{tag.group(1)}>{text}</{tag.group(1)}>" if tag else text

    def _sample(self, scores: Sequence[float]) -> int:
        """The best index; at a temperature above 0, one drawn by softmax over the scores."""
        best = max(range(len(scores)), key=lambda i: (scores[i], -i))
        if self._temperature <= 0:
            return best
        top = scores[best]
        weights = [math.exp((score - top) / (_TEMPERATURE_SCALE * self._temperature)) for score in scores]
        return self._rng.choices(range(len(scores)), weights)[0]


def _aliases(text: str) -> list[str]:
    """Other names of an option: what stands in parentheses, and each side of a bar."""
    inside = [alias.strip("'\"") for alias in _ALIAS.findall(text)]
    sides = [side for side in text.split(" | ") if len(side.split()) <= 4] if " | " in text else []
    return inside + sides


def _span(question: str, sentence: str) -> str:
    """The part of a sentence that the question asks for: a number, a date, or a name that it does not hold itself."""
    lowered = question.lower()
    for word, pattern in _WH:
        if word in lowered and (found := re.search(pattern, sentence)):
            return found.group(0)
    asked = set(stems(question))
    names = [name for name in _PROPER.findall(sentence) if stems(name) and not set(stems(name)) & asked]
    return names[-1] if names else sentence
