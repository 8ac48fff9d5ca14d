"""Multi-hop retrieval with gold evidence: the hop where the chain broke is blamed."""

from __future__ import annotations

from typing import Any

import pytest

from fapo.attribution.blame import Attribution
from fapo.attribution.rules import attribute
from fapo.records import Case, CaseRecord, Prediction, Score, Step

CLAIM = "The director of a film starring a Swedish singer was born in Oslo."
FILM = "Winter Song | Winter Song is a film by Jan Holm with the singer Eva Lind."
HOLM = "Jan Holm | Jan Holm is a director born in Bergen."
LIND = "Eva Lind | Eva Lind is a Swedish singer."
NOISE = "Oslo Fjord | The fjord is an inlet in the south-east of Norway."
GOLD = ["Winter Song", "Jan Holm", "Eva Lind"]


def hop(name: str, query: str, *passages: str) -> Step:
    return Step(name, "function", {"args": [query], "kwargs": {"k": 3}}, list(passages), 0.0, 0.1)


def llm(name: str, prompt: str, reply: str) -> Step:
    messages = [{"role": "user", "content": prompt}]
    return Step(name, "llm", {"variables": {}, "messages": messages}, reply, 0.0, 0.1, finish_reason="stop")


def judge(
    *steps: Step, expected: Any = None, metadata: dict[str, Any] | None = None, answer: Any = None
) -> Attribution:
    """By default a recall benchmark: the documents of all hops are the prediction."""
    titles = tuple(text.split(" | ")[0] for step in steps if isinstance(step.output, list) for text in step.output)
    record = CaseRecord("c", 0, steps, Prediction(answer, titles), Score(0.0), None, 1.0)
    case = Case("c", {"claim": CLAIM}, {"titles": GOLD} if expected is None else expected, metadata or {})
    return attribute({"c": case}, [record])


def test_a_query_that_leaves_out_a_name_it_was_shown_is_blamed_on_the_prompt() -> None:
    result = judge(
        hop("retrieve_1", CLAIM, FILM, NOISE),
        llm("query_2", f"{CLAIM} {FILM} {NOISE}", "singer Eva Lind"),
        hop("retrieve_2", "singer Eva Lind", LIND, NOISE),
    )
    (found,) = result.blames
    assert (found.step, found.category, found.levels) == ("query_2", "lost", ("prompt",))
    assert "Jan Holm" in found.evidence


def test_a_summary_that_hides_a_name_from_the_query_writer_is_blamed() -> None:
    result = judge(
        hop("retrieve_1", CLAIM, FILM, NOISE),
        llm("summarize", f"{CLAIM} {FILM} {NOISE}", "A film stars the singer Eva Lind."),
        llm("query_2", f"{CLAIM} A film stars the singer Eva Lind.", "Eva Lind life"),
        hop("retrieve_2", "Eva Lind life", LIND, NOISE),
    )
    assert [(found.step, found.category) for found in result.blames] == [("summarize", "lost")]


def test_a_document_that_was_asked_for_by_name_and_not_returned_is_a_miss_of_that_retrieval() -> None:
    result = judge(
        hop("retrieve_1", CLAIM, FILM, LIND),
        llm("query_2", f"{CLAIM} {FILM}", "Jan Holm director birthplace"),
        hop("retrieve_2", "Jan Holm director birthplace", NOISE),
    )
    (found,) = result.blames
    assert (found.step, found.category) == ("retrieve_2", "retrieval_partial")
    assert found.levels == ("structure", "parameter", "prompt")
    assert found.evidence.startswith("2 of 3")


def test_nothing_found_is_a_miss_of_the_first_hop() -> None:
    result = judge(hop("retrieve_1", CLAIM, NOISE), llm("query_2", NOISE, "fjord"), hop("retrieve_2", "fjord", NOISE))
    assert [(row.step, row.category, row.share) for row in result.by_step] == [("retrieve_1", "retrieval_miss", 1.0)]
    assert len(result.blames) == 3
    assert result.by_step[0].cases == 1


