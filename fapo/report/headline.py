"""What a reader sees first: the notices that restrict what the figures mean, and the figures in tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fapo.report.facts import Efficiency, EvaluationReport, RunReport
from fapo.report.run_summary import ENDED, Gain, Means, RunSummary, counted, describe_mean
from fapo.report.words import dollars, duration, number, points, seconds

Tone = Literal["good", "bad", "warn", "plain"]


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure: what it is, the figure, and a line that puts it in relation."""

    label: str
    value: str
    detail: str
    tone: Tone = "plain"


def outcome(summary: RunSummary) -> tuple[str, Tone]:
    """The outcome in two words, and what to think of it."""
    words: dict[str, tuple[str, Tone]] = {
        "improved": ("Gain confirmed on test", "good"),
        "unconfirmed": ("Not confirmed on test", "warn"),
        "no_gain": ("No gain found", "plain"),
        "running": ("Still running", "plain"),
        "unfinished": ("Not finished", "warn"),
    }
    return words.get(summary.status, (summary.status, "plain"))


def notices(report: RunReport) -> Iterator[str]:
    """What has to be known before a figure is read, a sentence each."""
    summary, asked = report.summary, report.asked
    if summary.note:
        yield f"{summary.note}."
    if asked.optimizer_model and asked.optimizer_model.removeprefix("codex/").startswith("standin/"):
        yield f"{asked.optimizer_model} is a rule-driven stand-in for the optimizer's model."
    if summary.status not in ENDED:
        yield (
            "The run has not ended: what is here can still change, and nothing is confirmed on test. A lead on "
            "validation is what the search selected by, and tends to be too large."
        )
    if "none" in summary.isolation.split(", "):
        yield "Pipeline code ran without isolation: labels and keys were readable by code that the agent wrote."
    if unknown := [name for name, usage in _purposes(summary) if usage is None]:
        yield f"What was paid is unknown for: {', '.join(unknown)}."
    if report.includes_test:
        yield "This report holds text of test cases: who tunes by it has used them up."
    yield from report.ran.notes


def tiles(report: RunReport) -> Iterator[Tile]:
    """The figures at the top, the most important first."""
    summary = report.summary
    improved = summary.best.variant != "000"
    before = summary.baseline
    after = Means(summary.best.validation, summary.best.test) if improved else Means(None, None)
    if before.test is None:
        yield Tile("Score on test", "sealed", "opened once, at the end of a search that finds something")
    else:
        yield _score("Score on test", before.test, after.test, summary.test_gain, outcome(summary)[1])
    if before.validation is None:
        yield Tile("Score on validation", "not run", "what the search is judged by")
    else:
        yield _score("Score on validation", before.validation, after.validation, summary.validation_gain)
    if summary.validation_gain and summary.test_gain:
        gap = summary.validation_gain.mean - summary.test_gain.mean
        yield Tile("Validation-to-test gap", f"{points(gap)} points",
                   f"of the gain, after {counted(summary.looks, 'look')} at validation")  # fmt: skip
    accepted = sum(row.verdict == "accepted" for row in summary.variants)
    yield Tile("Variants", f"{accepted} of {len(summary.variants)}",
               f"accepted; review turned down {len(summary.variants) - summary.looks}")  # fmt: skip
    yield from _efficiency(report.steps.baseline, report.steps.best)
    spent = (summary.usage.task + summary.usage.judge + summary.usage.optimizer).cost_usd
    calls = summary.usage.task
    yield Tile("Paid", dollars(spent), f"{calls.llm_calls:,} task calls, {calls.cached_calls:,} more from the cache")
    yield Tile("Took", duration(summary.wall_s), counted(summary.agent.sessions, "agent session")
               if summary.optimizer == "fapo" else "GEPA")  # fmt: skip


def _score(label: str, before: float, after: float | None, gain: Gain | None, tone: Tone = "plain") -> Tile:
    if after is None or gain is None:
        return Tile(label, describe_mean(before), "the baseline")
    low, high = gain.ci95
    figures = f"{describe_mean(before)} → {describe_mean(after)}"
    return Tile(label, figures, f"{points(gain.mean)} points, {points(low)} to {points(high)}", tone)


def _efficiency(before: Efficiency | None, after: Efficiency | None) -> Iterator[Tile]:
    if before is None:
        return
    if before.cost_usd or (after is not None and after.cost_usd) or before.tokens is None:
        yield _change("Cost of a case", dollars(before.cost_usd), None if after is None else dollars(after.cost_usd),
                      _growth(before.cost_usd, after.cost_usd if after else None))  # fmt: skip
    else:
        yield _change("Tokens of a case", number(before.tokens), None if after is None else number(after.tokens),
                      _growth(before.tokens, after.tokens if after else None))  # fmt: skip
    yield _change("Latency of a case", seconds(before.p50_s), None if after is None else seconds(after.p50_s),
                  _growth(before.p50_s, after.p50_s if after else None))  # fmt: skip


def _change(label: str, before: str, after: str | None, growth: str) -> Tile:
    return Tile(label, before if after is None else f"{before} → {after}", growth)


def _growth(before: float | None, after: float | None) -> str:
    """How much more it is; with nothing in the cache, since that is what figures of a case count."""
    share = "" if not before or after is None else f"{100 * (after / before - 1):+.0f} %, "
    return f"{share}nothing cached"


def evaluation_sentence(report: EvaluationReport) -> str:
    """What was measured, in one sentence."""
    name = report.pipeline if report.variant == report.pipeline else f"{report.variant} of {report.pipeline}"
    if report.score is None:
        return f"No case of {name} on {report.split} is decided yet."
    mean, low, high = report.score
    trials = "" if report.trials == 1 else f", {report.trials} samples each"
    return (f"{name} scores {mean:.3f} on {report.split} (95 % interval {low:.3f} to {high:.3f}, "
            f"n = {report.n}{trials}).")  # fmt: skip


def evaluation_notices(report: EvaluationReport) -> Iterator[str]:
    """What has to be known before a figure of an evaluation is read."""
    if report.note:
        yield f"{report.note}."
    if report.undecided:
        yield f"{report.undecided:,} were not run or are undecided, and count nowhere."
    if report.isolation == "none":
        yield "Pipeline code ran without isolation."
    if report.includes_test:
        yield "This report holds text of test cases: who tunes by it has used them up."
    if report.missing:
        yield f"Inputs and labels of the cases are left out: {report.missing}."


def evaluation_tiles(report: EvaluationReport) -> Iterator[Tile]:
    """The figures of an evaluation."""
    if report.score is not None:
        mean, low, high = report.score
        yield Tile("Score", f"{mean:.3f}", f"95 % interval {low:.3f} to {high:.3f}")
    yield Tile("Cases", f"{report.n:,}", f"{report.failures:,} failed and count 0",
               "warn" if report.failures else "plain")  # fmt: skip
    yield from _efficiency(report.steps.baseline, None)
    spent = (report.usage + report.judge_usage).cost_usd
    yield Tile("Paid", dollars(spent), f"{report.usage.llm_calls:,} task calls, {report.usage.cached_calls:,} more "
               "from the cache")  # fmt: skip


def _purposes(summary: RunSummary) -> tuple[tuple[str, float | None], ...]:
    usage = summary.usage
    return (("task", usage.task.cost_usd), ("judge", usage.judge.cost_usd), ("optimizer", usage.optimizer.cost_usd))
