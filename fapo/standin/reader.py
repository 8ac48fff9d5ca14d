"""The lexical reader: a small model that answers from the words of its prompt, and from nothing else.

It stands in for a task model where there is none. It knows English function words, common forms of lists and values,
and the usual ways to give instructions, and arithmetic; it knows no subject, no data and no task beforehand.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from fapo.standin import reader_spans as spans
from fapo.standin.reader_choice import Scored, named_in, score_options
from fapo.standin.reader_fields import Wanted, is_answer, value_of, wanted_fields
from fapo.standin.reader_marked import find_marked
from fapo.standin.reader_private import draft_for, without_details
from fapo.standin.reader_prompt import Option, Prompt, parse
from fapo.standin.reader_reply import Answer, put
from fapo.standin.reader_requests import reply_to_request
from fapo.standin.reader_rules import Rules, rules_of
from fapo.standin.reader_sums import value_asked
from fapo.standin.reader_tools import ToolCall, answer_of, next_call, without_tools
from fapo.standin.reader_words import stems

CHARACTERS_PER_TOKEN = 4

_SHARPNESS = 8.0
_CLEARLY_BETTER = 1.5
_SUMMARIZE = re.compile(
    r"\b(summar\w+|list (the )?\w* ?facts|key facts|main points|key points|condense|shorten)\b", re.I
)
_PHRASE = re.compile(r"\b(key ?phrase|noun phrase|root cause|phrase|in a few words|keywords?)\b", re.I)
_QUERY = re.compile(r"\b(search )?quer(y|ies)\b|\bsearch (terms?|words|string)\b|\bkeywords to search\b", re.I)
_CHOOSE = re.compile(
    r"\b(choose|pick|select|classif\w+|which|one of|categor\w+|label|assign|route|decide|name|triage|options?)\b",
    re.I,
)
_SOLVE = re.compile(r"\b(solve|calculate|compute|work out)\b", re.I)
_WRITE = re.compile(r"\b(write|generate|produce|formulate|create|give|suggest|compose|search)\b", re.I)


@dataclass(frozen=True, slots=True)
class Reply:
    """`calls` are tools to call in place of an answer."""

    text: str
    finish_reason: Literal["stop", "length", "tool_calls"]
    calls: tuple[ToolCall, ...] = ()


def tokens_in(text: str) -> int:
    """An estimate, at four characters a token."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def read(
    messages: Sequence[Mapping[str, Any]],
    temperature: float,
    seed: int | None,
    max_tokens: int | None,
    *,
    strong: bool = False,
    tools: Sequence[Mapping[str, Any]] = (),
    tool_choice: Any = None,
) -> Reply:
    """Answer chat messages, or call one of `tools`. Equal arguments get equal replies, at temperature 0 for all seeds.

    The strong reader takes care without being told to, and keeps to what was asked for.
    """
    known = None
    if tools or any(message.get("role") == "tool" for message in messages):
        careful = strong or rules_of(parse(without_tools(messages)).instructions).careful
        call = next_call(messages, tools, tool_choice, careful=careful)
        if call is not None:
            return Reply("", "tool_calls", (call,))
        known, messages = answer_of(messages), without_tools(messages)
    marked = find_marked(messages)
    prompt = parse(marked.messages if marked else messages)
    rules = rules_of(prompt.instructions)
    if strong:
        rules = replace(rules, careful=True, alone=True, no_hedge=True, keep_all=rules.sentences is None)
    dice = Dice(messages, temperature, seed)
    requested = reply_to_request(messages, careful=rules.careful) or without_details(prompt, rules)
    requested = requested if requested is not None else draft_for(messages)
    if requested is None:
        answer = _answer(prompt, rules, dice) if known is None else Answer("span", known)
        requested = put(answer, rules, mood=dice.mood)
    text = marked.mark(requested) if marked else requested
    if max_tokens is not None and tokens_in(text) > max_tokens:
        return Reply(text[: max_tokens * CHARACTERS_PER_TOKEN], "length")
    return Reply(text, "stop")


class Dice:
    """Seeded chance. `mood` depends on the messages alone."""

    def __init__(self, messages: Sequence[Mapping[str, Any]], temperature: float, seed: int | None) -> None:
        self._content = json.dumps(list(messages), sort_keys=True, default=str)
        self._temperature = temperature
        self._seed = seed

    @cached_property
    def mood(self) -> int:
        return int.from_bytes(hashlib.sha256(self._content.encode()).digest()[:4])

    @cached_property
    def _random(self) -> random.Random:
        key = f"{self._content}\0{self._seed}\0{self._temperature}"
        return random.Random(hashlib.sha256(key.encode()).digest())  # noqa: S311  samples, no secrets

    def pick(self, scores: Sequence[float]) -> int:
        """The place of the highest score; above temperature 0 a softmax sample of them."""
        best = max(scores)
        if self._temperature <= 0 or len(scores) == 1:
            return list(scores).index(best)
        unit = _SHARPNESS / (max(abs(best), 1e-9) * self._temperature)
        weights = [math.exp(max((score - best) * unit, -700.0)) for score in scores]
        return self._random.choices(range(len(scores)), weights)[0]


