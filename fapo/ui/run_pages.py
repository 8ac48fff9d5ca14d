"""Pages of runs: all of them, one as it goes, one variant with its diff."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from fapo.records import BASELINE
from fapo.report.diffs import side_by_side
from fapo.store.variants import take_snapshot
from fapo.ui.journal_view import decisions
from fapo.ui.library import JOURNAL, UnknownPlace
from fapo.ui.run_facts import read_run
from fapo.ui.site import site_of


def show_runs(request: Request) -> Response:
    site = site_of(request)
    return site.page("runs.html", entries=site.library.rows(), runs_dir=site.library.runs_dir)


def part_runs(request: Request) -> Response:
    site = site_of(request)
    return site.page("_runs.html", entries=site.library.rows(), runs_dir=site.library.runs_dir)


def show_run(request: Request) -> Response:
    site = site_of(request)
    facts = read_run(site.library, site.comparer, request.path_params["name"])
    return site.page("run.html", run=facts)


def show_variant(request: Request) -> Response:
    """A variant with what it changed, against its parent or the baseline."""
    site = site_of(request)
    name, variant = request.path_params["name"], request.path_params["variant"]
    facts = read_run(site.library, site.comparer, name)
    attempt = next((row.attempt for row in facts.tree if row.attempt.variant == variant), None)
    if attempt is None and variant != BASELINE:
        raise UnknownPlace(f"run {name} has no variant {variant}")
    parent = attempt.parent if attempt is not None else BASELINE
    against = BASELINE if request.query_params.get("against") == BASELINE else parent
    folders = [site.library.run(name) / "variants" / each for each in (against, variant)]
    kept = all(folder.is_dir() for folder in folders)
    files = side_by_side(*(take_snapshot(folder) for folder in folders)) if kept and against != variant else ()
    decided = list(decisions(facts.directory / JOURNAL, variant))
    numbers = [row.attempt.variant for row in facts.tree]
    place = numbers.index(variant) if variant in numbers else -1
    return site.page(
        "variant.html",
        run=facts,
        variant=variant,
        attempt=attempt,
        parent=parent,
        against=against,
        files=files,
        kept=kept,
        decided=decided,
        before=BASELINE if place == 0 else numbers[place - 1] if place > 0 else None,
        after=numbers[place + 1] if place + 1 < len(numbers) else None,
    )
