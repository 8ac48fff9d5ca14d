"""What a prompt's template uses, read from its syntax tree. Templates come from the agent: none is ever evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import jinja2
import jinja2.meta
from jinja2 import nodes

from fapo.review.changes import split_prompt
from fapo.review.leaks import Passage
from fapo.review.memory import LARGEST_COUNT

_ENVIRONMENT = jinja2.Environment(undefined=jinja2.StrictUndefined)
_FOLDED = (nodes.BinExpr, nodes.Concat, nodes.Filter)
_FORBIDDEN = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.EvalContextModifier)


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt below its front matter. Lines count from the top of the file.

    `prose` is the text between the tags, `literals` the strings inside of them. `error` tells why it cannot be read or
    must not be used; `variables` is then empty.
    """

    body: str
    first_line: int
    variables: frozenset[str] = frozenset()
    prose: str = ""
    literals: tuple[Passage, ...] = ()
    error: str | None = None
    error_line: int | None = None

    def line_of(self, name: str) -> int | None:
        """The first line with a tag that names a variable."""
        lines = enumerate(self.body.splitlines(), self.first_line)
        return next((number for number, line in lines if name in line and "{" in line), None)


class _Names(jinja2.meta.TrackingCodeGenerator):
    """Finds variables as jinja2.meta does, but folds no constants: `{{ 9 ** 9 ** 9 }}` would never end."""

    def __init__(self) -> None:
        super().__init__(_ENVIRONMENT)
        self.optimizer = None

    def _output_child_to_const(self, *_: Any) -> NoReturn:
        raise nodes.Impossible


def read_template(text: str) -> Template:
    """Read a prompt file's template. Its front matter must be sound."""
    _, body = split_prompt(text)
    first = text[: max(text.rfind(body), 0)].count("\n") + 1
    try:
        tree = _ENVIRONMENT.parse(body)
        if fault := next(_forbidden(tree), None):
            return Template(body, first, error=fault[1], error_line=fault[0] + first - 1)
        names = _Names()
        names.visit(tree)
    except jinja2.TemplateSyntaxError as error:
        return Template(body, first, error=f"template: {error.message}", error_line=error.lineno + first - 1)
    except (ValueError, RecursionError, OverflowError):
        return Template(body, first, error="template: it cannot be read; simplify it")
    prose = "".join(data.data for data in tree.find_all(nodes.TemplateData))
    constants = tree.find_all(nodes.Const)
    literals = tuple(Passage(c.value, c.lineno + first - 1) for c in constants if isinstance(c.value, str))
    return Template(body, first, frozenset(names.undeclared_identifiers), prose, literals)


def _forbidden(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """Line and reason of what a prompt must not do: reach into Python, or other templates, or compute with constants.

    Jinja computes those while it compiles, which elsewhere happens outside of the worker.
    """
    for node in tree.find_all(nodes.Node):
        attribute = None
        if isinstance(node, nodes.Getattr):
            attribute = node.attr
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            attribute = str(node.arg.value)
        if attribute is not None and attribute.startswith("_"):
            yield node.lineno, f"a prompt must not reach for `{attribute}`; fill in plain values"
        elif isinstance(node, nodes.Filter) and node.name in ("attr", "map") and _names_private(node):
            yield node.lineno, f"the filter `{node.name}` must not reach for attributes; fill in plain values"
        elif isinstance(node, _FOLDED) and getattr(node, "node", node) is not None and not node.find(nodes.Name):
            yield node.lineno, "a prompt must not compute with constants; write the value"
        elif isinstance(node, nodes.Compare) and _singles_out(node):
            yield (
                node.lineno,
                "a length is compared with an exact value, which singles out cases; go by what a text says",
            )
        elif isinstance(node, _FORBIDDEN):
            yield node.lineno, "a prompt stands alone: no include, import, extends or autoescape"


def _singles_out(node: nodes.Compare) -> bool:
    exact = any(operand.op in ("eq", "ne", "in", "notin") for operand in node.ops)
    constants = (constant.value for constant in node.find_all(nodes.Const))
    large = any(isinstance(value, int) and value > LARGEST_COUNT for value in constants)
    measured = any(each.name in ("length", "count", "sum", "wordcount") for each in node.find_all(nodes.Filter))
    return exact and large and measured


def _names_private(node: nodes.Filter) -> bool:
    return node.name == "attr" or any(keyword.key == "attribute" for keyword in node.kwargs)
