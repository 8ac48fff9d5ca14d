"""A fall is paired with the baseline case by case, and a night errs no more often than its share."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fapo.ci.drift import Fall, baseline_of, compare, require_decided, what_changed
from fapo.errors import ProviderError
from fapo.evaluation.evaluate import CaseResult, Evaluation, Manifest
from fapo.records import Failure, Usage
from fapo.store.testlock import TestLock

LOCK = TestLock()


def evaluation(values: list[float | None], **changes: str) -> Evaluation:
    fields: dict[str, object] = {
        "pipeline": "p", "variant": "p", "variant_digest": "v", "split": "validation", "cases_digest": "c",
        "score": "s", "score_digest": "d", "trials": 1, "models": {"task": "openai/m"}, **changes,
    }  # fmt: skip
    down = Failure("provider", "unavailable", "it is down")
    results = tuple(
        CaseResult(f"case {number}", 0, value, down if value is None else None, Usage(), Usage(), 1.0, Usage(), 0)
        for number, value in enumerate(values)
    )
    return Evaluation(Manifest(**fields), Path("e"), results, "full", 1.0)  # type: ignore[arg-type]


def fall(before: list[float], today: list[float]) -> Fall:
    kept = baseline_of(evaluation([*before]), night="n", clusters=None)
    return compare(kept, evaluation([*today]), clusters=None, look=1, level=LOCK.night_share, nights=LOCK.nights)


def test_scores_are_kept_as_they_were() -> None:
    values = [0.0, 1.0, 1 / 3, 0.1 + 0.2, 0.25]
    kept = baseline_of(evaluation([*values]), night="n", clusters=None)
    assert [float(text) for text in kept.scores.split()] == values
    same = fall(values, values)
    assert (same.paired.tied, same.p_fall, same.significant) == (5, 1.0, False)


def test_a_clear_fall_counts_a_small_one_and_a_gain_do_not() -> None:
    good, bad = [1.0] * 60, [1.0] * 40 + [0.0] * 20
    assert fall(good, bad).significant
    assert fall(good, bad).p_fall == pytest.approx(0.5**20)
    assert not fall(good, [1.0] * 55 + [0.0] * 5).significant
    gain = fall(bad, good)
    assert not gain.significant
    assert gain.p_fall == 1.0


def test_what_a_night_can_see_is_told() -> None:
    """Where nothing varies, z_alpha sqrt(g) + z_power sqrt(g - g^2) = g sqrt(n) at n = 300 gives 5.6 points."""
    assert fall([1.0] * 300, [1.0] * 300).detectable == pytest.approx(0.0563, abs=0.0005)
    few = fall([1.0] * 10, [0.0] * 10)
    assert not few.significant
    assert few.detectable == 1.0


def test_a_hundred_nights_with_one_baseline_rarely_raise_a_false_alarm() -> None:
    """Of 40 schedules, at 5 % each, 2 are expected at most; more than 6 come about once in two hundred times."""
    chance = random.Random(1)
    alarmed = 0
    for _ in range(40):
        before = [float(chance.random() < 0.5) for _ in range(40)] + [1.0] * 60
        nights = ([float(chance.random() < 0.5) for _ in range(40)] + [1.0] * 60 for _ in range(15))
        alarmed += any(fall(before, night).significant for night in nights)
    assert alarmed <= 6


@pytest.mark.parametrize(
    ("change", "named"),
    [({"variant_digest": "w"}, "the pipeline"), ({"cases_digest": "w"}, "the validation cases"),
     ({"score_digest": "w"}, "the score function"), ({"judge": "openai/j"}, "the models")],
)  # fmt: skip
def test_what_is_of_something_else_is_no_drift(change: dict[str, str], named: str) -> None:
    kept = baseline_of(evaluation([1.0, 0.0]), night="n", clusters=None)
    assert what_changed(kept, evaluation([1.0, 0.0]).manifest) == ()
    assert what_changed(kept, evaluation([1.0, 0.0], **change).manifest) == (named,)


def test_undecided_cases_decide_nothing() -> None:
    with pytest.raises(ProviderError, match=r"1 cases are undecided.*--night n"):
        require_decided(evaluation([1.0, None]), night="n")
