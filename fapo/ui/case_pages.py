"""Pages of evaluations: figures, the table of cases, one trace. What grows is indexed a little with each request."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fapo.ui.case_table import SORTS, CaseFilter, find_sample, read_blames, read_facets, read_page
from fapo.ui.formats import link
from fapo.ui.library import EvaluationPlace, UnknownPlace
from fapo.ui.site import Site, number, site_of
from fapo.ui.trace_index import read_record
from fapo.ui.trace_view import view_trace


def _place(request: Request) -> EvaluationPlace:
    return site_of(request).library.evaluation(request.path_params["at"])


def _figures(site: Site, place: EvaluationPlace, seconds: float, *, patient: bool) -> dict[str, Any]:
    progress, waiting = site.library.refresh(place, seconds, patient=patient)
    file = site.library.index.file_of(place.directory)
    return {
        "progress": progress,
        "waiting": waiting,
        "figures": site.library.index.figures(file),
        "steps": site.library.index.steps(file),
        "facets": read_facets(site.library.index, file),
        "missing": site.library.why_unlabelled(place),
    }


def _rows(site: Site, place: EvaluationPlace, wanted: CaseFilter, start: int) -> dict[str, Any]:
    index = site.library.index
    return {"page": read_page(index, index.file_of(place.directory), wanted, start), "wanted": wanted, "place": place}


def show_evaluation(request: Request) -> Response:
    site, place, wanted = site_of(request), _place(request), _wanted(request)
    figures = _figures(site, place, 0.3, patient=False)
    others = site.library.evaluations(place.run) if place.run is not None else []
    return site.page(
        "evaluation.html",
        **figures,
        **_rows(site, place, wanted, 0),
        sorts=list(SORTS),
        others=[other for other in others if other.manifest.split == place.manifest.split and other.at != place.at],
    )


def part_figures(request: Request) -> Response:
    """The figures above the table, again; they ask for themselves as long as something is to be indexed."""
    site, place = site_of(request), _place(request)
    return site.page("_figures.html", **_figures(site, place, 1.0, patient=True), place=place, wanted=_wanted(request))


def part_cases(request: Request) -> Response:
    """Rows of the table from `start` on; with 0, the page's address follows the filter."""
    site, place, wanted = site_of(request), _place(request), _wanted(request)
    start = number(request, "start")
    site.library.index.update(place.directory, 0.1)
    answer = site.page("_cases.html", **_rows(site, place, wanted, start))
    if start == 0:
        answer.headers["HX-Replace-Url"] = link(f"/evaluation/{place.at}", **wanted.parameters())
    return answer


def show_trace(request: Request) -> Response:
    return site_of(request).page("trace.html", **_trace(request))


def part_trace(request: Request) -> Response:
    return site_of(request).page("_trace.html", **_trace(request), alone=False)


def _trace(request: Request) -> dict[str, Any]:
    site, place, wanted = site_of(request), _place(request), _wanted(request)
    index = site.library.index
    index.update(place.directory, 2.0)
    case, trial = request.query_params.get("case", ""), number(request, "trial")
    found = find_sample(index, index.file_of(place.directory), case, trial, wanted)
    if found is None:
        raise UnknownPlace(f"{place.at} has no record of case {case}, trial {trial}")
    record = read_record(place.directory, found.begins, found.length)
    labels = site.library.labels(place)
    whole = request.query_params.get("whole") == "1"
    view = view_trace(record, labels.cases.get(case), read_blames(index, found.sample), whole=whole)
    return {"view": view, "found": found, "place": place, "wanted": wanted, "missing": labels.missing}


def _wanted(request: Request) -> CaseFilter:
    return CaseFilter.read(dict(request.query_params))
