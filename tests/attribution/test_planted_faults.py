"""One fault is planted in an otherwise sound trace; the blame must fall on it."""

from __future__ import annotations

from typing import Any

import pytest

from fapo.attribution.blame import Attribution, Blame
from fapo.attribution.rules import attribute
from fapo.records import Case, CaseRecord, Failure, Prediction, Score, Step

BERLIN = "Berlin Conference | The conference of 1884 was chaired by Otto von Bismarck in Berlin."
NOISE = "Paris | The city of light lies on the river Seine and has many bridges."
QUESTION = "Who chaired the conference on Africa?"
GOLD = "Otto von Bismarck"


def llm(name: str, prompt: str, reply: Any, **extra: Any) -> Step:
    variables = extra.pop("variables", {})
    inputs = {"variables": variables, "messages": [{"role": "user", "content": prompt}]}
    return Step(name, "llm", inputs, reply, 0.0, 0.1, **{"model": "m", "finish_reason": "stop", **extra})


def function(name: str, *args: Any, output: Any = None, error: str | None = None, **kwargs: Any) -> Step:
    return Step(name, "function", {"args": list(args), "kwargs": kwargs}, output, 0.0, 0.1, error=error)


def search(query: str, *passages: str, k: int = 2, name: str = "search") -> Step:
    return function(name, query, k=k, output=list(passages))


def run(*steps: Step, answer: Any, value: float = 0.0, id: str = "c1", **score: Any) -> CaseRecord:
    return CaseRecord(id, 0, steps, Prediction(answer), Score(value, **score), None, 1.0)


def failed(*steps: Step, kind: str, message: str = "", step: str | None = None) -> CaseRecord:
    return CaseRecord("c1", 0, steps, None, None, Failure("pipeline", kind, message, step), 1.0)


def solved(number: int) -> CaseRecord:
    """A solved case in which the deciding step was shown its answer."""
    steps = (search("q", BERLIN), llm("answer", f"{QUESTION} {BERLIN}", GOLD))
    return run(*steps, answer=GOLD, value=1.0, id=f"solved{number}")


def judge(
    record: CaseRecord,
    expected: Any = GOLD,
    *,
    inputs: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    others: tuple[CaseRecord, ...] = (),
    gold_of_others: Any = GOLD,
) -> Attribution:
    case = Case("c1", {"question": QUESTION} if inputs is None else inputs, expected, metadata or {})
    cases = {other.case_id: Case(other.case_id, {}, gold_of_others) for other in others}
    return attribute({**cases, "c1": case}, [record, *others])


def blame(record: CaseRecord, expected: Any = GOLD, **more: Any) -> Blame:
    (only,) = judge(record, expected, **more).blames
    return only


def of(found: Blame) -> tuple[str | None, str, tuple[str, ...]]:
    return found.step, found.category, found.levels


# Retrieval


def test_a_retrieval_that_is_cut_off_too_early_is_a_retrieval_miss() -> None:
    record = run(search("q", NOISE, k=1), llm("answer", f"{QUESTION} {NOISE}", "Napoleon"), answer="Napoleon")
    assert of(blame(record)) == ("search", "retrieval_miss", ("structure", "parameter"))


def test_a_retrieval_without_a_number_to_set_needs_structure() -> None:
    step = function("lookup", "q", output=NOISE)
    record = run(step, llm("answer", f"{QUESTION} {NOISE}", "Napoleon"), answer="Napoleon")
    assert of(blame(record)) == ("lookup", "retrieval_miss", ("structure",))


def test_a_function_that_brings_in_texts_is_a_retrieval_whatever_its_name() -> None:
    step = function("hop_one", "q", output=[NOISE, NOISE + " More."])
    record = run(step, llm("answer", f"{QUESTION} {NOISE}", "Napoleon"), answer="Napoleon")
    assert of(blame(record)) == ("hop_one", "retrieval_miss", ("structure",))


def test_a_function_that_only_splits_its_input_is_no_retrieval() -> None:
    step = function("split", f"{NOISE} {QUESTION}", output=[NOISE, QUESTION])
    record = run(step, llm("answer", f"{QUESTION} {NOISE}", "Napoleon"), answer="Napoleon")
    assert blame(record).step == "answer"


