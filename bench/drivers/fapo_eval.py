"""`fapo eval` itself: its CLI, its sandboxed worker, its cache and its traces, on a pipeline of three steps."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.work import KEY, MODEL, SAMPLING, STEPS, Case, arguments, cases

_SPEC = f"""\
name: bench
task: Route a customer's message to a team.
data: {{train: data/train.jsonl, validation: data/validation.jsonl, test: data/test.jsonl}}
score: exact_match
models: {{task: openai/{MODEL}}}
params: {{}}
"""
_CODE = """\
async def run(inputs, ctx):
    gist = await ctx.llm("gist", text=inputs["message"])
    facts = await ctx.llm("facts", text=gist)
    return await ctx.llm("route", text=facts)
"""


def write_pipeline(directory: Path, count: int) -> None:
    """A pipeline whose validation split has `count` cases."""
    for name in ("data", "prompts"):
        (directory / name).mkdir(parents=True)
    (directory / "pipeline.yaml").write_text(_SPEC)
    (directory / "pipeline.py").write_text(_CODE)
    sampling = ", ".join(f"{name}: {value}" for name, value in SAMPLING.items())
    for step, system in STEPS.items():
        text = f"---\nsampling: {{{sampling}}}\n---\nSystem:\n{system}\n\nUser:\n{{{{ text }}}}\n"
        (directory / "prompts" / f"{step}.md").write_text(text)
    made = cases(count + 2)
    for split, part in (("validation", made[:-2]), ("train", made[-2:-1]), ("test", made[-1:])):
        (directory / "data" / f"{split}.jsonl").write_text("".join(map(_line, part)))


def _line(case: Case) -> str:
    row = {"id": case.id, "inputs": {"message": case.message}, "expected": {"answer": case.expected}}
    return json.dumps(row) + "\n"


def command(pipeline: Path, concurrency: int) -> list[str]:
    fapo = Path(sys.executable).with_name("fapo")
    return [str(fapo), "eval", str(pipeline), "--concurrency", str(concurrency), "--json"]


def environment(base_url: str, directory: Path) -> dict[str, str]:
    """The endpoint, and cache and runs inside `directory`."""
    given = {"OPENAI_BASE_URL": base_url, "OPENAI_API_BASE": base_url, "OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}
    own = {"FAPO_CACHE_DIR": str(directory / "cache"), "FAPO_RUNS_DIR": str(directory / "runs")}
    return {**os.environ, **given, **own}


def main() -> None:
    base_url, made, concurrency = arguments()
    directory = Path(tempfile.mkdtemp(prefix="fapo-bench-"))
    write_pipeline(directory / "pipeline", len(made))
    run = command(directory / "pipeline", concurrency)
    os.execve(run[0], run, environment(base_url, directory))  # noqa: S606  no shell is meant


if __name__ == "__main__":
    main()
