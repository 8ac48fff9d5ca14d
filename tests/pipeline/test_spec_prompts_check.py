from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fapo.errors import PipelineError, UsageError
from fapo.pipeline.check import check_pipeline, find_steps
from fapo.pipeline.context import Context, FunctionStep, ModelCall, traceable
from fapo.pipeline.prompts import parse_json_reply, parse_prompt
from fapo.pipeline.spec import load_spec, parse_spec

GOOD = "name: p\nbenchmark: b\nmodels: {task: standin/reader}\n"


def message(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_spec(text, Path("pipeline.yaml"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "pipeline.yaml:1: broken YAML"),
        ("- a", "pipeline.yaml: must hold a mapping"),
        (GOOD + "colour: red\n", "pipeline.yaml:4: `colour`: unknown key"),
        (GOOD + "limits:\n  timeout_s: 5\n  retries: 3\n", "pipeline.yaml:6: `limits.retries`: unknown key"),
        (GOOD + "limits: {llm_calls: 0}\n", "pipeline.yaml:4: `limits.llm_calls`"),
        (GOOD + "scope: [prompt, magic]\n", "pipeline.yaml:4: `scope."),
        ("name: p\nbenchmark: b\nmodels: {}\n", "`models`: Dictionary should have at least 1 item"),
        ("name: p\nmodels: {task: x}\n", "give either `benchmark:` or `data:`"),
        ("name: p\nmodels: {task: x}\ndata: {train: a, validation: b, test: c}\n", "`data:` needs `score:`"),
        ("benchmark: b\nmodels: {task: x}\n", "`name`: is missing"),
    ],
)
def test_a_broken_pipeline_yaml_is_named_with_its_line(text: str, expected: str) -> None:
    assert expected in message(text)


def test_a_directory_without_pipeline_yaml_is_no_pipeline(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pipeline\.yaml is missing"):
        load_spec(tmp_path)
    with pytest.raises(UsageError, match="no such pipeline directory"):
        load_spec(tmp_path / "nowhere")


def prompt(text: str) -> Any:
    return parse_prompt(textwrap.dedent(text), Path("prompts/answer.md"))


def test_a_prompt_renders_its_sections_as_chat_messages() -> None:
    made = prompt("""\
        ---
        sampling: {temperature: 0.5}
        ---
        System:
        Be brief.

        User:
        {% for p in passages %}- {{ p }}
        {% endfor %}Question: {{ question }}
        """)
    assert made.render({"passages": ["a", "b"], "question": "why?"}) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "- a\n- b\nQuestion: why?"},
    ]
    assert made.sampling == {"temperature": 0.5}
    assert made.variables == {"passages", "question"}


def test_an_unknown_placeholder_is_an_error_before_a_call_is_paid_for() -> None:
    with pytest.raises(PipelineError, match=r"prompts/answer.md: 'question' is undefined; the step passes text"):
        prompt("User:\n{{ question }}").render({"text": "x"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no section", "needs a `User:` line"),
        ("stray\nUser:\nx", "text before the first"),
        ("---\ncolour: red\n---\nUser:\nx", "unknown key `colour`"),
        ("---\nsampling: {temprature: 1}\n---\nUser:\nx", "unknown sampling parameter `temprature`"),
        ("---\noutput: xml\n---\nUser:\nx", "`output` is `text` or `json`"),
        ("---\nmodel: [\n---\nUser:\nx", "broken YAML front matter"),
        ("---\n- a\n---\nUser:\nx", "the front matter must be a mapping"),
        ("User:\n{{ x", "template:"),
    ],
)
def test_a_broken_prompt_file_is_named(text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=r"^prompts/answer.md") as caught:
        parse_prompt(text, Path("prompts/answer.md"))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "reply", ['{"a": 1}', ' {"a": 1}\n', '```json\n{"a": 1}\n```', 'Here it is:\n```\n{"a": 1}\n```']
)
def test_a_json_reply_parses_with_and_without_a_code_fence(reply: str) -> None:
    assert parse_json_reply(reply, "extract") == {"a": 1}


def test_a_reply_that_is_not_json_is_the_pipelines_fault() -> None:
    with pytest.raises(PipelineError, match="step extract: the reply is not JSON") as caught:
        parse_json_reply("Sure! a is 1", "extract")
    assert caught.value.kind == "invalid_json"


