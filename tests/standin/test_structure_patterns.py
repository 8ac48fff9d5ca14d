"""The structural patterns, each shown at work: the edited pipeline is run with a small context."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest

from fapo.standin import structure
from fapo.standin.conversation import Blamed, Status
from fapo.standin.structure import CODE_PATH, structural_plans

CODE = '''\
"""A pipeline."""

from fapo import Prediction


# The entry point.
async def run(inputs, ctx):
    facts = await ctx.llm("summarize", description=inputs["description"])
    answer = await ctx.llm(
        "classify",
        description=inputs["description"],  # as it came
        facts=facts,
    )
    return Prediction(output=answer)
'''
PROMPT_PATH = "pipeline/prompts/classify.md"
PROMPT = "System:\nYou classify.\n\nUser:\nFacts: {{ facts }}\nDescription: {{ description }}\n"
TABLE = "code\tname\nA-1\tred apple\nA-2\tyellow banana\nA-3\tgreen pears\n"


class FakeContext:
    """Runs steps as fapo does, and notes them. A model step's reply is `reply(step, variables)`."""

    def __init__(self, reply: Callable[[str, dict[str, Any]], Any]) -> None:
        self.reply = reply
        self.llm_steps: list[tuple[str, dict[str, Any]]] = []
        self.function_steps: list[tuple[str, Any]] = []
        self.params = types.SimpleNamespace(k=2)

    async def llm(self, step: str, /, **variables: Any) -> Any:
        self.llm_steps.append((step, variables))
        return self.reply(step, variables)

    async def call(self, step: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        output = function(*args, **kwargs)
        output = await output if inspect.isawaitable(output) else output
        self.function_steps.append((step, output))
        return output


def load(directory: Path, code: str) -> dict[str, Any]:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "pipeline.py"
    names: dict[str, Any] = {"__file__": str(file), "__name__": "pipeline"}
    exec(compile(code, str(file), "exec"), names)
    return names


def write_resource(tmp_path: Path, name: str, text: str) -> str:
    path = tmp_path / "pipeline" / "resources" / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return f"pipeline/resources/{name}"


def echo(step: str, variables: dict[str, Any]) -> str:
    return f"{step} reply"


# -- retrieve from a resource


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("codes.tsv", TABLE, "A-2: yellow banana"),
        ("codes.csv", 'id,name\nA-1,"apple, red"\nA-2,"banana, yellow"\n', "A-2: banana, yellow"),
        ("plain.csv", "A-1,red apple\nA-2,yellow banana\nA-3,pears\n", "A-2: yellow banana"),
        ("docs.jsonl", '{"title": "Apple", "text": "red"}\n{"title": "Banana", "text": "yellow"}\n', "Banana | yellow"),
        ("map.json", '{"A-1": "red apple", "A-2": "yellow banana"}', "A-2: yellow banana"),
        ("list.json", '["red apple", "yellow banana"]', "yellow banana"),
        ("lines.txt", "red apple\n\nyellow banana\n", "yellow banana"),
        ("lines.md", "red apple\n\nyellow banana\n", "yellow banana"),
    ],
)
def test_entries_of_an_unused_resource_reach_the_step(tmp_path: Path, name: str, text: str, found: str) -> None:
    resource = write_resource(tmp_path, name, text)
    files = {CODE_PATH: CODE, PROMPT_PATH: PROMPT, resource: text}
    changed = structure.retrieve_from_resource(files, "classify", prompt=PROMPT_PATH, resource=resource)
    assert changed is not None
    context = FakeContext(echo)
    run = load(tmp_path / "pipeline", changed[CODE_PATH])["run"]
    asyncio.run(run({"description": "Bananas which are yellow"}, context))
    assert context.function_steps == [("retrieve_candidates", [found])]
    step, variables = context.llm_steps[-1]
    assert step == "classify"
    assert variables == {
        "description": "Bananas which are yellow",
        "facts": "summarize reply",
        "candidates": [found],
    }


def test_a_query_without_a_match_finds_nothing(tmp_path: Path) -> None:
    resource = write_resource(tmp_path, "codes.tsv", TABLE)
    files = {CODE_PATH: CODE, PROMPT_PATH: PROMPT, resource: TABLE}
    changed = structure.retrieve_from_resource(files, "classify", prompt=PROMPT_PATH, resource=resource)
    assert changed is not None
    names = load(tmp_path / "pipeline", changed[CODE_PATH])
    assert names["retrieve_candidates"]("zebra", k=20) == []
    assert names["retrieve_candidates"]("", k=20) == []
    assert names["CANDIDATES"] == ["A-1: red apple", "A-2: yellow banana", "A-3: green pears"]
    assert names["retrieve_candidates"]("pear or apples", k=1) in (["A-1: red apple"], ["A-3: green pears"])


