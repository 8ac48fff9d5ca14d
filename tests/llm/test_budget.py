"""The budget: checked before a call, with what is in flight; unknown costs stay unknown."""

from __future__ import annotations

import asyncio

import pytest

from fapo.errors import BudgetExceeded
from fapo.llm.budget import Budget, Kept
from fapo.records import Usage

CALL = Usage(1, 0, 10, 5, 0.25)


async def pay(budget: Budget, usage: Usage = CALL, guess: float | None = None) -> None:
    reservation = await budget.reserve("m", guess)
    await asyncio.sleep(0)
    reservation.settle("task", usage)
    reservation.release()


def test_spenders_are_told_apart_and_added_up() -> None:
    budget = Budget(usd=5.0)
    asyncio.run(pay(budget))
    budget.charge("optimizer", Usage(3, 0, 100, 50, 1.0))
    budget.charge("task", Usage(cached_calls=1))
    assert budget.spent("task") == Usage(1, 1, 10, 5, 0.25)
    assert budget.spent("optimizer") == Usage(3, 0, 100, 50, 1.0)
    assert budget.spent("judge") == Usage()
    assert budget.spent() == Usage(4, 1, 110, 55, 1.25)
    assert budget.left_usd == 3.75


def test_without_a_limit_nothing_is_refused() -> None:
    budget = Budget()
    for _ in range(50):
        asyncio.run(pay(budget))
    assert budget.spent().llm_calls == 50
    assert budget.left_usd is None


def test_a_call_that_would_pass_the_limit_is_refused_before_it_is_made() -> None:
    budget = Budget(usd=1.1)
    for _ in range(4):
        asyncio.run(pay(budget))
    with pytest.raises(BudgetExceeded, match=r"\$1\.0000 of \$1\.1"):
        asyncio.run(pay(budget))
    assert budget.spent().cost_usd == 1.0


def test_the_number_of_calls_is_limited_too() -> None:
    budget = Budget(calls=2)

    async def three() -> list[BaseException | None]:
        return await asyncio.gather(*(pay(budget) for _ in range(3)), return_exceptions=True)

    outcomes = asyncio.run(three())
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), BudgetExceeded]
    assert budget.spent().llm_calls == 2


def test_many_calls_at_once_do_not_overspend() -> None:
    budget = Budget(usd=1.0)

    async def hundred() -> list[BaseException | None]:
        return await asyncio.gather(*(pay(budget, guess=0.25) for _ in range(100)), return_exceptions=True)

    outcomes = asyncio.run(hundred())
    assert outcomes.count(None) == 4
    assert budget.spent().cost_usd == 1.0


def test_a_cautious_guess_makes_calls_wait_and_does_not_end_the_run() -> None:
    budget = Budget(usd=1.0)

    async def all_of_them() -> None:
        await asyncio.gather(*(pay(budget, Usage(1, 0, 1, 1, 0.01), guess=0.9) for _ in range(20)))

    asyncio.run(all_of_them())
    assert budget.spent().llm_calls == 20


def test_a_failed_call_gives_its_room_back() -> None:
    budget = Budget(usd=1.0, calls=1)

    async def fail() -> None:
        reservation = await budget.reserve("m", 0.9)
        reservation.release()
        raise ConnectionError

    for _ in range(3):
        with pytest.raises(ConnectionError):
            asyncio.run(fail())
    asyncio.run(pay(budget))
    assert budget.spent() == CALL


def test_an_unknown_cost_stays_unknown_and_still_counts_against_the_limit() -> None:
    budget = Budget(usd=1.0)
    asyncio.run(pay(budget))
    for _ in range(3):
        asyncio.run(pay(budget, Usage(1, 0, None, None, None)))
    assert budget.spent().cost_usd is None
    assert budget.left_usd == 0.0
    with pytest.raises(BudgetExceeded):
        asyncio.run(pay(budget))


def test_what_others_report_counts_against_the_limit() -> None:
    budget = Budget(usd=1.0)
    budget.charge("optimizer", Usage(9, 0, 1, 1, 2.0))
    assert budget.left_usd == 0.0
    with pytest.raises(BudgetExceeded):
        asyncio.run(pay(budget))


@pytest.mark.parametrize(
    ("limits", "kept"),
    [({"usd": 2.0}, Kept(usd=1.0)), ({"calls": 8}, Kept(calls=4)), ({"tokens": 120}, Kept(tokens=60))],
)
def test_what_is_kept_back_is_there_once_it_is_given_free(limits: dict[str, float], kept: Kept) -> None:
    budget = Budget(**limits)  # type: ignore[arg-type]

    budget.keep_back(kept)
    for _ in range(4):
        asyncio.run(pay(budget))
    with pytest.raises(BudgetExceeded, match="kept back"):
        asyncio.run(pay(budget))
    budget.keep_back(Kept())
    for _ in range(4):
        asyncio.run(pay(budget))
    with pytest.raises(BudgetExceeded):
        asyncio.run(pay(budget))


def test_calls_at_the_same_time_leave_what_is_kept_back() -> None:
    budget = Budget(calls=8)
    budget.keep_back(Kept(calls=3))

    async def all_at_once() -> list[BaseException | None]:
        return await asyncio.gather(*(pay(budget) for _ in range(9)), return_exceptions=True)

    outcomes = asyncio.run(all_at_once())
    assert [type(each) for each in outcomes].count(BudgetExceeded) == 4
    assert budget.spent().llm_calls == 5
