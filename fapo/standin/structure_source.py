"""Changes to Python source that leave all else as it is: `ast` says where, text is inserted there."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return)
_NEW_SCOPE = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
_NOT_REPEATABLE = (ast.Await, ast.NamedExpr, ast.Yield, ast.YieldFrom)


@dataclass(frozen=True, slots=True)
class StepCall:
    """One `ctx.llm("name", ...)` or `ctx.call("name", function, ...)`, where it is and what is around it.

    `statement` is the simple statement that contains it, `function` the top-level function. `plain` tells whether
    a statement can be put before `statement` that uses the same names.
    """

    name: str
    kind: str
    node: ast.Call
    statement: ast.stmt
    function: ast.stmt
    plain: bool


@dataclass(slots=True)
class SourceEdit:
    """A module's source, and the changes to it that `text` applies."""

    source: str
    tree: ast.Module
    _changes: list[tuple[int, int, str]] = field(default_factory=list)
    _imports: set[str] = field(default_factory=set)

    @classmethod
    def parse(cls, source: str) -> SourceEdit | None:
        """None where the source does not parse."""
        try:
            return cls(source, ast.parse(source))
        except (SyntaxError, ValueError):
            return None

    # -- looking

    def calls(self, name: str | None = None) -> list[StepCall]:
        """The step calls with a literal name, in source order; with `name`, those of that step."""
        found = [call for top in self.tree.body for call in _calls_in(self, top)]
        return [call for call in found if name in (None, call.name)]

    def segment(self, node: ast.AST) -> str:
        text = ast.get_source_segment(self.source, node)
        return text if text is not None else ast.unparse(node)

    def unused(self, name: str) -> str:
        """`name`, or `name_2`, `name_3`, ... where the source mentions it already."""
        number, candidate = 1, name
        while candidate in self.source:
            number += 1
            candidate = f"{name}_{number}"
        return candidate

    def offset(self, line: int, column: int) -> int:
        """The index in `source` of a place that ast names by line (from 1) and column (in UTF-8 bytes)."""
        lines = self.source.split("\n")
        before = sum(len(text) + 1 for text in lines[: line - 1])
        text = lines[line - 1] if line <= len(lines) else ""
        return min(before + len(text.encode()[:column].decode()), len(self.source))

    # -- changing

    def insert(self, at: int, text: str) -> None:
        self._changes.append((at, at, text))

    def replace(self, node: ast.expr, text: str) -> None:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start, end = self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset)
        self._changes.append((start, end, text))

    def add_imports(self, *lines: str) -> None:
        self._imports |= set(lines)

    def add_before(self, statement: ast.stmt, code: str) -> None:
        """Put `code`, not indented, on the lines before a statement, at its indentation."""
        indent = " " * statement.col_offset
        text = "".join(f"{indent}{line}\n" if line else "\n" for line in code.split("\n"))
        self.insert(self.offset(statement.lineno, 0), text)

    def add_after(self, statement: ast.stmt, code: str) -> None:
        assert statement.end_lineno is not None
        indent = " " * statement.col_offset
        at = self.offset(statement.end_lineno + 1, 0)
        newline = "" if self.source[:at].endswith("\n") else "\n"
        self.insert(at, newline + "".join(f"{indent}{line}\n" if line else "\n" for line in code.split("\n")))

    def add_definitions(self, function: ast.stmt, code: str) -> None:
        """Put top-level code before a top-level function, its decorators and the comments on top of it."""
        decorators = getattr(function, "decorator_list", [])
        line = min([function.lineno, *(decorator.lineno for decorator in decorators)])
        lines = self.source.split("\n")
        while line > 1 and lines[line - 2].startswith("#"):
            line -= 1
        self.insert(self.offset(line, 0), code.strip("\n") + "\n\n\n")

    def text(self) -> str | None:
        """The changed source, or None where it does not parse any more."""
        changes = [*self._changes, *self._import_changes()]
        result = self.source
        from_the_end = sorted(enumerate(changes), key=lambda item: (*item[1][:2], item[0]), reverse=True)
        for _, (start, end, text) in from_the_end:
            result = result[:start] + text + result[end:]
        try:
            ast.parse(result)
        except SyntaxError:
            return None
        return result

    def _import_changes(self) -> Iterator[tuple[int, int, str]]:
        """Each missing import goes where it belongs by its group (standard library, foreign, fapo) and its name."""
        present = [node for node in self.tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        present = [node for node in present if _root(node) != "__future__"]
        known = {ast.unparse(node): node for node in present}
        missing = sorted((_group(ast.parse(line).body[0]), _order(line), line) for line in self._imports - set(known))
        for group in sorted({group for group, _, _ in missing}):
            lines = [(order, line) for other, order, line in missing if other == group]
            alike = {_order(text): node for text, node in known.items() if _group(node) == group}
            if alike:
                for order, line in lines:
                    yield self._beside(line, order, alike)
            else:
                yield self._apart("\n".join(line for _, line in lines), group, present)

    def _beside(self, line: str, order: _Order, alike: Mapping[_Order, ast.stmt]) -> tuple[int, int, str]:
        later = [other for other in sorted(alike) if other > order]
        if later:
            at = self.offset(alike[later[0]].lineno, 0)
        else:
            at = self.offset((alike[max(alike)].end_lineno or 0) + 1, 0)
        return at, at, f"{line}\n"

    def _apart(self, block: str, group: int, present: list[ast.Import | ast.ImportFrom]) -> tuple[int, int, str]:
        later = [node for node in present if _group(node) > group]
        if later:
            at = self.offset(later[0].lineno, 0)
            return at, at, f"{block}\n\n"
        at = self.offset((present[-1].end_lineno or 0) + 1, 0) if present else self._after_head()
        return at, at, f"\n{block}\n" if at else f"{block}\n\n"

    def _after_head(self) -> int:
        """Where imports may begin in a module that has none: after its docstring and `__future__`."""
        end = 0
        for node in self.tree.body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if not docstring and not isinstance(node, ast.ImportFrom):
                break
            end = node.end_lineno or end
        return self.offset(end + 1, 0) if end else 0


def repeatable(node: ast.AST) -> bool:
    """Whether an expression can be written a second time without doing something a second time that awaits or binds."""
    return not any(isinstance(part, _NOT_REPEATABLE) for part in ast.walk(node))


def top_level_names(tree: ast.Module) -> set[str]:
    """The names that a module defines or imports at its top level."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _calls_in(edit: SourceEdit, top: ast.stmt) -> Iterator[StepCall]:
    lines = edit.source.split("\n")
    for path in _paths(top, ()):
        node = path[-1]
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        first = node.args[0]
        if (
            node.func.attr not in ("llm", "call")
            or not isinstance(first, ast.Constant)
            or not isinstance(first.value, str)
        ):
            continue
        depth = max(index for index, part in enumerate(path) if isinstance(part, ast.stmt))
        statement = path[depth]
        assert isinstance(statement, ast.stmt)
        alone = not lines[statement.lineno - 1].encode()[: statement.col_offset].strip()
        between: Iterable[ast.AST] = path[depth:]
        plain = alone and isinstance(statement, _SIMPLE) and not any(isinstance(part, _NEW_SCOPE) for part in between)
        yield StepCall(first.value, node.func.attr, node, statement, top, plain)


def _paths(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[tuple[ast.AST, ...]]:
    path = (*above, node)
    yield path
    for child in ast.iter_child_nodes(node):
        yield from _paths(child, path)


_Order = tuple[bool, str]


def _order(line: str) -> _Order:
    return line.startswith("from"), line.casefold()


def _group(node: ast.stmt) -> int:
    root = _root(node)
    return 0 if root in sys.stdlib_module_names else 2 if root == "fapo" else 1


def _root(node: ast.stmt) -> str:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0]
    assert isinstance(node, ast.Import)
    return node.names[0].name.split(".")[0]
