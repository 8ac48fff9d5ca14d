"""The review of a variant: everything that can be held against it before a call is paid for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import yaml

from fapo.records import Level
from fapo.review.address import addressed
from fapo.review.changes import PROMPT_PATH, SPEC_FILE, FileChange, LevelChange, Snapshot, changed_level, text_of
from fapo.review.code import Violation, literals, module_of, shadowed, violations
from fapo.review.disguise import disguised, in_pieces
from fapo.review.leaks import Leak, LeakIndex, Passage, What, words_of
from fapo.review.memory import remembering
from fapo.review.templates import Template, read_template

PROMPT_GROWTH = 2
PROMPT_ROOM = 4_000
"""Characters that a prompt may always gain over the baseline, even where it more than doubles."""
MAX_FILE_BYTES = 256 * 1024
MAX_ADDED_BYTES = 2 * 1024 * 1024
SHOWN_CHARACTERS = 80
SCORER_WORDS = 8
CODE_FILE = "pipeline.py"

_LEAKS: dict[What, str] = {
    "text": "repeats a case's text ({}); say it in your own words, as a rule that fits unseen cases",
    "literal": "this literal is a piece of a case's text ({}); test for something that unseen cases have too",
    "id": "names a case id; remove whatever points at single cases",
    "answer": "holds the expected answer of a case (which one is not told); use made-up names and values in examples",
    "argument": "names what only the score function is told (which name is not told); say it as a request would",
    "short literal": "a literal is the whole input of a case (which one is not told); go by rules, not by single cases",
}
_GUESSABLE: frozenset[What] = frozenset({"id", "answer", "short literal", "argument"})


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
    scorer: str = ""
    """The source of the score function, whose words a variant must not repeat."""


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
    return Review((*_levels(change, context), *review_contents(parent, candidate, context)), change.level)


def review_contents(parent: Snapshot, candidate: Snapshot, context: ReviewContext) -> tuple[Finding, ...]:
    """Review what an owner changed, at any level, or with an empty `parent` a whole pipeline and all but its code."""
    change = changed_level(parent, candidate)
    changed = tuple(file.path for file in change.files if file.kind != "deleted")
    return (
        *_files(change.files, candidate, context),
        *_prompts(change.files, parent, candidate),
        *(_code(changed, parent, candidate, context) if parent else ()),
        *_contract(change.files, parent, candidate),
        *_leaks(changed, parent, candidate, context),
        *_addresses(changed, parent, candidate, context),
    )


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
    known = {fault.key for tree in trees if isinstance(tree, ast.Module) for fault in _faults(tree, own)}
    for path in paths:
        tree = _tree(text_of(candidate[path]))
        if isinstance(tree, Finding):
            yield Finding(tree.check, path, tree.line, tree.message)
            continue
        reported = set(known)
        for fault in _faults(tree, own):
            if fault.key not in reported:
                reported.add(fault.key)
                yield Finding("code", path, fault.line, fault.message)


def _faults(tree: ast.Module, own: set[str]) -> Iterator[Violation]:
    yield from violations(tree, own)
    yield from remembering(tree)


def _contract(changes: Sequence[FileChange], parent: Snapshot, candidate: Snapshot) -> Iterator[Finding]:
    """Words of a prompt that unchanged code reads in the reply: without them the scorer gets nothing."""
    if any(file.path.endswith(".py") for file in changes):
        return
    read: set[str] | None = None
    for file in changes:
        before, after = text_of(parent.get(file.path)), text_of(candidate.get(file.path))
        if not PROMPT_PATH.fullmatch(file.path) or before is None or after is None:
            continue
        if read is None:
            sources = (text_of(content) for path, content in parent.items() if path.endswith(".py"))
            trees = (_tree(source) for source in sources)
            read = {word for tree in trees if isinstance(tree, ast.Module) for word in _read_words(tree)}
        for word in sorted(read):
            whole = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
            if whole.search(before) and not whole.search(after):
                yield Finding("contract", file.path, None, f"`{word}`, which {CODE_FILE} reads in the reply, is gone; "
                                                           "keep the output's format")  # fmt: skip


_FORMAT_WORD = re.compile(r"</?\w+>|[A-Z][A-Z_]{2,}:?|\w+_\w+")


def _read_words(tree: ast.Module) -> Iterator[str]:
    """Literals of code that look like parts of a format: tags, keys with an underscore, words in capitals.

    Not those that name steps, placeholders or inputs.
    """
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("llm", "call") and node.args:
            skipped.add(id(node.args[0]))
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "inputs":
            skipped.add(id(node.slice))
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)) or id(node) in skipped:
            continue
        if _FORMAT_WORD.fullmatch(node.value.strip()):
            yield node.value.strip()


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
            if leak.what in reported or f" {' '.join(words_of(leak.phrase))} " in known:
                continue
            reported.add(leak.what)
            shown = leak.phrase if len(leak.phrase) <= SHOWN_CHARACTERS else leak.phrase[:SHOWN_CHARACTERS] + "…"
            line = None if leak.what in _GUESSABLE else leak.line
            yield Finding("leakage", path, line, _LEAKS[leak.what].format(f"“{shown}”"))


def _addresses(
    changed: Iterable[str], parent: Snapshot, candidate: Snapshot, context: ReviewContext
) -> Iterator[Finding]:
    """Words to whoever judges, and words of the scorer, that were not there before."""
    scorer = LeakIndex(dict.fromkeys(_sentences(context.scorer), 1), (), ())
    for path in changed:
        text = candidate[path].decode("utf-8", errors="replace")
        before = "\n".join(
            known.get(path, b"").decode("utf-8", errors="replace") for known in (parent, context.baseline)
        )
        old = {passage.text for passage in addressed(before)}
        for passage in addressed(text):
            if passage.text not in old:
                message = f"“{passage.text[:SHOWN_CHARACTERS]}” speaks to whoever judges the variant; remove it"
                yield Finding("address", path, passage.line, message)
        for leak in scorer.find(text, answers=False):
            if f" {leak.phrase} " not in _normalized([before.encode()]):
                yield Finding("scorer", path, leak.line, "repeats the score function's text; say what a good answer is")
                break


def _sentences(source: str) -> list[str]:
    """Texts and comments of the score function's source, of eight words or more."""
    tree = _tree(source)
    found = [] if isinstance(tree, Finding) else [passage.text for passage in literals(tree)]
    if not isinstance(tree, Finding):
        found += [doc for node in ast.walk(tree) if isinstance(node, ast.Module | ast.FunctionDef)
                  if (doc := ast.get_docstring(node))]  # fmt: skip
    found += [line.partition("#")[2] for line in source.splitlines() if "#" in line]
    return [text for text in found if len(words_of(text)) >= SCORER_WORDS]


def _leaks_in(path: str, content: bytes, context: ReviewContext) -> Iterator[Leak]:
    """Leaks in a file's name, its text, and in its text as Python or Jinja put it together."""
    answers = not context.closed_labels
    text = content.decode("utf-8", errors="replace")
    yield from context.leaks.find(path, answers=answers)
    yield from context.leaks.find(text, answers=answers)
    if answers:
        yield from context.leaks.find_arguments(text)
    for passage in disguised(text):
        for leak in context.leaks.find(passage.text, answers=answers):
            yield Leak(leak.what, leak.phrase, passage.line + leak.line - 1)
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
        if isinstance(tree, Finding):
            return (), ()
        found = tuple(literals(tree))
        hidden = tuple(hidden for passage in found for hidden in disguised(passage.text))
        return (*found, *hidden, *in_pieces(tree)), found
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
