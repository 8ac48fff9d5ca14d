"""Code that remembers: state that outlives a case, and tables and fingerprints that stand for single cases.

A case must be answered from its own inputs. What one case leaves behind for the next makes scores depend on their
order, and can carry what a variant saw into later ones.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from fapo.review.code import Violation

TABLE_ENTRIES = 60
"""Constants of one literal in code, beyond which it is data: that belongs into a resource, where it is reviewed."""
LARGEST_COUNT = 20
"""What lengths, sums and positions may be compared with at most: shapes are small, fingerprints are not."""
_MEASURES = frozenset({"len", "sum", "ord", "count", "index", "find"})
_SEEDS = frozenset({"Random", "seed", "from_bytes", "default_rng"})
FINGERPRINTS = frozenset({"blake2b", "blake2s", "hash", "md5", "sha1", "sha224", "sha256", "sha384", "sha512"})
_CACHES = frozenset({"cache", "cached_property", "lru_cache"})
_CHANGES = frozenset({
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
    "setdefault", "update",
})  # fmt: skip
_CONTAINERS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_MAKERS = frozenset({"list", "dict", "set", "defaultdict", "Counter", "deque", "OrderedDict"})
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def remembering(tree: ast.Module) -> Iterator[Violation]:
    """State between cases, look-ups by fingerprint and large tables, in source order."""
    shared = _shared_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global | ast.Nonlocal):
            yield Violation("global", node.lineno, "`global` keeps state between cases; pass values on instead")
        elif isinstance(node, _Function):
            yield from _function(node, shared)
        elif isinstance(node, ast.Call) and _called(node) in FINGERPRINTS:
            message = f"`{_called(node)}` can single out cases by a fingerprint; go by what a text says"
            yield Violation(f"fingerprint {_called(node)}", node.lineno, message)
        elif isinstance(node, ast.Call) and (told := _told_apart(node)) is not None:
            message = f"`{told}` of a text can single out cases by a fingerprint; go by what a text says"
            yield Violation(f"fingerprint {told}", node.lineno, message)
        elif isinstance(node, ast.Compare) and (measure := _exact_measure(node)) is not None:
            message = f"{measure} is compared with an exact value, which singles out cases; go by what a text says"
            yield Violation(f"exact {measure}", node.lineno, message)
        elif isinstance(node, ast.Dict | ast.List | ast.Set | ast.Tuple) and _size(node) > TABLE_ENTRIES:
            message = f"a literal of {_size(node)} constants is data; put it into resources/, where it can be reviewed"
            yield Violation(f"table of {_size(node)}", node.lineno, message)


def _told_apart(node: ast.Call) -> str | None:
    """How a number is made of a text: by a sum of its characters' codes, or as the seed of a random generator."""
    name = _called(node)
    if name in _SEEDS and node.args and not isinstance(node.args[0], ast.Constant):
        return name
    codes = any(isinstance(inner, ast.Name) and inner.id == "ord" for inner in ast.walk(node))
    return "a sum of ord" if name in ("sum", "reduce") and codes else None


def _exact_measure(node: ast.Compare) -> str | None:
    """A length, count or far position that is tested for being one of some numbers or signs."""
    sides = [node.left, *node.comparators]
    if not all(isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops):
        return None
    constants = [inner.value for side in sides for inner in ast.walk(side) if isinstance(inner, ast.Constant)]
    large = any(isinstance(value, int) and abs(value) > LARGEST_COUNT for value in constants)
    for side in sides:
        inner = side.left if isinstance(side, ast.BinOp) else side
        if isinstance(inner, ast.Call) and _called(inner) in _MEASURES and large:
            return f"`{_called(inner)}`"
        if isinstance(inner, ast.Subscript) and large and any(isinstance(value, str) for value in constants):
            return "a far position"
    return None


def _function(node: _Function, shared: frozenset[str]) -> Iterator[Violation]:
    for default in [*node.args.defaults, *(each for each in node.args.kw_defaults if each)]:
        if isinstance(default, _CONTAINERS) or (isinstance(default, ast.Call) and _called(default) in _MAKERS):
            yield Violation("mutable default", default.lineno, "a mutable default keeps state between cases; use None")
    for decorator in node.decorator_list:
        name = _name(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if name in _CACHES:
            message = f"`@{name}` keeps state between cases; build what is shared once, when the module is imported"
            yield Violation(f"@{name}", decorator.lineno, message)
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and _called(inner) in ("next", "anext") and inner.args:
            yield from _change(inner.args[0], inner.lineno, shared)
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr in _CHANGES:
            yield from _change(inner.func.value, inner.lineno, shared)
        elif isinstance(inner, ast.Assign | ast.AugAssign | ast.Delete):
            targets = [inner.target] if isinstance(inner, ast.AugAssign) else inner.targets
            for target in targets:
                if isinstance(target, ast.Subscript | ast.Attribute):
                    yield from _change(target.value, inner.lineno, shared)


def _change(place: ast.expr, line: int, shared: frozenset[str]) -> Iterator[Violation]:
    while isinstance(place, ast.Subscript | ast.Attribute):
        place = place.value
    if isinstance(place, ast.Name) and place.id in shared:
        message = f"`{place.id}` is shared by all cases and changed while one runs; keep what a case needs inside of it"
        yield Violation(f"state {place.id}", line, message)


def _shared_names(tree: ast.Module) -> frozenset[str]:
    """Names of a module's own values, functions and classes, which all cases share, unless a local one hides them."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    local: set[str] = set()
    for function in ast.walk(tree):
        if isinstance(function, _Function):
            arguments = function.args
            local |= {each.arg for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
            local |= {name.id for inner in ast.walk(function) if isinstance(inner, ast.Assign)
                      for name in inner.targets if isinstance(name, ast.Name)}  # fmt: skip
    return frozenset(names - local)


def _called(node: ast.Call) -> str:
    return _name(node.func)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _size(node: ast.Dict | ast.List | ast.Set | ast.Tuple) -> int:
    """The constants in a literal, those of its parts included."""
    return sum(isinstance(inner, ast.Constant) for inner in ast.walk(node))
