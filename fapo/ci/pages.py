"""A night in Markdown: for the page of its job, and for the pull request."""

from __future__ import annotations

import re

from fapo.ci.night import Night, difference_text, outcome, score_text, sentence, sight_text
from fapo.report.run_summary import Gain, RunSummary, VariantRow, describe_gain
from fapo.stats import Interval
from fapo.store.testlock import LOCK_FILE, Baseline

_STATUS = {"baseline": "baseline recorded", "steady": "steady", "fell": "fell", "improved": "better variant found"}

_NOTHING = "\u200b"
"""A space without width, which keeps GitHub from making links and mentions."""


def night_page(night: Night) -> str:
    """What `$GITHUB_STEP_SUMMARY` shows."""
    lines = [f"## fapo: {night.pipeline}: {_STATUS[night.status]}", "", *_note(night.note), safe(sentence(night)), ""]
    lines += ["| validation | mean score | 95 % interval | cases |", "|---|--:|--:|--:|"]
    if night.fall is not None:
        lines.append(_row(f"baseline of {night.baseline.recorded[:10]}", night.baseline))
    lines.append(_row("today", night.score))
    if night.fall is not None:
        lines += ["", f"Difference: {difference_text(night.fall)}; {sight_text(night.fall)}. {_spent(night)}"]
    elif night.before is not None:
        lines += ["", f"The baseline before, of {night.before.recorded[:10]}: {score_text(night.before)}."]
    if night.search is not None:
        lines += ["", *_search(night.search)]
    if night.pull_request is not None:
        lines += ["", f"Pull request: {night.pull_request.url}"]
    elif night.proposal is not None:
        lines += ["", f"Branch: `{night.proposal.branch}`"]
    return "\n".join(lines) + "\n"


def proposal_title(search: RunSummary) -> str:
    """Subject of the commit, title of the pull request."""
    gain = search.test_gain
    assert gain is not None
    return f"{search.pipeline}: {100 * gain.mean:+.1f} points on test"


def commit_message(night: Night) -> str:
    assert night.search is not None
    return f"{proposal_title(night.search)}\n\n{outcome(night.search)}"


def pull_request_body(night: Night, changed: tuple[str, ...]) -> str:
    """What a reviewer reads: the verdict, why it was searched, what changed, how it was measured."""
    search = night.search
    assert search is not None
    lines = [*_note(search.note), f"**{outcome(search)}**", "", *_search(search)]
    lines += ["", "### Why", "", f"- {safe(_why(night))}"]
    lines.append(f"- Deployed today: {score_text(night.score)} on validation.")
    if night.fall is not None:
        lines.append(f"- Baseline of {night.baseline.recorded[:10]}: {score_text(night.baseline)}.")
        lines.append(f"- Difference: {difference_text(night.fall)}. {_spent(night)}")
    lines += ["", "### What changes", "", *(f"- `{path}`" for path in changed), ""]
    lines += ["| variant | level | step | technique | points | hypothesis |", "|---|---|---|---|--:|---|"]
    lines += [_accepted(row) for row in search.variants if row.verdict == "accepted"]
    lines += ["", "### How it was measured", "", *_method(search), ""]
    lines.append("The next night after a merge records a new baseline." + (
        " `fapo.lock` counts the looks at test." if any(path.endswith(LOCK_FILE) for path in changed) else ""
    ))  # fmt: skip
    return "\n".join(lines) + "\n"


def _search(search: RunSummary) -> list[str]:
    best = search.best
    lines = ["| | validation | test |", "|---|--:|--:|"]
    lines.append(f"| deployed | {search.baseline.validation:.3f} | {_mean(search.baseline.test)} |")
    if best.variant != "000":
        lines.append(f"| variant {best.variant} ({best.level}) | {best.validation:.3f} | {_mean(best.test)} |")
    lines += [""] if search.test_gain or search.validation_gain else []
    for name, gain in (("test", search.test_gain), ("validation", search.validation_gain)):
        if gain is not None:
            lines.append(f"- Gain on {name}: {describe_gain(gain)}; {gain.won} cases better, {gain.lost} worse.")
    return lines


def _method(search: RunSummary) -> list[str]:
    lines = [f"- Paired by case against the deployed pipeline, with the same models on the same day; one-sided on test"
             f"{_test_p(search.test_gain)}."]  # fmt: skip
    if (look := search.test_look) is not None:
        lines.append(f"- Look {look.number} at these test cases; one confirms where one-sided p ≤ {look.alpha:g}.")
    lines.append(f"- Variants tried: {len(search.variants)}; looks at validation: {search.looks}; rule of acceptance: "
                 f"{search.acceptance}.")  # fmt: skip
    if search.validation_gain and search.test_gain:
        gap = search.validation_gain.mean - search.test_gain.mean
        lines.append(f"- Validation-to-test gap of the gain: {100 * gap:+.1f} points.")
    lines.append(f"- Pipeline code was confined by: {search.isolation}. Optimizer: {safe(search.agent.model)}.")
    costs = [usage.cost_usd for usage in (search.usage.task, search.usage.judge, search.usage.optimizer)]
    paid = "unknown" if None in costs else f"${sum(cost for cost in costs if cost is not None):.2f}"
    lines.append(f"- Paid for the search: {paid}.")
    return lines


def _test_p(gain: Gain | None) -> str:
    return "" if gain is None else f", p = {gain.p_greater:.2g}"


def _why(night: Night) -> str:
    if night.fell:
        return "The deployed pipeline has fallen on validation, by more than chance explains."
    return "A search was asked for, whether the deployed pipeline has fallen or not."


def _spent(night: Night) -> str:
    fall = night.fall
    assert fall is not None
    if night.note is not None and "stand-in" in night.note:
        return "Nights on stand-ins use nothing up."
    return f"Night {fall.look} of {fall.nights} on these validation cases."


def _accepted(row: VariantRow) -> str:
    points = "–" if row.difference is None else f"{100 * row.difference:+.1f}"
    cells = (row.id, row.level or "", row.step, row.technique, points, row.hypothesis)
    return "| " + " | ".join(safe(cell) for cell in cells) + " |"


def safe(text: str) -> str:
    """Words of an agent in Markdown: they mention nobody, link nowhere, and end no cell."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("://", f":{_NOTHING}//")
    escaped = re.sub(r"([\\\[\]`*_|!])", r"\\\1", plain)
    return re.sub(r"([@#])(?=\w)", rf"\1{_NOTHING}", escaped)


def _note(note: str | None) -> list[str]:
    return [f"> **Note:** {note}.", ""] if note else []


def _row(name: str, score: Interval | Baseline) -> str:
    return f"| {name} | {score.mean:.3f} | {score.low:.3f} to {score.high:.3f} | {score.n} |"


def _mean(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