def _answer(prompt: Prompt, rules: Rules, dice: Dice) -> Answer:
    told = prompt.instructions
    wanted = wanted_fields(prompt) if rules.json or re.search(r"\b(extract|fields)\b", told, re.I) else ()
    others = [field for field in wanted if not is_answer(field)]
    if rules.json and wanted and (prompt.options or not others):
        return _fields_with_answer(prompt, rules, dice, wanted)
    if others:
        return Answer("fields", _values(prompt, rules, others))
    answer = _plain_answer(prompt, rules, dice)
    return Answer("fields", {"answer": answer.value}) if rules.json else answer


def _plain_answer(prompt: Prompt, rules: Rules, dice: Dice) -> Answer:
    told = prompt.instructions
    other_task = _SUMMARIZE.search(told) or _QUERY.search(told)
    if prompt.draft is not None:
        return _checked(prompt, rules, dice)
    if _SOLVE.search(told) and (value := value_asked(prompt.item, careful=rules.careful)) is not None:
        return Answer("span", value)
    if prompt.options and (_CHOOSE.search(told) or not other_task):
        return _choice(prompt, rules, dice)
    if _QUERY.search(told) and _WRITE.search(told):
        return Answer("query", spans.query(prompt, rules))
    if _SUMMARIZE.search(told):
        return Answer("summary", spans.summary(prompt, rules))
    if _PHRASE.search(told) and not prompt.question:
        return _spoken_span(spans.key_phrase(prompt, rules), rules, dice)
    if prompt.question and spans.sources(prompt):
        return _from_sources(prompt, rules, dice)
    return Answer("summary", spans.summary(prompt, rules))


def _values(prompt: Prompt, rules: Rules, fields: Sequence[Wanted]) -> dict[str, Any]:
    text = prompt.everything
    return {field.name: value_of(field, text, careful=rules.careful, unknown=rules.unknown) for field in fields}


def _fields_with_answer(prompt: Prompt, rules: Rules, dice: Dice, wanted: Sequence[Wanted]) -> Answer:
    """JSON of which one field is the answer: the only one, one of that name, or one that the options' heading names."""
    heading = set(stems(prompt.option_heading))
    named = [field for field in wanted if is_answer(field) or heading & set(stems(" ".join(field.words)))]
    chosen = named[0] if named else wanted[0]
    rest = _values(prompt, rules, [field for field in wanted if field is not chosen])
    answer = _plain_answer(prompt, rules, dice).value
    return Answer("fields", {field.name: answer if field is chosen else rest[field.name] for field in wanted})


def _choice(prompt: Prompt, rules: Rules, dice: Dice) -> Answer:
    scored = score_options(prompt, careful=rules.careful)
    if not scored.supported and rules.unknown is not None:
        return Answer("span", rules.unknown)
    place = dice.pick(scored.scores)
    order = sorted(range(len(scored.scores)), key=lambda at: -scored.scores[at])
    runner_up = next((at for at in order if at != place), None)
    return Answer(
        "choice",
        _named(prompt.options[place], rules),
        full=_in_full(prompt.options[place]),
        runner_up=_in_full(prompt.options[runner_up]) if runner_up is not None else "",
    )


def _named(option: Option, rules: Rules) -> str:
    is_id = len(option.key) < 3 or any(character.isdigit() for character in option.key)
    return option.text if option.text and is_id and rules.name_only and not rules.key_only else option.key


def _in_full(option: Option) -> str:
    return f"{option.key}: {option.text}" if option.text else option.key


def _from_sources(prompt: Prompt, rules: Rules, dice: Dice) -> Answer:
    found = spans.answers(prompt, rules)
    if spans.is_yes_or_no(prompt.question):
        return Answer("span", spans.yes_or_no(prompt.question, found))
    if not found:
        sentences = spans.ranked_sentences(prompt.question, spans.sources(prompt), top=1)
        return Answer("span", rules.unknown if rules.unknown is not None else "".join(sentences))
    return _spoken_span(found, rules, dice)


def _spoken_span(found: Sequence[spans.Candidate], rules: Rules, dice: Dice) -> Answer:
    if not found:
        return Answer("span", rules.unknown or "")
    text = found[dice.pick([candidate.score for candidate in found])].text
    return Answer("sentence" if text.endswith((".", "!", "?")) else "span", text)


def _checked(prompt: Prompt, rules: Rules, dice: Dice) -> Answer:
    """The draft, or another option where the evidence for that is clearly better."""
    draft = prompt.draft or ""
    drafted = [at for at, option in enumerate(prompt.options) if named_in(draft, option)]
    if not drafted:
        return Answer("span", draft)
    scored: Scored = score_options(prompt, careful=True)
    best = dice.pick(scored.scores)
    clearly = scored.supported and scored.scores[best] > _CLEARLY_BETTER * scored.scores[drafted[-1]]
    chosen = prompt.options[best if clearly else drafted[-1]]
    return Answer("choice", _named(chosen, rules), full=_in_full(chosen))
