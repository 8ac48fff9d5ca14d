"""LiveBench's math score: every parser on answers that count and answers that do not, and the processes behind it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from fapo.errors import ScorerError
from fapo.evaluation.scoring import load_score
from fapo.records import Case, Prediction, Score

SCORE = load_score("livebench_math", Path())
MODULE = sys.modules[SCORE.function.__module__]
OPTIONS = (
    r"How many? $\textbf{(A) } 12 \qquad \textbf{(B) } 15 \qquad \textbf{(C) } \frac{3}{2}\qquad \textbf{(D) } 21$"
)
SOLVED = "another option is right"


def case(subtask: str, gold: Any, question: str = OPTIONS) -> Case:
    return Case("c", {"question": question}, gold, {"task": "math_comp", "subtask": subtask})


async def scored_all(*pairs: tuple[Case, Any]) -> list[Score]:
    return await asyncio.gather(*(SCORE.waited(each, Prediction(reply)) for each, reply in pairs))


def scored(subtask: str, gold: Any, reply: Any, question: str = OPTIONS) -> Score:
    (found,) = asyncio.run(scored_all((case(subtask, gold, question), reply)))
    return found


# -- choices


@pytest.mark.parametrize(
    ("gold", "reply", "value"),
    [
        ("B", "<solution>B</solution>", 1),
        ("B", "<solution>A</solution> no: <solution>bbbbb</solution>", 1),
        ("B", "<solution>B</solution> no: <solution>C</solution>", 0),
        ("B", "<solution>B B</solution>", 0),
        ("B", "<solution>\nB</solution>", 0),
        ("B", "It is BBBBB, I think, and not a guess", 1),
        ("B", "BBBB it is", 1),
        ("B", "BBB it is", 0),
        ("B", "bbbbb it is", 0),
        ("B", r"so \boxed{B} is it", 1),
        ("B", r"so \boxed{\text{b}} is it", 1),
        ("B", r"\boxed{B}, or rather \boxed{C} is it", 0),
        ("B", r"\fbox{B} is it", 1),
        ("B", r"\boxed B", 1),
        ("B", r"so \boxed{B is it", 0),
        ("B", "Therefore:\n**B**", 1),
        ("B", "Therefore:\nb", 1),
        ("B", "Therefore the answer is (B).", 1),
        ("B", "Therefore (A) is not it, (B) is.", 0),
        ("B", "B\nThat is all", 0),
        ("B", "the answer is 15", 1),
        ("B", "the answer is 15" + " and so on" * 3, 0),
        ("C", r"it is $\frac{3}{2}$.", 1),
        ("E", "FAILURE", 0),
        ("B", "<think>BBBBB</think>\nCCCCC", 0),
        ("B", "<think>CCCCC</think>\nBBBBB", 1),
        ("B", "", 0),
        ("B", None, 0),
        ("D", {"answer": "DDDD"}, 1),
    ],
)
@pytest.mark.parametrize("subtask", ["amc_2023", "smc_2023", "2024_amc_12a"])
def test_a_choice(subtask: str, gold: str, reply: Any, value: float) -> None:
    found = scored(subtask, gold, reply)
    assert found.value == value
    assert bool(found.feedback) == (value == 0)


def test_a_choice_tells_a_wrong_letter_from_none() -> None:
    assert scored("amc_2023", "B", "CCCCC").feedback == SOLVED
    assert scored("amc_2023", "B", "it must be 12").feedback == SOLVED
    assert scored("amc_2023", "B", "CCCCC").breakdown == {"answered": 1}
    missing = scored("amc_2023", "B", "I cannot tell")
    assert "in a way that counts" in missing.feedback
    assert missing.breakdown == {"answered": 0}


# -- AIME


@pytest.mark.parametrize(
    ("gold", "reply", "value", "said"),
    [
        ("016", "The answer is 016", 1, ""),
        ("016", "016", 1, ""),
        ("016", "It is 016." + " " * 46, 1, ""),
        ("016", "016" + "." * 48, 0, "not in its last 50"),
        ("016", "The answer is 16", 0, "leading zeros"),
        ("116", "The answer is 1165", 1, ""),
        ("116", "The answer is 117", 0, "no right number"),
        ("116", r"$\boxed{116}$", 1, ""),
        ("116", "<think>116</think> I do not know", 0, "hold no number"),
        ("116", "<think>no end 116", 1, ""),
        ("116", "", 0, "hold no number"),
        ("116", None, 0, "hold no number"),
        ("116", 116, 1, ""),
    ],
)
def test_aime(gold: str, reply: Any, value: float, said: str) -> None:
    found = scored("aime_i_2024", gold, reply)
    assert found.value == value
    assert said in found.feedback
    assert gold not in found.feedback


# -- proofs


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("Answer: 3, 1, 2, 4", 1),
        ("answer: 3,1,2,4.", 1),
        ("**Answer:** 3,1,2,4", 1),
        ("Answer:\n3,1,2,4", 1),
        (r"Answer: $\boxed{3, 1, 2, 4}$", 1),
        ("Answer: 1,2,3,4\nno, wait\nAnswer: 3,1,2,4", 1),
        ("Answer: <3>, <1>, <2>, <4>", 1),
        ("Answer: 3,1,2", 0.75),
        ("Answer: 3,1,2,4,5", 0.8),
        ("Answer: 3,1,4,2", 0.5),
        ("Answer: 1,2,3,4", 0.5),
        ("Answer: 3, x, 2, 4", 0.75),
        ("Answer: 5,6,7,8", 0),
        (r"so \boxed{3,1,2,4}", 1),
        (r"Answer: see below \boxed{3,1,2,4}", 1),
        ("The order is\n3, 1, 2, 4", 1),
        ("The order is\n(3), (1), (2), (4)", 1),
        ("<think>Answer: 3,1,2,4</think>", 0),
        ("There is none", 0),
        ("", 0),
        (None, 0),
        ("Answer: ²", 0),
        ("Answer: " + "9" * 5000, 0),
    ],
)
@pytest.mark.parametrize("subtask", ["imo_2023", "usamo_2023"])
def test_a_proofs_order(subtask: str, reply: Any, value: float) -> None:
    found = scored(subtask, "3,1,2,4", reply)
    assert found.value == pytest.approx(value)
    assert bool(found.feedback) == (value < 1)


def test_a_proofs_feedback_says_what_is_wrong_with_the_list() -> None:
    assert "behind `Answer:`" in scored("imo_2023", "3,1,2,4", "no").feedback
    assert "has 3 entries" in scored("imo_2023", "3,1,2,4", "Answer: 3,1,2").feedback
    assert "not at their place" in scored("imo_2023", "3,1,2,4", "Answer: 4,3,2,1").feedback
    assert "some numbers are wrong" in scored("imo_2023", "3,1,2,4", "Answer: 3,1,2,9").feedback


# -- formulas

FORMULAS = [
    (r"\frac{19}{12}", r"so $\boxed{\frac{19}{12}}$", 1, 1),
    (r"\frac{19}{12}", r"so \boxed{\dfrac{38}{24}}", 1, 1),
    (r"\frac{7}{2}", r"\boxed{3.5}", 1, 1),
    (r"\frac{7}{2}", r"\boxed{3.5004}", 1, 0),
    (r"\frac{7}{2}", r"\boxed{3.502}", 0, 0),
    ("12", r"\boxed{13}", 0, 0),
    ("2 x+1", r"\boxed{1 + 2x + C}", 1, 1),
    ("x^2-x-6", r"\boxed{f(x) = (x-3)(x+2)}", 1, 1),
    ("x^2-x-6", r"\boxed{(x+3)(x-2)}", 0, 0),
    (r"-7 x^3-\frac{3}{2} x", r"\boxed{-x(7x^2+1.5)}", 1, 1),
    (r"\sin{(2 x)}", r"\boxed{2\sin(x)\cos(x)}", 1, 1),
    (r"\log (x)+\frac{1}{x}", r"\boxed{\ln(x)+x^{-1}}", 1, 0),  # to math-verify, \log is to base 10
    (r"2 \sqrt{3}", r"\boxed{\sqrt{12}}", 1, 1),
    (r"\sqrt{3}+2 i", r"\boxed{2i+\sqrt3}", 1, 0),
    ("1234567", r"\boxed{1,234,567}", 1, 1),
    ("x+1", r"it is $x$ and then $y = x + 1$", 1, 1),
    ("x+1", "it is $$x+1$$", 1, 1),
    ("42", "The answer is 42.", 1, 1),
    ("42", "The answer is 43.", 0, 0),
    ("42", "<think>\\boxed{42}</think>", 0, 0),
    (["41", "42"], r"\boxed{42}", 1, 1),
    ("42", r"\boxed{forty two}", 0, 0),
    ("42", r"\boxed{!!!}", 0, 0),
    ("42", r"\boxed{}", 0, 0),
    ("42", "", 0, 0),
    ("42", None, 0, 0),
    ("42", "$" * 5000, 0, 0),
    ("42", r"\boxed{" + "1+" * 5000 + "1}", 0, 0),
]


def test_formulas_many_at_the_same_time() -> None:
    found = asyncio.run(scored_all(*((case("amps_hard_x", gold), reply) for gold, reply, *_ in FORMULAS)))
    for (gold, reply, value, second), each in zip(FORMULAS, found, strict=True):
        assert (each.value, each.breakdown["math_verify"]) == (value, second), (gold, str(reply)[:60], each)
        assert bool(each.feedback) == (value == 0)
    assert len(MODULE.formulas.processes._all) <= MODULE.formulas.processes.COUNT


def test_a_formulas_feedback_says_what_is_wrong_with_it() -> None:
    assert "between dollar signs" in scored("amps_hard_x", "42", "no idea").feedback
    assert scored("amps_hard_x", "42", r"\boxed{43}").feedback == "another formula is right"
    assert "cannot read the formula" in scored("amps_hard_x", "42", r"\boxed{!!!}").feedback
    assert "expected formula" in scored("amps_hard_x", "!!!", r"\boxed{42}").feedback


def test_a_formula_that_takes_for_ever_is_late_and_the_next_one_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE.formulas.processes, "LIMIT_S", 0.2)
    late = scored("amps_hard_x", "42", r"\boxed{9^{9^{9^{9}}}}")
    assert (late.value, late.feedback) == (0, "comparing the formula took too long")
    monkeypatch.undo()
    assert scored("amps_hard_x", "42", r"\boxed{40+2}").value == 1


def test_a_process_that_is_ended_from_outside_is_started_again() -> None:
    comparer = MODULE.formulas.processes.Comparer()
    try:
        assert comparer.ask("sympy", "1", "1") == "equal"
        comparer._process.kill()
        assert comparer.ask("sympy", "1", "2") == "different"
    finally:
        comparer.close()


def test_comparisons_that_nobody_waits_for_any_more_are_stopped() -> None:
    endless = case("amps_hard_x", "42"), r"\boxed{9^{9^{9^{9}}}}"

    async def interrupted() -> None:
        async with asyncio.timeout(0.2):
            await scored_all(endless, endless, endless)

    before = time.process_time() + _children_cpu()
    with pytest.raises(TimeoutError):
        asyncio.run(interrupted())
    assert scored("amps_hard_x", "42", r"\boxed{42}").value == 1
    assert time.process_time() + _children_cpu() - before < MODULE.formulas.processes.LIMIT_S


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def test_one_that_does_not_start_stops_the_evaluation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    MODULE.formulas.processes.close()
    monkeypatch.setattr(MODULE.formulas.processes, "PROGRAM", tmp_path / "missing.py")
    with pytest.raises(ScorerError, match="does not start"):
        scored("amps_hard_x", "1", r"\boxed{1}")


def test_no_process_outlives_the_one_that_asked(tmp_path: Path) -> None:
    program = """
        import asyncio, os, sys
        from pathlib import Path
        from fapo.evaluation.scoring import load_score
        from fapo.records import Case, Prediction

        score = load_score("livebench_math", Path())
        case = Case("c", {"question": "q"}, "1", {"task": "AMPS_Hard"})
        asyncio.run(score.waited(case, Prediction(r"\\boxed{1}")))
        processes = sys.modules[score.function.__module__].formulas.processes
        print(processes._all[0]._process.pid, flush=True)
        if sys.argv[1] == "killed":
            os.kill(os.getpid(), 9)
    """
    path = tmp_path / "ask.py"
    path.write_text(textwrap.dedent(program))
    for how in ("ended", "killed"):
        done = subprocess.run([sys.executable, str(path), how], capture_output=True, text=True, check=False)
        pid = int(done.stdout)
        deadline = time.monotonic() + 20
        while _runs(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not _runs(pid), (how, done.stderr)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


# -- all of them


def test_the_task_counts_where_there_is_no_subtask_and_an_unknown_one_is_a_fault() -> None:
    old = Case("c", {"question": "q"}, "42", {"task": "AMPS_Hard"})
    assert asyncio.run(scored_all((old, "It is 42"))) == [Score(1.0, {"answered": 1.0, "math_verify": 1.0})]
    with pytest.raises(ScorerError, match="no parser for the task `integrals_with_game`"):
        scored("integrals_with_game", "1", "1")


@pytest.mark.parametrize("reply", ["<think>" * 100_000, "<solution>" * 100_000, "\\boxed{" * 100_000, "(" * 10**6])
@pytest.mark.parametrize(("subtask", "gold"), [("amc_2023", "B"), ("aime_2024", "016"), ("imo_2023", "1,2"), ("amps_hard_x", "42")])  # fmt: skip
def test_hostile_replies_are_read_in_no_time(subtask: str, gold: str, reply: str) -> None:
    assert scored(subtask, gold, reply).value == 0