def test_the_prompt_shows_the_candidates_before_its_last_field(tmp_path: Path) -> None:
    resource = "pipeline/resources/codes.tsv"
    files = {CODE_PATH: CODE, PROMPT_PATH: PROMPT, resource: TABLE}
    changed = structure.retrieve_from_resource(files, "classify", prompt=PROMPT_PATH, resource=resource)
    assert changed is not None
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(changed[PROMPT_PATH])
    shown = template.render(facts="F", description="D", candidates=["A-1: x", "A-2: y"])
    assert "Facts: F\nCandidates (options to consider as well, best match first):\n- A-1: x\n- A-2: y\n" in shown
    assert shown.rstrip().endswith("Description: D")
    assert "Consider each candidate" in shown.split("User:")[0]


def test_the_rest_of_the_code_keeps_its_formatting() -> None:
    files = {CODE_PATH: CODE, PROMPT_PATH: PROMPT, "pipeline/resources/codes.tsv": TABLE}
    changed = structure.retrieve_from_resource(
        files, "classify", prompt=PROMPT_PATH, resource="pipeline/resources/codes.tsv"
    )
    assert changed is not None
    after = changed[CODE_PATH].split("\n")
    assert [line for line in CODE.split("\n") if line not in after] == []
    assert "        facts=facts,\n        candidates=candidates,\n    )\n" in changed[CODE_PATH]
    assert "# The entry point.\nasync def run(" in changed[CODE_PATH]
    assert changed[CODE_PATH].startswith('"""A pipeline."""\n\nimport csv\n')


def test_a_resource_that_the_code_reads_already_is_left_alone() -> None:
    files = {CODE_PATH: CODE + "# codes.tsv\n", PROMPT_PATH: PROMPT}
    resource = "pipeline/resources/codes.tsv"
    assert structure.retrieve_from_resource(files, "classify", prompt=PROMPT_PATH, resource=resource) is None


@pytest.mark.parametrize(
    "body",
    [
        'return [await ctx.llm("classify", facts=part) for part in inputs["parts"]]',
        'if await ctx.llm("classify", facts=inputs): return 1',
        'return await ctx.llm("classify")',
        'return await ctx.llm("classify", **inputs)',
        "return None",
        "return (",
    ],
)
def test_code_of_another_shape_is_left_alone(body: str) -> None:
    files = {CODE_PATH: f"async def run(inputs, ctx):\n    {body}\n", PROMPT_PATH: PROMPT}
    resource = "pipeline/resources/codes.tsv"
    assert structure.retrieve_from_resource(files, "classify", prompt=PROMPT_PATH, resource=resource) is None


def test_retrieving_from_a_second_resource_leaves_the_first_in_place(tmp_path: Path) -> None:
    first = write_resource(tmp_path, "codes.tsv", TABLE)
    second = "pipeline/resources/more.txt"
    (tmp_path / second).write_text("yellow submarine\n" + "grey whale\n", encoding="utf-8")
    files = {CODE_PATH: CODE, PROMPT_PATH: PROMPT, first: TABLE}
    once = structure.retrieve_from_resource(files, "classify", prompt=PROMPT_PATH, resource=first)
    assert once is not None
    twice = structure.retrieve_from_resource(once, "classify", prompt=PROMPT_PATH, resource=second)
    assert twice is not None
    context = FakeContext(echo)
    asyncio.run(load(tmp_path / "pipeline", twice[CODE_PATH])["run"]({"description": "yellow"}, context))
    variables = context.llm_steps[-1][1]
    assert variables["candidates"] == ["A-2: yellow banana"]
    assert variables["candidates_2"] == ["yellow submarine"]


def test_the_number_of_candidates_can_be_changed_afterwards(tmp_path: Path) -> None:
    files = {CODE_PATH: CODE, PROMPT_PATH: PROMPT, "pipeline/resources/codes.tsv": TABLE}
    changed = structure.retrieve_from_resource(
        files, "classify", prompt=PROMPT_PATH, resource="pipeline/resources/codes.tsv"
    )
    assert changed is not None
    scaled = structure.scale_candidates(changed, 2.0)
    assert scaled is not None
    assert scaled[CODE_PATH] == changed[CODE_PATH].replace("k=20)", "k=40)")
    assert structure.scale_candidates(files, 2.0) is None


