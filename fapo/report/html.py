"""`report.html` of a run: one file that needs nothing else and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from fapo.report import words
from fapo.report.charts import charts, drawable
from fapo.report.facts import RunReport, variant_tree
from fapo.report.headline import notices, outcome, tiles
from fapo.report.run_summary import describe_gain, describe_mean, verdict_sentence
from fapo.report.traces_shown import case_shown

_TICKS = re.compile(r"`([^`\n]{1,80})`")


def run_html(report: RunReport) -> str:
    """The report as one page. Whatever comes from cases, models and agents is escaped; only fapo's scripts may run."""
    scripts = [asset("echarts.min.js"), asset("report.js")]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            summary=report.summary,
            verdict=verdict_sentence(report.summary),
            outcome=outcome(report.summary),
            notices=tuple(notices(report)),
            tiles=tuple(tiles(report)),
            charts=charts(report),
            drawn=drawable(report.summary.variants),
            tree=variant_tree(report.summary.variants),
            lists=[(each, tuple(map(case_shown, each.cases))) for each in report.cases if each.total],
            policy=content_policy(scripts),
            style=asset("report.css"),
            scripts=scripts,
        )
    )


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
