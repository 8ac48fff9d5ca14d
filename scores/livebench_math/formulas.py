"""Formulas: the last box or the last dollar signs of a reply, compared with the ground truth by SymPy.

What counts is SymPy's verdict, by its Lark and ANTLR parsers, as published. math-verify is asked too, and shown beside.
"""

from __future__ import annotations

import re

from fapo import Score

from . import processes
from .passages import last_boxed

_DROPPED = ("+C", "+ C", "+ c", "+c")
_REPLACED = (
    (r"\\fbox{", r"\\boxed{"), (r"\dfrac", r"\frac"), (r"\tfrac", r"\frac"), (r"\left", ""), (r"\right", ""),
    (r"\bigl", ""), (r"\bigr", ""), (r"\Bigl", ""), (r"\Bigr", ""), (r"\,", ""), (r"\;", ""), ("\n", ""),
    (r"\cdot", "*"),
)  # fmt: skip
_REPLACED_IN_GOLD = ((r"\left", ""), (r"\right", ""), (" ^", "^"), ("\\ ", "*"))
_OR = r"\quad \text{or} \quad"
_MINERVA = (
    (r"(.*?)(\$)(.*?)(\$)(.*)", r"$\3$"), (r"(\\text\{)(.*?)(\})", r"\2"), (r"(\\textbf\{)(.*?)(\})", r"\2"),
    (r"(\\overline\{)(.*?)(\})", r"\2"), (r"(\\boxed\{)(.*)(\})", r"\2"), (r"(frac)([^{])(.)", r"frac{\2}{\3}"),
    (r"(sqrt)([^{\[])", r"sqrt{\2}"),
)  # fmt: skip
"""The normalisation of Lewkowycz et al. (2022), appendix D, for the part that AMPS_Hard uses."""
LONGEST = 2000
"""Characters of a formula that are compared; no ground truth comes near."""

_WHY = {
    "different": "another formula is right",
    "answer": "SymPy cannot read the formula: plain LaTeX without words is wanted",
    "gold": "SymPy cannot read the expected formula: no answer counts as right",
    "late": "comparing the formula took too long",
    "memory": "comparing the formula took too much memory",
}


async def score_formula(gold: str, reply: str) -> Score:
    """1 where the formula equals `gold`, or differs from it by less than 0.001."""
    gold, reply = _with(_REPLACED_IN_GOLD, gold), prepared(reply)
    formula = formula_of(reply)
    if formula is None:
        right = gold == reply.removesuffix(".")[-len(gold) :]
        feedback = "" if right else r"no formula is in \boxed{} or between dollar signs"
        return Score(float(right), {"answered": float(right), "math_verify": float(right)}, feedback)
    if len(formula) > LONGEST:
        return Score(0.0, {"answered": 1.0, "math_verify": 0.0}, "the formula is far too long")
    verdict = await processes.compare("sympy", gold, formula)
    second = await processes.compare("math_verify", gold, formula)
    feedback = "" if verdict == "equal" else _WHY[verdict]
    if verdict != "equal" and second == "equal":
        feedback = "the formula is right by math-verify, and SymPy, which counts, reads it otherwise: write it plainly"
    return Score(float(verdict == "equal"), {"answered": 1.0, "math_verify": float(second == "equal")}, feedback)


def prepared(reply: str) -> str:
    for constant in _DROPPED:
        reply = reply.replace(constant, "")
    return _with(_REPLACED, reply)


def formula_of(reply: str) -> str | None:
    """The formula in the last box, or else between the last dollar signs, normalised."""
    boxed = last_boxed(reply)
    if boxed:
        return normalized(boxed[: LONGEST + 1])
    if reply.count("$") < 2:
        return None
    end = reply.rfind("$")
    end -= reply[end - 1] == "$"
    inside = reply[reply.rfind("$", 0, end) + 1 : end][: LONGEST + 1]
    mark = "=" if "=" in inside else _OR
    return normalized(inside.split(mark)[-1].strip())


def normalized(formula: str) -> str:
    formula = formula.split("=")[-1]
    for pattern, replacement in _MINERVA:
        formula = re.sub(pattern, replacement, formula)
    formula = formula.replace("$", "")
    digits = formula.replace(",", "")
    return digits if digits.isdigit() else formula


def _with(replaced: tuple[tuple[str, str], ...], text: str) -> str:
    for old, new in replaced:
        text = text.replace(old, new)
    return text