def write_pipeline(directory: Path, code: str, **prompts: str) -> Path:
    (directory / "prompts").mkdir(parents=True)
    (directory / "pipeline.yaml").write_text(GOOD)
    (directory / "pipeline.py").write_text(textwrap.dedent(code))
    for name, text in prompts.items():
        (directory / "prompts" / f"{name}.md").write_text(text)
    return directory


def test_a_placeholder_that_nothing_fills_is_found_without_running(tmp_path: Path) -> None:
    code = """\
        async def run(inputs, ctx):
            return await ctx.llm("answer", question=inputs["q"])
        """
    pipeline = write_pipeline(tmp_path / "p", code, answer="User:\n{{ question }}\n{{ passages }}\n")
    with pytest.raises(
        UsageError,
        match=r"answer.md:3: placeholder `passages` is never filled: pipeline.py:2 passes question",
    ):
        check_pipeline(pipeline, load_spec(pipeline))


def test_a_step_without_a_prompt_and_a_role_without_a_model_are_found(tmp_path: Path) -> None:
    code = 'async def run(inputs, ctx):\n    return await ctx.llm("answer")\n'
    with pytest.raises(UsageError, match=r"pipeline.py:2: step `answer` has no prompts/answer.md"):
        check_pipeline(p := write_pipeline(tmp_path / "a", code), load_spec(p))
    with pytest.raises(UsageError, match="no model has the role `judge`"):
        check_pipeline(
            p := write_pipeline(tmp_path / "b", code, answer="---\nmodel: judge\n---\nUser:\nx"), load_spec(p)
        )


def test_steps_are_found_in_source_order_and_mappings_leave_names_unknown() -> None:
    source = 'async def run(i, ctx):\n    await ctx.call("search", f, k=1)\n    await ctx.llm("answer", **i)\n'
    found = find_steps(source, Path("pipeline.py"))
    assert [(s.name, s.kind, s.line, s.variables) for s in found] == [
        ("search", "function", 2, frozenset({"k"})),
        ("answer", "llm", 3, None),
    ]


def make_context(replies: list[str]) -> tuple[Context, list[ModelCall], list[FunctionStep]]:
    calls: list[ModelCall] = []
    steps: list[FunctionStep] = []

    async def send(call: ModelCall) -> str:
        calls.append(call)
        return replies.pop(0)

    prompts = {
        "answer": prompt("User:\n{{ question }}"),
        "extract": prompt("---\noutput: json\n---\nUser:\n{{ text }}"),
    }
    return Context(SimpleNamespace(k=3), prompts, send, steps.append), calls, steps


def test_llm_renders_sends_and_parses() -> None:
    context, calls, _ = make_context(["42", '{"a": 1}'])

    async def pipeline() -> tuple[Any, Any]:
        return await context.llm("answer", question="why?"), await context.llm("extract", text="t")

    assert asyncio.run(pipeline()) == ("42", {"a": 1})
    assert calls[0].messages == [{"role": "user", "content": "why?"}]
    assert calls[0].variables == {"question": "why?"}


def test_call_runs_sync_and_async_functions_as_steps_and_keeps_what_they_raise() -> None:
    context, _, steps = make_context([])

    async def double(x: int) -> int:
        return 2 * x

    def fail() -> None:
        raise KeyError("gone")

    async def pipeline() -> tuple[int, int]:
        return await context.call("max", max, 1, 5), await context.call("double", double, x=4)

    assert asyncio.run(pipeline()) == (5, 8)
    with pytest.raises(PipelineError, match="step fail raised KeyError: 'gone'"):
        asyncio.run(context.call("fail", fail))
    assert [(s.step, s.inputs, s.output, s.error) for s in steps] == [
        ("max", {"args": [1, 5], "kwargs": {}}, 5, None),
        ("double", {"args": [], "kwargs": {"x": 4}}, 8, None),
        ("fail", {"args": [], "kwargs": {}}, None, "KeyError: 'gone'"),
    ]


def test_what_json_cannot_hold_is_traced_as_its_repr_and_what_is_huge_is_cut() -> None:
    assert traceable({"a": {1}}) == {"a": "{1}"}
    assert traceable("x" * 300_000).endswith("(300,002 characters)")
