"""What pipeline code may import and touch, read from its syntax tree.

This is a tripwire that tells an agent early and in plain words; it is not the wall. Python can be talked around any
such list, so the worker's confinement does not rely on it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from fapo.review.leaks import Passage

STDLIB = frozenset({
    "__future__", "abc", "asyncio", "bisect", "collections", "contextlib", "copy", "csv", "dataclasses", "datetime",
    "decimal", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "html", "io", "itertools", "json",
    "math", "operator", "pathlib", "random", "re", "statistics", "string", "textwrap", "time", "typing",
    "unicodedata",
})  # fmt: skip
LIBRARIES = frozenset({"Stemmer", "bm25s", "jinja2", "numpy", "rapidfuzz", "yaml"})
FAPO_NAMES = frozenset({"Case", "Prediction", "Score"})

_BUILTINS = frozenset({
    "__builtins__", "__import__", "__loader__", "__spec__", "breakpoint", "compile", "delattr", "eval", "exec",
    "globals", "setattr", "vars",
})  # fmt: skip
_INNER_MODULES = frozenset(
    {"builtins", "ctypes", "ctypeslib", "importlib", "os", "shutil", "socket", "subprocess", "sys"}
)
"""Modules that hang on the libraries, and must not be reached through them."""
_PROCESSES = frozenset({
    "create_connection", "create_subprocess_exec", "create_subprocess_shell", "environ", "open_connection",
    "open_unix_connection", "popen", "start_server", "start_unix_server",
})  # fmt: skip
_FRAMES = frozenset(
    {"ag_frame", "co_code", "cr_frame", "f_back", "f_builtins", "f_globals", "f_locals", "gi_frame", "tb_frame"}
)
_WRITES = frozenset({
    "FileIO", "chmod", "hardlink_to", "lchmod", "mkdir", "rmdir", "rmtree", "savetxt", "savez", "savez_compressed",
    "symlink_to", "tofile", "touch", "unlink", "write_bytes", "write_text",
})  # fmt: skip
_LOADERS = frozenset({"FullLoader", "UnsafeLoader", "full_load", "memmap", "unsafe_load", "unsafe_load_all"})
_ATTRIBUTES = _PROCESSES | _FRAMES | _WRITES | _LOADERS
_DUNDERS = frozenset({
    "__add__", "__aenter__", "__aexit__", "__await__", "__call__", "__contains__", "__doc__", "__enter__", "__eq__",
    "__exit__", "__ge__", "__getitem__", "__gt__", "__hash__", "__init__", "__iter__", "__le__", "__len__",
    "__lt__", "__name__", "__ne__", "__next__", "__post_init__", "__qualname__", "__repr__", "__setitem__",
    "__str__",
})  # fmt: skip
_WALKS = re.compile(
    r"__(?:bases?|builtins|class|closure|code|dict|getattribute|globals|import|loader|mro|reduce|self|subclasses)__"
)
_DUNDER = re.compile(r"__\w+__")
_ACCESSORS = frozenset({"getattr", "attrgetter", "methodcaller"})
_FREE_NAMES = frozenset({"__file__", "__name__"})
_HEX = re.compile(r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{16,}\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that pipeline code must not do. `key` is the same wherever the same thing is done."""

    key: str
    line: int
    message: str


def module_of(path: str) -> str:
    """The top-level name under which other code imports a file."""
    return PurePosixPath(path).parts[0].removesuffix(".py")


def shadowed(path: str) -> bool:
    """Whether a file takes the name of a module that it would hide or be mistaken for."""
    return module_of(path) in sys.stdlib_module_names | LIBRARIES | {"fapo"}


def violations(tree: ast.Module, own_modules: Iterable[str]) -> Iterator[Violation]:
    """What a module does that it must not, in source order within each kind."""
    allowed = STDLIB | LIBRARIES | set(own_modules)
    aliases = _module_aliases(tree)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(node, allowed)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield from _name(node, id(node) in called)
        elif isinstance(node, ast.Attribute):
            yield from _attribute(node, aliases)
        elif isinstance(node, ast.Call):
            yield from _call(node, aliases)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _constant(node, node.value)


def literals(tree: ast.Module) -> Iterator[Passage]:
    """The string literals of a module but its docstrings, `"a" + "b"` joined."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                skipped.add(id(first.value))
        if id(node) in skipped or not isinstance(node, ast.expr):
            continue
        if (text := _folded(node)) is not None:
            skipped.update(id(part) for part in ast.walk(node))
            yield Passage(text, node.lineno)


def _folded(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _folded(node.left), _folded(node.right)
        return left + right if left is not None and right is not None else None
    return None


def _module_aliases(tree: ast.Module) -> dict[str, str]:
    """Local name to the module that it stands for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = alias.name.partition(".")[0]
    return found


