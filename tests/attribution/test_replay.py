"""Counterfactual replay on traces: what is changed, whom that blames, and when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from fapo.attribution.counterfactual import Arm, Library, intervention
from fapo.attribution.replay import ROUND, Replay, replay
from fapo.attribution.view import CaseView
from fapo.evaluation.intervention import Intervention
from fapo.records import Case, CaseRecord, ModelRequest, Prediction, Score, Step, Usage

Turns = Callable[[Intervention], float]
LINES = ["Paris | Paris is in France.", "Rome | Rome is in Italy.", "Oslo | Oslo is in Norway."]


def record(number: int, value: float, documents: list[str], trial: int = 0) -> CaseRecord:
    shown = {"messages": [{"role": "user", "content": "\n".join([*documents, "Which country?"])}]}
    steps = (
        Step("retrieve", "function", {"args": [f"query {number}"], "kwargs": {"k": 1}}, documents, 0.0, 0.1),
        Step(
            "answer",
            "llm",
            shown,
            "Italy" if value < 1 else "France",
            0.1,
            0.1,
            model="m",
            usage=Usage(1, 0, 9, 9, 0.1),
        ),
    )
    return CaseRecord(f"c{number}", trial, steps, Prediction(steps[1].output), Score(value), None, 0.2)


def case(number: int) -> Case:
    return Case(f"c{number}", {"question": "In which country is the capital?"}, {"answer": "France"},
                {"gold_titles": ["Paris"]})  # fmt: skip


def played(turns: Turns, *, failing: int, passing: int = 4, teacher: str | None = "big",
           shown: str = "Rome | Rome is in Italy.", trial: int = 0) -> tuple[Replay, list[Intervention]]:  # fmt: skip
    records = [record(n, 0.0, [shown], trial) for n in range(failing)]
    records += [record(n, 1.0, ["Paris | Paris is in France."], trial) for n in range(failing, failing + passing)]
    made: list[Intervention] = []

    async def run(jobs: Mapping[str, tuple[Case, Intervention]]) -> dict[str, CaseRecord]:
        made.extend(change for _, change in jobs.values())
        steps = (Step("answer", "llm", {}, "", 0.0, 0.0, usage=Usage(1, 0, 9, 9, 0.1)),)
        return {name: CaseRecord(name, 0, steps, Prediction(""), Score(float(turns(change))), None, 0.1)
                for name, (_, change) in jobs.items()}  # fmt: skip

    found = asyncio.run(replay({f"c{n}": case(n) for n in range(len(records))}, records, run, teacher=teacher))
    return found, made


def turned(found: Replay) -> dict[tuple[str, str], tuple[int, int]]:
    return {(each.step, each.kind): (each.turned, each.tried) for each in found.headrooms}


def test_a_retrieval_is_blamed_when_gold_in_its_output_turns_the_failures() -> None:
    found, _ = played(lambda change: change.step == "retrieve", failing=20)
    assert found.attribution.by_step[0].step == "retrieve"
    assert found.attribution.by_level["structure"] == pytest.approx(1.0)
    assert [ceiling.level for ceiling in found.ceilings] == ["prompt", "structure"]
    assert found.ceilings[0].mean < found.ceilings[1].mean == pytest.approx(1.0)


def test_a_prompt_is_blamed_when_a_stronger_model_on_the_same_inputs_succeeds() -> None:
    found, made = played(lambda change: change.model == "big", failing=20, shown=LINES[0])
    assert found.attribution.by_level["prompt"] == pytest.approx(1.0)
    assert found.attribution.by_step[0].confidence == "high"
    assert not any(change.context for change in made), "all gold was shown already: there is nothing to add"


def test_without_a_teacher_no_ceiling_of_prompts_is_claimed() -> None:
    found, made = played(lambda change: False, failing=20, teacher=None)
    assert all(change.model is None for change in made)
    assert [ceiling.level for ceiling in found.ceilings] == ["structure"]


def test_what_a_fresh_sample_turns_is_nobodys_fault() -> None:
    found, _ = played(lambda change: change.step == "answer", failing=20)
    assert found.attribution.by_level["unidentified"] == pytest.approx(1.0)


def test_what_replay_tried_in_vain_is_not_blamed_any_more() -> None:
    found, _ = played(lambda change: False, failing=20)
    assert found.rules.by_level["structure"] == pytest.approx(1.0)
    assert found.attribution.by_level["structure"] == pytest.approx(0.0)
    assert "did not turn it" in found.attribution.blames[0].evidence


def test_the_first_step_that_can_be_mended_is_the_cause() -> None:
    found, _ = played(lambda change: change.trial is None, failing=16)
    assert found.attribution.by_step[0].step == "retrieve"
    assert found.overlap == pytest.approx(1.0)


def test_a_fresh_sample_is_none_that_the_evaluation_had_whatever_its_seed() -> None:
    found, made = played(lambda change: bool(change.trial), failing=8, trial=1000)
    assert found.replayed == 8
    assert {change.trial for change in made if change.trial is not None} == {2000}


def test_it_stops_when_the_blame_is_settled() -> None:
    found, _ = played(lambda change: change.step == "retrieve", failing=200)
    assert found.failing == 200
    assert found.replayed <= 5 * ROUND
    tried = turned(found)
    assert tried["answer", "teacher"][1] <= tried["retrieve", "gold"][1]


def test_a_level_reaches_what_parts_of_the_score_its_changes_win() -> None:
    found, _ = played(lambda change: 0.5 if change.model == "big" else 0.0, failing=16)
    teacher = next(each for each in found.headrooms if each.kind == "teacher")
    assert (teacher.turned, teacher.regained) == (0, 0.5)
    (prompt,) = [ceiling for ceiling in found.ceilings if ceiling.level == "prompt"]
    assert prompt.mean == pytest.approx(0.2 + 0.8 * 0.5)
    assert prompt.low < prompt.mean < prompt.high


def test_a_ceiling_counts_only_cases_that_its_changes_were_tried_on() -> None:
    documents = iter([0.0, 0.0] + [1.0] * 100)
    found, _ = played(lambda change: next(documents) if change.outputs else float(change.model == "big"), failing=48)
    tried = {(each.step, each.kind): each.tried for each in found.headrooms}
    assert tried["answer", "teacher"] < tried["retrieve", "gold"], "the other change needed more cases to be known"
    (prompt,) = [ceiling for ceiling in found.ceilings if ceiling.level == "prompt"]
    assert prompt.mean == pytest.approx(1.0)


def test_blames_still_sum_to_the_loss() -> None:
    found, _ = played(lambda change: change.step == "retrieve", failing=100)
    assert sum(blame.loss for blame in found.attribution.blames) == pytest.approx(100)
    assert len({blame.case_id for blame in found.attribution.blames}) == 100


def test_what_passing_cases_depend_on_is_seen_by_corrupting_it() -> None:
    found, made = played(lambda change: change.step != "answer" or not change.outputs, failing=8)
    tried = turned(found)
    assert tried["answer", "corrupt"] == (4, 4)
    assert tried["retrieve", "corrupt"][0] == 0
    assert any(change.outputs and change.step == "answer" for change in made)


def view(documents: list[str]) -> CaseView:
    return CaseView(record(1, 0.0, documents), case(1), frozenset({"retrieve"}))


def test_gold_replaces_no_more_than_was_retrieved() -> None:
    library = Library([LINES], ())
    change = intervention(Arm("retrieve", "gold"), view([LINES[1]]), library, teacher=None)
    assert change is not None
    assert change.outputs == ([LINES[0]],)
    assert intervention(Arm("retrieve", "gold"), view([LINES[0]]), library, teacher=None) is None


def test_an_oracle_context_hides_gold_among_others() -> None:
    library = Library([], ["\n".join(f"Town{n}\tis a town" for n in range(50)) + "\nParis\tis in France"])
    change = intervention(Arm("answer", "context"), view([LINES[1]]), library, teacher=None)
    assert change is not None
    assert change.context is not None
    assert change.context.count("\n- ") == 8
    assert "Paris" in change.context


@pytest.mark.parametrize("content", ["Hello", [{"type": "text", "text": "Hello"}]])
def test_a_changed_request_differs_only_where_it_should(content: Any) -> None:
    request = ModelRequest("m", ({"role": "system", "content": "s"}, {"role": "user", "content": content}), {}, 0)
    assert Intervention("a", model="big").changed(request).model == "big"
    assert Intervention("a", trial=7).changed(request).trial == 7
    more = Intervention("a", context="More").changed(request)
    assert more.messages[0] == request.messages[0]
    assert "More" in str(more.messages[1])
    assert "Hello" in str(more.messages[1])


def test_a_step_is_given_the_documents_that_the_benchmark_declares_for_it() -> None:
    titles = {"gold_titles": ["Paris", "Oslo"], "gold_by_step": {"retrieve": ["Oslo"]}}
    declared = Case("c0", {"question": "Which country?"}, {"answer": "France"}, titles)
    view = CaseView(record(0, 0.0, ["Rome | Rome is in Italy."]), declared, frozenset({"retrieve"}))
    change = intervention(Arm("retrieve", "gold"), view, Library([], LINES), teacher=None)
    assert change == Intervention("retrieve", outputs=(["Oslo | Oslo is in Norway."],))
    free = replace(declared, metadata={"gold_titles": ["Paris", "Oslo"]})
    anything = CaseView(record(0, 0.0, ["Rome | Rome is in Italy."]), free, frozenset({"retrieve"}))
    change = intervention(Arm("retrieve", "gold"), anything, Library([], LINES), teacher=None)
    assert change is not None
    assert len(change.outputs[0]) == 2
