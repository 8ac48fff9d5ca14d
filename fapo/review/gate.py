"""The review of a variant: everything that can be held against it before a call is paid for."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import yaml

from fapo.records import Level
from fapo.review.changes import PROMPT_PATH, SPEC_FILE, FileChange, LevelChange, Snapshot, changed_level, text_of
from fapo.review.code import literals, module_of, shadowed, violations
from fapo.review.leaks import Leak, LeakIndex, Passage, What, words_of
from fapo.review.templates import Template, read_template

PROMPT_GROWTH = 2
PROMPT_ROOM = 4_000
"""Characters that a prompt may always gain over the baseline, even where it more than doubles."""
MAX_FILE_BYTES = 256 * 1024
MAX_ADDED_BYTES = 2 * 1024 * 1024
SHOWN_CHARACTERS = 80
CODE_FILE = "pipeline.py"

_LEAKS: dict[What, str] = {
    "text": "repeats a case's text ({}); say it in your own words, as a rule that fits unseen cases",
    "literal": "this literal is a piece of a case's text ({}); test for something that unseen cases have too",
    "id": "names a case id; remove whatever points at single cases",
    "answer": "holds the expected answer of a case (which one is not told); use made-up names and values in examples",
    "short literal": "a literal is the whole input of a case (which one is not told); go by rules, not by single cases",
}
_GUESSABLE: frozenset[What] = frozenset({"id", "answer", "short literal"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to turn a variant down. `message` is one line that says what to do; `path` is empty for the whole."""

    check: str
    path: str
    line: int | None
    message: str


@dataclass(frozen=True, slots=True)
class ReviewContext:
    """What a variant is reviewed against: the levels open now, the baseline (variant 000), and the cases.

    `closed_labels`: expected answers are a public set such as class names, which prompts may name.
    """

    open_levels: frozenset[Level]
    baseline: Snapshot
    leaks: LeakIndex
    closed_labels: bool


@dataclass(frozen=True, slots=True)
class Review:
    """The findings, none for a variant that may be run, and the highest level that it changes."""

    findings: tuple[Finding, ...]
    level: Level | None

    @property
    def passed(self) -> bool:
        return not self.findings


def review(parent: Snapshot, candidate: Snapshot, context: ReviewContext) -> Review:
    """Review `candidate` as a change of `parent`; what parent or baseline already hold is not held against it."""
    change = changed_level(parent, candidate)
    changed = tuple(file.path for file in change.files if file.kind != "deleted")
    findings = [
        *_levels(change, context),
        *_files(change.files, candidate, context),
        *_prompts(change.files, parent, candidate),
        *_code(changed, parent, candidate, context),
        *_leaks(changed, parent, candidate, context),
    ]
    return Review(tuple(findings), change.level)


def _levels(change: LevelChange, context: ReviewContext) -> Iterator[Finding]:
    if not any(file.level for file in change.files):
        yield Finding("nothing changed", "", None, "nothing changed but formatting at most; edit a file first")
    for file in change.files:
        if file.error is not None:
            yield Finding("yaml", file.path, file.line, f"broken YAML: {file.error}; mend it")
        for reach, what in file.parts:
            if reach == "immutable":
                remedy = "remove it" if file.kind == "added" else "restore it"
                yield Finding("immutable", file.path, None, f"{what} may not be {file.kind}; {remedy}")
            elif reach not in context.open_levels:
                message = f"{what} belongs to the level `{reach}`, which is closed; restore it, or call request_level"
                yield Finding("closed level", file.path, None, message)


def _files(changes: Iterable[FileChange], candidate: Snapshot, context: ReviewContext) -> Iterator[Finding]:
    total = 0
    for file in changes:
        path, content = file.path, candidate.get(file.path, b"")
        before = context.baseline.get(path, b"")
        total += max(len(content) - len(before), 0)
        if file.kind == "deleted":
            if path == CODE_FILE:
                yield Finding("files", path, None, "a pipeline needs it; restore it")
            continue
        text = text_of(content)
        if text is None and path != SPEC_FILE:
            yield Finding("files", path, None, "is not UTF-8 text, so that it cannot be reviewed; write it as text")
        if len(content) > MAX_FILE_BYTES:
            yield Finding("size", path, None, f"is larger than {MAX_FILE_BYTES // 1024} kB; shorten it")
        if path.endswith(".py") and file.kind == "added" and shadowed(path):
            yield Finding("files", path, None, f"hides the module `{module_of(path)}`; give it another name")
        if path.startswith("prompts/") and text is not None:
            known = len(text_of(before) or "")
            limit = max(PROMPT_GROWTH * known, known + PROMPT_ROOM)
            if len(text) > limit:
                message = f"has {len(text):,} characters, of at most {limit:,}; keep the rules that pay, drop the rest"
                yield Finding("size", path, None, message)
    if total > MAX_ADDED_BYTES:
        yield Finding("size", "", None, f"adds {total / 2**20:.1f} MB to the baseline, of at most 2; shorten it")


