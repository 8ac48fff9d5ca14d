"""The verdict on a variant: a paired one-sided test on validation that accounts for how often validation was asked."""

from __future__ import annotations

from collections.abc import Mapping

from fapo.config import OptimizeConfig
from fapo.optimize.events import Decided
from fapo.stats import PairedComparison, paired_comparison, spend


def judge(
    variant: str,
    candidate: Mapping[str, float],
    incumbent: Mapping[str, float],
    *,
    clusters: Mapping[str, str] | None,
    look: int,
    config: OptimizeConfig,
) -> Decided:
    """Accept `variant` where its gain over the incumbent is larger than chance explains.

    With `accept="spend"` look number `look` may use `stats.spend(alpha, look, max_variants)`, so that the chance to
    accept any useless variant in the whole search is at most alpha. With `accept="mean"` a higher mean suffices, as in
    the paper.
    """
    found = paired_comparison(candidate, incumbent, clusters=clusters)
    if config.accept == "mean":
        accepted = found.difference > 0
        alpha = None
        reason = f"mean changed by {_points(found.difference)} ({describe_changes(found)})"
    else:
        alpha = spend(config.alpha, look, config.max_variants)
        accepted = found.difference > 0 and found.p_greater <= alpha
        sign = "≤" if found.p_greater <= alpha else ">"
        reason = (
            f"{_points(found.difference)} ({describe_changes(found)}), p = {found.p_greater:.2g} {sign} {alpha:.2g}"
        )
    return Decided(
        variant, "accepted" if accepted else "rejected", reason,
        difference=found.difference, p=found.p_greater, alpha=alpha,
    )  # fmt: skip


def describe_changes(found: PairedComparison) -> str:
    return f"{found.won} cases better, {found.lost} worse, {found.tied} equal"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points"
