"""How much of what a case needs its retrievals brought: a hit, a part, or a miss."""

from __future__ import annotations

from collections.abc import Iterable

from fapo.attribution.blame import RetrievalBy, RetrievalQuality, Tier
from fapo.attribution.evidence import missing_evidence
from fapo.attribution.gold import Value, read_gold
from fapo.attribution.text import is_common
from fapo.attribution.view import CaseView

HIT = 0.8
"""The share of the expected answer's words that were retrieved, from which on a retrieval counts as a hit."""
PARTIAL = 0.4


def retrieval_tier(view: CaseView) -> tuple[Tier, RetrievalBy] | None:
    """What all retrievals of a case brought together, and what that is judged by.

    By gold evidence where the case declares it: all of it, some, or none. Otherwise by the words of the expected answer
    that stand in what was retrieved: at least HIT of them, at least PARTIAL, or fewer. None where nothing was
    retrieved, and where the expected answer has no words that say anything, such as a bare yes or no.
    """
    if not view.retrievals:
        return None
    gold = read_gold(view)
    if gold.evidence:
        missing = len(missing_evidence(view, gold.evidence))
        return ("hit" if not missing else "miss" if missing == len(gold.evidence) else "partial"), "gold evidence"
    retrieved = {word for step in view.retrievals for word in step.output.replace("|", " ").split()}
    shares = [share for value in gold.fields if (share := _share(value, retrieved)) is not None]
    if not shares:
        return None
    overlap = sum(shares) / len(shares)
    return ("hit" if overlap >= HIT else "partial" if overlap >= PARTIAL else "miss"), "lexical overlap"


def _share(value: Value, retrieved: set[str]) -> float | None:
    """The share of a value's telling words that were retrieved, of the wording that fares best; None without any."""
    wordings = [[word for word in form.split() if not is_common(word)] for form in value.forms]
    shares = [sum(word in retrieved for word in words) / len(words) for words in wordings if words]
    return max(shares, default=None)


def retrieval_quality(views: Iterable[CaseView]) -> RetrievalQuality | None:
    """Hits, parts and misses of failing cases, and what they were judged by; None where none could be."""
    found = [tier for view in views if (tier := retrieval_tier(view)) is not None]
    if not found:
        return None
    tiers = [tier for tier, _ in found]
    by: RetrievalBy = "gold evidence" if any(by == "gold evidence" for _, by in found) else "lexical overlap"
    return RetrievalQuality(tiers.count("hit"), tiers.count("partial"), tiers.count("miss"), by)
