"""Arithmetic that is written out in a text, in plain signs or LaTeX: the value of its longest expression.

Letters count where the text says what they are (`Let a = 17`). Hasty reading takes the operations as they come, from
left to right; careful reading heeds parentheses and the order of operations.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

_FRAC = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_POWER = re.compile(r"\^\s*\{([^{}]*)\}")
_PLAIN = (("\\cdot", "*"), ("\\times", "*"), ("\\div", "/"), ("\\left", ""), ("\\right", ""), ("**", "^"), ("·", "*"),
          ("×", "*"), ("÷", "/"), ("−", "-"), ("$", " "))  # fmt: skip
_TOKEN = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\d_])|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])|[-+*/^()]|\\?[A-Za-z]+|\S")
_NUMBER_IN = re.compile(r"\d+(?:\.\d+)?")
_DEFINED = re.compile(r"(?<![\w\\])([A-Za-z])\s*=\s*(-?\d+(?:\.\d+)?)(?![\w.]*[\w*/^+-])")
_REMAINDER = re.compile(r"\bremainder\b.*\bdivided by\s+(\d+)|\b(?:modulo|mod)\s+(\d+)", re.IGNORECASE | re.DOTALL)
_LARGEST = 10**15
_HIGHEST_POWER = 40

_OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def value_asked(text: str, *, careful: bool) -> str | None:
    """The value, an integer or else a fraction, in LaTeX where the text is; None where nothing is to be calculated.

    Where the text asks for the remainder of a division, it is that of the value.
    """
    plain = _in_plain_signs(text)
    names = {name: Fraction(value) for name, value in _DEFINED.findall(plain)}
    found = max(_expressions(plain, names), key=len, default=None)
    value = _value(found, careful=careful) if found else None
    if value is None:
        return None
    if remainder := _REMAINDER.search(plain):
        divisor = int(remainder.group(1) or remainder.group(2))
        value = value % divisor if divisor else value
    if value.denominator == 1:
        return str(value.numerator)
    sign = "-" if value < 0 else ""
    written = f"${sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}$"
    return written if "\\" in text else f"{value.numerator}/{value.denominator}"


def _in_plain_signs(text: str) -> str:
    for pattern, replacement in ((_POWER, r"^(\1)"), (_FRAC, r"((\1)/(\2))")):
        while pattern.search(text):
            text = pattern.sub(replacement, text)
    for old, new in _PLAIN:
        text = text.replace(old, new)
    return text


Part = Fraction | str


def _expressions(text: str, names: dict[str, Fraction]) -> Iterator[list[Part]]:
    """The runs of numbers, known letters and signs that have an operation and can be calculated."""
    run: list[Part] = []
    for part in [*_TOKEN.findall(text), "end"]:
        known = Fraction(part) if _NUMBER_IN.fullmatch(part) else names.get(part, part)
        if isinstance(known, Fraction) or known in "+-*/^()":
            if run and _multiplied(run[-1], known):
                run.append("*")
            run.append(known)
            continue
        if len(trimmed := _trimmed(run)) > 2 and _value(trimmed, careful=True) is not None:
            yield trimmed
        run = []


def _multiplied(left: Part, right: Part) -> bool:
    """Whether two parts side by side are a product: 2(3 + 4), 2x, (1 + 2)(3 + 4)."""
    return (left == ")" or isinstance(left, Fraction)) and (right == "(" or isinstance(right, Fraction))


def _trimmed(run: Sequence[Part]) -> list[Part]:
    """Without signs at the ends that have nothing to work on, and parentheses that are not closed in it."""
    kept = list(run)
    while kept and isinstance(kept[-1], str) and (kept[-1] != ")" or kept.count(")") > kept.count("(")):
        kept.pop()
    while kept and isinstance(kept[0], str) and (kept[0] not in "(-" or kept.count("(") > kept.count(")")):
        kept.pop(0)
    return kept


def _value(parts: Sequence[Part], *, careful: bool) -> Fraction | None:
    try:
        if not careful:
            return _left_to_right(parts)
        rest = list(reversed(parts))
        value = _sum(rest)
        return value if not rest else None
    except (ZeroDivisionError, OverflowError, IndexError, ValueError, RecursionError):
        return None


def _left_to_right(parts: Sequence[Part]) -> Fraction:
    value, sign = Fraction(0), "+"
    for part in parts:
        if isinstance(part, Fraction):
            value = _applied(sign, value, part)
        elif part not in "()":
            sign = part
    return value


def _applied(sign: str, left: Fraction, right: Fraction) -> Fraction:
    if sign == "^":
        if right.denominator != 1 or not 0 <= right <= _HIGHEST_POWER:
            raise OverflowError
        value = left ** int(right)
    else:
        value = _OPERATIONS[sign](left, right)
    if abs(value.numerator) > _LARGEST or value.denominator > _LARGEST:
        raise OverflowError
    return value


def _sum(rest: list[Part]) -> Fraction:
    value = _product(rest)
    while rest and rest[-1] in ("+", "-"):
        value = _applied(str(rest.pop()), value, _product(rest))
    return value


def _product(rest: list[Part]) -> Fraction:
    value = _power(rest)
    while rest and rest[-1] in ("*", "/"):
        value = _applied(str(rest.pop()), value, _power(rest))
    return value


def _power(rest: list[Part]) -> Fraction:
    if rest[-1] == "-":
        rest.pop()
        return -_power(rest)
    value = _atom(rest)
    if rest and rest[-1] == "^":
        rest.pop()
        return _applied("^", value, _power(rest))
    return value


def _atom(rest: list[Part]) -> Fraction:
    part = rest.pop()
    if isinstance(part, Fraction):
        return part
    if part != "(":
        raise ValueError(part)
    value = _sum(rest)
    if rest.pop() != ")":
        raise ValueError(part)
    return value