def test_the_confidence_of_a_miss_rises_when_solved_cases_were_shown_their_answer() -> None:
    record = run(search("q", NOISE), llm("answer", f"{QUESTION} {NOISE}", "Napoleon"), answer="Napoleon")
    assert blame(record).confidence == "medium"
    with_others = judge(record, others=tuple(solved(number) for number in range(6)))
    assert with_others.blames[0].confidence == "high"


def test_a_miss_explains_nothing_where_solved_cases_did_not_need_the_answer_either() -> None:
    others = tuple(
        run(llm("answer", "2 + 2 = ?", "four hundred"), answer="four hundred", value=1.0, id=f"s{n}") for n in range(5)
    )
    record = run(llm("answer", "What is asked?", "eleven"), answer="eleven")
    found = judge(record, "four hundred", others=others, gold_of_others="four hundred").blames[0]
    assert of(found) == ("answer", "unidentified", ())


def test_without_any_retrieval_an_answer_that_was_never_shown_needs_structure() -> None:
    found = blame(run(llm("answer", QUESTION, "Napoleon"), answer="Napoleon"))
    assert of(found) == ("answer", "retrieval_miss", ("structure",))
    assert found.confidence == "low"


def test_options_that_lack_the_right_one_are_a_miss_of_the_step_that_searched_for_them() -> None:
    options = ["CWE-79 | cross-site scripting in web pages", "CWE-89 | injection of SQL commands into queries"]
    record = run(search("xss", *options), llm("classify", " ".join(options), "CWE-89"), answer="CWE-89")
    assert of(blame(record, {"cwe": "CWE-125"})) == ("search", "retrieval_miss", ("structure", "parameter"))


def test_an_option_is_not_found_inside_a_longer_one() -> None:
    options = ["CWE-790 | improper filtering of special elements", "CWE-1279 | cryptographic operations too early"]
    record = run(search("xss", *options), llm("classify", " ".join(options), "CWE-790"), answer="CWE-790")
    assert blame(record, {"cwe": "CWE-79"}).category == "retrieval_miss"


def test_a_right_option_that_was_shown_and_not_chosen_is_reasoning() -> None:
    options = ["CWE-79 | cross-site scripting in web pages", "CWE-89 | injection of SQL commands into queries"]
    record = run(search("xss", *options), llm("classify", " ".join(options), "CWE-89"), answer="CWE-89")
    found = blame(record, {"cwe": "CWE-79"})
    assert of(found) == ("classify", "reasoning", ("prompt",))
    assert found.confidence == "high"


# Values lost on their way


def test_a_summary_that_drops_the_answer_is_blamed_for_it() -> None:
    record = run(
        search("q", BERLIN, NOISE),
        llm("summarize", f"Summarize: {BERLIN} {NOISE}", "A conference took place in 1884."),
        llm("answer", f"{QUESTION} A conference took place in 1884.", "Napoleon"),
        answer="Napoleon",
    )
    found = blame(record)
    assert of(found) == ("summarize", "lost", ("prompt",))
    assert found.confidence == "high"


def test_a_query_writer_beside_the_way_is_not_blamed_for_what_the_summary_dropped() -> None:
    record = run(
        search("q", BERLIN, name="search_1"),
        llm("summarize", f"Summarize: {BERLIN}", "A conference took place in 1884."),
        llm("query", f"Write a query for: {BERLIN}", "partition of a continent"),
        search("partition of a continent", NOISE, name="search_2"),
        llm("answer", f"{QUESTION} A conference took place in 1884. {NOISE}", "Napoleon"),
        answer="Napoleon",
    )
    assert of(blame(record)) == ("summarize", "lost", ("prompt",))


def test_a_reranker_that_drops_the_right_passage_needs_structure() -> None:
    record = run(
        search("q", NOISE, BERLIN),
        function("rerank", [NOISE, BERLIN], output=[NOISE]),
        llm("answer", f"{QUESTION} {NOISE}", "Napoleon"),
        answer="Napoleon",
    )
    assert of(blame(record)) == ("rerank", "lost", ("structure",))


