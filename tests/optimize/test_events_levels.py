from __future__ import annotations

from pathlib import Path

import pytest

from fapo.optimize.events import (
    Decided,
    Entry,
    Evaluated,
    Event,
    Finished,
    Journal,
    LevelOpened,
    OpenedTest,
    Refused,
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
from fapo.optimize.levels import closed_reasons, decide_level, initial_levels
from fapo.records import LEVELS, Usage

ALL = LEVELS


def submitted(variant: str, technique: str, *, level: str = "prompt", parent: str = "000") -> Submitted:
    return Submitted(variant, parent, "digest", level, "because", technique, "classify", int(variant))  # type: ignore[arg-type]


def decided(variant: str, verdict: str) -> Decided:
    return Decided(variant, verdict, "reason", 0.1, 0.01, 0.05)  # type: ignore[arg-type]


STORY: tuple[Event, ...] = (
    Started(),
    LevelOpened("prompt", "from the start"),
    Evaluated("000", "validation", None, 0.2, 300, 0, Usage(600, 0, 10, 10, 0.5), "landlock"),
    Evaluated("000", "train", None, 0.3, 300, 1, Usage(600, 0, 10, 10, None), "landlock"),
    SessionStarted(1, "full", ()),
    Refused("001", "000", None, "h", "role", "classify", "prompts/x.md: leaks"),
    submitted("002", "contract"),
    decided("002", "accepted"),
    LevelOpened("structure", "attribution"),
    submitted("003", "retrieve", level="structure", parent="002"),
    decided("003", "rejected"),
    SessionEnded(1, "finished", None, Usage(5, 0, 100, 10, 1.5), "0.2", "2.1"),
    SearchEnded("agent", "done"),
    OpenedTest(("000", "002")),
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
    assert state.usage("task") == Usage(1200, 0, 20, 20, None)
    assert state.usage("optimizer").cost_usd == 1.5


def test_a_variant_that_was_frozen_and_not_judged_is_found_again(tmp_path: Path) -> None:
    state = tell(tmp_path / "j", *STORY[:7])
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


def test_parameters_open_on_a_plateau_or_on_attribution() -> None:
    plateau = after(
        ("role", "prompt", "rejected"), ("contract", "prompt", "rejected"), ("evidence", "prompt", "rejected")
    )
    assert decide_level("parameter", plateau, ALL, INSIDE).granted
    assert decide_level("parameter", after(), ALL, {"parameter": 0.7, "prompt": 0.3}).granted
    assert not decide_level("parameter", after(), ALL, INSIDE).granted


def test_scope_bounds_what_opens() -> None:
    tried = after(("contract", "prompt", "accepted"))
    assert "outside of this run's scope" in decide_level("structure", tried, ("prompt",), OUTSIDE).why
    assert initial_levels(("parameter", "structure")) == ("parameter",)
    assert set(closed_reasons(tried, ALL, OUTSIDE)) == {"parameter", "structure"}
    assert closed_reasons(tried, ALL, OUTSIDE)["structure"] == "ask with request_level"
