"""Problems with an integer from 0 to 999 for an answer: sums written out in full, and questions about numbers."""

from __future__ import annotations

import math
import operator
import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

MOST = 999
_OPERATIONS = {"+": operator.add, "-": operator.sub, r"\cdot": operator.mul}


@dataclass(frozen=True, slots=True)
class Problem:
    kind: str
    text: str
    answer: int


@dataclass(frozen=True, slots=True)
class Sum:
    """An expression in LaTeX, its value, and what is had from left to right without heed of parentheses."""

    latex: str
    value: Fraction
    careless: Fraction


def make_problem(rng: random.Random, number: int) -> Problem:
    """Problem of the kind that is due; one whose two calculations agree and whose answer is in range."""
    while True:
        text, first, second = _KINDS[number % len(_KINDS)](rng)
        assert first == second, text
        if 0 <= first <= MOST:
            return Problem(_KINDS[number % len(_KINDS)].__name__.strip("_"), text, first)


def chain(rng: random.Random) -> Sum:
    """A product first, then terms that are added: careless reading does no harm."""
    return _parsed([rng.randint(6, 31), r"\cdot", rng.randint(5, 26), rng.choice("+-"), rng.randint(11, 240)])


def mixed(rng: random.Random) -> Sum:
    """A product behind a term, or a sum in parentheses: careless reading goes wrong."""
    a, b, c, d = (rng.randint(3, 29) for _ in range(4))
    forms = (
        [a, "+", b, r"\cdot", c, "-", d],
        [a, r"\cdot", b, "+", c, r"\cdot", d],
        [a, r"\cdot", "(", b, "+", c, ")", "-", d],
        ["(", a, "+", b, ")", r"\cdot", "(", c, "+", d, ")"],
        [a * b, "-", c, r"\cdot", "(", d, "+", 2, ")"],
    )
    return _parsed(rng.choice(forms))


def _parsed(tokens: list[int | str]) -> Sum:
    """Its value by Python, and from left to right."""
    latex = " ".join(map(str, tokens)).replace("( ", "(").replace(" )", ")")
    value = eval(latex.replace(r"\cdot", "*"))  # numbers and signs of this file
    bare = [token for token in tokens if token not in ("(", ")")]
    careless = int(bare[0])
    for sign, operand in zip(bare[1::2], bare[2::2], strict=True):
        careless = _OPERATIONS[str(sign)](careless, int(operand))
    return Sum(latex, Fraction(value), Fraction(careless))


# -- written out


def _chain(rng: random.Random) -> tuple[str, int, int]:
    found = chain(rng)
    return f"Find the value of ${found.latex}$.", int(found.value), int(found.careless)


def _mixed(rng: random.Random) -> tuple[str, int, int]:
    found = mixed(rng)
    while found.careless == found.value:
        found = mixed(rng)
    by_terms = _by_terms(found.latex)
    return f"Find the value of ${found.latex}$.", int(found.value), by_terms


def _by_terms(latex: str) -> int:
    """The value again: parentheses first, then products, then the rest."""
    while "(" in latex:
        start = latex.rindex("(")
        end = latex.index(")", start)
        latex = latex[:start] + str(_by_terms(latex[start + 1 : end])) + latex[end + 1 :]
    total = 0
    for term in latex.replace(" - ", " + -").split(" + "):
        total += math.prod(int(factor) for factor in term.split(r" \cdot "))
    return total


def _letters(rng: random.Random) -> tuple[str, int, int]:
    a, b, c = rng.randint(4, 30), rng.randint(4, 30), rng.randint(2, 9)
    text = f"Let $a = {a}$, $b = {b}$ and $c = {c}$. Find the value of $a + b \\cdot c - (a - b)$."
    return text, a + b * c - (a - b), b * (c + 1)


def _remainder(rng: random.Random) -> tuple[str, int, int]:
    base, power, addend, factor = rng.randint(3, 12), rng.randint(3, 6), rng.randint(10, 99), rng.randint(10, 99)
    divisor = rng.choice((100, 125, 250, 500, 1000))
    text = f"Find the remainder when ${base}^{{{power}}} + {addend} \\cdot {factor}$ is divided by {divisor}."
    return text, (base**power + addend * factor) % divisor, (pow(base, power, divisor) + addend * factor) % divisor


# -- to be thought about


def _multiples(rng: random.Random) -> tuple[str, int, int]:
    limit, a, b = rng.randint(300, 999), rng.randint(3, 9), rng.randint(10, 19)
    text = f"How many positive integers less than {limit} are multiples of {a} but not of {b}?"
    counted = sum(1 for n in range(1, limit) if n % a == 0 and n % b)
    return text, (limit - 1) // a - (limit - 1) // math.lcm(a, b), counted


def _lowest_terms(rng: random.Random) -> tuple[str, int, int]:
    proper = [(a, b) for b in range(5, 17) for a in range(1, b) if math.gcd(a, b) == 1]
    (a, b), (c, d) = (rng.choice(proper) for _ in range(2))
    text = (
        f"The value of $\\frac{{{a}}}{{{b}}} + \\frac{{{c}}}{{{d}}}$ is $\\frac{{m}}{{n}}$, where $m$ and $n$ are "
        "positive integers without a common divisor. Find $m + n$."
    )
    value, divisor = Fraction(a, b) + Fraction(c, d), math.gcd(a * d + c * b, b * d)
    return text, value.numerator + value.denominator, (a * d + c * b + b * d) // divisor


def _grid(rng: random.Random) -> tuple[str, int, int]:
    width, height = rng.randint(3, 6), rng.randint(3, 6)
    x, y = rng.randint(1, width - 1), rng.randint(1, height - 1)
    text = (
        f"A robot walks from $(0, 0)$ to $({width}, {height})$, one unit to the right or one unit up at a time, and "
        f"never visits $({x}, {y})$. How many ways are there?"
    )
    ways = [[0] * (height + 1) for _ in range(width + 1)]
    for i, j in product(range(width + 1), range(height + 1)):
        if (i, j) != (x, y):
            before = (ways[i - 1][j] if i else 0) + (ways[i][j - 1] if j else 0)
            ways[i][j] = before or int((i, j) == (0, 0))
    through = math.comb(x + y, x) * math.comb(width - x + height - y, width - x)
    return text, ways[width][height], math.comb(width + height, width) - through


def _zeros(rng: random.Random) -> tuple[str, int, int]:
    n = rng.randint(60, 900)
    digits = str(math.factorial(n))
    text = f"With how many zeros does the product of all integers from 1 to {n} end?"
    return text, len(digits) - len(digits.rstrip("0")), sum(n // 5**power for power in range(1, 6))


def _clock(rng: random.Random) -> tuple[str, int, int]:
    first, second = rng.sample((5, 7, 8, 9, 11, 13), 2)
    a, b = rng.randrange(first), rng.randrange(second)
    text = (
        f"Eggs in a basket: taken out {first} at a time, {a} are left over; {second} at a time, {b} are left over. "
        f"What is the smallest number of eggs above {first + second} for which that holds?"
    )
    period = first * second
    found = next(n for n in range(first + second + 1, 3 * period) if n % first == a and n % second == b)
    solved = (a * second * pow(second, -1, first) + b * first * pow(first, -1, second)) % period
    while solved <= first + second:
        solved += period
    return text, found, solved


_KINDS: tuple[Callable[[random.Random], tuple[str, int, int]], ...] = (
    _mixed, _chain, _multiples, _letters, _grid, _remainder, _lowest_terms, _mixed, _zeros, _chain, _clock, _mixed,
)  # fmt: skip
