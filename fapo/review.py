"""Deterministic checks on a variant that cost nothing: its level, placeholders, leakage, imports, sizes. Pure.

They run before a variant may cost money. What cannot be read off the text (state kept between cases, say) is the worker's
to prevent.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import frontmatter
import yaml

from fapo.errors import UsageError
from fapo.pipeline.prompts import parse_prompt
from fapo.records import LEVELS, Case, Level

Snapshot = Mapping[str, bytes]

NGRAM = 8
"""So many words in a row from a case, in a text that did not have them before, count as copied: shorter runs are common
phrases of a domain, and eight words hardly ever recur by chance."""
LITERAL_NGRAM = 5
"""The limit inside string literals of code, where a branch on a case's text would stand."""
PROMPT_GROWTH = 2.0
PROMPT_ROOM = 4000
MAX_FILE_BYTES = 256 * 1024
MAX_ADDED_BYTES = 2 * 2**20
MIN_ID_LENGTH = 6

ALLOWED_IMPORTS = frozenset(
    [
        "__future__",
        "abc",
        "array",
        "asyncio",
        "base64",
        "bisect",
        "calendar",
        "collections",
        "copy",
        "csv",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fractions",
        "functools",
        "hashlib",
        "heapq",
        "html",
        "io",
        "itertools",
        "json",
        "logging",
        "math",
        "numbers",
        "operator",
        "pathlib",
        "random",
        "re",
        "statistics",
        "string",
        "textwrap",
        "time",
        "types",
        "typing",
        "unicodedata",
        "urllib.parse",
        "warnings",
        "zlib",
        "fapo",
        "bm25s",
        "Stemmer",
        "numpy",
        "jinja2",
        "yaml",
        "rapidfuzz",
    ]
)
_DENIED_CALLS = frozenset({"eval", "exec", "compile", "__import__", "breakpoint", "input", "globals", "vars"})
_ALLOWED_DUNDERS = frozenset(
    {"__file__", "__name__", "__init__", "__len__", "__iter__", "__getitem__", "__contains__", "__call__", "__post_init__",
     "__repr__", "__str__", "__eq__", "__hash__", "__lt__", "__enter__", "__exit__", "__aenter__", "__aexit__", "__doc__"}
)  # fmt: skip
_WORD = re.compile(r"\w+")
_ZERO_WIDTH = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and what to do about it."""

    check: str
    path: str
    line: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Review:
    """What the checks found. `level` is the highest level that the variant changed, None where nothing changed."""

    level: Level | None
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class LeakIndex:
    """What must not be copied: runs of words of all cases, their ids, and their answers."""

    runs: frozenset[int]
    literal_runs: frozenset[int]
    ids: frozenset[str]
    answers: frozenset[str]

    @classmethod
    def build(cls, cases: Iterable[Case]) -> LeakIndex:
        runs: set[int] = set()
        literal_runs: set[int] = set()
        ids: set[str] = set()
        answers: set[str] = set()
        for case in cases:
            for text in _texts(case.inputs):
                words = normal_words(text)
                runs |= _runs(words, NGRAM)
                literal_runs |= _runs(words, LITERAL_NGRAM)
            if len(case.id) >= MIN_ID_LENGTH and not case.id.isdigit():
                ids.add(case.id.casefold())
            for text in _texts(case.expected):
                words = normal_words(text)
                if len(words) >= 2 or len(text) >= 8:
                    answers.add(" ".join(words))
        return cls(frozenset(runs), frozenset(literal_runs), frozenset(ids), frozenset(answers))


@dataclass(frozen=True, slots=True)
class _Owned:
    """What the baseline says itself: its owner wrote it, so it is no leak."""

    runs: frozenset[int]
    literal_runs: frozenset[int]
    text: str
    words: str

    @classmethod
    def read(cls, baseline: Snapshot) -> _Owned:
        texts = [content.decode(errors="replace") for content in baseline.values()]
        words = [normal_words(text) for text in texts]
        runs = frozenset().union(*(_runs(each, NGRAM) for each in words))
        literal_runs = frozenset().union(*(_runs(each, LITERAL_NGRAM) for each in words))
        joined = " ".join(" ".join(each) for each in words)
        return cls(runs, literal_runs, "\n".join(texts).casefold(), f" {joined} ")


@dataclass(frozen=True, slots=True)
class ReviewContext:
    """What a review holds a variant against. `baseline` is the pipeline as its owner wrote it."""

    open_levels: frozenset[Level]
    baseline: Snapshot
    leaks: LeakIndex
    closed_labels: bool


def review(parent: Snapshot, candidate: Snapshot, context: ReviewContext) -> Review:
    """Check `candidate` against its parent and the baseline."""
    levels, findings = _changes(parent, candidate)
    if not levels and not findings:
        return Review(None, (Finding("change", "", None, "nothing changed; edit a file first"),))
    for path, level in levels.items():
        if level not in context.open_levels:
            opened = ", ".join(name for name in LEVELS if name in context.open_levels)
            findings.append(
                Finding(
                    "level", path, None, f"this is a {level} change, and that level is closed (open: {opened}); undo it"
                )
            )
    owned = _Owned.read(context.baseline)
    for path in levels:
        if path in candidate:
            findings += _check_file(path, parent, candidate, context, owned)
    added = sum(len(candidate[path]) for path in levels if path in candidate and path not in parent)
    if added > MAX_ADDED_BYTES:
        findings.append(
            Finding("size", "", None, f"new files hold {added:,} bytes; at most {MAX_ADDED_BYTES:,} are allowed")
        )
    highest = max(levels.values(), key=LEVELS.index, default=None)
    return Review(highest, tuple(findings))


# -- levels


def _changes(parent: Snapshot, candidate: Snapshot) -> tuple[dict[str, Level], list[Finding]]:
    """The level of each changed file; changes that no level allows are findings."""
    levels: dict[str, Level] = {}
    findings: list[Finding] = []
    for path in sorted({*parent, *candidate}):
        old, new = parent.get(path), candidate.get(path)
        if old == new:
            continue
        try:
            level = _level(path, old, new)
        except _Immutable as refusal:
            findings.append(Finding("immutable", path, None, str(refusal)))
            continue
        if level is not None:
            levels[path] = level
    return levels, findings


class _Immutable(Exception):
    """A change that no level allows."""


def _level(path: str, old: bytes | None, new: bytes | None) -> Level | None:
    if path == "pipeline.yaml":
        return _spec_level(old, new)
    if path.startswith("resources/") and old is not None:
        raise _Immutable("resources that exist never change; add a new file instead")
    if path.startswith("prompts/") and old is not None and new is not None:
        return _prompt_level(old, new)
    return "structure"


def _spec_level(old: bytes | None, new: bytes | None) -> Level | None:
    if old is None or new is None:
        raise _Immutable("pipeline.yaml must stay")
    try:
        before, after = yaml.safe_load(old), yaml.safe_load(new)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _Immutable(f"broken YAML: {' '.join(str(error).split())}") from None
    if not isinstance(after, dict):
        raise _Immutable("must stay a mapping")
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    if fixed := changed - {"params"}:
        raise _Immutable(f"only `params` may change here, not `{min(fixed)}`")
    return "parameter" if changed else None


def _prompt_level(old: bytes, new: bytes) -> Level:
    """`sampling` in the front matter is a parameter; its other keys decide how code uses the prompt."""
    try:
        before, body_before = frontmatter.parse(old.decode())
        after, body_after = frontmatter.parse(new.decode())
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise _Immutable(f"front matter: {' '.join(str(error).split())}") from None
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    if changed - {"sampling"}:
        return "structure"
    if changed and body_before == body_after:
        return "parameter"
    return "parameter" if changed else "prompt"


# -- checks of one file


def _check_file(
    path: str, parent: Snapshot, candidate: Snapshot, context: ReviewContext, owned: _Owned
) -> Iterator[Finding]:
    content = candidate[path]
    if len(content) > MAX_FILE_BYTES:
        yield Finding("size", path, None, f"{len(content):,} bytes; at most {MAX_FILE_BYTES:,} are allowed")
        return
    if not _is_allowed_path(path):
        yield Finding(
            "path", path, None, "only pipeline.yaml, *.py, prompts/*.md and resources/** belong to a pipeline"
        )
        return
    try:
        text = content.decode()
    except UnicodeDecodeError:
        yield Finding("text", path, None, "must be UTF-8 text")
        return
    code_changed = any(parent.get(p) != candidate.get(p) for p in {*parent, *candidate} if p.endswith(".py"))
    if path.startswith("prompts/"):
        yield from _check_prompt(path, text, parent, context, code_changed=code_changed)
    if path.endswith(".py"):
        yield from _check_code(path, text, candidate, context)
        yield from _check_literals(path, text, context.leaks, owned)
    yield from _check_leaks(path, text, context, owned)


def _is_allowed_path(path: str) -> bool:
    pure = PurePosixPath(path)
    if path.startswith("prompts/"):
        return pure.suffix == ".md" and len(pure.parts) == 2
    return path == "pipeline.yaml" or pure.suffix == ".py" or path.startswith("resources/")


def _check_prompt(
    path: str, text: str, parent: Snapshot, context: ReviewContext, *, code_changed: bool
) -> Iterator[Finding]:
    try:
        prompt = parse_prompt(text, Path(path))
    except UsageError as error:
        yield Finding("prompt", path, error.line, str(error).split(": ", 1)[1])
        return
    if path in parent and not code_changed:
        before = parse_prompt(parent[path].decode(), Path(path)).variables
        for name in sorted(before - prompt.variables):
            yield Finding("placeholder", path, None, f"the placeholder {{{{ {name} }}}} is gone; put it back")
        for name in sorted(prompt.variables - before):
            yield Finding("placeholder", path, None, f"nothing fills the new placeholder {{{{ {name} }}}}; remove it")
    origin = len(context.baseline[path].decode()) if path in context.baseline else 0
    limit = max(int(PROMPT_GROWTH * origin), origin + PROMPT_ROOM)
    if len(text) > limit:
        yield Finding("size", path, None, f"{len(text):,} characters; a prompt may grow to {limit:,}: say it shorter")


def _check_code(path: str, text: str, candidate: Snapshot, context: ReviewContext) -> Iterator[Finding]:
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        yield Finding("syntax", path, error.lineno, f"syntax error: {error.msg}")
        return
    allowed = ALLOWED_IMPORTS | _own_modules(candidate) | _imports_of(context.baseline)
    baseline = _risky(context.baseline[path].decode(errors="replace")) if path in context.baseline else set()
    for node in ast.walk(tree):
        for name in _imported(node):
            if not _is_allowed_import(name, allowed):
                message = f"`import {name}` is not allowed in pipeline code; use the standard library's harmless part"
                yield Finding("import", path, getattr(node, "lineno", None), message)
        if (risk := _risk(node)) and risk not in baseline:
            yield Finding("side effect", path, getattr(node, "lineno", None), f"{risk} is not allowed in pipeline code")


def _check_literals(path: str, text: str, leaks: LeakIndex, owned: _Owned) -> Iterator[Finding]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        if _runs(normal_words(node.value), LITERAL_NGRAM) & leaks.literal_runs - owned.literal_runs:
            message = "a text of a case stands in the code; a branch for single cases is not allowed"
            yield Finding("leak", path, node.lineno, message)


def _is_allowed_import(name: str, allowed: frozenset[str] | set[str]) -> bool:
    return name in allowed or name.split(".")[0] in allowed


def _own_modules(snapshot: Snapshot) -> set[str]:
    paths = [PurePosixPath(path) for path in snapshot if path.endswith(".py")]
    return {path.parts[0].removesuffix(".py") for path in paths}


def _imports_of(snapshot: Snapshot) -> set[str]:
    names: set[str] = set()
    for path, content in snapshot.items():
        if path.endswith(".py"):
            try:
                tree = ast.parse(content)
            except (SyntaxError, ValueError):
                continue
            names |= {name for node in ast.walk(tree) for name in _imported(node)}
    return names


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module if node.module and not node.level else "relative import" if node.level else "?"


def _risky(source: str) -> set[str]:
    try:
        return {risk for node in ast.walk(ast.parse(source)) if (risk := _risk(node))}
    except SyntaxError:
        return set()


def _risk(node: ast.AST) -> str | None:
    """What a node does that pipeline code has no business with."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func.id
        if name in _DENIED_CALLS:
            return f"`{name}()`"
        if name in ("getattr", "setattr", "delattr") and not _is_plain_attribute(node.args):
            return f"`{name}()` with a computed or hidden name"
        if name == "open" and _opens_for_writing(node):
            return "opening a file for writing"
    if isinstance(node, ast.Attribute) and node.attr in (
        "write_text",
        "write_bytes",
        "unlink",
        "symlink_to",
        "chmod",
        "rmdir",
    ):
        return f"`.{node.attr}`"
    if isinstance(node, ast.Attribute) and node.attr.startswith("__") and node.attr not in _ALLOWED_DUNDERS:
        return f"`.{node.attr}`"
    if isinstance(node, ast.Name) and node.id.startswith("__") and node.id not in _ALLOWED_DUNDERS:
        return f"`{node.id}`"
    return None


