"""Figures and facts of a run in words, the same in Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from fapo.records import Usage
from fapo.report.facts import RunReport
from fapo.report.run_summary import RunSummary, Spending, counted


def points(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"


def dollars(cost: float | None) -> str:
    if cost is None:
        return "unknown"
    return f"${cost:,.2f}" if cost >= 1 or cost == 0 else f"${cost:.4f}" if cost >= 0.001 else f"${cost:.6f}"


def seconds(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.1f} s"


def duration(value: float) -> str:
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def when(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def paid(usage: Spending) -> str:
    return f"Paid: task {_paid(usage.task)}; judge {_paid(usage.judge)}; optimizer {_paid(usage.optimizer)}."


def _paid(usage: Usage) -> str:
    cost = "unknown cost" if usage.cost_usd is None else f"${usage.cost_usd:.4f}"
    return f"{cost} ({usage.llm_calls:,} calls, {usage.cached_calls:,} cached)"


def limits_of(report: RunReport) -> str:
    """What the run was bounded by, as far as the command that asks for it again says it."""
    words = report.ran.command.split(" --")[1:]
    return ", ".join(f"--{option.strip()}" for option in words) or "those that are the default"


def about_measurement(summary: RunSummary) -> Iterator[str]:
    """How the verdict was reached: a sentence each."""
    yield f"Levels opened: {', '.join(summary.levels) or 'none'}."
    races = "" if summary.saved is None else f"; races saved {summary.saved:.0%} of their cases"
    yield f"Accepted was by the rule {summary.acceptance}, in {counted(summary.looks, 'look')} at validation{races}."
    if summary.detectable_gain is not None:
        least = f"{100 * summary.detectable_gain:.1f} points"
        yield f"Minimum detectable effect: one look finds a true gain of {least} four times in five."
    if (noise := summary.noise) is not None:
        yield (f"Noise floor: two runs of the baseline differ on {noise.discordant:.0%} of {noise.n} cases, and by "
               f"{points(noise.difference)} points.")  # fmt: skip
    if (look := summary.test_look) is not None:
        yield f"Test: look {look.number} at these cases; it confirms where one-sided p ≤ {look.alpha:g} (`fapo.lock`)."
    yield f"Pipeline code was confined by: {summary.isolation or 'nothing ran yet'}."
    named = ", ".join(f"{name} {value}" for name, value in summary.guards.items() if value is not None)
    yield f"The benchmark's guards: {named}." if named else "The benchmark declares no guards."


def about_agent(summary: RunSummary) -> Iterator[str]:
    """Who searched, and what its confinement left open: a sentence each."""
    agent = summary.agent
    if summary.optimizer == "gepa":
        yield f"Optimizer: GEPA, with {agent.model} to reflect; its verdicts went by the mean alone."
    elif not agent.sessions:
        yield f"Agent: {agent.model}; no session began."
    else:
        versions = f", claude-agent-sdk {agent.sdk}" if agent.sdk else ""
        versions += f", CLI {agent.cli}" if agent.cli else ""
        yield (f"Agent: {agent.model}{versions}, {counted(agent.sessions, 'session')}; its process was confined by: "
               f"{agent.isolation or 'none'}.")  # fmt: skip
    yield from (f"Left open: {end}." for end in agent.open_ends)