def test_a_title_that_opens_another_title_does_not_count_as_found() -> None:
    result = judge(hop("retrieve_1", CLAIM, "Jan Holm Park | A park in Bergen."), expected={"titles": ["Jan Holm"]})
    assert result.blames[0].category == "retrieval_miss"


def test_evidence_that_was_found_and_then_dropped_is_lost() -> None:
    documents = [FILM, LIND, HOLM]
    drop = Step("deduplicate", "function", {"args": [documents], "kwargs": {}}, [FILM, LIND], 0.0, 0.1)
    steps = (hop("retrieve_1", CLAIM, *documents), drop)
    record = CaseRecord("c", 0, steps, Prediction(None, ("Winter Song", "Eva Lind")), Score(0.0), None, 1.0)
    (found,) = attribute({"c": Case("c", {"claim": CLAIM}, GOLD)}, [record]).blames
    assert (found.step, found.category, found.levels) == ("deduplicate", "lost", ("structure",))


def test_a_yes_or_no_answer_is_traced_through_its_evidence() -> None:
    missing = judge(
        hop("retrieve_1", CLAIM, NOISE),
        llm("answer", f"{CLAIM} {NOISE}", "yes"),
        expected={"answer": "no"},
        metadata={"supporting_facts": [["Jan Holm", 0]]},
        answer="yes",
    )
    assert [(row.step, row.category) for row in missing.by_step] == [("retrieve_1", "retrieval_miss")]
    shown = judge(
        hop("retrieve_1", CLAIM, HOLM),
        llm("answer", f"{CLAIM} {HOLM}", "yes"),
        expected={"answer": "no"},
        metadata={"supporting_facts": [["Jan Holm", 0]]},
        answer="yes",
    )
    assert [(row.step, row.category) for row in shown.by_step] == [("answer", "reasoning")]


def test_a_name_that_stands_in_the_question_does_not_hide_missing_evidence() -> None:
    result = judge(
        hop("retrieve_1", CLAIM, NOISE),
        llm("answer", "Who is older, Eva Lind or Jan Holm?", "Jan Holm"),
        expected={"answer": "Eva Lind"},
        metadata={"titles": ["Eva Lind", "Jan Holm"]},
        answer="Jan Holm",
    )
    assert {(row.step, row.category) for row in result.by_step} == {("retrieve_1", "retrieval_miss")}
    assert sum(found.loss for found in result.blames) == 1.0


LONG = "The treaty of Nordhavn ended the war about the herring."


@pytest.mark.parametrize(
    ("tier", "by", "more"),
    [
        ("hit", "gold evidence", {"expected": "Oslo", "metadata": {"titles": [FILM.split(" | ")[0]]}}),
        ("partial", "gold evidence", {"expected": "Oslo", "metadata": {"titles": [FILM.split(" | ")[0], "Oslo"]}}),
        ("miss", "gold evidence", {"expected": "Oslo", "metadata": {"titles": ["Oslo"]}}),
        ("hit", "lexical overlap", {"expected": "treaty ended the herring war"}),
        ("partial", "lexical overlap", {"expected": "treaty on cod and herring"}),
        ("miss", "lexical overlap", {"expected": "Oslo"}),
    ],
)
def test_what_retrievals_brought_is_a_hit_a_part_or_a_miss(tier: str, by: str, more: dict[str, Any]) -> None:
    steps = (hop("retrieve_1", CLAIM, FILM, LONG), llm("answer", f"{CLAIM} {FILM}", "Bergen"))
    found = judge(*steps, answer="Bergen", **more)
    assert {blame.retrieval for blame in found.blames} == {tier}
    assert found.retrieval is not None
    assert found.retrieval.by == by
    counts = {"hit": found.retrieval.hit, "partial": found.retrieval.partial, "miss": found.retrieval.miss}
    assert counts == {"hit": 0, "partial": 0, "miss": 0} | {tier: 1}


def test_nothing_is_said_of_retrievals_where_there_were_none_or_no_word_tells() -> None:
    answer = llm("answer", f"{CLAIM} {FILM}", "Bergen")
    assert judge(answer, expected="Oslo", answer="Bergen").retrieval is None
    assert judge(hop("retrieve_1", CLAIM, FILM), answer, expected="yes", answer="no").retrieval is None
