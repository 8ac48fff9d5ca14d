"""Whole sessions of the rule-driven optimizer, in a workspace on disk with a small imitation of fapo's tools."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fapo.standin.optimizer import MAX_CALLS, decide

Files = dict[str, str]
Payload = dict[str, Any]

CLASSIFY = """\
---
model: task
sampling: {temperature: 0.7}
---
System:
You sort reports.

User:
Report: {{ report }}
"""
CODE = """\
from fapo import Prediction


async def run(inputs, ctx):
    answer = await ctx.llm("classify", report=inputs["report"])
    return Prediction(output=answer)
"""
SPEC = "name: sorting\nmodels: {task: m}\nparams: {k: 5}\n"


def prompt_of(files: Files) -> str:
    return files["pipeline/prompts/classify.md"]


def blame(*parts: tuple[str | None, str, list[str], float]) -> Payload:
    """An attribution payload with these (step, category, levels, share)."""
    shares = {"prompt": 0.0, "parameter": 0.0, "structure": 0.0, "unidentified": 0.0}
    for _, _, levels, share in parts:
        shares[levels[0] if levels else "unidentified"] += share
    best = max(("prompt", "parameter", "structure"), key=lambda level: shares[level])
    by_step = [
        {"step": step, "category": category, "levels": levels, "cases": 9, "share": share, "confidence": "high",
         "evidence": "e", "examples": []}
        for step, category, levels, share in parts
    ]  # fmt: skip
    return {"n": 20, "mean": 0.5, "lost": 0.5, "by_step": by_step, "by_level": shares, "recommended_level": best,
            "why": "w", "traces": "train/traces/000/"}  # fmt: skip


@dataclass
class Workbench:
    """fapo's tools and the CLI's file tools, over a directory.

    `value` scores the workspace, `attribute` says where it loses; a submission is accepted where its value is higher.
    `grant(level, verdicts)` decides about levels, `fault(tool, arguments)` names an error to answer with,
    and `garble(tool, reply)` may change a reply.
    """

    root: Path
    value: Callable[[Files], float]
    attribute: Callable[[Files], Payload]
    grant: Callable[[str, list[Payload]], bool] = lambda level, verdicts: True
    fault: Callable[[str, Payload], str | None] = lambda tool, arguments: None
    garble: Callable[[str, str], str] = lambda tool, reply: reply
    review: Callable[[Files], str | None] = lambda files: None
    steps: Sequence[tuple[str, str]] = (("classify", "llm"),)
    variants: int = 12
    levels: list[str] = field(default_factory=lambda: ["prompt"])
    tried: list[Payload] = field(default_factory=list)
    calls: list[tuple[str, Payload]] = field(default_factory=list)
    read: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.incumbent = self.files()

    def files(self) -> Files:
        paths = sorted(path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_text(encoding="utf-8") for path in paths}

    def restore(self) -> None:
        for path in self.root.rglob("*.*"):
            if path.is_file():
                path.unlink()
        for name, text in self.incumbent.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text, encoding="utf-8")

    def use(self, tool: str, arguments: Payload) -> tuple[str, bool]:
        """A tool's answer, and whether it is an error."""
        self.calls.append((tool, arguments))
        if (error := self.fault(tool, arguments)) is not None:
            return error, True
        try:
            answer = getattr(self, f"_{tool.removeprefix('mcp__fapo__').lower()}")(**arguments)
        except (LookupError, OSError) as problem:
            return str(problem), True
        return self.garble(tool, answer if isinstance(answer, str) else json.dumps(answer)), False

    def _status(self) -> Payload:
        return {
            "pipeline": "sorting",
            "open_levels": self.levels,
            "closed_levels": {},
            "steps": [
                {"name": name, "kind": kind, "prompt": f"pipeline/prompts/{name}.md" if kind == "llm" else None}
                for name, kind in self.steps
            ],
            "files": [{"path": path, "bytes": len(text)} for path, text in self.incumbent.items()],
            "train": {"n": 20, "mean": 0.5, "failures": 0},
            "variants_left": self.left,
            "tried": self.tried,
        }

    @property
    def left(self) -> int:
        return self.variants - sum(one["difference"] is not None for one in self.tried)

    def _attribution(self) -> Payload:
        return self.attribute(self.incumbent)

    def _evaluate_train(self, limit: int) -> Payload:
        assert limit > 0
        difference = self.value(self.files()) - self.value(self.incumbent)
        return {"n": limit, "difference": difference, "failures": 0, "feedback": [], "traces": "t"}

    def _submit(self, hypothesis: str, technique: str, step: str) -> Payload:
        if self.left <= 0:
            raise LookupError("the search is over; call finish")
        files = self.files()
        assert files != self.incumbent
        assert hypothesis
        reason = self.review(files)
        difference = None if reason else self.value(files) - self.value(self.incumbent)
        verdict = "accepted" if difference and difference > 0 else "rejected"
        self.tried.append({"technique": technique, "step": step, "verdict": verdict, "difference": difference})
        if verdict == "accepted":
            self.incumbent = files
        elif not reason:
            self.restore()
        restored = verdict == "rejected" and not reason
        return {
            "variant": f"{len(self.tried):03d}",
            "level": "prompt",
            "verdict": verdict,
            "reason": reason or "measured",
            "difference": difference,
            "open_levels": self.levels,
            "variants_left": self.left,
            "workspace": "incumbent restored" if restored else "kept",
        }

    def _request_level(self, level: str, reason: str) -> Payload:
        assert reason
        granted = self.grant(level, self.tried)
        if granted:
            self.levels = [*self.levels, level]
        return {"granted": granted, "why": "w", "open_levels": self.levels}

    def _finish(self, summary: str) -> Payload:
        assert summary
        return {"finished": True}

    def _read(self, file_path: str, limit: int | None = None) -> str:
        text = Path(file_path).read_text(encoding="utf-8")
        if self.read.get(file_path) == text:
            return "File unchanged since last read. The content from the earlier Read is still current."
        self.read[file_path] = text
        lines = [f"{number:6}\t{line}" for number, line in enumerate(text.split("\n")[:limit], 1)]
        return "\n".join(lines) + "\n\n<system-reminder>\nBe careful with files.\n</system-reminder>\n"

    def _edit(self, file_path: str, old_string: str, new_string: str) -> str:
        text = Path(file_path).read_text(encoding="utf-8")
        if text.count(old_string) != 1:
            raise LookupError(f"String to replace not found once in {file_path}")
        return self._write(file_path, text.replace(old_string, new_string))

    def _write(self, file_path: str, content: str) -> str:
        if file_path not in self.read:
            raise LookupError("File has not been read yet. Read it first before writing to it.")
        Path(file_path).write_text(content, encoding="utf-8")
        self.read[file_path] = ""
        return "The file has been updated."

    # -- what happened

    def used(self, tool: str) -> list[Payload]:
        return [arguments for name, arguments in self.calls if name == f"mcp__fapo__{tool}"]

    @property
    def techniques(self) -> list[str]:
        return [one["technique"] for one in self.tried]


