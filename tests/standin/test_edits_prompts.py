"""The general prompt and parameter edits: what they add, and what they leave alone."""

from __future__ import annotations

import jinja2
import jinja2.meta
import pytest
import yaml

from fapo.standin.conversation import Findings, Status, StepInfo
from fapo.standin.edits import (
    PROMPT_EDITS,
    Facts,
    PromptEdit,
    append_to_system,
    cool_sampling,
    double_counts,
    double_max_tokens,
    edits_for,
    front_matter,
    insert_in_user,
)
from fapo.standin.ideas import ideas
from fapo.standin.reflector import reflect

PROMPT = """\
---
model: task
sampling: {temperature: 0.7, max_tokens: 200}
---
System:
You classify reports.

User:
Report: {{ report }}
{% for item in items %}- {{ item }}
{% endfor %}
Answer:
"""
FACTS = Facts("classify", "reasoning", final=True)
JSON_PROMPT = PROMPT.replace("---\nSystem", "output: json\n---\nSystem")


def variables(text: str) -> set[str]:
    return jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(text))


def system_section(text: str) -> str:
    return text.split("System:\n")[1].split("\nUser:")[0]


@pytest.mark.parametrize("edit", PROMPT_EDITS, ids=lambda edit: edit.technique)
def test_an_edit_adds_its_instruction_to_the_system_section_and_changes_nothing_else(edit: PromptEdit) -> None:
    before = JSON_PROMPT if edit.for_json else PROMPT
    after = edit.apply(before, FACTS)
    assert after is not None
    assert edit.instruction in system_section(after)
    assert front_matter(after) == front_matter(before)
    assert variables(after) == variables(before) == {"report", "items"}
    assert after.replace(edit.instruction + "\n", "") == before


@pytest.mark.parametrize("edit", PROMPT_EDITS, ids=lambda edit: edit.technique)
def test_no_edit_is_made_twice(edit: PromptEdit) -> None:
    once = edit.apply(JSON_PROMPT if edit.for_json else PROMPT, FACTS)
    assert once is not None
    assert edit.apply(once, FACTS) is None


def test_every_hypothesis_names_the_step() -> None:
    assert all("classify" in edit.hypothesis.format(step="classify") for edit in PROMPT_EDITS)


def test_techniques_are_distinct() -> None:
    names = [edit.technique for edit in PROMPT_EDITS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("category", "first"),
    [
        ("format", ["output contract"]),
        ("reasoning", ["expert role", "weigh the evidence"]),
        ("retrieval_miss", ["expert role", "weigh the evidence"]),
        ("unidentified", ["expert role", "weigh the evidence"]),
        ("truncated", ["output contract", "be brief"]),
    ],
)
def test_the_category_decides_which_edit_comes_first(category: str, first: list[str]) -> None:
    assert [edit.technique for edit in edits_for(category)][: len(first)] == first


@pytest.mark.parametrize("category", ["lost", "empty"])
def test_a_step_that_loses_values_is_told_to_quote(category: str) -> None:
    fitting = [edit.technique for edit in edits_for(category) if edit.apply(PROMPT, FACTS)]
    assert "quote the evidence" in fitting[:2]


def test_what_a_prompt_says_already_is_not_said_again() -> None:
    told = PROMPT.replace("You classify reports.", "You classify reports. Answer with only the label.")
    by_name = {edit.technique: edit for edit in PROMPT_EDITS}
    assert by_name["output contract"].apply(told, FACTS) is None
    assert by_name["json contract"].apply(PROMPT, FACTS) is None


def test_a_missing_system_section_is_created() -> None:
    assert append_to_system("User:\n{{ q }}\n", "Be kind.") == "System:\nBe kind.\n\nUser:\n{{ q }}\n"


def test_a_file_without_sections_is_left_alone() -> None:
    assert append_to_system("just text", "Be kind.") is None


def test_a_block_goes_before_the_last_labelled_field_of_the_user_section() -> None:
    after = insert_in_user(PROMPT, "Hints:\n- a")
    assert after is not None
    assert after.endswith("{% endfor %}\nHints:\n- a\nAnswer:\n")


def test_a_block_goes_to_the_end_where_no_field_is_labelled() -> None:
    assert insert_in_user("User:\n{{ q }}\n", "Hints:\n- a\n") == "User:\n{{ q }}\n\nHints:\n- a\n"


def test_counts_double_and_other_parameters_stay() -> None:
    spec = "name: p\nparams: {k: 7, top_k: 5, temperature: 1, keep: 3}  # tuned\nlimits: {llm_calls: 20}\n"
    assert double_counts(spec) == spec.replace("k: 7", "k: 14").replace("top_k: 5", "top_k: 10")


def test_without_counts_there_is_nothing_to_double() -> None:
    assert double_counts("name: p\nparams: {mode: fast}\n") is None
    assert double_counts("name: p\n") is None
    assert double_counts("params: {k: 200}\n") is None
    assert double_counts("params: [\n") is None


@pytest.mark.parametrize(
    ("head", "sampling"),
    [
        ("---\nsampling: {temperature: 0.7, max_tokens: 9}\n---\n", {"temperature": 0, "max_tokens": 9}),
        ("---\nsampling: {max_tokens: 9}\n---\n", {"temperature": 0, "max_tokens": 9}),
        ("---\nsampling:\n  max_tokens: 9\n---\n", {"temperature": 0, "max_tokens": 9}),
        ("---\nmodel: task\n---\n", {"temperature": 0}),
        ("---\n---\n", {"temperature": 0}),
        ("", {"temperature": 0}),
    ],
)
def test_sampling_is_cooled_in_any_front_matter(head: str, sampling: dict[str, int]) -> None:
    after = cool_sampling(f"{head}User:\n{{{{ q }}}}\n")
    assert after is not None
    assert yaml.safe_load(front_matter(after).replace("---", ""))["sampling"] == sampling
    assert after.endswith("---\nUser:\n{{ q }}\n")


def test_cold_sampling_is_left_alone() -> None:
    assert cool_sampling("---\nsampling: {temperature: 0.0}\n---\nUser:\nx\n") is None


def test_a_token_limit_doubles() -> None:
    doubled = double_max_tokens(PROMPT)
    assert doubled is not None
    assert "max_tokens: 400" in doubled
    assert double_max_tokens("User:\nx\n") is None


def test_gepas_reflection_writes_what_stands_in_the_optimizers_list_and_nothing_else() -> None:
    instructions = {edit.instruction for edit in PROMPT_EDITS}
    written = set()
    for number in range(60):
        prompt = f"Improve this instruction.\n```\nName the team.\n```\nExample {number}."
        (first, *added) = reflect([{"role": "user", "content": prompt}]).strip("`").strip().split("\n")
        assert first == "Name the team."
        assert set(added) <= instructions
        written |= set(added)
    plain = {edit.instruction for edit in PROMPT_EDITS if not edit.for_json and edit.needs is None}
    assert written == plain


def test_the_optimizer_proposes_the_same_list() -> None:
    steps = (StepInfo("name", "prompts/name.md"),)
    found = ideas(Status(steps=steps), Findings(), every_edit=True)
    assert {idea.plan.technique for idea in found if idea.level == "prompt"} == {e.technique for e in PROMPT_EDITS}
