"""The records of attribution: who is to blame for which part of the lost score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fapo.records import Level

Category = Literal[
    "retrieval_miss", "retrieval_partial", "empty", "cascade", "lost", "truncated", "format", "refusal",
    "error", "reasoning", "unidentified",
]  # fmt: skip
Confidence = Literal["high", "medium", "low"]
Share = Level | Literal["unidentified"]


@dataclass(frozen=True, slots=True)
class Blame:
    """One failing case, or one wrong field of it, and why it failed.

    `levels` are those that can address it, the most promising first; none where nothing was identified.
    `loss` is the score that this blame accounts for; over the blames of a case it sums to 1 - value.
    """

    case_id: str
    step: str | None
    category: Category
    levels: tuple[Level, ...]
    confidence: Confidence
    evidence: str
    loss: float


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


RetrievalBy = Literal["gold evidence", "lexical overlap"]


@dataclass(frozen=True, slots=True)
class Attribution:
    """The lost score of an evaluation, divided among steps and levels.

    `n` counts the decided records and `undecided` those left out; `mean` is None without a decided one.
    `retrieval_by` says what retrievals were judged by: gold evidence where a failing case declares it, else the words
    of the expected answer; None where no failing case ran a retrieval.
    `lost` is the loss of the failing cases over `n`. The shares of `by_step` (largest first) and those of
    `by_level` each sum to 1, or are all 0 where nothing was lost.
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
    retrieval_by: RetrievalBy | None = None