def test_passages_that_the_pipeline_does_not_hand_on_need_structure() -> None:
    record = run(search("q", NOISE, BERLIN), llm("answer", f"{QUESTION} {NOISE}", "Napoleon"), answer="Napoleon")
    found = blame(record)
    assert of(found) == ("search", "lost", ("structure",))
    assert "`answer`" in found.evidence


def test_a_prompt_that_leaves_out_a_variable_is_lost_at_the_prompt() -> None:
    step = llm("answer", QUESTION, "Napoleon", variables={"question": QUESTION, "passages": [BERLIN]})
    found = blame(run(search("q", BERLIN), step, answer="Napoleon"))
    assert of(found) == ("answer", "lost", ("prompt",))


def test_inputs_of_the_case_that_no_step_was_shown_need_structure() -> None:
    inputs = {"document": f"{NOISE} {BERLIN}"}
    record = run(llm("answer", f"{QUESTION} {NOISE}", "Napoleon"), answer="Napoleon")
    assert of(blame(record, inputs=inputs)) == ("answer", "lost", ("structure",))


def test_a_parser_that_drops_the_right_answer_needs_structure() -> None:
    reply = "The chair was Otto von Bismarck."
    record = run(
        search("q", BERLIN),
        llm("answer", f"{QUESTION} {BERLIN}", reply),
        function("parse", reply, output="The chair"),
        answer="The chair",
    )
    assert of(blame(record)) == ("parse", "lost", ("structure",))


def test_each_wrong_field_of_an_answer_is_blamed_on_its_own_and_bears_its_part_of_the_loss() -> None:
    text = "Invoice 4711 of Acme Ltd, due 2024-05-01, total 99.50 EUR"
    reply = '{"vendor": "Acme Ltd", "due": "2024-05-01", "total": "90.50"}'
    prediction = {"vendor": "Acme Ltd", "due": None, "total": "90.50"}
    record = run(llm("extract", text, reply), function("tidy", reply, output=prediction), answer=prediction, value=0.4)
    result = judge(record, {"vendor": "Acme Ltd", "due": "2024-05-01", "total": 99.5}, inputs={"text": text})
    assert {blamed.step: (blamed.category, round(blamed.loss, 6)) for blamed in result.blames} == {
        "tidy": ("lost", 0.3),
        "extract": ("reasoning", 0.3),
    }


def test_the_breakdown_of_the_score_says_which_fields_are_wrong() -> None:
    reply = '{"vendor": "Acme Ltd", "due": "1 May 2024"}'
    record = run(
        llm("extract", "Acme Ltd. Due 1 May 2024", reply),
        answer=reply,
        value=0.5,
        breakdown={"vendor": 1.0, "due": 0.0},
    )
    found = blame(record, {"vendor": "Acme", "due": "1 May 2024"})
    assert (found.step, found.category, found.loss) == ("extract", "format", 0.5)
    assert "1 May 2024" in found.evidence


# Format


def test_a_sentence_around_the_right_answer_is_a_matter_of_format() -> None:
    reply = "Based on the passages, it was Otto von Bismarck."
    record = run(search("q", BERLIN), llm("answer", f"{QUESTION} {BERLIN}", reply), answer=reply)
    found = blame(record)
    assert of(found) == ("answer", "format", ("prompt",))
    assert found.confidence == "high"


def test_a_right_reply_of_which_nothing_was_read_is_a_matter_of_format() -> None:
    record = run(search("q", BERLIN), llm("answer", f"{QUESTION} {BERLIN}", "It was Otto von Bismarck"), answer="")
    assert of(blame(record)) == ("answer", "format", ("prompt", "structure"))


def test_a_long_reply_that_weighs_the_right_answer_and_concludes_otherwise_is_reasoning() -> None:
    reply = f"{'First I look at the passages again. ' * 8} Otto von Bismarck? {'But then again, no. ' * 12} Napoleon."
    record = run(search("q", BERLIN), llm("answer", f"{QUESTION} {BERLIN}", reply), answer=reply)
    assert of(blame(record)) == ("answer", "reasoning", ("prompt",))


