from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fapo.attribution.blame import Attribution, Share, StepBlame
from fapo.optimize.events import (
    Decided,
    Entry,
    Estimated,
    Evaluated,
    Event,
    Finished,
    Journal,
    Learned,
    LevelOpened,
    NoiseFloor,
    OpenedTest,
    Refused,
    Reviewed,
    SearchEnded,
    SessionEnded,
    SessionStarted,
    Started,
    State,
    Submitted,
    fold,
    read_entries,
    replay,
)
from fapo.optimize.levels import closed_reasons, decide_level, initial_levels, shares_left, tried_in_vain
from fapo.records import LEVELS, Usage

ALL = LEVELS


def submitted(
    variant: str, technique: str, *, level: str = "prompt", parent: str = "000", novelty: float = 1.0
) -> Submitted:
    return Submitted(variant, parent, "digest", level, "because", technique, "classify", int(variant), 3, novelty)  # type: ignore[arg-type]


def decided(variant: str, verdict: str) -> Decided:
    by = "gain" if verdict == "accepted" else None
    return Decided(variant, verdict, "+10 points, p = 0.01", "better", 0.1, 0.01, 0.05, by)  # type: ignore[arg-type]


STORY: tuple[Event, ...] = (
    Started(),
    LevelOpened("prompt", "from the start"),
    Estimated(9000, 7.5, 9.0, ("--budget-usd",), Usage(6, 0, 1, 1, 0.25)),
    Evaluated("000", "validation", None, 0.2, 300, 0, Usage(600, 0, 10, 10, 0.5), "landlock", Usage(), 300),
    Evaluated("000", "train", None, 0.3, 300, 1, Usage(600, 0, 10, 10, None), "landlock", Usage(), 300),
    NoiseFloor(0.1, -0.01, 300, 0.1),
    SessionStarted(1, "full", ()),
    Refused("001", "000", None, "h", "role", "classify", "prompts/x.md: leaks"),
    submitted("002", "contract"),
    Reviewed("002", "pass", "other", "", "", Usage(3, 0, 10, 10, 0.25)),
    decided("002", "accepted"),
    Learned("002", "brevity helps"),
    LevelOpened("structure", "attribution"),
    submitted("003", "retrieve", level="structure", parent="002"),
    decided("003", "rejected"),
    SessionEnded(1, "finished", None, Usage(5, 0, 100, 10, 1.5), "0.2", "2.1"),
    SearchEnded("agent", "done"),
    OpenedTest(("000", "002"), 1, 0.01),
    Finished("improved"),
)


def tell(path: Path, *events: Event) -> State:
    journal = Journal(path)
    for event in events:
        journal.append(event)
    journal.close()
    return journal.state


def test_the_journal_alone_gives_back_the_state(tmp_path: Path) -> None:
    state = tell(tmp_path / "journal.jsonl", *STORY)
    assert replay(read_entries(tmp_path / "journal.jsonl")) == state
    assert state.incumbent == "002"
    assert state.open_levels == ("prompt", "structure")
    assert state.looks == 2
    assert state.level_of("002") == "prompt"
    assert state.level_of("003") == "structure"
    assert state.finished == Finished("improved")