def _prompts(changes: Sequence[FileChange], parent: Snapshot, candidate: Snapshot) -> Iterator[Finding]:
    code_changed = any(file.path.endswith(".py") for file in changes)
    for file in changes:
        if not PROMPT_PATH.fullmatch(file.path) or file.error is not None:
            continue
        if file.kind == "deleted" and not code_changed:
            yield Finding("placeholders", file.path, None, "a step still needs this prompt; restore it")
        template = _template(candidate.get(file.path))
        if template is None:
            continue
        if template.error is not None:
            yield Finding("template", file.path, template.error_line, template.error)
            continue
        before = _template(parent.get(file.path))
        if before is not None and before.error is None and not code_changed:
            yield from _placeholders(file.path, before, template)


def _template(content: bytes | None) -> Template | None:
    text = text_of(content)
    return None if text is None else read_template(text)


def _placeholders(path: str, old: Template, new: Template) -> Iterator[Finding]:
    for name in sorted(old.variables - new.variables):
        message = f"the placeholder {{{{ {name} }}}} is gone; put it back (only a change of the code may drop one)"
        yield Finding("placeholders", path, None, message)
    for name in sorted(new.variables - old.variables):
        message = f"{{{{ {name} }}}} is filled by no code; remove it, or pass it in {CODE_FILE}"
        yield Finding("placeholders", path, new.line_of(name), message)


def _code(changed: Iterable[str], parent: Snapshot, candidate: Snapshot, context: ReviewContext) -> Iterator[Finding]:
    paths = [path for path in changed if path.endswith(".py")]
    if not paths:
        return
    known_files = [*context.baseline.items(), *parent.items()]
    own = {module_of(path) for path in candidate if path.endswith(".py") and not shadowed(path)}
    own |= {module_of(path) for path, _ in known_files if path.endswith(".py")}
    trees = (_tree(text_of(content)) for path, content in known_files if path.endswith(".py"))
    known = {fault.key for tree in trees if isinstance(tree, ast.Module) for fault in violations(tree, own)}
    for path in paths:
        tree = _tree(text_of(candidate[path]))
        if isinstance(tree, Finding):
            yield Finding(tree.check, path, tree.line, tree.message)
            continue
        reported = set(known)
        for fault in violations(tree, own):
            if fault.key not in reported:
                reported.add(fault.key)
                yield Finding("code", path, fault.line, fault.message)


def _tree(text: str | None) -> ast.Module | Finding:
    """The syntax tree of a file, or the finding (of no path yet) that there is none."""
    try:
        return ast.parse(text or "")
    except SyntaxError as error:
        return Finding("syntax", "", error.lineno, f"does not parse as Python: {error.msg}; mend it")
    except (ValueError, RecursionError, MemoryError):
        return Finding("syntax", "", None, "is too deeply nested to be read; simplify it")


def _leaks(changed: Iterable[str], parent: Snapshot, candidate: Snapshot, context: ReviewContext) -> Iterator[Finding]:
    known: str | None = None
    for path in changed:
        reported: set[What] = set()
        for leak in _leaks_in(path, candidate[path], context):
            if known is None:
                known = _normalized([*context.baseline.values(), *parent.values()])
            if leak.what in reported or f" {leak.phrase} " in known:
                continue
            reported.add(leak.what)
            shown = leak.phrase if len(leak.phrase) <= SHOWN_CHARACTERS else leak.phrase[:SHOWN_CHARACTERS] + "…"
            line = None if leak.what in _GUESSABLE else leak.line
            yield Finding("leakage", path, line, _LEAKS[leak.what].format(f"“{shown}”"))


def _leaks_in(path: str, content: bytes, context: ReviewContext) -> Iterator[Leak]:
    """Leaks in a file's name, its text, and in its text as Python or Jinja put it together."""
    answers = not context.closed_labels
    text = content.decode("utf-8", errors="replace")
    yield from context.leaks.find(path, answers=answers)
    yield from context.leaks.find(text, answers=answers)
    joined, tags = _passages(path, text)
    for passage in joined:
        for leak in context.leaks.find(passage.text, answers=answers):
            yield Leak(leak.what, leak.phrase, passage.line + leak.line - 1)
    for literal in tags:
        if (repeated := context.leaks.find_literal(literal)) is not None:
            yield repeated


def _passages(path: str, text: str) -> tuple[tuple[Passage, ...], tuple[Passage, ...]]:
    """The texts that a file holds once it is put together, and the literals that it may compare with."""
    if path.endswith(".py"):
        tree = _tree(text)
        found = () if isinstance(tree, Finding) else tuple(literals(tree))
        return found, found
    if PROMPT_PATH.fullmatch(path) and (template := _sound_template(text)) is not None:
        return (Passage(template.prose, template.first_line),), template.literals
    return (), ()


def _sound_template(text: str) -> Template | None:
    try:
        return read_template(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _normalized(contents: Iterable[bytes]) -> str:
    words = (words_of(content.decode("utf-8", errors="replace")) for content in contents)
    return " " + " \n ".join(map(" ".join, words)) + " "
