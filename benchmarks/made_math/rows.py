"""Rows in LiveBench's four forms: a choice, a number of three digits, a proof with formulas taken out, a formula."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from integers import Sum, chain, make_problem, mixed

LETTERS = "ABCDE"
_PROPER = tuple((a, b) for b in range(3, 13) for a in range(1, b) if math.gcd(a, b) == 1)


@dataclass(frozen=True, slots=True)
class Row:
    task: str
    subtask: str
    question: str
    truth: str


def make_choice(rng: random.Random, number: int) -> Row:
    """One of five values; what careless reading brings is among them."""
    found = (chain if number % 3 == 0 else mixed)(rng)
    while not 0 < found.value < 2000:
        found = mixed(rng)
    values = {int(found.value), int(found.careless)}
    while len(values) < len(LETTERS):
        values.add(int(found.value) + rng.choice((-1, 1)) * rng.randint(1, 60))
    options = sorted(values)
    listed = r" \qquad ".join(
        f"\\textbf{{({letter}) }} {value}" for letter, value in zip(LETTERS, options, strict=True)
    )
    question = (
        f"What is the value of ${found.latex}$?\n${listed}$\n"
        "Guess where you are not certain. Then write the letter of your choice five times in a row; for F that would "
        "be FFFFF."
    )
    return Row("math_comp", f"{('amc', 'smc')[number % 2]}_made", question, LETTERS[options.index(int(found.value))])


def make_number(rng: random.Random, number: int) -> Row:
    """The problems of integers.py, with an answer of three digits."""
    problem = make_problem(rng, number)
    question = (
        f"{problem.text}\nShow the answer at the very end of your reply. It is an integer of exactly three digits, "
        "with leading zeros where needed, such as 068 or 972."
    )
    return Row("math_comp", "aime_made", question, f"{problem.answer:03}")


def make_proof(rng: random.Random, number: int) -> Row:
    """A sum of squares, calculated line by line, with all lines but the first taken out."""
    first, count = rng.randint(2, 30), rng.randint(3, 5)
    terms = [first + at for at in range(count)]
    lines = [
        " + ".join(str(term**2) if at < done else f"{term}^2" for at, term in enumerate(terms))
        for done in range(1, count + 1)
    ]
    total, rest = terms[0] ** 2, terms[1:]
    while rest:
        total += rest.pop(0) ** 2
        lines.append(" + ".join(map(str, [total, *(term**2 for term in rest)])))
    assert all(eval(line.replace("^", "**")) == total for line in lines)  # sums of this function
    order = list(range(len(lines)))
    rng.shuffle(order)
    places = [order.index(at) + 1 for at in range(len(lines))]
    start = " + ".join(f"{term}^2" for term in terms)
    gaps = " = ".join(f"<missing {at}>" for at in range(1, len(lines) + 1))
    listed = "\n".join(f"<expression {at}> ${lines[line]}$" for at, line in enumerate(order, 1))
    question = (
        "This is a calculation from which formulas were taken out; each line of it does one thing.\n"
        f"We calculate the sum of the squares of the integers from {terms[0]} to {terms[-1]}, from left to right: "
        f"first each square, one after the other, and then the sum, one term after the other.\n$S = {start} = {gaps}$\n"
        f"The formulas are:\n{listed}\n"
        "Say which expression belongs where: the numbers of the expressions in the order of the gaps, separated by "
        "commas, on a last line that starts with Answer:"
    )
    return Row("olympiad", f"{('imo', 'usamo')[number % 2]}_made", question, ",".join(map(str, places)))


def make_formula(rng: random.Random, number: int) -> Row:
    asked, truth = _FORMULAS[number % len(_FORMULAS)](rng)
    return Row("AMPS_Hard", "amps_hard_made", f"{asked} Put the final answer in a $\\boxed{{}}$.", truth)


def _fractions(rng: random.Random) -> tuple[str, str]:
    (a, b), (c, d) = (rng.choice(_PROPER) for _ in range(2))
    value = Fraction(a, b) + Fraction(c, d)
    assert value * b * d == a * d + c * b
    return f"Write $\\frac{{{a}}}{{{b}}} + \\frac{{{c}}}{{{d}}}$ as one fraction in lowest terms.", _latex(value)


def _number(rng: random.Random) -> tuple[str, str]:
    found: Sum = mixed(rng)
    return f"Evaluate $ {found.latex} $.", _latex(found.value)


def _derivative(rng: random.Random) -> tuple[str, str]:
    coefficients = [rng.randint(-9, 9) or 1 for _ in range(4)]
    derived = [at * value for at, value in enumerate(coefficients)][1:]
    step = Fraction(1, 10**9)
    for x in (Fraction(2), Fraction(-3)):
        slope = (_at(coefficients, x + step) - _at(coefficients, x - step)) / (2 * step)
        assert abs(slope - _at(derived, x)) < Fraction(1, 1000)
    return f"Differentiate $f(x) = {_polynomial(coefficients)}$ with respect to $x$.", _polynomial(derived)


def _integral(rng: random.Random) -> tuple[str, str]:
    integrated = [0, *(rng.randint(-9, 9) or 2 for _ in range(3))]
    given = [at * value for at, value in enumerate(integrated)][1:]
    return f"Find an antiderivative of $f(x) = {_polynomial(given)}$.", _polynomial(integrated)


def _expansion(rng: random.Random) -> tuple[str, str]:
    a, b = (rng.choice((-1, 1)) * rng.randint(2, 12) for _ in range(2))
    expanded = [a * b, a + b, 1]
    assert all(_at(expanded, Fraction(x)) == (x + a) * (x + b) for x in range(5))
    return f"Expand $(x {a:+})(x {b:+})$.", _polynomial(expanded)


_FORMULAS: tuple[Callable[[random.Random], tuple[str, str]], ...] = (
    _fractions, _number, _derivative, _fractions, _integral, _number, _expansion,
)  # fmt: skip


def _at(coefficients: list[int], x: Fraction) -> Fraction:
    return sum((value * x**power for power, value in enumerate(coefficients)), Fraction(0))


def _latex(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    return f"{'-' if value < 0 else ''}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def _polynomial(coefficients: list[int]) -> str:
    """By falling powers, as in `-7 x^3+x-2`."""
    terms = []
    for power, value in reversed(list(enumerate(coefficients))):
        if value:
            letter = "" if power == 0 else "x" if power == 1 else f"x^{power}"
            size = "" if abs(value) == 1 and letter else f"{abs(value)} " if letter else str(abs(value))
            terms.append(f"{'-' if value < 0 else '+'}{size}{letter}")
    return "".join(terms).removeprefix("+") or "0"
