"""What a finished optimization found, as a record and as Markdown."""

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
    """Mean scores of one variant. `test` is None while test is sealed."""

    validation: float
    test: float | None


@dataclass(frozen=True, slots=True)
class Best:
    variant: str
    level: Level | None
    validation: float
    test: float | None


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One submitted variant, with its difference to its parent on the `cases` of validation that settled it.

    None where review turned it down before it cost anything. `review` is what the independent reviewer said.
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
    """The result of `fapo optimize`."""

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
    detectable_gain: float
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


def verdict_sentence(summary: RunSummary) -> str:
    """The outcome in one sentence."""
    if summary.best.variant == "000":
        return (
            f"Nothing was accepted: {len(summary.variants)} variants were tried and none beat the baseline on "
            f"validation ({summary.baseline.validation:.3f}) by more than chance explains. Test stays sealed. "
            f"Why it ended: {summary.why}."
        )
    gain = summary.test_gain
    assert gain is not None
    figures = f"{describe_gain(gain)}"
    if summary.status == "improved":
        return f"Variant {summary.best.variant} ({summary.best.level}) is better than the baseline on test: {figures}."
    best = f"Variant {summary.best.variant} ({summary.best.level})"
    return f"{best} won on validation, but test does not confirm it: {figures}."


def describe_gain(gain: Gain) -> str:
    low, high = gain.ci95
    interval = f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}"
    return f"{100 * gain.mean:+.1f} points ({interval}, p = {gain.p:.2g}, n = {gain.n})"


def run_markdown(summary: RunSummary) -> str:
    """`report.md` of a run."""
    lines = [f"# fapo: {summary.pipeline}", ""]
    if summary.note:
        lines += [f"> **Note:** {summary.note}.", ""]
    lines += [verdict_sentence(summary), "", "| | validation | test |", "|---|--:|--:|"]
    lines.append(f"| baseline | {summary.baseline.validation:.3f} | {_mean(summary.baseline.test)} |")
    if summary.best.variant != "000":
        lines.append(f"| best ({summary.best.variant}) | {summary.best.validation:.3f} | {_mean(summary.best.test)} |")
    for name, gain in (("validation", summary.validation_gain), ("test", summary.test_gain)):
        if gain is not None:
            lines += [
                "",
                f"Gain on {name}: {describe_gain(gain)}; {gain.won} cases better, {gain.lost} worse.",
            ]
    if summary.validation_gain and summary.test_gain:
        gap = summary.validation_gain.mean - summary.test_gain.mean
        lines += [
            "",
            f"Validation-to-test gap of the gain: {100 * gap:+.1f} points, after {summary.looks} looks at validation.",
        ]
    names = ("variant", "parent", "level", "step", "technique", "hypothesis", "points", "cases", "reviewer", "verdict",
             "reason")  # fmt: skip
    lines += ["", "## Variants", "", f"| {' | '.join(names)} |", "|---|---|---|---|---|---|--:|--:|---|---|---|"]
    for row in summary.variants:
        points = "–" if row.difference is None else f"{100 * row.difference:+.1f}"
        cases = "–" if row.cases is None else str(row.cases)
        cells = (row.id, row.parent, row.level or "", row.step, row.technique, row.hypothesis, points, cases,
                 row.review or "–", row.verdict or "", row.reason)  # fmt: skip
        lines.append("| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in cells) + " |")
    lines += ["", "## How it was measured", "",
              f"- Levels opened: {', '.join(summary.levels)}.",
              f"- Accepted was by the rule {summary.acceptance}, in {summary.looks} looks at validation"
              f"{'' if summary.saved is None else f'; races saved {summary.saved:.0%} of their cases'}.",
              f"- A look finds a true gain of {100 * summary.detectable_gain:.1f} points four times in five.",
              *_noise(summary.noise), *_test_look(summary.test_look),
              f"- Pipeline code was confined by: {summary.isolation}.",
              *_guards(summary.guards), _optimizer(summary),
              *(f"- Left open: {end}." for end in summary.agent.open_ends),
              f"- Paid: task {_paid(summary.usage.task)}; judge {_paid(summary.usage.judge)}; "
              f"optimizer {_paid(summary.usage.optimizer)}."]  # fmt: skip
    if summary.patch:
        lines += ["", "## Apply it", "",
                  f"The best variant lies in `{summary.best_dir}`. The patch against the baseline:",
                  "", f"    git apply --directory=PIPELINE_DIR {summary.patch}"]  # fmt: skip
    return "\n".join(lines) + "\n"


def _guards(guards: dict[str, Any]) -> list[str]:
    named = ", ".join(f"{name} {value}" for name, value in guards.items() if value is not None)
    return [f"- The benchmark's guards: {named}."] if named else []


def _optimizer(summary: RunSummary) -> str:
    agent = summary.agent
    if summary.optimizer == "gepa":
        return f"- Optimizer: GEPA, with {agent.model} to reflect; its verdicts went by the mean alone."
    return (f"- Agent: {agent.model}, claude-agent-sdk {agent.sdk}, CLI {agent.cli}, {agent.sessions} sessions; its "
            f"process was confined by: {agent.isolation or 'none'}.")  # fmt: skip


def _noise(noise: Noise | None) -> list[str]:
    if noise is None:
        return []
    return [f"- Noise floor: two runs of the baseline differ on {noise.discordant:.0%} of {noise.n} cases, and by "
            f"{100 * noise.difference:+.1f} points."]  # fmt: skip


def _test_look(look: TestLookFacts | None) -> list[str]:
    if look is None:
        return []
    return [f"- Test: look {look.number} at these cases; it confirms where one-sided p ≤ {look.alpha:g} (`fapo.lock`)."]


def _mean(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _paid(usage: Usage) -> str:
    cost = "unknown cost" if usage.cost_usd is None else f"${usage.cost_usd:.4f}"
    return f"{cost} ({usage.llm_calls} calls, {usage.cached_calls} cached)"