def _is_plain_attribute(arguments: Sequence[ast.expr]) -> bool:
    if len(arguments) < 2 or not isinstance(arguments[1], ast.Constant) or not isinstance(arguments[1].value, str):
        return False
    return not arguments[1].value.startswith("_") and not hasattr(builtins, arguments[1].value)


def _opens_for_writing(call: ast.Call) -> bool:
    mode = call.args[1] if len(call.args) > 1 else next((k.value for k in call.keywords if k.arg == "mode"), None)
    if mode is None:
        return False
    return not (isinstance(mode, ast.Constant) and isinstance(mode.value, str) and set(mode.value) <= set("rbt"))


# -- leakage


def normal_words(text: str) -> list[str]:
    """The words of a text after Unicode NFKC, case folding, and without invisible characters and punctuation."""
    plain = unicodedata.normalize("NFKC", text).translate(_ZERO_WIDTH).casefold()
    return _WORD.findall(plain.replace("_", " "))


def _runs(words: Sequence[str], length: int) -> set[int]:
    return {hash(tuple(words[i : i + length])) for i in range(len(words) - length + 1)}


def _texts(value: Any) -> Iterator[str]:
    """All texts and numbers in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _check_leaks(path: str, text: str, context: ReviewContext, owned: _Owned) -> Iterator[Finding]:
    if unescaped := _unescape(text):
        text = f"{text}\n{unescaped}"
    for number, line_words in _lines(text):
        if copied := _runs(line_words, NGRAM) & context.leaks.runs - owned.runs:
            message = (
                f"{NGRAM} words in a row are copied from a case ({len(copied)} such runs); say it in your own words"
            )
            yield Finding("leak", path, number, message)
            return
    folded = unicodedata.normalize("NFKC", text).translate(_ZERO_WIDTH).casefold()
    for ident in sorted(context.leaks.ids):
        if ident in folded and ident not in owned.text and re.search(rf"(?<![\w-]){re.escape(ident)}(?![\w-])", folded):
            yield Finding("leak", path, None, f"names the case {ident}; remove it")
            return
    if not context.closed_labels:
        padded = f" {' '.join(normal_words(text))} "
        for answer in sorted(context.leaks.answers):
            if f" {answer} " in padded and f" {answer} " not in owned.words:
                yield Finding("leak", path, None, f"contains the expected answer {answer!r} of a case; remove it")
                return


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The words that begin on each line, with enough of the following ones that no run is missed."""
    words: list[tuple[int, str]] = [
        (number, word) for number, line in enumerate(text.splitlines(), 1) for word in normal_words(line)
    ]
    start = 0
    while start < len(words):
        end = start
        while end < len(words) and words[end][0] == words[start][0]:
            end += 1
        yield words[start][0], [word for _, word in words[start : end + NGRAM - 1]]
        start = end


def _unescape(text: str) -> str:
    r"""The text with `\uXXXX` and `\xXX` escapes read, or an empty text where there are none."""
    if "\\u" not in text and "\\x" not in text:
        return ""

    def read(match: re.Match[str]) -> str:
        return str(json.loads(f'"\\u{int(match.group(1) or match.group(2), 16):04x}"'))

    return re.sub(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})", read, text)
