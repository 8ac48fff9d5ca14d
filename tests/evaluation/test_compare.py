"""Two evaluations are compared case by case where that means something, and refused in one line where it does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fapo.errors import UsageError
from fapo.evaluation.compare import Change, Comparison, compare_arms, read_arm
from fapo.stats import mean_interval, paired_comparison
from fapo.store.files import to_json
from tests.support.arms import CACHED, FAILED, PAID, UNDECIDED, Outcome, record_of, scored, write_arm

Compare = Callable[..., Comparison]


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    def made(a: dict[str, list[Outcome]], b: dict[str, list[Outcome]], *, of_a: dict[str, Any] | None = None,
             of_b: dict[str, Any] | None = None) -> Comparison:  # fmt: skip
        one = write_arm(tmp_path / "a", a, **(of_a or {}))
        other = write_arm(tmp_path / "b", b, **(of_b or {}))
        return compare_arms(read_arm(one), read_arm(other))

    return made


def test_the_difference_is_b_minus_a_paired_by_case(compare: Compare) -> None:
    found = compare(scored("0000011111"), scored("1111011101"))
    assert found.paired.difference == pytest.approx(0.3)
    assert (found.paired.won, found.paired.lost, found.paired.tied, found.paired.n) == (4, 1, 5, 10)
    assert found.paired.p_two_sided == pytest.approx(12 / 32)
    assert (found.a.score.mean, found.b.score.mean) == pytest.approx((0.5, 0.8))
    assert found.won == tuple(Change(f"case-{number}", 0.0, 1.0) for number in range(4))
    assert found.lost == (Change("case-8", 1.0, 0.0),)
    assert found.left_out == ()


def test_the_largest_changes_come_first(compare: Compare) -> None:
    found = compare({"x": [0.5], "y": [0.5], "z": [0.5]}, {"x": [0.6], "y": [1.0], "z": [0.7]})
    assert [change.case_id for change in found.won] == ["y", "z", "x"]


def test_exchanging_the_sides_mirrors_the_comparison(tmp_path: Path) -> None:
    one = read_arm(write_arm(tmp_path / "a", scored("0001101")))
    other = read_arm(write_arm(tmp_path / "b", scored("1101111")))
    there, back = compare_arms(one, other), compare_arms(other, one)
    assert back.paired.difference == -there.paired.difference
    assert back.paired.p_two_sided == there.paired.p_two_sided
    assert [(c.case_id, c.b, c.a) for c in back.lost] == [(c.case_id, c.a, c.b) for c in there.won]
    assert (back.a, back.b) == (there.b, there.a)


def test_a_failure_of_the_pipeline_counts_zero_and_is_counted(compare: Compare) -> None:
    found = compare(scored("11ff"), scored("1111"))
    assert found.a.score.mean == 0.5
    assert (found.a.failures, found.b.failures) == (2, 0)
    assert found.paired.won == 2


def test_cases_that_one_side_did_not_decide_are_left_out_and_named(compare: Compare) -> None:
    found = compare(scored("0?00111"), scored("1111??1"))
    assert found.left_out == ("case-1", "case-4", "case-5")
    assert (found.paired.n, found.a.score.n, found.b.score.n) == (4, 4, 4)
    assert (found.a.undecided, found.b.undecided) == (1, 2)
    assert (found.a.missing, found.b.missing) == (1, 2)


def test_cases_that_were_never_run_are_missing(compare: Compare) -> None:
    every = list(scored("11111"))
    found = compare(scored("111"), scored("11100"), of_a={"cases": every}, of_b={"cases": every})
    assert found.left_out == ("case-3", "case-4")
    assert (found.a.missing, found.a.undecided, found.b.missing) == (2, 0, 0)


@pytest.mark.parametrize("values", ["11???", "?????"])
def test_half_an_evaluation_is_not_compared(compare: Compare, values: str) -> None:
    decided = values.count("1")
    with pytest.raises(UsageError, match=rf"only {decided} of 5 cases are decided in both; finish them first"):
        compare(scored("11111"), scored(values))


def test_a_resumed_evaluation_counts_each_sample_once_as_it_was_decided(tmp_path: Path) -> None:
    place = write_arm(tmp_path / "a", {"x": [UNDECIDED], "y": [1.0]})
    with (place / "traces.jsonl").open("ab") as file:
        file.write(to_json(record_of("x", 1.0)) + b"\n" + to_json(record_of("y", UNDECIDED)) + b"\n")
    arm = read_arm(place)
    assert arm.means == {"x": 1.0, "y": 1.0}
    assert len(arm.samples) == 2


# -- trials


def test_means_of_cases_are_compared_where_trials_differ(compare: Compare) -> None:
    a: dict[str, list[Outcome]] = {"x": [1.0, 0.0], "y": [0.0, 0.0], "z": [1.0, 1.0]}
    found = compare(a, {"x": [1.0], "y": [1.0], "z": [1.0]})
    assert found.paired.difference == pytest.approx(0.5)
    assert found.won == (Change("y", 0.0, 1.0), Change("x", 0.5, 1.0))
    assert (found.a.samples, found.b.samples) == (6, 3)
    assert "A has 2 and B 1 samples of each case: means of cases are compared" in found.notes
    assert found.a.repeatability is not None
    assert (found.a.repeatability.unsteady, found.a.repeatability.cases) == (1, 3)
    assert found.b.repeatability is None


def test_a_case_that_is_decided_in_one_trial_only_still_counts(compare: Compare) -> None:
    found = compare({"x": [1.0, UNDECIDED], "y": [0.0, 0.0]}, {"x": [1.0, 1.0], "y": [1.0, FAILED]})
    assert found.left_out == ()
    assert found.a.missing == 1
    assert found.paired.difference == pytest.approx(0.25)


# -- clusters


def test_clusters_that_were_taken_down_decide_the_test_and_the_intervals(compare: Compare) -> None:
    a, b = scored("0" * 12 + "01010101"), scored("1" * 12 + "01010101")
    clusters = {case: "big" if number < 12 else case for number, case in enumerate(a)}
    found = compare(a, b, of_a={"clusters": clusters}, of_b={"clusters": clusters})
    means_a, means_b = ({case: float(str(each[0])) for case, each in arm.items()} for arm in (a, b))
    assert found.paired == paired_comparison(means_b, means_a, clusters=clusters)
    assert found.paired.p_two_sided == 1.0
    assert found.clusters == 9
    assert found.a.score == mean_interval(list(means_a.values()), list(clusters.values()))


def test_where_test_and_interval_disagree_it_says_which_decides(compare: Compare) -> None:
    """Five cases up by about as much: one sign pattern of sixteen, and far from 0 by their spread."""
    b: dict[str, list[Outcome]] = {f"case-{n}": [0.5 + n / 100] for n in range(5)}
    found = compare(scored("00000"), b)
    assert found.paired.p_two_sided == 2 / 32
    assert found.paired.low > 0
    assert found.notes == ("test and interval disagree about 0: the interval approximates, the test decides",)


def test_without_clusters_cases_are_independent(compare: Compare) -> None:
    found = compare(scored("0" * 12 + "01010101"), scored("1" * 12 + "01010101"))
    assert found.clusters is None
    assert found.paired.p_two_sided == pytest.approx(2**-11)


def test_it_says_where_clusters_were_not_taken_down(tmp_path: Path) -> None:
    places = [write_arm(tmp_path / name, scored("0101")) for name in "ab"]
    for place in places:
        (place / "cases.json").unlink()
    found = compare_arms(*map(read_arm, places))
    assert any("cases belong together was not taken down" in note for note in found.notes)


# -- what it cost


def test_tokens_cost_and_times_stand_beside_each_other(compare: Compare) -> None:
    found = compare(scored("0101"), scored("0111"), of_b={"usage": PAID + PAID, "seconds": 3.0})
    assert (found.a.usage.llm_calls, found.b.usage.llm_calls) == (4, 8)
    assert (found.a.usage.input_tokens, found.b.usage.input_tokens) == (400, 800)
    assert (found.a.p50_s, found.b.p95_s) == (1.0, 3.0)
    assert found.notes == ()


def test_cached_replies_make_costs_and_times_incomparable_and_it_says_so(compare: Compare) -> None:
    found = compare(scored("0101"), scored("0111"), of_b={"usage": CACHED})
    assert any("not comparable" in note and "cache" in note for note in found.notes)


def test_more_cases_detect_smaller_differences(tmp_path: Path) -> None:
    found = [
        compare_arms(read_arm(write_arm(tmp_path / f"a{n}", scored("0110" * n))),
                     read_arm(write_arm(tmp_path / f"b{n}", scored("1100" * n)))).detectable
        for n in (5, 50)
    ]  # fmt: skip
    assert 0 < found[1] < found[0] < 1


# -- what is refused


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": "test"}, "A ran on validation, B on test"),
        ({"cases_digest": "other"}, r"the cases differ \(4 in A, 4 in B\)"),
        ({"score": "contains"}, "A was scored by exact_match, B by contains"),
        ({"score_digest": "other"}, "the score function exact_match was changed in between"),
        ({"sample": "a stand-in"}, "in B an offline stand-in answered, in A a model"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_says_what_differs(
    compare: Compare, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=f"^not comparable: {words}"):
        compare(scored("0101"), scored("0101"), of_b=changes)


def test_other_pipelines_variants_and_models_are_what_it_is_for(compare: Compare) -> None:
    of_b = {"pipeline": "q", "variant": "007", "variant_digest": "w", "models": {"task": "openai/n"}}
    assert compare(scored("0101"), scored("0111"), of_b=of_b).paired.won == 1


def test_stand_ins_on_both_sides_are_compared_and_said(compare: Compare) -> None:
    said = {"sample": "a stand-in answered"}
    assert compare(scored("01"), scored("11"), of_a=said, of_b=said).notes == ("a stand-in answered",)


def test_an_evaluation_is_not_compared_with_itself(tmp_path: Path) -> None:
    place = write_arm(tmp_path / "a", scored("01"))
    with pytest.raises(UsageError, match="the same evaluation"):
        compare_arms(read_arm(place), read_arm(place / "traces.jsonl"))


def test_what_is_no_evaluation_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(f"{tmp_path}: not an evaluation")):
        read_arm(tmp_path)


def test_damage_is_named_with_file_and_line(tmp_path: Path) -> None:
    place = write_arm(tmp_path / "a", scored("01"))
    traces = place / "traces.jsonl"
    first, second = traces.read_bytes().splitlines()
    traces.write_bytes(first + b"\n{broken}\n" + second + b"\n")
    with pytest.raises(UsageError, match=re.escape(f"{traces}:2: cannot be read back")):
        read_arm(place)
    (place / "evaluation.json").write_text('{"pipeline": "p"}')
    with pytest.raises(UsageError, match=r"evaluation.json: cannot be read back: `variant`"):
        read_arm(place)
    (place / "evaluation.json").write_text("{")
    with pytest.raises(UsageError, match=r"evaluation.json: cannot be read back"):
        read_arm(place)


def test_a_torn_last_line_is_no_damage(tmp_path: Path) -> None:
    place = write_arm(tmp_path / "a", scored("01"))
    with (place / "traces.jsonl").open("ab") as file:
        file.write(b'{"case_id": "case-')
    assert len(read_arm(place).samples) == 2
