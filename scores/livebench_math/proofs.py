"""The order of formulas in a proof: a list of numbers, with partial credit by edit distance."""

from __future__ import annotations

from collections.abc import Callable

from rapidfuzz.distance import Levenshtein

from fapo import Score

from .passages import last_boxed

LABEL = "answer:"
NOTHING = -1
"""Stands in a list for what is no number."""

_WRAPPINGS = ("$", "{", "}", "\\", "boxed", "<", ">")


def score_order(gold: str, reply: str) -> Score:
    """1 - edit distance / length of the longer list."""
    wanted = [int(number) for number in gold.split(",")]
    given = numbers_of(reply)
    share = 1 - Levenshtein.distance(given, wanted) / max(len(given), len(wanted))
    return Score(share, {"answered": float(bool(given))}, "" if share == 1 else _feedback(given, wanted))


def _feedback(given: list[int], wanted: list[int]) -> str:
    if not given:
        return "no list of numbers was found: it is wanted behind `Answer:`, separated by commas"
    if len(given) != len(wanted):
        return f"the list has {len(given)} entries and not one for each formula that is missing"
    return "part of the numbers are not at their place" if set(given) == set(wanted) else "some numbers are wrong"


def numbers_of(reply: str) -> list[int]:
    """The list that a reply gives: the first of four readings that finds a number."""
    for reading in (_labelled, _boxed, _last_line):
        found = reading(reply)
        if found and set(found) != {NOTHING}:
            return found
    return _loose(reply)


def _labelled(reply: str) -> list[int]:
    """Behind the last line's `Answer:`, or on the line below it."""
    lines = reply.lower().strip().split("\n")
    place = max((at for at, line in enumerate(lines) if LABEL in line), default=None)
    if place is None:
        return []
    text = _bare(lines[place].split(LABEL)[1])
    if not text and place < len(lines) - 1:
        text = _bare(lines[place + 1].replace(LABEL, ""))
    return [_number(part.strip().split(" ")[-1], _unwrapped) for part in text.split(",")]


def _boxed(reply: str) -> list[int]:
    if "\\boxed" not in reply:
        return []
    text = last_boxed(reply)
    text = (reply if text is None else text).replace("\\text{", "").replace("}", "").replace("\\", "")
    return [_number(part, str.strip) for part in text.strip().split(",")]


def _last_line(reply: str) -> list[int]:
    parts = [_first_digits(part)[0] for part in reply.strip().lower().split("\n")[-1].split(",")]
    return [_number(part, str.strip) for part in parts if part.strip()]


def _loose(reply: str) -> list[int]:
    """Behind the last `Answer:` or from the start, as far as entries hold nothing but their number."""
    found: list[int] = []
    for place, part in enumerate(reply.lower().split(LABEL)[-1].split(",")):
        digits, others = _first_digits(part.strip())
        number = _number(digits, str.strip)
        if number != NOTHING:
            found.append(number)
        if place > 0 and others:
            break
    return found


def _bare(text: str) -> str:
    return text.replace("**", "").replace(".", "").strip()


def _unwrapped(text: str) -> str:
    for wrapping in _WRAPPINGS:
        text = text.replace(wrapping, "")
    return text


def _first_digits(text: str) -> tuple[str, int]:
    """The first run of digits, and how many other characters there are."""
    start = next((at for at, character in enumerate(text) if character.isdigit()), len(text))
    end = next((at for at in range(start, len(text)) if not text[at].isdigit()), len(text))
    return text[start:end], len(text) - (end - start)


def _number(text: str, cleaned: Callable[[str], str]) -> int:
    try:
        return int(cleaned(text))
    except ValueError:
        return NOTHING
