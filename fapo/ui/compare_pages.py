"""Pages that put two evaluations beside each other."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fapo.records import CaseRecord
from fapo.report.diffs import FileDiff, side_by_side
from fapo.ui.case_table import CaseFilter, find_sample
from fapo.ui.library import EvaluationPlace, Library, UnknownPlace
from fapo.ui.site import Site, number, site_of
from fapo.ui.trace_index import read_record
from fapo.ui.trace_view import Block, block, pair_steps, view_trace

PAGE = 100


def show_compare(request: Request) -> Response:
    """Two evaluations; without both, what there is to choose from."""
    site = site_of(request)
    given = {side: request.query_params.get(side, "") for side in ("a", "b")}
    if not all(given.values()):
        return site.page("compare_choice.html", given=given, choices=_choices(site.library))
    return site.page("compare.html", **_changes(request))


def part_changes(request: Request) -> Response:
    return site_of(request).page("_changes.html", **_changes(request))


def show_pair(request: Request) -> Response:
    return site_of(request).page("pair.html", **_pair(request), alone=True)


def part_pair(request: Request) -> Response:
    return site_of(request).page("_pair.html", **_pair(request), alone=False)


def _pair(request: Request) -> dict[str, Any]:
    """One case on both sides: predictions and steps."""
    site = site_of(request)
    a, b = _sides(site, request)
    case, trial = request.query_params.get("case", ""), number(request, "trial")
    records = [_record(site.library, place, case, trial) for place in (a, b)]
    if records == [None, None]:
        raise UnknownPlace(f"neither evaluation has a record of case {case}, trial {trial}")
    labels = site.library.labels(b).cases.get(case) or site.library.labels(a).cases.get(case)
    some = next(record for record in records if record is not None)
    steps = [(step, text_diff(*step.texts)) for step in pair_steps(*records)]
    answers = [_answer(record) for record in records]
    first = next((number for number, (step, _) in enumerate(steps) if not step.is_same), None)
    return {"a": a, "b": b, "case_id": case, "trial": trial, "records": records, "steps": steps, "first": first,
            "about": view_trace(some, labels, ()), "answers": answers}  # fmt: skip


def _choices(library: Library) -> list[str]:
    """Evaluations that may be compared, the latest run first."""
    found: list[str] = []
    for entry in library.rows():
        if entry.row.kind == "eval":
            found.append(entry.row.name)
        else:
            found += [p.at for p in library.evaluations(entry.row.name) if not p.manifest.variant.startswith("draft-")]
    return found


def _sides(site: Site, request: Request) -> tuple[EvaluationPlace, EvaluationPlace]:
    a, b = (site.library.evaluation(request.query_params.get(side, "")) for side in ("a", "b"))
    return a, b


def _changes(request: Request) -> dict[str, Any]:
    site = site_of(request)
    a, b = _sides(site, request)
    versus = site.comparer.compare(a.directory, b.directory)
    show, text, start = (
        request.query_params.get("show", "all"),
        request.query_params.get("q", ""),
        number(request, "start"),
    )
    chosen = versus.chosen(show, text)
    end = start + PAGE
    return {"a": a, "b": b, "versus": versus, "show": show, "q": text, "rows": chosen[start:end], "start": start,
            "total": len(chosen), "next": end if end < len(chosen) else None}  # fmt: skip


def _record(library: Library, place: EvaluationPlace, case: str, trial: int) -> CaseRecord | None:
    library.index.update(place.directory, 2.0)
    found = find_sample(library.index, library.index.file_of(place.directory), case, trial, CaseFilter())
    return None if found is None else read_record(place.directory, found.begins, found.length)


def _answer(record: CaseRecord | None) -> Block:
    """The prediction, or what stood in its way."""
    if record is None:
        return block("not run", "")
    if (failure := record.failure) is not None:
        return block(f"{failure.owner} failure, {failure.kind}", failure.message)
    return block("", "" if record.prediction is None else record.prediction.output)


def text_diff(a: str, b: str) -> FileDiff | None:
    """Two texts line by line; None where they are equal."""
    found = side_by_side({"text": a.encode()}, {"text": b.encode()})
    return found[0] if found else None
