"""Arithmetic that is written out: hasty reading goes from left to right, careful reading by the order of operations."""

from __future__ import annotations

import pytest

from fapo.standin.reader import read
from fapo.standin.reader_sums import value_asked


@pytest.mark.parametrize(
    ("text", "hasty", "careful"),
    [
        ("Find 3 + 4 * 5.", "35", "23"),
        ("Find 3 * 4 + 5.", "17", "17"),
        ("(2 + 3) · (4 + 5)?", "25", "45"),
        (r"Find $(2 + 3) \times (4 + 5)$.", "25", "45"),
        (r"Let $a = 17$ and $b = 5$. Find $a \cdot b - 3(a + b)$.", "1399", "19"),
        (r"Compute $\frac{3}{4} + \frac{5}{6}$.", r"$\frac{23}{24}$", r"$\frac{19}{12}$"),
        ("1/2 + 1/3", "1/2", "5/6"),
        ("the remainder when 7^3 + 2 * 10 is divided by 100?", "50", "63"),
        ("2 - 3 mod 5", "4", "4"),
        ("What is -3^2 + (4 - 6)^3?", "343", "-17"),
        ("What is 2^{3^2} - 1?", "63", "511"),
        ("He has 12 apples - 5 of them red - and 3 * 4 pears.", "12", "12"),
        ("1.5 × 4", "6", "6"),
    ],
)
def test_the_value_of_the_longest_expression(text: str, hasty: str, careful: str) -> None:
    assert value_asked(text, careful=False) == hasty
    assert value_asked(text, careful=True) == careful


@pytest.mark.parametrize(
    "text",
    [
        "", "There are 12 apples and 5 pears.", "How many of 500 numbers are multiples of 6?", "x + y",
        "a 3-digit number", r"$\textbf{(A) } 12 \qquad \textbf{(B) } 15$", "1 / 0", "2^100", "9^9^9^9", "((((",
        "+ - * /", "3 +", "(" * 5000 + "1 + 1" + ")" * 5000,
    ],
)  # fmt: skip
def test_nothing_to_calculate(text: str) -> None:
    assert value_asked(text, careful=True) is None


def test_parentheses_that_are_never_closed_are_let_be() -> None:
    assert value_asked("(" * 5000 + "1 + 1", careful=True) == "2"


@pytest.mark.parametrize(
    ("told", "reply"),
    [
        ("Solve the problem. Answer with only the number.", "35"),
        ("Solve the problem step by step. Answer with only the number.", "23"),
        ("Calculate step by step. End with a line that begins with `Answer:`.", "The answer is 23.\nAnswer: 23"),
    ],
)
def test_the_prompt_decides_how_it_is_calculated_and_put(told: str, reply: str) -> None:
    messages = [{"role": "system", "content": told}, {"role": "user", "content": "Problem: Find 3 + 4 * 5."}]
    assert read(messages, 0.0, None, None).text in (
        reply,
        reply.replace("The answer is", "According to the text, the answer is"),
    )


def test_without_being_told_to_solve_something_it_reads_as_before() -> None:
    messages = [
        {"role": "system", "content": "Summarize in one sentence."},
        {"role": "user", "content": "Text: The total of 3 + 4 * 5 was wrong. Nobody saw it."},
    ]
    assert "23" not in read(messages, 0.0, None, None).text