@pytest.mark.parametrize(("gold", "reply"), [("yes", "Yes, it was."), ("7", "The answer is 7."), (True, "true!")])
def test_a_bare_label_at_the_end_or_the_beginning_of_the_answer_is_a_matter_of_format(gold: Any, reply: str) -> None:
    assert blame(run(llm("answer", QUESTION, reply), answer=reply), gold).category == "format"


@pytest.mark.parametrize("gold", ["no", "n", "1", 1, True, "yes"])
def test_a_bare_label_is_not_found_inside_other_words(gold: Any) -> None:
    record = run(
        search("q", "Nothing is known in November 2011, yesterday, or untrue."),
        llm("answer", "Nothing is known in November 2011, yesterday, or untrue.", "a notable reply of 10"),
        answer="a notable reply of 10",
    )
    found = blame(record, gold)
    assert (found.category, found.levels, found.confidence) == ("unidentified", (), "low")


def test_a_label_that_the_only_step_was_offered_is_reasoning_with_low_confidence() -> None:
    found = blame(run(llm("judge", "Answer yes or no.", "no"), answer="no"), "yes")
    assert of(found) == ("judge", "reasoning", ("prompt",))
    assert found.confidence == "low"


@pytest.mark.parametrize(("gold", "shown"), [("12", "12.5 % of 312"), (12.5, "12.55 and 112.5"), ("1,000", "21,000")])
def test_a_number_is_not_found_inside_another_number(gold: Any, shown: str) -> None:
    record = run(search("q", shown), llm("answer", shown, "none of them"), answer="none of them")
    assert blame(record, gold).category == "retrieval_miss"


@pytest.mark.parametrize(("gold", "shown"), [(12.0, "is 12 in all"), (1000, "is 1,000.00 EUR"), ("1,000", "is 1000.")])
def test_a_number_is_found_however_it_is_written(gold: Any, shown: str) -> None:
    record = run(search("q", shown), llm("answer", shown, "none of them"), answer="none of them")
    assert blame(record, gold).category == "reasoning"


def test_a_number_that_has_to_be_worked_out_is_not_a_miss() -> None:
    assert of(blame(run(llm("solve", "Add 100 and 104.", "205"), answer="205"), 204)) == ("solve", "unidentified", ())


# Faults that need no gold answer


def test_a_reply_cut_off_at_its_token_limit_is_a_parameter() -> None:
    step = llm("answer", f"{QUESTION} {BERLIN}", "After long thought about", finish_reason="length")
    found = blame(run(search("q", BERLIN), step, answer="After long thought about"))
    assert found.category == "truncated"
    assert found.levels[0] == "parameter"


def test_a_summary_that_lost_the_answer_because_it_was_cut_off_is_truncated() -> None:
    record = run(
        search("q", BERLIN),
        llm("summarize", f"Summarize: {BERLIN}", "The conference of 1884 was", finish_reason="length"),
        llm("answer", f"{QUESTION} The conference of 1884 was", "Napoleon"),
        answer="Napoleon",
    )
    assert (blame(record).step, blame(record).category) == ("summarize", "truncated")


def test_a_cut_off_reply_that_the_run_got_over_is_not_blamed() -> None:
    record = run(
        search("q", BERLIN),
        llm("think", f"Think about {BERLIN}", "Otto von Bismarck is a name, and", finish_reason="length"),
        llm("answer", f"{BERLIN} Otto von Bismarck is a name, and", "Napoleon"),
        answer="Napoleon",
    )
    assert (blame(record).step, blame(record).category) == ("answer", "reasoning")


@pytest.mark.parametrize(
    "reply", ["I'm sorry, but I can't help with that.", "I cannot answer.", "As an AI, I must not."]
)
def test_a_refusal_is_a_matter_of_the_prompt(reply: str) -> None:
    record = run(search("q", BERLIN), llm("answer", f"{QUESTION} {BERLIN}", reply), answer=reply)
    assert of(blame(record)) == ("answer", "refusal", ("prompt",))


def test_the_first_of_several_empty_outputs_is_the_root() -> None:
    record = run(
        llm("query", QUESTION, " "), search(""), llm("answer", QUESTION, ""), answer=""
    )  # fmt: skip
    found = blame(record)
    assert (found.step, found.category) == ("query", "cascade")
    assert "`search`" in found.evidence


