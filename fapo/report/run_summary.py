"""What an optimization found, as a record and in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fapo.records import Level, Usage


@dataclass(frozen=True, slots=True)
class Gain:
    """A paired difference of best and baseline on one split: mean, 95 % interval, two-sided p, cases."""

    mean: float
    ci95: tuple[float, float]
    p: float
    n: int
    won: int
    lost: int
    p_greater: float


@dataclass(frozen=True, slots=True)
class Noise:
    """Two runs of the same pipeline on validation: the share of `n` cases that differ, and the means' difference."""

    discordant: float
    difference: float
    n: int


@dataclass(frozen=True, slots=True)
class TestLookFacts:
    """Which look at these test cases this was, the level that its one-sided p had to reach, and where that is kept."""

    __test__ = False

    number: int
    alpha: float
    lock: str


@dataclass(frozen=True, slots=True)
class Means:
    """Mean scores of one variant. `test` is None while test is sealed, `validation` before it was run."""

    validation: float | None
    test: float | None


@dataclass(frozen=True, slots=True)
class Best:
    variant: str
    level: Level | None
    validation: float | None
    test: float | None


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One submitted variant, with its difference to its parent on the `cases` of validation that settled it.

    None where review turned it down before it cost anything. `review` is what the independent reviewer said; `p` is
    one-sided and had to reach `alpha`; `mean` is over the cases that were run, `estimate` the parent's mean and the
    difference, which can be compared between variants; `demand` is what one case took with nothing cached, on average.
    """

    id: str
    parent: str
    level: Level | None
    technique: str
    step: str
    hypothesis: str
    verdict: str | None
    reason: str
    difference: float | None
    cases: int | None
    review: str | None
    at_s: float = 0.0
    """When it was submitted, seconds after the run began."""
    p: float | None = None
    alpha: float | None = None
    mean: float | None = None
    estimate: float | None = None
    demand: CaseDemand | None = None
    review_reason: str = ""
    lesson: str = ""


@dataclass(frozen=True, slots=True)
class CaseDemand:
    """What one case takes on average with nothing cached. None is unknown."""

    calls: float
    tokens: float | None
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Spending:
    """What was paid, by purpose."""

    task: Usage
    judge: Usage
    optimizer: Usage


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """Who searched, and what the confinement of its process left open."""

    sdk: str
    cli: str
    model: str
    sessions: int
    isolation: str
    open_ends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The result of `fapo optimize`, or what there is of it: `status` is `running` or `unfinished` before the end."""

    status: str
    why: str
    pipeline: str
    note: str | None
    baseline: Means
    best: Best
    validation_gain: Gain | None
    test_gain: Gain | None
    variants: tuple[VariantRow, ...]
    optimizer: str
    guards: dict[str, Any]
    looks: int
    searched: int
    """Task-model calls of the search, those that the cache answered included."""
    wall_s: float
    """From the first event to the last."""
    detectable_gain: float | None
    noise: Noise | None
    acceptance: str
    test_look: TestLookFacts | None
    saved: float | None
    levels: tuple[Level, ...]
    usage: Spending
    agent: AgentFacts
    isolation: str
    run_dir: str
    best_dir: str
    patch: str | None
    report: str
    page: str
    changes: tuple[str, ...] = ()
    """What the best variant changes: each file with the lines that it adds and removes."""


ENDED = ("improved", "unconfirmed", "no_gain")
"""What a run that has ended has as its status."""


def last_line(summary: RunSummary) -> str:
    """What changed and how to have it, or why nothing did."""
    if summary.best.variant == "000":
        return f"nothing changed: {_why_nothing(summary)}"
    doubt = "" if summary.status == "improved" else "not confirmed on test, so look before you "
    return (
        f"changed: {', '.join(summary.changes)}; {doubt}write it into the pipeline with: fapo apply {summary.run_dir}"
    )


def _why_nothing(summary: RunSummary) -> str:
    if not summary.variants:
        return f"no variant was submitted ({summary.why})"
    refused = sum(row.difference is None for row in summary.variants)
    looked = len(summary.variants) - refused
    parts = [f"{looked} of {len(summary.variants)} variants were validated, none better than chance explains"]
    parts += [f"{refused} turned down unpaid"] if refused else []
    least = summary.detectable_gain
    missed = "" if least is None else f"; a gain below {100 * least:.1f} points is likely missed"
    return f"{', '.join(parts)}{missed}"


def verdict_sentence(summary: RunSummary) -> str:
    """The outcome in one sentence."""
    if summary.status not in ENDED:
        return _so_far(summary)
    if summary.best.variant == "000":
        return (
            f"Nothing was accepted: of {counted(len(summary.variants), 'variant')} none beat the baseline on "
            f"validation ({describe_mean(summary.baseline.validation)}) by more than chance explains. "
            f"Test stays sealed. Why it ended: {summary.why}."
        )
    gain = summary.test_gain
    best = f"Variant {summary.best.variant} ({summary.best.level})"
    if gain is None:
        return f"{best} won on validation; what test said of it cannot be read back."
    figures = f"{describe_gain(gain)}"
    if summary.status == "improved":
        return f"{best} is better than the baseline on test: {figures}."
    return f"{best} won on validation, but test does not confirm it: {figures}."


def _so_far(summary: RunSummary) -> str:
    state = "This run is still going" if summary.status == "running" else "This run did not end"
    begin = f"{state}, so nothing is proved: of {counted(len(summary.variants), 'variant')}"
    if summary.best.variant == "000" or summary.validation_gain is None:
        return f"{begin} none is accepted so far. {_sentence(summary.why)}"
    best = f"{summary.best.variant} ({summary.best.level})"
    return f"{begin} {best} leads on validation by {describe_gain(summary.validation_gain)}. {_sentence(summary.why)}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def describe_gain(gain: Gain) -> str:
    low, high = gain.ci95
    interval = f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}"
    return f"{100 * gain.mean:+.1f} points ({interval}, p = {gain.p:.2g}, n = {gain.n})"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def describe_mean(value: float | None) -> str:
    """A mean score; that of test is sealed as long as there is none."""
    return "–" if value is None else f"{value:.3f}"
