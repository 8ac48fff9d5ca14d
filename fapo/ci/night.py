"""What a night came to, and what its status means to machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from fapo.ci.drift import Fall
from fapo.ci.github import PullRequest
from fapo.ci.outputs import Check
from fapo.ci.proposal import Proposal
from fapo.records import Usage
from fapo.report.run_summary import RunSummary, describe_gain, verdict_sentence
from fapo.stats import Interval
from fapo.store.testlock import Baseline

Status = Literal["baseline", "steady", "fell", "improved"]
"""A baseline was recorded; no significant fall; a fall that nothing better mends; a better variant is proposed."""


@dataclass(frozen=True, slots=True)
class Night:
    """One night of one pipeline. `fall` is None where today's score became the baseline, for the reason `renewed`.

    `no_search` says why there was no search. `usage` is what the check cost, without the search.
    """

    night: str
    pipeline: str
    path: str
    note: str | None
    score: Interval
    baseline: Baseline
    before: Baseline | None
    renewed: str
    fall: Fall | None
    search: RunSummary | None
    no_search: str
    proposal: Proposal | None
    pull_request: PullRequest | None
    usage: Usage
    evaluation_dir: str
    wall_s: float

    @property
    def fell(self) -> bool:
        return self.fall is not None and self.fall.significant

    @property
    def status(self) -> Status:
        if self.search is not None and self.search.status == "improved":
            return "improved"
        if self.fell:
            return "fell"
        return "steady" if self.fall is not None else "baseline"

    @property
    def exit_code(self) -> int:
        """1 where the deployed pipeline has become worse and nothing better was found: somebody has to look."""
        return 1 if self.status == "fell" else 0


def score_text(score: Interval | Baseline) -> str:
    return f"{score.mean:.3f} (95 % interval {score.low:.3f} to {score.high:.3f}, n = {score.n})"


def difference_text(fall: Fall) -> str:
    paired = fall.paired
    return (
        f"{100 * paired.difference:+.1f} points (95 % interval {100 * paired.low:+.1f} to {100 * paired.high:+.1f}, "
        f"one-sided p = {fall.p_fall:.2g}, a fall where p ≤ {fall.level:g}, n = {paired.n})"
    )


def sight_text(fall: Fall) -> str:
    """What such a night can see at all."""
    if fall.detectable >= 1:
        return f"{fall.paired.n} cases are too few to show any fall in one night; take more"
    return f"a true fall of {100 * fall.detectable:.1f} points would be seen in four of five such nights"


def sentence(night: Night) -> str:
    """The outcome in one or two sentences."""
    if night.fall is None:
        first = f"{night.renewed}: today's validation score {night.score.mean:.3f} is the baseline from now on."
    elif night.fell:
        first = (
            f"The deployed pipeline has fallen since {night.baseline.recorded[:10]}: "
            f"{night.baseline.mean:.3f} to {night.score.mean:.3f} on validation."
        )
    else:
        first = (
            f"No significant fall since {night.baseline.recorded[:10]}: "
            f"{night.baseline.mean:.3f} then, {night.score.mean:.3f} today on validation."
        )
    second = outcome(night.search) if night.search is not None else night.no_search
    return f"{first} {second}".strip()


def outcome(search: RunSummary) -> str:
    """What the search came to. Its baseline is what is deployed, not what nights are compared with."""
    return verdict_sentence(search).replace("the baseline", "what is deployed")


def checks(night: Night) -> list[Check]:
    """The night as test cases."""
    fall = night.fall
    drift = Check("no significant fall on validation", None if fall is None else not night.fell,
                  sentence(night) if fall is None else difference_text(fall))  # fmt: skip
    search = night.search
    if search is None:
        return [drift, Check("the optimization's gain is confirmed on test", None, night.no_search or "not needed")]
    found = describe_gain(search.test_gain) if search.test_gain is not None else outcome(search)
    passed = True if search.status == "improved" else None if search.test_gain is None else False
    return [drift, Check("the optimization's gain is confirmed on test", passed, found)]


def outputs(night: Night) -> dict[str, Any]:
    """What `$GITHUB_OUTPUT` is given; None where there is no such thing this night."""
    fall, search, proposal = night.fall, night.search, night.proposal
    gain = None if search is None else search.test_gain
    look = None if search is None else search.test_look
    return {
        "status": night.status,
        "exit-code": night.exit_code,
        "message": sentence(night),
        "score": round(night.score.mean, 6),
        "baseline": round(night.baseline.mean, 6),
        "difference": None if fall is None else round(fall.paired.difference, 6),
        "p": None if fall is None else fall.p_fall,
        "level": None if fall is None else fall.level,
        "night": None if fall is None else fall.look,
        "test-gain": None if gain is None else round(gain.mean, 6),
        "test-p": None if gain is None else gain.p_greater,
        "test-look": None if look is None else look.number,
        "run": None if search is None else search.run_dir,
        "report": None if search is None else search.report,
        "branch": None if proposal is None else proposal.branch,
        "commit": None if proposal is None else proposal.commit,
        "pull-request": None if night.pull_request is None else night.pull_request.url,
    }


def figures(night: Night, *, lock: str) -> dict[str, Any]:
    """The result of `fapo ci --json`."""
    from_fall = night.fall
    return {name.replace("-", "_"): value for name, value in outputs(night).items()} | {
        "id": night.night,
        "pipeline": night.pipeline,
        "note": night.note,
        "score": {"mean": night.score.mean, "ci95": [night.score.low, night.score.high], "n": night.score.n},
        "baseline": {
            "mean": night.baseline.mean, "ci95": [night.baseline.low, night.baseline.high], "n": night.baseline.n,
            "recorded": night.baseline.recorded, "models": night.baseline.models, "renewed": night.renewed or None,
        },
        "difference": None if from_fall is None else {
            "mean": from_fall.paired.difference, "ci95": [from_fall.paired.low, from_fall.paired.high],
            "p": from_fall.p_fall, "level": from_fall.level, "night": from_fall.look, "nights": from_fall.nights,
            "detectable": from_fall.detectable, "won": from_fall.paired.won, "lost": from_fall.paired.lost,
        },
        "pushed_to": None if night.proposal is None else night.proposal.remote,
        "cost_usd": night.usage.cost_usd,
        "evaluation_dir": night.evaluation_dir,
        "lock": lock,
    }  # fmt: skip