def _imports(node: ast.Import | ast.ImportFrom, allowed: set[str] | frozenset[str]) -> Iterator[Violation]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _import_of(alias.name, node.lineno, allowed)
        return
    module = node.module or ""
    if node.level == 0:
        yield from _import_of(module, node.lineno, allowed)
    for alias in node.names:
        name = alias.name
        if module == "fapo" and name not in FAPO_NAMES:
            yield Violation(f"import fapo.{name}", node.lineno, "of fapo, import only Case, Prediction and Score")
        elif name == "*":
            yield Violation(f"import {module}.*", node.lineno, "import names one by one instead of `*`")
        elif name in _ATTRIBUTES | _INNER_MODULES or (module in STDLIB and _hidden(name)):
            yield Violation(f"import {name}", node.lineno, f"`{name}` must not be imported; do without it")


def _import_of(module: str, line: int, allowed: set[str] | frozenset[str]) -> Iterator[Violation]:
    top = module.partition(".")[0]
    if module == "fapo" or (top in allowed and top != "fapo"):
        return
    if top == "fapo":
        yield Violation(f"import {module}", line, "of fapo, import only Case, Prediction and Score")
        return
    listed = ", ".join(sorted(LIBRARIES))
    message = f"`{top}` must not be imported; allowed are harmless standard modules, {listed}, and the pipeline's own"
    yield Violation(f"import {top}", line, message)


def _hidden(name: str) -> bool:
    """Whether a name inside a standard module is private, or a module that is not allowed."""
    private = name.startswith("_") and not _DUNDER.fullmatch(name)
    return private or (name in sys.stdlib_module_names and name not in STDLIB)


def _name(node: ast.Name, called: bool) -> Iterator[Violation]:
    name = node.id
    if name in _BUILTINS or (_DUNDER.fullmatch(name) and name not in _FREE_NAMES):
        yield Violation(name, node.lineno, f"`{name}` must not be used; write what it does as plain code")
    elif name in _ACCESSORS | {"open"} and not called:
        yield Violation(name, node.lineno, f"`{name}` may only be called directly")


def _attribute(node: ast.Attribute, aliases: dict[str, str]) -> Iterator[Violation]:
    name, module = node.attr, _module_of(node.value, aliases)
    inner = module is not None and (name in _INNER_MODULES or (module in STDLIB and _hidden(name)))
    dunder = bool(_DUNDER.fullmatch(name)) and name not in _DUNDERS
    if name in _ATTRIBUTES or inner or dunder:
        yield Violation(f".{name}", node.lineno, f"`.{name}` must not be used; reach only for what a step needs")


def _module_of(node: ast.expr, aliases: dict[str, str]) -> str | None:
    """The imported module at the root of `a.b.c`, if that is what it is."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return aliases.get(node.id) if isinstance(node, ast.Name) else None


def _call(node: ast.Call, aliases: dict[str, str]) -> Iterator[Violation]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if name == "open":
        is_method = isinstance(node.func, ast.Attribute) and _module_of(node.func, aliases) is None
        position = 0 if is_method else 1
        modes = [word.value for word in node.keywords if word.arg == "mode"] + node.args[position : position + 1]
        if any(word.arg is None for word in node.keywords) or not all(map(_reads, modes)):
            yield Violation("open to write", node.lineno, "open files only to read, with a literal mode")
    if name in _ACCESSORS:
        names = {"getattr": node.args[1:2], "methodcaller": node.args[:1]}.get(name, node.args)
        if not names or not all(_plain_attribute(arg) for arg in names):
            yield Violation(name, node.lineno, f"`{name}` takes only a literal name without underscores in front")
    if any(word.arg == "allow_pickle" for word in node.keywords):
        yield Violation("allow_pickle", node.lineno, "`allow_pickle` must not be used; store data as text")


def _reads(mode: ast.expr) -> bool:
    return isinstance(mode, ast.Constant) and isinstance(mode.value, str) and set(mode.value) <= set("rbtU")


def _plain_attribute(node: ast.expr) -> bool:
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return False
    return not any(part.startswith("_") or part in _ATTRIBUTES for part in node.value.split("."))


def _constant(node: ast.Constant, text: str) -> Iterator[Violation]:
    if found := _WALKS.search(text):
        yield Violation(f"'{found.group()}'", node.lineno, f"`{found.group()}` must not be named in a string")
    if found_hex := _HEX.search(text):
        message = "a long hexadecimal literal hides what it stands for; write a rule that anyone can read"
        yield Violation(f"hex {found_hex.group()}", node.lineno, message)