def run_session(bench: Workbench) -> str:
    """Drive `decide` until it ends its turn; returns its last words."""
    messages: list[Payload] = [{"role": "user", "content": "Optimize the pipeline."}]
    for number in range(2 * MAX_CALLS):
        blocks = decide(f"You optimize.\n\nWorkspace: {bench.root}\nPipeline: x", messages)
        uses = [block for block in blocks if block["type"] == "tool_use"]
        if not uses:
            assert len(bench.used("finish")) == 1
            return "\n".join(block["text"] for block in blocks)
        messages.append({"role": "assistant", "content": [{**use, "id": f"toolu_{number}"} for use in blocks]})
        answers = [bench.use(use["name"], use["input"]) for use in uses]
        content = [
            {"type": "tool_result", "tool_use_id": f"toolu_{number}", "is_error": failed,
             "content": text if number % 2 else [{"type": "text", "text": text}]}
            for text, failed in answers
        ]  # fmt: skip
        messages.append({"role": "user", "content": content})
    raise AssertionError("the session does not end")


def lay_out(root: Path, **more: str) -> Path:
    files = {"prompts/classify.md": CLASSIFY, "pipeline.py": CODE, "pipeline.yaml": SPEC} | more
    for name, text in files.items():
        path = root / "pipeline" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