def test_a_single_empty_output_is_empty() -> None:
    record = run(search("q"), llm("answer", QUESTION, "I do not know"), answer="I do not know")
    assert of(blame(record)) == ("search", "empty", ("structure", "parameter"))


def test_an_output_that_is_empty_in_solved_cases_too_is_not_blamed() -> None:
    def steps(reply: str) -> tuple[Step, ...]:
        return search("q", BERLIN), function("check", BERLIN, output=[]), llm("answer", BERLIN, reply)

    others = tuple(run(*steps(GOLD), answer=GOLD, value=1.0, id=f"s{number}") for number in range(4))
    found = judge(run(*steps("no idea"), answer="no idea"), "prose " * 20, others=others).blames[0]
    assert found.category == "unidentified"


def test_a_step_that_raised_needs_structure() -> None:
    broken = function("rank", [NOISE], error="IndexError: list index out of range")
    record = failed(search("q", NOISE), broken, kind="raised", message="IndexError", step="rank")
    found = blame(record)
    assert of(found) == ("rank", "error", ("structure",))
    assert found.confidence == "high"
    assert found.loss == 1.0


def test_a_timeout_is_blamed_on_the_step_that_took_longest() -> None:
    slow = Step("think", "llm", {}, "well", 0.0, 90.0)
    assert blame(failed(search("q", NOISE), slow, llm("answer", "q", "a"), kind="timeout")).step == "think"


def test_a_step_that_failed_before_it_left_a_trace_is_still_named() -> None:
    found = blame(failed(kind="no_prompt", message="there is no prompts/answer.md", step="answer"))
    assert of(found) == ("answer", "error", ("structure",))


def test_a_reply_that_is_not_json_is_a_matter_of_format_and_prompt() -> None:
    record = failed(llm("extract", "...", "Sure: {a: 1}"), kind="invalid_json", message="not JSON", step="extract")
    found = blame(record)
    assert (found.step, found.category, found.levels[0]) == ("extract", "format", "prompt")


def test_a_reply_that_a_later_function_could_not_read_is_blamed_on_the_reply() -> None:
    parse = function("parse", "Sure!", error="JSONDecodeError: Expecting value")
    record = failed(llm("extract", "...", "Sure!"), parse, kind="raised", message="JSONDecodeError: x", step="parse")
    assert (blame(record).step, blame(record).category) == ("extract", "format")


def test_json_that_broke_off_at_the_token_limit_is_truncated() -> None:
    step = llm("extract", "...", '{"a": ', finish_reason="length")
    record = failed(step, kind="invalid_json", message="not JSON", step="extract")
    assert (blame(record).category, blame(record).levels[0]) == ("truncated", "parameter")


def test_a_prompt_beyond_the_context_length_needs_structure() -> None:
    message = "This model's maximum context length is 8192 tokens"
    found = blame(failed(llm("answer", "...", None, error=message), kind="rejected", message=message, step="answer"))
    assert of(found) == ("answer", "error", ("structure", "parameter"))


# The word of the score function


def test_feedback_on_a_step_outranks_what_the_rules_guess() -> None:
    record = run(
        search("q", BERLIN),
        llm("answer", f"{QUESTION} {BERLIN}", "Napoleon"),
        answer="Napoleon",
        step_feedback={"search": "missed the second passage"},
    )
    found = blame(record)
    assert (found.step, found.confidence) == ("search", "high")
    assert "missed the second passage" in found.evidence


def test_feedback_on_the_blamed_step_confirms_the_blame() -> None:
    record = run(
        search("q", NOISE),
        llm("answer", f"{QUESTION} {NOISE}", "Napoleon"),
        answer="Napoleon",
        step_feedback={"search": "wrong passages", "answer": "fine"},
    )
    found = blame(record)
    assert (found.step, found.category, found.confidence, found.loss) == ("search", "retrieval_miss", "high", 1.0)


def test_prose_cannot_be_traced() -> None:
    gold = "A long essay on the causes of the conference, its course, its outcome and what came of it later on."
    found = blame(run(llm("write", QUESTION, "An essay."), llm("edit", "An essay.", "Essay."), answer="Essay."), gold)
    assert (found.category, found.levels, found.confidence) == ("unidentified", (), "low")
