"""`report.html` of a run: one file that needs nothing else and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from fapo.report import words
from fapo.report.charts import charts, drawable, loss_chart
from fapo.report.facts import CaseList, EvaluationReport, RunReport, variant_tree
from fapo.report.headline import (
    evaluation_notices,
    evaluation_sentence,
    evaluation_tiles,
    notices,
    outcome,
    tiles,
)
from fapo.report.run_summary import describe_gain, describe_mean, verdict_sentence
from fapo.report.traces_shown import CaseShown, case_shown

_TICKS = re.compile(r"`([^`\n]{1,80})`")


def run_html(report: RunReport) -> str:
    """The report of a run as one page.

    Whatever comes from cases, models and agents is escaped, and only fapo's scripts may run.
    """
    summary = report.summary
    sealed = ""
    if summary.test_gain is not None and not report.includes_test:
        sealed = f"On test {summary.test_gain.won:,} cases were won and {summary.test_gain.lost:,} lost."
    return _page(
        "report.html.j2",
        report=report,
        summary=summary,
        title=summary.pipeline,
        subtitle=words.when(report.ran.started_at) if report.ran.started_at else "",
        verdict=verdict_sentence(summary),
        outcome=outcome(summary),
        notices=tuple(notices(report)),
        tiles=tuple(tiles(report)),
        charts=charts(report),
        drawn=drawable(summary.variants),
        tree=variant_tree(summary.variants),
        lists=_lists(report.cases, "baseline"),
        first="baseline",
        has_best=summary.best.variant != "000",
        sealed=sealed,
    )


def evaluation_html(report: EvaluationReport) -> str:
    """The report of an evaluation as one page, under the same rules."""
    sealed = "These are test cases." if report.split == "test" and not report.includes_test else ""
    return _page(
        "evaluation.html.j2",
        report=report,
        title=report.pipeline,
        subtitle=f"{report.variant} on {report.split}",
        verdict=evaluation_sentence(report),
        outcome=("Evaluation", "plain"),
        notices=tuple(evaluation_notices(report)),
        tiles=tuple(evaluation_tiles(report)),
        charts={"chart-losses": loss_chart(report.losses, report.variant)} if report.losses.steps else {},
        lists=_lists(report.cases, report.variant),
        first=report.variant,
        has_best=False,
        sealed=sealed,
    )


def _lists(cases: Iterable[CaseList], first: str) -> list[tuple[CaseList, tuple[CaseShown, ...]]]:
    return [(each, tuple(case_shown(case, first) for case in each.cases)) for each in cases if each.total]


def _page(template: str, **facts: Any) -> str:
    scripts = [asset("echarts.min.js"), asset("report.js")]
    own = {"policy": content_policy(scripts), "style": asset("report.css"), "scripts": scripts}
    return _environment().get_template(template).render(**facts, **own)


def content_policy(scripts: Sequence[str]) -> str:
    """A Content-Security-Policy that runs these scripts and no others, and forbids all of the network."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def ticked(text: str) -> Markup:
    """Text with what stands in backticks as code, all of it escaped."""
    return Markup(_TICKS.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704


@cache
def asset(name: str) -> Markup:
    """A script or style sheet of fapo's own, to be put between tags as it is."""
    return Markup(resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8"))  # noqa: S704


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("fapo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = ("points", "number", "dollars", "seconds", "duration", "when")
    found.filters |= {name: getattr(words, name) for name in filters}
    found.filters["ticked"] = ticked
    found.globals |= {
        "describe_gain": describe_gain,
        "describe_mean": describe_mean,
        "about_measurement": words.about_measurement,
        "about_agent": words.about_agent,
        "limits_of": words.limits_of,
        "paid": words.paid,
    }
    return found