# -- prompts


def needs_contract(files: Files) -> float:
    return 0.9 if "Answer with only" in prompt_of(files) else 0.4


def test_a_prompt_that_lacks_a_contract_gets_one_and_nothing_else_is_opened(tmp_path: Path) -> None:
    bench = Workbench(
        lay_out(tmp_path), needs_contract, lambda files: blame(("classify", "format", ["prompt"], 1.0)), variants=3
    )
    run_session(bench)
    assert bench.techniques[0] == "output contract"
    assert bench.tried[0]["verdict"] == "accepted"
    assert "Answer with only" in prompt_of(bench.incumbent)
    assert bench.used("request_level") == []


def test_structure_is_asked_for_only_after_prompts_of_the_blamed_step_were_tried_in_vain(tmp_path: Path) -> None:
    bench = Workbench(
        lay_out(tmp_path),
        lambda files: 0.5,
        lambda files: blame(("classify", "reasoning", ["prompt"], 1.0)),
        variants=40,
    )
    run_session(bench)
    asked = [n for n, (name, given) in enumerate(bench.calls) if given.get("level") == "structure"]
    submitted = [n for n, (name, _) in enumerate(bench.calls) if name == "mcp__fapo__submit"]
    assert asked
    assert submitted[2] < asked[0]


def test_the_session_begins_with_status_and_attribution(tmp_path: Path) -> None:
    bench = Workbench(lay_out(tmp_path), needs_contract, lambda files: blame(("classify", "format", ["prompt"], 1.0)))
    run_session(bench)
    assert [name for name, _ in bench.calls[:2]] == ["mcp__fapo__status", "mcp__fapo__attribution"]


def test_after_an_acceptance_attribution_is_read_again(tmp_path: Path) -> None:
    bench = Workbench(lay_out(tmp_path), needs_contract, lambda files: blame(("classify", "format", ["prompt"], 1.0)))
    run_session(bench)
    names = [name for name, _ in bench.calls]
    first = names.index("mcp__fapo__submit")
    assert names[first + 1] == "mcp__fapo__attribution"


def test_what_is_clearly_worse_on_train_is_dropped_and_taken_back(tmp_path: Path) -> None:
    def value(files: Files) -> float:
        return 0.5 if set(files.values()) == {CLASSIFY, CODE, SPEC} else 0.1

    bench = Workbench(
        lay_out(tmp_path), value, lambda files: blame(("classify", "reasoning", ["prompt"], 1.0)), variants=40
    )
    run_session(bench)
    assert len(bench.used("evaluate_train")) > 0
    checked = [bench.calls[i + 1][0] for i, (name, _) in enumerate(bench.calls) if name == "mcp__fapo__evaluate_train"]
    assert set(checked) <= {"Edit", "Write"}, "taken back, and not submitted"
    assert bench.files() == bench.incumbent


def test_every_model_step_that_attribution_blames_is_worked_on(tmp_path: Path) -> None:
    root = lay_out(tmp_path, **{"prompts/read.md": CLASSIFY})
    found = blame(("read", "lost", ["prompt"], 0.7), ("classify", "format", ["prompt"], 0.3))
    bench = Workbench(
        root, lambda files: 0.5, lambda files: found, steps=[("read", "llm"), ("classify", "llm")], variants=40
    )
    run_session(bench)
    assert bench.tried[0]["step"] == "read"
    assert bench.tried[0]["technique"] == "quote the evidence"
    assert {one["step"] for one in bench.tried} == {"read", "classify"}


