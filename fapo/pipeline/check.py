"""Static checks of a pipeline directory: what can be known to be wrong before a call is paid for."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fapo.errors import UsageError, did_you_mean
from fapo.pipeline.prompts import PROMPT_DIR, Prompt, load_prompts
from fapo.pipeline.spec import CODE_FILE, PipelineSpec


@dataclass(frozen=True, slots=True)
class StepCall:
    """One `ctx.llm("name", ...)` or `ctx.call("name", ...)` in pipeline.py with a literal name.

    A prompt that code fills by itself and names by a literal is one too. `variables` is None where the names that a
    prompt is filled with are not known.
    """

    name: str
    kind: str
    line: int
    variables: frozenset[str] | None


def find_steps(source: str, path: Path) -> tuple[StepCall, ...]:
    """The steps that pipeline code names, in source order. Raises UsageError for a syntax error."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise UsageError(f"syntax error: {error.msg}", path=path, line=error.lineno) from None
    return tuple(sorted(_step_calls(tree), key=lambda step: step.line))


def _prompts_by_name(source: str, names: frozenset[str]) -> Iterator[StepCall]:
    """The prompts of these names that code mentions, at their first mention."""
    lines: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names:
            lines[node.value] = min(node.lineno, lines.get(node.value, node.lineno))
    return (StepCall(name, "llm", line, None) for name, line in lines.items())


def _step_calls(tree: ast.AST) -> Iterator[StepCall]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        first = node.args[0]
        if (
            node.func.attr not in ("llm", "call")
            or not isinstance(first, ast.Constant)
            or not isinstance(first.value, str)
        ):
            continue
        names = [keyword.arg for keyword in node.keywords]
        known = None if None in names else frozenset(name for name in names if name)
        kind = "llm" if node.func.attr == "llm" else "function"
        yield StepCall(first.value, kind, node.lineno, known)


def check_pipeline(directory: Path, spec: PipelineSpec) -> tuple[StepCall, ...]:
    """Check code, prompts and roles against each other. Returns the steps; raises UsageError for the first fault."""
    code = directory / CODE_FILE
    try:
        source = code.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"not a pipeline: {CODE_FILE} is missing", path=directory) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"not UTF-8: {error}", path=code) from None
    steps = find_steps(source, code)
    prompts = load_prompts(directory)
    for step in steps:
        if step.kind == "llm":
            _check_llm_step(step, prompts, code, directory)
    for prompt in prompts.values():
        if prompt.model not in spec.models:
            path = directory / PROMPT_DIR / f"{prompt.name}.md"
            near = did_you_mean(prompt.model, spec.models) or "; add it to `models:` in pipeline.yaml"
            raise UsageError(f"no model has the role `{prompt.model}`{near}", path=path)
    rest = frozenset(prompts) - {step.name for step in steps}
    return tuple(sorted((*steps, *_prompts_by_name(source, rest)), key=lambda step: step.line))


def _check_llm_step(step: StepCall, prompts: Mapping[str, Prompt], code: Path, directory: Path) -> None:
    prompt = prompts.get(step.name)
    if prompt is None:
        near = did_you_mean(step.name, prompts)
        raise UsageError(f"step `{step.name}` has no {PROMPT_DIR}/{step.name}.md{near}", path=code, line=step.line)
    if step.variables is None or not (missing := prompt.variables - step.variables):
        return
    path = directory / PROMPT_DIR / f"{step.name}.md"
    given = ", ".join(sorted(step.variables)) or "none"
    raise UsageError(
        f"placeholder `{min(missing)}` is never filled: {CODE_FILE}:{step.line} passes {given}"
        f"{did_you_mean(min(missing), step.variables)}",
        path=path,
        line=_line_of(path, min(missing)),
    )


def _line_of(path: Path, placeholder: str) -> int | None:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((number for number, line in enumerate(lines, 1) if placeholder in line and "{" in line), None)
