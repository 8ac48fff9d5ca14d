"""Whether two LaTeX formulas are equal: a program that reads questions and writes verdicts, a JSON line each.

It runs as a process of its own, since SymPy can take for ever or all memory for a formula of ten characters, and since
math-verify refuses to run in threads. The kernel ends it when a question takes more of the processor than the question
allows; the process that asks starts another one. It ends with its standard input, or after a minute without a question.
"""

from __future__ import annotations

import json
import resource
import select
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import lark
import sympy
from math_verify import LatexExtractionConfig, parse, verify
from sympy.parsing.latex import parse_latex

IDLE_S = 60
MEMORY = 2 << 30
CLOSE = 0.001


def by_sympy(gold: str, answer: str) -> str:
    """Published: SymPy simplifies the difference to zero, or to a number below 0.001, for one of the readings."""
    golds, answers = _readings(gold), _readings(answer)
    if not golds or not answers:
        return "answer" if golds else "gold"
    return "equal" if any(_equal(left, right) for left in golds for right in answers) else "different"


def _readings(formula: str) -> list[Any]:
    """What a formula may mean: of Lark's parser as it is or with single backslashes, else of ANTLR's."""
    tries = ((formula, "lark"), (formula.replace("\\\\", "\\"), "lark"), (formula, "antlr"))
    for text, backend in tries:
        try:
            found = parse_latex(text, backend=backend)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001, S112  the parsers raise anything for a text that is no formula
            continue
        return list(found.children) if isinstance(found, lark.Tree) else [found]
    return []


def _equal(left: Any, right: Any) -> bool:
    for holds in (lambda rest: rest == 0, lambda rest: bool(sympy.Abs(rest) < CLOSE)):
        try:
            if holds(sympy.simplify(left - right)):
                return True
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001, S112  whatever cannot be subtracted, simplified or ordered is not equal
            continue
    return False


def by_math_verify(gold: str, answer: str) -> str:
    """LaTeX only: its other reading evaluates text as Python."""
    golds, answers = (parse(f"${text}$", [LatexExtractionConfig()], parsing_timeout=None) for text in (gold, answer))
    if not golds or not answers:
        return "answer" if golds else "gold"
    return "equal" if verify(golds, answers, timeout_seconds=None) else "different"


COMPARE: dict[str, Callable[[str, str], str]] = {"sympy": by_sympy, "math_verify": by_math_verify}


def _asked() -> Iterator[dict[str, Any]]:
    """The questions, until the input ends or none came for a while."""
    while select.select([sys.stdin], [], [], IDLE_S)[0]:
        line = sys.stdin.readline()
        if not line:
            return
        yield json.loads(line)


def _say(verdict: str) -> None:
    print(json.dumps(verdict), flush=True)


def main() -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    by_sympy("1", "\\frac{1}{1}")
    _say("ready")
    for question in _asked():
        signal.setitimer(signal.ITIMER_PROF, question["seconds"])
        try:
            verdict = COMPARE[question["by"]](question["gold"], question["answer"])
        except MemoryError:
            verdict = "memory"
        except Exception:  # noqa: BLE001  math-verify, too, raises anything for what is no formula
            verdict = "answer"
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(verdict)


if __name__ == "__main__":
    main()
