"""What all pages share: the folder of runs, the templates, and the parameters of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse

from fapo import __version__
from fapo.ui.formats import templates
from fapo.ui.library import Library
from fapo.ui.versus import Comparer


class Site:
    """One server's pages. `closing` says that the server ends, so that streams end too."""

    def __init__(self, library: Library, closing: Callable[[], bool]) -> None:
        self.library = library
        self.comparer = Comparer(library.index)
        self.closing = closing
        self._templates: Environment = templates()
        self._templates.globals |= {"version": __version__, "include_test": library.include_test}

    def text(self, template: str, **context: Any) -> str:
        return self._templates.get_template(template).render(context)

    def page(self, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        return HTMLResponse(self.text(template, **context), status)


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def number(request: Request, name: str, default: int = 0) -> int:
    """A parameter that has to be a number from 0 on; what is none counts as the default."""
    given = request.query_params.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 12 else default
