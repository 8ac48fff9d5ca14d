"""Structural patterns: edits of a pipeline's code that its prompts cannot stand in for.

Each is general: it looks at the shape of the code (which steps there are, what they are given), never at what the
pipeline is for. A pattern whose precondition does not hold yields None.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from string import Template

from fapo.standin import structure_code as code
from fapo.standin.conversation import Blamed, Status
from fapo.standin.edits import append_to_system, insert_in_user
from fapo.standin.structure_source import SourceEdit, StepCall, repeatable, top_level_names

CODE_PATH = "pipeline/pipeline.py"
RESOURCES = "pipeline/resources/"

_MISSES = ("retrieval_miss", "retrieval_partial", "empty")
_RETRIEVAL = re.compile(r"retriev|search|fetch|lookup|look_up|find|bm25|passage", re.IGNORECASE)
_CANDIDATES_STEP = "retrieve_candidates"
_CANDIDATES_K = 20

Files = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """One structural idea. `paths` are the workspace files that `apply` must be given, by path, with their text.

    `apply` returns the new text of every file that changes, or None where the idea does not fit.
    """

    technique: str
    step: str
    hypothesis: str
    paths: tuple[str, ...]
    apply: Callable[[Files], dict[str, str] | None]


def structural_plans(blame: Blamed, status: Status) -> Iterator[Plan]:
    """The structural ideas for a part of the loss, the most promising first."""
    steps = [step.name for step in status.steps]
    prompts = {step.name: step.prompt for step in status.steps if step.prompt}
    if blame.step in steps and blame.step not in prompts and blame.category not in _MISSES[:2]:
        yield _parser_plan(blame.step or "")
    if blame.category in _MISSES and (step := _model_step_at_or_after(blame.step, steps, prompts)):
        plans = [*_retrieval_plans(step, prompts[step], status), _hop_plan(step)]
        yield from plans if blame.category != "retrieval_partial" else reversed(plans)
    if blame.category in ("reasoning", "unidentified") or blame.category in _MISSES:
        yield _count_plan(blame.step or "", "more candidates", 2.0)
        yield _count_plan(blame.step or "", "fewer candidates", 0.5)
    if blame.category in ("reasoning", "unidentified") and (
        step := _model_step_at_or_after(blame.step, steps, prompts)
    ):
        yield _vote_plan(step)


def _model_step_at_or_after(name: str | None, steps: list[str], prompts: Mapping[str, str]) -> str | None:
    """`name` where it is a model step, else the first after it, else the last of all."""
    after = steps[steps.index(name) :] if name in steps else []
    models = [step for step in steps if step in prompts]
    return next((step for step in after if step in prompts), models[-1] if models else None)


# -- retrieve from a resource


def _retrieval_plans(step: str, prompt: str, status: Status) -> Iterator[Plan]:
    data = [(size, path) for path, size in status.files if path.startswith(RESOURCES)]
    for _, path in sorted(data, reverse=True):
        if PurePosixPath(path).suffix not in code.LOADERS:
            continue
        name = PurePosixPath(path).name

        def apply(files: Files, path: str = path) -> dict[str, str] | None:
            return retrieve_from_resource(files, step, prompt=prompt, resource=path)

        yield Plan(
            technique=f"retrieve from {name}",
            step=step,
            hypothesis=f"`{step}` is never shown what it should answer with; {name} lies unused in the resources, and "
            "a search in it can put the right entry before its eyes",
            paths=(CODE_PATH, prompt, path),
            apply=apply,
        )


def retrieve_from_resource(files: Files, step: str, *, prompt: str, resource: str) -> dict[str, str] | None:
    """Search a resource that the code does not use with what `step` is given, and show `step` what is found."""
    edit = SourceEdit.parse(files[CODE_PATH])
    name = PurePosixPath(resource).name
    if edit is None or name in edit.source:
        return None
    calls = [call for call in edit.calls(step) if call.kind == "llm"]
    queries = [_query_of(edit, call) for call in calls]
    if not calls or not all(call.plain for call in calls) or not all(queries):
        return None
    variable = edit.unused("candidates")
    function = edit.unused(_CANDIDATES_STEP)
    for call, query in zip(calls, queries, strict=True):
        receiver = edit.segment(_receiver(call.node))
        edit.add_before(
            call.statement,
            f"{variable}_query = {query}\n"
            f'{variable} = await {receiver}.call("{function}", {function}, {variable}_query, k={_CANDIDATES_K})',
        )
        _add_argument(edit, call.node, f"{variable}={variable}")
    loader = code.LOADERS[PurePosixPath(resource).suffix]
    edit.add_imports(*code.SEARCH_IMPORTS, *loader.imports)
    names = {
        "function": function, "NAME": variable.upper(), "lines": f"load_{variable}",
        "tokens": edit.unused("stemmed_tokens"),
        "path": str(PurePosixPath(resource).relative_to(PurePosixPath(CODE_PATH).parent)),
        "skip": "1" if _has_header(files.get(resource, "")) else "0",
    }  # fmt: skip
    names["parts"] = ", ".join(f'"{part}"' for part in PurePosixPath(names["path"]).parts)
    names["body"] = Template(loader.body).substitute(names).rstrip("\n")
    edit.add_definitions(calls[0].function, Template(code.SEARCH).substitute(names))
    shown = insert_in_user(files[prompt], code.CANDIDATES_BLOCK.replace("candidates", variable))
    told = (append_to_system(shown, code.CANDIDATES_INSTRUCTION) or shown) if shown else None
    source = edit.text()
    return {CODE_PATH: source, prompt: told} if source and told else None


def _query_of(edit: SourceEdit, call: StepCall) -> str | None:
    """Source of a text of all that a model step is given."""
    own = [keyword for keyword in call.node.keywords if keyword.arg and not keyword.arg.startswith("candidates")]
    values = [keyword.value for keyword in own]
    parts = [
        f"str({edit.segment(value)})" for value in values if repeatable(value) and not isinstance(value, ast.Constant)
    ]
    if len(parts) < 2:
        return parts[0] if parts else None
    return f'" ".join([{", ".join(parts)}])'


def _has_header(sample: str) -> bool:
    """Whether the first row of a table looks like names of columns rather than like data."""
    rows = [re.split(r"[\t,]", line) for line in sample.splitlines() if line.strip()]
    if len(rows) < 2:
        return False
    words = all(re.fullmatch(r"[A-Za-z][A-Za-z _-]{0,30}", cell.strip()) for cell in rows[0])
    alike = all(re.fullmatch(r"[A-Za-z][A-Za-z _-]{0,30}", row[0].strip()) for row in rows[1:])
    return words and (not alike or rows[0][0].strip().casefold() in _KEY_NAMES)


_KEY_NAMES = frozenset({"id", "key", "code", "name", "title", "label", "term", "word", "entry", "option"})


# -- mend a lossy parser


def _parser_plan(step: str) -> Plan:
    return Plan(
        technique="mend the parser",
        step=step,
        hypothesis=f"`{step}` has the right value in its input and not in its output; reading the whole JSON value "
        "of the reply keeps it",
        paths=(CODE_PATH,),
        apply=lambda files: mend_parser(files, step),
    )


def mend_parser(files: Files, step: str) -> dict[str, str] | None:
    """Let a function step read the first JSON value of its text; where there is none, the old function reads on."""
    edit = SourceEdit.parse(files[CODE_PATH])
    calls = [call for call in edit.calls(step) if call.kind == "call"] if edit else []
    if edit is None or not calls:
        return None
    functions = {edit.segment(call.node.args[1]) for call in calls if len(call.node.args) >= 3}
    if len(functions) != 1 or any(len(call.node.args) < 3 for call in calls):
        return None
    old = functions.pop()
    if old.split(".")[0] not in top_level_names(edit.tree) or not re.fullmatch(r"[\w.]+", old):
        return None
    name = edit.unused(f"{old.replace('.', '_')}_or_json")
    for call in calls:
        edit.replace(call.node.args[1], name)
    edit.add_imports("import json", "import re")
    edit.add_definitions(calls[0].function, Template(code.PARSER).substitute(name=name, old=old))
    source = edit.text()
    return {CODE_PATH: source} if source else None


# -- add a hop


def _hop_plan(step: str) -> Plan:
    return Plan(
        technique="add a hop",
        step=step,
        hypothesis=f"one search does not reach what `{step}` needs; a second one, asked with what the first found, can",
        paths=(CODE_PATH,),
        apply=lambda files: add_hop(files, step),
    )


def add_hop(files: Files, step: str) -> dict[str, str] | None:
    """Repeat the last retrieval before `step` with a query that holds its first results, and unite the two."""
    edit = SourceEdit.parse(files[CODE_PATH])
    models = [call for call in edit.calls(step) if call.kind == "llm"] if edit else []
    if edit is None or not models:
        return None
    before = [call for call in edit.calls() if call.kind == "call" and call.node.lineno < models[0].node.lineno]
    for call in reversed(before):
        statement, node = call.statement, call.node
        if not (call.plain and _is_retrieval(edit, call) and len(node.args) >= 3 and isinstance(statement, ast.Assign)):
            continue
        target = statement.targets[0]
        waited = isinstance(statement.value, ast.Await) and statement.value.value is node
        if not (waited and isinstance(target, ast.Name) and _feeds(edit, target.id, models[0])):
            continue
        if any(not repeatable(part) for part in [*node.args, *(keyword.value for keyword in node.keywords)]):
            continue
        _insert_hop(edit, call, target.id)
        source = edit.text()
        return {CODE_PATH: source} if source else None
    return None


def _insert_hop(edit: SourceEdit, call: StepCall, found: str) -> None:
    node = call.node
    step, query, unite = edit.unused(f"{call.name}_next_hop"), edit.unused("next_hop_query"), edit.unused("unite")
    rest = [edit.segment(argument) for argument in node.args[3:]]
    rest += [edit.segment(keyword) for keyword in node.keywords]
    first = edit.segment(node.args[2])
    more, asked = edit.unused(f"{found}_next"), edit.unused(f"{found}_next_query")
    arguments = ", ".join([f'"{step}"', edit.segment(node.args[1]), asked, *rest])
    edit.add_after(
        call.statement,
        f"{asked} = {query}({first}, {found})\n"
        f"{more} = await {edit.segment(_receiver(node))}.call({arguments})\n{found} = {unite}({found}, {more})",
    )
    edit.add_definitions(call.function, Template(code.HOP).substitute(query=query, unite=unite))


def _is_retrieval(edit: SourceEdit, call: StepCall) -> bool:
    function = edit.segment(call.node.args[1]) if len(call.node.args) > 1 else ""
    return bool(_RETRIEVAL.search(call.name) or _RETRIEVAL.search(function))


def _feeds(edit: SourceEdit, name: str, model: StepCall) -> bool:
    """Whether a variable is among what a model step is given, directly or through another variable."""
    names = {name}
    for node in ast.walk(edit.tree):
        if isinstance(node, ast.Assign) and _mentions(node.value, names):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return any(_mentions(keyword.value, names) for keyword in model.node.keywords)


def _mentions(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node))


# -- another number of candidates


def _count_plan(step: str, technique: str, factor: float) -> Plan:
    return Plan(
        technique=technique,
        step=step,
        hypothesis=f"`{step}` is shown a list of a length that nobody has tried out; {technique} may suit it better",
        paths=(CODE_PATH,),
        apply=lambda files: scale_candidates(files, factor),
    )


def scale_candidates(files: Files, factor: float) -> dict[str, str] | None:
    """Change how many candidates the step that `retrieve_from_resource` put in asks for."""
    edit = SourceEdit.parse(files[CODE_PATH])
    for call in edit.calls() if edit else []:
        counts = [keyword.value for keyword in call.node.keywords if keyword.arg == "k"]
        if edit is None or not call.name.startswith(_CANDIDATES_STEP) or not counts:
            continue
        if isinstance(counts[0], ast.Constant) and isinstance(counts[0].value, int):
            edit.replace(counts[0], str(max(round(counts[0].value * factor), 1)))
            source = edit.text()
            return {CODE_PATH: source} if source else None
    return None


# -- vote


def _vote_plan(step: str) -> Plan:
    return Plan(
        technique="vote of three",
        step=step,
        hypothesis=f"`{step}` sees what it needs and answers wrongly now and then; the majority of three samples "
        "is steadier",
        paths=(CODE_PATH,),
        apply=lambda files: vote(files, step),
    )


def vote(files: Files, step: str) -> dict[str, str] | None:
    """Ask a model step three times at once and go on with the most frequent reply."""
    edit = SourceEdit.parse(files[CODE_PATH])
    calls = [call for call in edit.calls(step) if call.kind == "llm"] if edit else []
    if edit is None or len(calls) != 1 or "asyncio.gather" in edit.segment(calls[0].statement):
        return None
    node = calls[0].node
    awaits = [part for part in ast.walk(calls[0].statement) if isinstance(part, ast.Await) and part.value is node]
    if not awaits or not repeatable(node):
        return None
    name = edit.unused("majority")
    edit.replace(awaits[0], f"{name}(await asyncio.gather(*({edit.segment(node)} for _ in range(3))))")
    edit.add_imports("import asyncio", "import json", "from collections import Counter")
    edit.add_definitions(calls[0].function, Template(code.VOTE).substitute(name=name))
    source = edit.text()
    return {CODE_PATH: source} if source else None


def _receiver(node: ast.Call) -> ast.expr:
    assert isinstance(node.func, ast.Attribute)
    return node.func.value


def _add_argument(edit: SourceEdit, node: ast.Call, argument: str) -> None:
    """Add a last argument to a call, on a line of its own where the one before it stands so."""
    parts: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
    last = max(parts, key=lambda part: (part.end_lineno or 0, part.end_col_offset or 0))
    line_start = edit.offset(last.lineno, 0)
    margin = edit.source[line_start : edit.offset(last.lineno, last.col_offset)]
    separator = f",\n{margin}" if not margin.strip() else ", "
    edit.insert(edit.offset(last.end_lineno or 0, last.end_col_offset or 0), separator + argument)