# -- structure

NAMES = "code\tname\nA-1\tred apple\nA-2\tyellow banana\nA-3\tgreen pears\n"


class Context:
    """Answers a model step with the first candidate that it is shown."""

    params = SimpleNamespace(k=5)

    async def llm(self, step: str, /, **variables: Any) -> str:
        return str(next(iter(variables.get("candidates", [])), "none"))

    async def call(self, step: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        output = function(*args, **kwargs)
        return await output if inspect.isawaitable(output) else output


def run_pipeline(root: Path, code: str, inputs: Payload) -> Any:
    names: Payload = {"__file__": str(root / "pipeline" / "pipeline.py"), "__name__": "pipeline"}
    exec(code, names)
    return asyncio.run(names["run"](inputs, Context())).output


def retrieval_bench(root: Path, grant: Callable[[str, list[Payload]], bool], variants: int = 12) -> Workbench:
    def value(files: Files) -> float:
        return float(run_pipeline(root, files["pipeline/pipeline.py"], {"report": "a banana"}) == "A-2: yellow banana")

    def attribute(files: Files) -> Payload:
        if value(files) == 1.0:
            return blame(("classify", "reasoning", ["prompt"], 1.0))
        return blame(("classify", "retrieval_miss", ["structure", "prompt"], 0.9), (None, "unidentified", [], 0.1))

    return Workbench(root, value, attribute, grant, variants=variants)


def test_a_missing_answer_is_retrieved_after_prompts_were_tried(tmp_path: Path) -> None:
    bench = retrieval_bench(lay_out(tmp_path, **{"resources/names.tsv": NAMES}), lambda level, tried: len(tried) >= 3)
    run_session(bench)
    assert len(set(bench.techniques[:3])) == 3
    assert bench.techniques[3] == "retrieve from names.tsv"
    assert [one["verdict"] for one in bench.tried[:4]] == ["rejected"] * 3 + ["accepted"]
    assert bench.used("request_level")[0]["level"] == "structure"
    assert "{% for c in candidates %}" in prompt_of(bench.incumbent)
    code = bench.incumbent["pipeline/pipeline.py"]
    assert run_pipeline(tmp_path, code, {"report": "green, a pear"}) == "A-3: green pears"


def test_a_refused_level_is_asked_for_again_after_more_prompts(tmp_path: Path) -> None:
    bench = retrieval_bench(
        lay_out(tmp_path, **{"resources/names.tsv": NAMES}),
        lambda level, tried: level == "structure" and len(tried) >= 5,
    )
    run_session(bench)
    asked = [one["level"] for one in bench.used("request_level")]
    assert asked.count("structure") == 2
    assert bench.techniques[5] == "retrieve from names.tsv"
    assert bench.tried[5]["verdict"] == "accepted"


def test_a_level_that_stays_closed_does_not_keep_the_session_alive(tmp_path: Path) -> None:
    bench = retrieval_bench(
        lay_out(tmp_path, **{"resources/names.tsv": NAMES}), lambda level, tried: False, variants=100
    )
    run_session(bench)
    assert bench.incumbent["pipeline/pipeline.py"] == CODE
    assert len(bench.used("request_level")) <= 8


def test_after_retrieval_was_accepted_the_candidates_are_worked_with(tmp_path: Path) -> None:
    bench = retrieval_bench(lay_out(tmp_path, **{"resources/names.tsv": NAMES}), lambda level, tried: True, variants=40)
    run_session(bench)
    later = bench.techniques[bench.techniques.index("retrieve from names.tsv") + 1 :]
    assert "compare the listed candidates" in later
    assert {"more candidates", "fewer candidates"} <= set(later)


LOSSY = """\
from fapo import Prediction


def first_line(reply):
    return {"name": reply.split()[0]}


async def run(inputs, ctx):
    reply = await ctx.llm("classify", report=inputs["report"])
    fields = await ctx.call("read_fields", first_line, reply)
    return Prediction(output=fields)
"""


def test_a_parser_that_loses_values_is_mended(tmp_path: Path) -> None:
    class Replies(Context):
        async def llm(self, step: str, /, **variables: Any) -> str:
            return 'Here you are:\n```json\n{"name": "pear", "size": 3}\n```'

    def value(files: Files) -> float:
        names: Payload = {"__file__": "pipeline.py", "__name__": "pipeline"}
        exec(files["pipeline/pipeline.py"], names)
        output = asyncio.run(names["run"]({"report": "x"}, Replies())).output
        return float(output == {"name": "pear", "size": 3})

    bench = Workbench(
        lay_out(tmp_path, **{"pipeline.py": LOSSY}),
        value,
        lambda files: blame(("read_fields", "lost", ["structure"], 1.0 - value(files))),
        lambda level, tried: len(tried) >= 2,
        steps=[("classify", "llm"), ("read_fields", "function")],
    )
    run_session(bench)
    accepted = [one["technique"] for one in bench.tried if one["verdict"] == "accepted"]
    assert accepted == ["mend the parser"]
    assert bench.tried[0]["step"] == "classify"


# -- nothing helps, errors, resumed sessions


@pytest.mark.parametrize("variants", [1, 5, 30])
def test_where_nothing_helps_the_session_finishes_within_its_variants(tmp_path: Path, variants: int) -> None:
    bench = Workbench(
        lay_out(tmp_path),
        lambda files: 0.5,
        lambda files: blame(("classify", "reasoning", ["prompt", "structure"], 0.6), (None, "unidentified", [], 0.4)),
        variants=variants,
    )
    words = run_session(bench)
    assert len(bench.tried) <= variants
    assert len(bench.calls) < 120
    assert "0 of them accepted" in words
    assert bench.files() == bench.incumbent


def test_no_idea_is_submitted_twice(tmp_path: Path) -> None:
    bench = Workbench(
        lay_out(tmp_path),
        lambda files: 0.5,
        lambda files: blame(("classify", "reasoning", ["structure", "prompt"], 1.0)),
        variants=60,
    )
    run_session(bench)
    ideas = [(one["technique"], one["step"]) for one in bench.tried]
    assert len(ideas) >= 6
    assert len(set(ideas)) == len(ideas)


@pytest.mark.parametrize(
    "tool", ["status", "attribution", "evaluate_train", "submit", "request_level", "finish", "Read", "Write", "Edit"]
)
@pytest.mark.parametrize("answer", ["permission denied", ""])
def test_a_tool_that_always_fails_does_not_keep_the_session_alive(tmp_path: Path, tool: str, answer: str) -> None:
    bench = retrieval_bench(lay_out(tmp_path, **{"resources/names.tsv": NAMES}), lambda level, tried: True)
    bench.fault = lambda name, arguments: answer if name.removeprefix("mcp__fapo__") == tool else None
    run_session(bench)
    assert len(bench.calls) < 120


@pytest.mark.parametrize("tool", ["status", "attribution", "evaluate_train", "submit", "request_level", "Read"])
@pytest.mark.parametrize(
    "answer",
    [
        "[]",
        "{}",
        "null",
        "no JSON",
        '{"steps": 3, "files": [1], "tried": {}, "closed_levels": [], "variants_left": NaN, "train": 1}',
        '{"steps": [{"name": "classify"}], "by_step": [{"step": 3, "share": "x", "levels": "prompt"}], "by_level": []}',
        '{"verdict": "accepted", "open_levels": "prompt", "variants_left": "many", "granted": true}',
        '{"difference": "much", "failures": null, "verdict": null, "granted": 1}',
    ],
)
def test_an_answer_that_makes_no_sense_does_no_harm(tmp_path: Path, tool: str, answer: str) -> None:
    bench = retrieval_bench(lay_out(tmp_path, **{"resources/names.tsv": NAMES}), lambda level, tried: True)
    bench.garble = lambda name, reply: answer if name.removeprefix("mcp__fapo__") == tool else reply
    run_session(bench)
    assert len(bench.calls) <= MAX_CALLS + 1


def test_a_session_of_endless_ideas_ends_at_the_limit_of_calls(tmp_path: Path) -> None:
    names = [f"step_{number}" for number in range(40)]
    root = lay_out(tmp_path, **{f"prompts/{name}.md": CLASSIFY for name in names})
    found = blame(*((name, "reasoning", ["prompt"], 1 / len(names)) for name in names))
    steps = [(name, "llm") for name in names]
    bench = Workbench(root, lambda files: 0.5, lambda files: found, steps=steps, variants=1000)
    words = run_session(bench)
    assert f"{MAX_CALLS} tool calls are used up" in words
    assert len(bench.calls) == MAX_CALLS + 1


def test_an_error_now_and_then_is_survived(tmp_path: Path) -> None:
    bench = retrieval_bench(lay_out(tmp_path, **{"resources/names.tsv": NAMES}), lambda level, tried: True)
    bench.fault = lambda name, arguments: "overloaded" if len(bench.calls) % 7 == 5 else None
    run_session(bench)
    assert any(one["verdict"] == "accepted" for one in bench.tried)


def test_what_review_turns_down_is_taken_back(tmp_path: Path) -> None:
    bench = Workbench(
        lay_out(tmp_path),
        lambda files: 0.5,
        lambda files: blame(("classify", "reasoning", ["prompt"], 1.0)),
        review=lambda files: "pipeline/prompts/classify.md: an id of a case",
        variants=20,
    )
    run_session(bench)
    assert len(bench.tried) >= 3
    assert bench.files() == bench.incumbent


def test_a_resumed_session_does_not_repeat_what_was_tried(tmp_path: Path) -> None:
    def attribute(files: Files) -> Payload:
        return blame(("classify", "reasoning", ["prompt"], 1.0))

    first = Workbench(lay_out(tmp_path), lambda files: 0.5, attribute, variants=3)
    run_session(first)
    second = Workbench(tmp_path, lambda files: 0.5, attribute, variants=30, tried=list(first.tried))
    run_session(second)
    ideas = [(one["technique"], one["step"]) for one in second.tried]
    assert len(ideas) > len(first.tried) == 3
    assert len(set(ideas)) == len(ideas)


def test_a_resumed_session_remembers_the_plateau(tmp_path: Path) -> None:
    root = lay_out(tmp_path, **{"resources/names.tsv": NAMES})
    bench = retrieval_bench(root, lambda level, tried: True)
    bench.tried = [
        {"technique": name, "step": "classify", "verdict": "rejected", "difference": 0.0}
        for name in ("expert role", "weigh the evidence", "step by step")
    ]
    run_session(bench)
    assert bench.calls[2][0] == "mcp__fapo__request_level"
    assert bench.techniques[3] == "retrieve from names.tsv"


# -- the shape of a reply


def test_without_a_workspace_line_the_turn_ends_with_text() -> None:
    assert [block["type"] for block in decide("You help.", [{"role": "user", "content": "Hi"}])] == ["text"]


def test_the_workspace_may_stand_in_the_first_user_message_and_as_blocks() -> None:
    content = [
        {"type": "text", "text": "<system-reminder>x</system-reminder>"},
        {"type": "text", "text": "Workspace: /w"},
    ]
    blocks = decide("", [{"role": "user", "content": content}])
    assert blocks[-1] == {"type": "tool_use", "name": "mcp__fapo__status", "input": {}}


def test_the_same_conversation_gets_the_same_reply() -> None:
    messages = [{"role": "user", "content": "Workspace: /w"}]
    assert decide("", messages) == decide("", messages)


def test_a_conversation_whose_beginning_is_gone_starts_anew() -> None:
    messages: list[Payload] = [
        {"role": "user", "content": "Workspace: /w\nA summary of what was before."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "mcp__fapo__submit", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "{}"}]},
    ]
    assert decide("", messages)[-1]["name"] == "mcp__fapo__status"
