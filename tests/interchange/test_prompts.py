"""Prompts go to other tools' formats and come back the same, or are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fapo.errors import UsageError
from fapo.interchange.dotprompt import from_dotprompt, to_dotprompt
from fapo.interchange.prompty import from_prompty, to_prompty
from fapo.pipeline.prompts import Prompt, load_prompts, parse_prompt

HERE = Path("answer.md")
MODELS = {"task": "openai/gpt-4.1-mini", "judge": "anthropic/claude-sonnet-4-5"}
PIPELINES = sorted(path.parent for path in (Path(__file__).parents[2] / "pipelines").glob("*/prompts"))

PLAIN = """---
model: judge
sampling: {temperature: 0.2, top_p: 0.9, max_tokens: 50, stop: [END]}
output: json
---
System:
You judge. Percent signs {% raw %}{% 5 %}{% endraw %} stay.

User:
Question: {{ question }} of {{ person.name }}

Assistant:
{"verdict": "yes"}

User:
{{ again }}
"""


def prompt(text: str) -> Prompt:
    return parse_prompt(text, HERE)


def test_a_prompt_comes_back_from_prompty_as_it_was() -> None:
    text, model = from_prompty(to_prompty(prompt(PLAIN), MODELS), HERE)
    assert prompt(text) == prompt(PLAIN)
    assert model == "anthropic/claude-sonnet-4-5"


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda path: path.name)
def test_all_shipped_prompts_come_back_from_prompty(pipeline: Path) -> None:
    for name, original in load_prompts(pipeline).items():
        text, _ = from_prompty(to_prompty(original, MODELS), Path(f"{name}.md"))
        assert parse_prompt(text, Path(f"{name}.md")) == original


def test_a_prompt_comes_back_from_dotprompt_as_it_was() -> None:
    source = PLAIN.replace("{% raw %}{% 5 %}{% endraw %}", "{{ sign }}")
    written = to_dotprompt(prompt(source), MODELS)
    assert '{{role "system"}}' in written
    assert "maxOutputTokens: 50" in written
    text, model = from_dotprompt(written, HERE)
    assert prompt(text) == prompt(source)
    assert model == "anthropic/claude-sonnet-4-5"


def test_literal_text_that_is_markup_in_jinja_comes_back_from_dotprompt() -> None:
    text, _ = from_dotprompt("---\nmodel: openai/m\n---\nA {% sign %} and a {# note #} for {{name}}", HERE)
    assert prompt(text).render({"name": "Ann"}) == [
        {"role": "user", "content": "A {% sign %} and a {# note #} for Ann"}
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{% for p in passages %}{{ p }}{% endfor %}", "for"),
        ("{% if x %}a{% endif %}", "if"),
        ("{{ x | upper }}", "expression"),
        ("{{ x[0] }}", "expression"),
        ("{{ this }}", "expression"),
        ("{% raw %}{{ x }}{% endraw %}", "literal"),
    ],
)
def test_what_handlebars_cannot_say_is_refused(body: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        to_dotprompt(prompt(f"User:\n{body}\n"), MODELS)


@pytest.mark.parametrize(
    "tag", ["{{#each xs}}", "{{>part}}", "{{json x}}", "{{media url=x}}", "{{history}}", "{{else}}"]
)
def test_helpers_of_dotprompt_are_refused_with_their_line(tag: str) -> None:
    with pytest.raises(UsageError, match="line 2"):
        from_dotprompt(f"---\nmodel: m\n---\nfirst\n{tag}\n", HERE)


def test_a_line_that_would_begin_another_message_is_refused() -> None:
    with pytest.raises(UsageError, match="user:"):
        to_prompty(prompt("User:\nSay it like this:\nuser:\nhello\n"), MODELS)
    with pytest.raises(UsageError, match="beginning of another"):
        from_dotprompt('---\nmodel: m\n---\n{{role "user"}}\nSay:\nSystem:\nhello\n', HERE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("---\nmodel: {api: completion}\n---\nuser:\nx\n", "completion"),
        ("---\ntemplate: mustache\n---\nuser:\nx\n", "mustache"),
        ("---\nmodel: {parameters: {logit_bias: {}}}\n---\nuser:\nx\n", "logit_bias"),
        ("---\nmodel: {parameters: [1]}\n---\nuser:\nx\n", "mapping"),
        ("---\nname: x\n---\nlost\nuser:\nx\n", "before the first"),
        ("---\nname: [\n---\nuser:\nx\n", "broken YAML"),
    ],
)
def test_what_a_prompt_file_has_no_place_for_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        from_prompty(text, HERE)


def test_a_prompty_file_as_others_write_it_is_read() -> None:
    text, model = from_prompty(
        "---\nname: Basic\ndescription: d\nauthors: [a]\nmodel:\n  api: chat\n  configuration:\n"
        "    type: azure_openai\n    azure_deployment: gpt-4o\n  parameters:\n    max_tokens: 128\n"
        "sample: {question: q}\n---\nsystem:\nYou help.\n\nuser:\n{{question}}\n",
        HERE,
    )
    assert model == "azure/gpt-4o"
    assert prompt(text).sampling == {"max_tokens": 128}
    assert prompt(text).render({"question": "Why?"})[1] == {"role": "user", "content": "Why?"}
