"""The records of attribution: who is to blame for which part of the lost score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fapo.records import Level

Category = Literal[
    "retrieval_miss", "retrieval_partial", "empty", "cascade", "lost", "truncated", "format", "refusal",
    "error", "reasoning", "unidentified",
]  # fmt: skip
Confidence = Literal["high", "medium", "low"]
Share = Level | Literal["unidentified"]
Tier = Literal["hit", "partial", "miss"]
RetrievalBy = Literal["gold evidence", "lexical overlap"]


@dataclass(frozen=True, slots=True)
class Blame:
    """One failing case, or one wrong field of it, and why it failed.

    `levels` are those that can address it, the most promising first; none where nothing was identified.
    `loss` is the score that this blame accounts for; over the blames of a case it sums to 1 - value.
    `retrieval` says what the case's retrievals brought, None where nothing was retrieved or it cannot be told.
    """

    case_id: str
    step: str | None
    category: Category
    levels: tuple[Level, ...]
    confidence: Confidence
    evidence: str
    loss: float
    retrieval: Tier | None = None


@dataclass(frozen=True, slots=True)
class StepBlame:
    """All blames that name the same step, category and first level. `share` is its part of the lost score."""

    step: str | None
    category: Category
    levels: tuple[Level, ...]
    cases: int
    share: float
    confidence: Confidence
    evidence: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RetrievalQuality:
    """Of how many failing cases the retrievals together brought all that was needed (`hit`), a part, or nothing; those
    of which it cannot be told are left out. `by` says what that is judged by."""

    hit: int
    partial: int
    miss: int
    by: RetrievalBy


@dataclass(frozen=True, slots=True)
class Cluster:
    """Cases that fail alike: blamed on the same step for the same kind of fault, and alike in what went wrong.

    `what` is the confusion (expected → predicted) where several cases share one, else the evidence without its values.
    `share` is the part of the lost score. `representatives` are to be looked at: the most typical case, then those that
    differ most from it.
    """

    step: str | None
    category: Category
    what: str
    cases: int
    share: float
    representatives: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attribution:
    """The lost score of an evaluation, divided among steps and levels.

    `n` counts the decided records and `undecided` those left out; `mean` is None without a decided one.
    `lost` is the loss of the failing cases over `n`. The shares of `by_step` (largest first) and those of
    `by_level` each sum to 1, or are all 0 where nothing was lost.
    `ceilings`: the mean if a level won all that it can address; what is unidentified is no level's to win.
    `retrieval` is None where no failing case ran a retrieval that can be judged.
    """

    n: int
    undecided: int
    mean: float | None
    lost: float
    blames: tuple[Blame, ...]
    by_step: tuple[StepBlame, ...]
    by_level: dict[Share, float]
    recommended_level: Level
    why: str
    ceilings: dict[Level, float] = field(default_factory=dict)
    retrieval: RetrievalQuality | None = None
    clusters: tuple[Cluster, ...] = ()