@pytest.mark.parametrize("kept", range(len(STORY)))
def test_a_journal_cut_anywhere_goes_on_to_the_same_state(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "journal.jsonl"
    tell(path, *STORY[:kept])
    with path.open("ab") as file:
        file.write(b'{"time": 1, "event": {"ev')
    state = tell(path, *STORY[kept:])
    whole = tell(tmp_path / "whole.jsonl", *STORY)
    assert (state.attempts, state.incumbent, state.open_levels) == (
        whole.attempts,
        whole.incumbent,
        whole.open_levels,
    )
    assert state.evaluations == whole.evaluations


def test_spending_is_divided_by_purpose_and_unknown_stays_unknown(tmp_path: Path) -> None:
    state = tell(tmp_path / "j", *STORY)
    assert state.usage("task") == Usage(1206, 0, 21, 21, None)
    assert state.usage("optimizer").cost_usd == 1.75


def test_a_variant_that_was_frozen_and_not_judged_is_found_again(tmp_path: Path) -> None:
    state = tell(tmp_path / "j", *STORY[:9])
    assert state.undecided is not None
    assert state.undecided.variant == "002"


def after(*attempts: tuple[str, str, str]) -> State:
    """A state with prompt open after attempts of (technique, level, verdict)."""
    events: list[Event] = [Started(), LevelOpened("prompt", "start")]
    for number, (technique, level, verdict) in enumerate(attempts, 1):
        events += [submitted(f"{number:03d}", technique, level=level), decided(f"{number:03d}", verdict)]
    state = State()
    for event in events:
        state = fold(state, Entry(1.0, event))
    return state


OUTSIDE = {"prompt": 0.2, "parameter": 0.0, "structure": 0.8, "unidentified": 0.0}
INSIDE = {"prompt": 0.8, "parameter": 0.0, "structure": 0.2, "unidentified": 0.0}


def test_structure_stays_closed_until_prompts_were_tried() -> None:
    decision = decide_level("structure", after(), ALL, OUTSIDE)
    assert not decision.granted
    assert "prompts have not been tried" in decision.why


@pytest.mark.parametrize(
    "attempts",
    [
        [("contract", "prompt", "accepted")],
        [
            ("role", "prompt", "rejected"),
            ("contract", "prompt", "rejected"),
            ("evidence", "prompt", "rejected"),
        ],
    ],
    ids=["an accepted prompt", "a plateau"],
)
def test_structure_opens_when_prompts_were_tried_and_the_loss_lies_outside(
    attempts: list[tuple[str, str, str]],
) -> None:
    assert decide_level("structure", after(*attempts), ALL, OUTSIDE).granted
    assert not decide_level("structure", after(*attempts), ALL, INSIDE).granted


def test_three_rejections_of_one_technique_are_no_plateau() -> None:
    state = after(*[("role", "prompt", "rejected")] * 3)
    assert not decide_level("structure", state, ALL, OUTSIDE).granted
    assert not decide_level("parameter", state, ALL, OUTSIDE).granted


def test_one_change_under_three_names_is_no_plateau() -> None:
    state = State()
    events: list[Event] = [Started(), LevelOpened("prompt", "start")]
    for number, novelty in enumerate((1.0, 0.05, 0.1), 1):
        events += [submitted(f"{number:03d}", f"idea {number}", novelty=novelty), decided(f"{number:03d}", "rejected")]
    for event in events:
        state = fold(state, Entry(1.0, event))
    assert not decide_level("parameter", state, ALL, OUTSIDE).granted


def test_loss_that_cannot_be_placed_opens_structure_only_after_a_plateau() -> None:
    unknown = {"prompt": 0.2, "parameter": 0.0, "structure": 0.1, "unidentified": 0.7}
    rejected = [("role", "prompt", "rejected"), ("contract", "prompt", "rejected"), ("evidence", "prompt", "rejected")]
    assert not decide_level("structure", after(("contract", "prompt", "accepted")), ALL, unknown).granted
    decision = decide_level("structure", after(*rejected), ALL, unknown)
    assert decision.granted
    assert "cannot place 70%" in decision.why


def test_rejections_in_a_row_are_counted_from_an_acceptance_or_an_opened_level() -> None:
    rejected = [("a", "prompt", "rejected"), ("b", "prompt", "rejected")]
    assert after(*rejected).stale == 2
    assert after(*rejected, ("c", "prompt", "accepted"), ("d", "prompt", "rejected")).stale == 1
    opened = fold(after(*rejected), Entry(1.0, LevelOpened("parameter", "plateau")))
    assert opened.stale == 0


def test_only_gains_count_as_acceptances_for_the_rule() -> None:
    events: list[Event] = [submitted("001", "a"), decided("001", "accepted"), submitted("002", "b"),
                           Decided("002", "accepted", "tie", "tie", 0.0, by="tie"), submitted("003", "c")]  # fmt: skip
    state = State()
    for event in events:
        state = fold(state, Entry(1.0, event))
    assert state.accepted_looks == (True, False)
    assert state.incumbent == "002"


def test_parameters_open_on_a_plateau_or_on_attribution() -> None:
    plateau = after(
        ("role", "prompt", "rejected"), ("contract", "prompt", "rejected"), ("evidence", "prompt", "rejected")
    )
    assert decide_level("parameter", plateau, ALL, INSIDE).granted
    assert decide_level("parameter", after(), ALL, {"parameter": 0.7, "prompt": 0.3}).granted
    assert not decide_level("parameter", after(), ALL, INSIDE).granted


def _blamed(**by_step: float) -> Attribution:
    steps = tuple(
        StepBlame(step, "reasoning", ("prompt",), 1, share, "medium", "", ()) for step, share in by_step.items()
    )
    shares: dict[Share, float] = {"prompt": 1.0, "parameter": 0.0, "structure": 0.0, "unidentified": 0.0}
    return Attribution(9, 0, 0.5, 0.5, (), steps, shares, "prompt", "")


def test_blame_on_a_prompt_that_was_changed_in_vain_does_not_hold_structure_closed() -> None:
    tries = [(name, "prompt", "rejected") for name in ("role", "contract", "evidence")]
    state = after(*tries)
    assert tried_in_vain(state.attempts) == {"classify"}
    shares = shares_left(_blamed(classify=0.6, summary=0.4), state.attempts)
    assert shares == pytest.approx({"prompt": 0.4, "parameter": 0.0, "structure": 0.0, "unidentified": 0.6})
    assert decide_level("structure", state, ALL, shares).granted
    elsewhere = shares_left(_blamed(classify=0.4, summary=0.6), state.attempts)
    assert not decide_level("structure", state, ALL, elsewhere).granted


@pytest.mark.parametrize(
    "tries",
    [
        [("role", "prompt", "rejected")] * 3,
        [("role", "prompt", "rejected"), ("contract", "prompt", "rejected")],
        [(name, "prompt", "rejected") for name in "abc"] + [("d", "prompt", "accepted")],
        [(name, "parameter", "rejected") for name in "abc"],
    ],
)
def test_a_step_counts_as_tried_after_three_prompt_techniques_since_the_last_acceptance(tries: Any) -> None:
    assert not tried_in_vain(after(*tries).attempts)


def test_scope_bounds_what_opens() -> None:
    tried = after(("contract", "prompt", "accepted"))
    assert "outside of this run's scope" in decide_level("structure", tried, ("prompt",), OUTSIDE).why
    assert initial_levels(("parameter", "structure")) == ("parameter",)
    assert set(closed_reasons(tried, ALL, OUTSIDE)) == {"parameter", "structure"}
    assert closed_reasons(tried, ALL, OUTSIDE)["structure"] == "ask with request_level"
