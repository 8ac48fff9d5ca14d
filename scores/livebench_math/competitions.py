"""Answers to competition problems: a letter of five, or a number of up to three digits."""

from __future__ import annotations

import re

from fapo import Score

from .passages import last_boxed, last_solution

LETTERS = "ABCDE"
REPEATED = 4
LOOSE_END = 20
"""Characters that may stand around an option's text at the end of a reply."""
AIME_END = 50

_OPTION = re.compile(r"\\textbf{\(([A-E])\)\s?}(.*?)(?:\\qquad|\$)")


def score_choice(gold: str, reply: str, *, question: str) -> Score:
    """1 where the letter is given in one of the ways that count, or the option's text stands at the end.

    Ways: the last `<solution>` holds nothing but the letter, once or repeated; the letter four times in a row anywhere;
    in the last box; alone on the last line, or in its first parentheses. Raises ValueError where `gold` is no letter
    from A to E.
    """
    if gold not in set(LETTERS):
        raise ValueError(f"a choice is a letter from A to E, not `{gold}`")
    options = option_texts(question)
    given = [letter for letter in LETTERS if gives_letter(letter, reply) or _ends_with(reply, options.get(letter))]
    if gold in given:
        return Score(1.0, {"answered": 1.0})
    if given:
        return Score(0.0, {"answered": 1.0}, "another option is right")
    return Score(0.0, {"answered": 0.0}, "no option is named in a way that counts: its letter five times in a row, in "
                 "<solution> tags, in a box or alone on the last line, or its text at the very end")  # fmt: skip


def gives_letter(letter: str, reply: str) -> bool:
    boxed = last_boxed(reply.replace(r"\\fbox{", r"\\boxed{")) or ""
    last = reply.strip().split("\n")[-1]
    inside = last.split("(")[1].split(")")[0] if "(" in last and ")" in last else ""
    whole = (re.sub(r"\\text\{|[}\\]", "", boxed), last.strip().replace("*", ""), inside)
    return (
        set(last_solution(reply) or "") in ({letter}, {letter.lower()})
        or letter * REPEATED in reply
        or letter.lower() in (text.lower() for text in whole)
    )


def option_texts(question: str) -> dict[str, str]:
    """Letter to text, of options that are set as in AMC's papers: `\\textbf{(A) } 12 \\qquad`."""
    return {letter: text.strip().strip("$").strip("~") for letter, text in _OPTION.findall(question)}


def _ends_with(reply: str, text: str | None) -> bool:
    return bool(text) and str(text) in reply[-(LOOSE_END + len(str(text))) :]


def score_aime(gold: str, reply: str) -> Score:
    """1 where the number, written as in the ground truth, stands in the last 50 characters."""
    end = reply[-AIME_END:]
    if gold in end:
        return Score(1.0, {"answered": 1.0})
    answered = {"answered": float(any(character.isdigit() for character in end))}
    if gold in reply:
        return Score(0.0, answered, "the right number is in the reply, and not in its last 50 characters, which count")
    if answered["answered"]:
        return Score(0.0, answered, "no right number in the last 50 characters; it is wanted with its leading zeros")
    return Score(0.0, answered, "the last 50 characters, which count, hold no number")