# -- mend a lossy parser

LOSSY = """\
import re


def parse(reply, width=1):
    return {"title": re.findall(r'"title": "(.*?)"', reply)[0][:width]}


async def run(inputs, ctx):
    reply = await ctx.llm("extract", text=inputs["text"])
    return await ctx.call("read", parse, reply, width=2)
"""


@pytest.mark.parametrize(
    "reply",
    ['{"title": "Ab cd", "year": null}', 'Here:\n```json\n{"title": "Ab cd", "year": null}\n```\nDone [1].'],
)
def test_a_mended_parser_reads_the_whole_json_value(tmp_path: Path, reply: str) -> None:
    changed = structure.mend_parser({CODE_PATH: LOSSY}, "read")
    assert changed is not None
    context = FakeContext(lambda step, variables: reply)
    run = load(tmp_path, changed[CODE_PATH])["run"]
    assert asyncio.run(run({"text": "x"}, context)) == {"title": "Ab cd", "year": None}


def test_a_mended_parser_falls_back_to_the_old_one(tmp_path: Path) -> None:
    changed = structure.mend_parser({CODE_PATH: LOSSY}, "read")
    assert changed is not None
    context = FakeContext(lambda step, variables: 'so {broken "title": "Ab cd"')
    assert asyncio.run(load(tmp_path, changed[CODE_PATH])["run"]({"text": "x"}, context)) == {"title": "Ab"}


def test_a_parser_that_is_not_a_plain_function_is_left_alone() -> None:
    code = LOSSY.replace('"read", parse', '"read", lambda reply, width: reply')
    assert structure.mend_parser({CODE_PATH: code}, "read") is None
    assert structure.mend_parser({CODE_PATH: LOSSY}, "extract") is None


# -- add a hop

HOPS = """\
DOCS = ["Ann wrote Blue Tide", "Blue Tide was filmed in Oslo", "Oslo lies in Norway", "Lime is a fruit"]


def words(text):
    return set(text.casefold().replace("?", "").split())


def search(query, k):
    ranked = sorted(DOCS, key=lambda doc: -len(words(query) & words(doc)))
    return [doc for doc in ranked if words(query) & words(doc)][:k]


async def run(inputs, ctx):
    passages = await ctx.call("search", search, inputs["question"], k=ctx.params.k)
    text = "; ".join(passages)
    return await ctx.llm("answer", question=inputs["question"], passages=text)
"""


def test_a_second_hop_finds_what_the_first_one_leads_to(tmp_path: Path) -> None:
    changed = structure.add_hop({CODE_PATH: HOPS}, "answer")
    assert changed is not None
    context = FakeContext(echo)
    asyncio.run(load(tmp_path, changed[CODE_PATH])["run"]({"question": "What did Ann make?"}, context))
    assert [step for step, _ in context.function_steps] == ["search", "search_next_hop"]
    assert context.llm_steps[-1][1]["passages"] == "Ann wrote Blue Tide; Blue Tide was filmed in Oslo"


def test_without_a_retrieval_that_feeds_the_step_there_is_no_hop() -> None:
    assert structure.add_hop({CODE_PATH: HOPS.replace("passages=text", "n=1")}, "answer") is None
    assert structure.add_hop({CODE_PATH: CODE}, "classify") is None


# -- vote


def test_the_majority_of_three_samples_is_the_answer(tmp_path: Path) -> None:
    changed = structure.vote({CODE_PATH: CODE}, "classify")
    assert changed is not None
    replies = iter(["s", "B", "a ", "A"])
    context = FakeContext(lambda step, variables: next(replies))
    names = load(tmp_path, changed[CODE_PATH].replace("Prediction(output=answer)", "answer"))
    assert asyncio.run(names["run"]({"description": "x"}, context)) == "a "
    assert [step for step, _ in context.llm_steps] == ["summarize", "classify", "classify", "classify"]


def test_a_step_that_votes_already_does_not_vote_again() -> None:
    changed = structure.vote({CODE_PATH: CODE}, "classify")
    assert changed is not None
    assert structure.vote(changed, "classify") is None


# -- which pattern

STATUS = Status.parse(
    {
        "steps": [
            {"name": "search", "kind": "function", "prompt": None},
            {"name": "answer", "kind": "llm", "prompt": "pipeline/prompts/answer.md"},
            {"name": "parse", "kind": "function", "prompt": None},
        ],
        "files": [
            {"path": "pipeline/pipeline.py", "bytes": 900},
            {"path": "pipeline/resources/small.txt", "bytes": 10},
            {"path": "pipeline/resources/large.tsv", "bytes": 1000},
            {"path": "pipeline/resources/image.png", "bytes": 5000},
        ],
    }
)


