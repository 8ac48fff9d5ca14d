"""What a prompt's instructions ask of the answer and of the way it is found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_NUMBERS = "one two three four five six seven eight nine ten"
_COUNTS = {name: number for number, name in enumerate(_NUMBERS.split(), 1)}
_COUNT = r"(\d+|" + "|".join(_COUNTS) + r"|a single)"


def _pattern(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.IGNORECASE)


_CAREFUL = _pattern(
    r"\b(compar(e|ing)|weigh(ing)?|consider(ing)? (each|every|all)|step[ -]by[ -]step|one by one|word (by|for) word|"
    r"(look|search) for (the )?evidence|quote|quoting|exact words|verbatim|think carefully|most specific|"
    r"(check|go through|examine) (each|every|all)|evidence for each)\b"
)
_ALONE = _pattern(
    r"\bnothing else\b|\b(only|just|solely) (with )?(the|its|one|that|a|an)\b(?! (options?|passages?|context|text|"
    r"facts|information|evidence|following|input|given|hint)\b)|\bno (explanation|other text|commentary|introduction|"
    r"extra text|additional text)|\bwithout (any )?(explanation|explaining|comment)|do not (explain|add)|"
    r"\bsingle word\b|reply with the result\b|\b(answer|name|id|label|value|query|key|letter|number|code|word|"
    r"digit|option) "
    r"only\b|\bonly output\b"
)
_KEY_ONLY = _pattern(
    r"\b(only|just|solely)\b[^.\n]{0,20}\b(ids?|identifiers?|keys?|codes?|letters?|numbers?|labels?)\b|"
    r"\b(the|its|by) (id|identifier|letter|code|key)\b"
)
_NAME_ONLY = _pattern(r"\b(only|just)\b[^.\n]{0,20}\b(names?|texts?|titles?)\b|\bfull (name|text)\b")
_JSON = _pattern(r"\bjson\b")
_PLAIN_JSON = _pattern(
    r"plain json|raw json|no (code|markdown) (fence|block)s?|(without|no) markdown|(without|no) (a )?(code )?fences?|"
    r"\bjson (object )?only\b|\bonly\b[^.\n]{0,30}\bjson\b|nothing else|no text before"
)
_TAG = _pattern(r"\b(?:inside|in|within|between|with|wrapped in|using)\b[^.\n<]{0,30}<([a-z][\w-]*)>")
_PREFIX = re.compile(
    r"(?:after|begin(?:s|ning)? with|start(?:s|ing)? with|following|preceded by|prefix(?:ed)?(?: it)? with|in the form|"
    r"as|format:?|line)\s*[\"'`]+([A-Z][\w ]{1,20}):"
)
_ONE_LINE = _pattern(r"\b(one|a single|single) line\b")
_LOWER = _pattern(r"\blower[ -]?case\b")
_UPPER = _pattern(r"\bupper[ -]?case\b|\ball caps\b")
_WORDS = _pattern(
    rf"\b(?:at most|no more than|fewer than|less than|maximum of|max\.?|up to|under|within|not exceed)\s+"
    rf"{_COUNT} words?\b"
)
_SENTENCES = _pattern(rf"\b{_COUNT}(?: (?:short|concise|brief|clear|plain))? sentences?\b")
_NO_HEDGE = _pattern(r"\bno alternatives|do not name alternatives|not hedge|without hedging|decide for one|commit to")
_SHORT = _pattern(
    r"\bshort(est)? (span|answer|phrase)|\bshortest\b|not (a|in) (full )?sentences?|\bspan\b|\bas short as|"
    r"\bexact (span|answer)\b|\bfew words\b|\bconcise answer\b|\bsingle (word|name|number)\b"
)
_UNKNOWN = re.compile(
    r"\b(?:if|when|where|unless|for)\b[^.\n]{0,120}?[\"'`]?\b(unknown|none|null|n/a|not found|not stated|not given|"
    r"unanswerable|insufficient information|other|empty string)\b|"
    r"\b(null|unknown|none|n/a)\b[\"'`]?\s+(?:if|when|where|for)\b",
    re.IGNORECASE,
)
_SAY_UNKNOWN = _pattern(
    r"\b(?:answer|say|reply|write|use|return)(?: with)? [\"'`]?(unknown|none|null|n/a|not found|other)\b"
)
_NEVER_UNKNOWN = _pattern(
    r"never (answer|say|reply)[^.\n]{0,20}unknown|"
    r"always (give|answer|choose|make)|best (answer|guess)"
)
_KEEP_ALL = _pattern(
    r"leave out nothing|keep (names|all|every)|"
    r"all (the )?(facts|details|names)|\bverbatim\b|exact words"
)


@dataclass(frozen=True, slots=True)
class Rules:
    """`unknown` is the word to answer with where there is no evidence, None where no such word was agreed."""

    careful: bool
    alone: bool
    key_only: bool
    name_only: bool
    json: bool
    plain_json: bool
    tag: str | None
    prefix: str | None
    one_line: bool
    letters: str
    max_words: int | None
    sentences: int | None
    no_hedge: bool
    short: bool
    unknown: str | None
    keep_all: bool


@lru_cache(maxsize=512)
def rules_of(instructions: str) -> Rules:
    tag = _TAG.search(instructions)
    prefix = _PREFIX.search(instructions)
    words, count = _WORDS.search(instructions), _SENTENCES.search(instructions)
    keep_all = bool(_KEEP_ALL.search(instructions))
    return Rules(
        careful=bool(_CAREFUL.search(instructions)) or keep_all,
        alone=bool(_ALONE.search(instructions)),
        key_only=bool(_KEY_ONLY.search(instructions)),
        name_only=bool(_NAME_ONLY.search(instructions)),
        json=bool(_JSON.search(instructions)),
        plain_json=bool(_PLAIN_JSON.search(instructions)),
        tag=tag.group(1) if tag else None,
        prefix=prefix.group(1) if prefix else None,
        one_line=bool(_ONE_LINE.search(instructions)),
        letters="lower" if _LOWER.search(instructions) else "upper" if _UPPER.search(instructions) else "",
        max_words=_number(words.group(1)) if words else None,
        sentences=_number(count.group(1)) if count else None,
        no_hedge=bool(_NO_HEDGE.search(instructions)),
        short=bool(_SHORT.search(instructions)),
        unknown=_unknown_word(instructions),
        keep_all=keep_all,
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else _COUNTS.get(text.lower(), 1)


def _unknown_word(instructions: str) -> str | None:
    if _NEVER_UNKNOWN.search(instructions):
        return None
    match = _SAY_UNKNOWN.search(instructions) or _UNKNOWN.search(instructions)
    if match is None:
        return None
    return next(word for word in match.groups() if word)
