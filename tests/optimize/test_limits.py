"""What ends a search: limits with room for test kept back, a plateau; and what is told before money is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fapo.optimize.events import Estimated, Evaluated, NoiseFloor
from tests.support.scripted import CONTRACT, Hands, Script, Silent, search, unsolvable

ROUTE = "prompts/route.md"
GIST = "prompts/gist.md"
WORDS = ("in two words", "as a question", "politely", "with a number", "in rhyme", "as a list", "in capitals", "twice")


def improving_then_busy(told: list[dict[str, Any]]) -> Script:
    """One gain, then one useless change after the other until the search is over."""

    async def script(hands: Hands) -> None:
        hands.replace(ROUTE, "Choose the team that should answer.", f"Choose the team that should answer. {CONTRACT}")
        told.append(await hands.submit("contract"))
        for words in WORDS:
            hands.replace(GIST, "in one sentence", words)
            told.append(await hands.submit(words, "gist"))
            if "error" in told[-1]:
                return

    return script


@pytest.mark.parametrize("limits", [{"max_calls": 1100}, {"max_tokens": 110_000}])
def test_a_limit_ends_the_search_and_test_is_opened_with_what_was_kept(tmp_path: Path, limits: dict[str, Any]) -> None:
    told: list[dict[str, Any]] = []
    script = improving_then_busy(told)
    state = search(tmp_path, [script], pipeline=unsolvable(tmp_path), accept="mean", **limits)
    assert state.search_ended is not None
    assert state.search_ended.status in ("calls", "tokens", "budget")
    assert "error" in told[-1], "the search went on to its own end; the limit is too large to be tested"
    assert state.finished is not None
    assert state.finished.status == "improved"
    assert state.evaluations["001", "test", None, 0].n == 80
    paid = state.usage("task")
    assert paid.input_tokens is not None
    assert paid.output_tokens is not None
    assert paid.llm_calls <= limits.get("max_calls", 10**9)
    assert paid.input_tokens + paid.output_tokens <= 1.02 * limits.get("max_tokens", 10**9)


def test_a_plateau_ends_the_search(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def script(hands: Hands) -> None:
        for words in WORDS:
            hands.replace(GIST, "in one sentence", words)
            told.append(await hands.submit(words, "gist"))
            if "error" in told[-1]:
                return

    state = search(tmp_path, [script], pipeline=unsolvable(tmp_path), patience=4)
    assert state.search_ended is not None
    assert state.search_ended.status == "plateau"
    assert state.search_ended.why == "4 variants in a row were rejected, with these levels open: prompt"
    assert state.looks == 4
    assert "search is over" in told[4]["error"]


async def idle(hands: Hands) -> None:
    assert (await hands.use("status"))["detectable_gain"] > 0


def test_what_validation_can_show_and_what_all_would_take_is_told_before_it_is_paid(tmp_path: Path) -> None:
    narrator = Silent()
    state = search(tmp_path, [idle], pipeline=unsolvable(tmp_path), narrator=narrator, max_calls=1300, noise_floor=True)
    told = narrator.told
    first = next(number for number, each in enumerate(told) if isinstance(each, Evaluated))
    before = [each for each in told[:first] if isinstance(each, str)]
    assert len(before) == 1
    assert before[0].startswith("nothing is paid yet: on 80 validation cases")
    assert "four times in five; for 5 points it would take" in before[0]
    (estimate,) = [each for each in told[:first] if isinstance(each, Estimated)]
    # Two arms of validation and 12 variants on it, train for all 13, test for two; two calls a case.
    assert estimate.calls == 2 * (14 * 80 + 13 * 80 + 2 * 80)
    assert estimate.exceeded == ("--max-calls",)
    assert estimate.paid.llm_calls == 6
    assert state.usage("task").llm_calls == 2 * (2 * 80 + 80), "the cases that were run for the estimate are paid once"


def test_more_trials_make_small_gains_visible(tmp_path: Path) -> None:
    narrator = Silent()
    pipeline = unsolvable(tmp_path)
    state = search(tmp_path, [idle], pipeline=pipeline, narrator=narrator, trials=3, noise_floor=True, max_variants=1)
    baseline, second = (state.evaluations["000", "validation", None, arm] for arm in (0, 1))
    assert (baseline.n, baseline.of) == (80, 80)
    assert baseline.demand.llm_calls == 3 * 2 * 80
    assert second.demand.llm_calls == 3 * 2 * 80
    assert state.evaluations["000", "train", None, 0].demand.llm_calls == 2 * 80, "train is there to be read"
    assert isinstance(state.noise, NoiseFloor)
    runs = next((tmp_path / "runs").glob("*/evaluations"))
    trials = [
        {line.split(b'"trial":')[1][:1] for line in (runs / name / "traces.jsonl").read_bytes().splitlines()}
        for name in ("000-validation", "000-validation-arm1")
    ]
    assert trials == [{b"0", b"1", b"2"}, {b"3", b"4", b"5"}]