@pytest.mark.parametrize(
    ("step", "category", "first"),
    [
        ("answer", "retrieval_miss", ["retrieve from large.tsv", "retrieve from small.txt", "add a hop"]),
        ("search", "retrieval_partial", ["add a hop"]),
        ("parse", "lost", ["mend the parser"]),
        ("parse", "error", ["mend the parser"]),
        ("answer", "reasoning", ["more candidates", "fewer candidates", "vote of three"]),
    ],
)
def test_the_category_decides_which_pattern_comes_first(step: str, category: str, first: list[str]) -> None:
    plans = structural_plans(Blamed(step, category, ("structure",), 1.0), STATUS)
    assert [plan.technique for plan in plans][: len(first)] == first


def test_a_format_problem_has_no_structural_pattern() -> None:
    assert list(structural_plans(Blamed("answer", "format", ("prompt",), 1.0), STATUS)) == []


# -- what all generated code has in common

ALLOWED = {"asyncio", "bm25s", "collections", "csv", "fapo", "json", "pathlib", "re", "Stemmer", "typing"}


def all_generated() -> list[str]:
    files = {CODE_PATH: CODE, PROMPT_PATH: PROMPT}
    made = [
        *(
            structure.retrieve_from_resource(
                files, "classify", prompt=PROMPT_PATH, resource=f"pipeline/resources/x{end}"
            )
            for end in (".tsv", ".csv", ".jsonl", ".json", ".txt", ".md")
        ),
        structure.mend_parser({CODE_PATH: LOSSY}, "read"),
        structure.add_hop({CODE_PATH: HOPS}, "answer"),
        structure.vote({CODE_PATH: CODE}, "classify"),
    ]
    return [change[CODE_PATH] for change in made if change is not None]


def test_generated_code_imports_only_what_pipelines_may_import() -> None:
    generated = all_generated()
    assert len(generated) == 9
    roots = set()
    for source in generated:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                roots.add((node.module or "").split(".")[0])
    assert roots <= ALLOWED


def test_generated_code_has_no_long_line_and_no_trailing_space() -> None:
    lines = [line for source in all_generated() for line in source.split("\n")]
    assert [line for line in lines if len(line) > 120 or line != line.rstrip()] == []


def test_patterns_compose(tmp_path: Path) -> None:
    resource = write_resource(tmp_path, "codes.tsv", TABLE)
    files = {CODE_PATH: CODE, PROMPT_PATH: PROMPT, resource: TABLE}
    first = structure.retrieve_from_resource(files, "classify", prompt=PROMPT_PATH, resource=resource)
    assert first is not None
    second = structure.vote(first, "classify")
    assert second is not None
    context = FakeContext(lambda step, variables: json.dumps(variables.get("candidates")))
    asyncio.run(load(tmp_path / "pipeline", second[CODE_PATH])["run"]({"description": "yellow"}, context))
    shown = [variables["candidates"] for step, variables in context.llm_steps if step == "classify"]
    assert shown == [["A-2: yellow banana"]] * 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "import asyncio\nimport json\nfrom collections import Counter\n"),
        ('"""Doc."""\n', '"""Doc."""\n\nimport asyncio\nimport json\nfrom collections import Counter\n'),
        (
            "import csv\nimport re\n\nfrom fapo import Prediction\n",
            "import asyncio\nimport csv\nimport json\nimport re\nfrom collections import Counter\n\n"
            "from fapo import Prediction\n",
        ),
        (
            "from __future__ import annotations\n\nimport json\n\nimport bm25s\n",
            "from __future__ import annotations\n\nimport asyncio\nimport json\nfrom collections import Counter\n\n"
            "import bm25s\n",
        ),
        (
            "import bm25s\n",
            "import asyncio\nimport json\nfrom collections import Counter\n\nimport bm25s\n",
        ),
    ],
)
def test_imports_go_where_they_belong(before: str, after: str) -> None:
    body = '\n\nasync def run(inputs, ctx):\n    return await ctx.llm("a", q=inputs)\n'
    changed = structure.vote({CODE_PATH: before + body}, "a")
    assert changed is not None
    assert changed[CODE_PATH].split("\n\n\n")[0].rstrip("\n") + "\n" == after
