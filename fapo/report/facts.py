"""What a report tells, as records: the same for Markdown, HTML and whatever else shows a run. No layout is here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fapo.records import Case, CaseRecord, Split, Usage
from fapo.report.diffs import FileDiff
from fapo.report.run_summary import RunSummary, VariantRow
from fapo.report.step_table import StepRow

Arm = Literal["baseline", "best"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run was to do, as it was when it began.

    `models` are by role; `counts` the cases by split; `versions` are by name.
    """

    task: str
    benchmark: str
    licence: str
    score: str
    models: dict[str, str]
    judge: str | None
    optimizer_model: str | None
    counts: dict[str, int]
    guards: dict[str, Any]
    note: str | None
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class StepLoss:
    """The score that one step lost, as means over all cases, in [0, 1]. `step` is None where nobody is to blame.

    `best` is None where no variant was accepted.
    """

    step: str | None
    baseline: float
    best: float | None


@dataclass(frozen=True, slots=True)
class LossReason:
    """Why a step lost score: `share` of the arm's lost score, with the evidence of one case."""

    arm: Arm
    step: str | None
    category: str
    levels: tuple[str, ...]
    cases: int
    share: float
    confidence: str
    evidence: str


@dataclass(frozen=True, slots=True)
class MeasuredLoss:
    """What replay measured for a variant's failures on train: shares of the lost score by level."""

    variant: str
    cases: int
    by_level: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Losses:
    """Where baseline and best lose their score on `split`, by rules over traces; and what replay measured.

    `retrieval_by` says what retrievals were judged by. `missing` says why there is nothing else, if so.
    """

    split: Split
    cases: int
    baseline: float | None
    best: float | None
    steps: tuple[StepLoss, ...]
    reasons: tuple[LossReason, ...]
    measured: tuple[MeasuredLoss, ...]
    retrieval_by: str | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class StepPair:
    """One step of baseline and best, where they have it. Tokens and dollars are what it takes with nothing cached."""

    step: str
    kind: str
    baseline: StepRow | None
    best: StepRow | None


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What one case takes alone, with nothing cached: medians in seconds, the rest means. None is unknown."""

    cases: int
    calls: float
    tokens: float | None
    cost_usd: float | None
    p50_s: float | None
    p95_s: float | None


@dataclass(frozen=True, slots=True)
class StepFigures:
    """Calls, cost and latency on `split`, by step and in all."""

    split: Split
    steps: tuple[StepPair, ...]
    baseline: Efficiency | None
    best: Efficiency | None


@dataclass(frozen=True, slots=True)
class CaseChange:
    """One case with its traces. `case` is None where inputs and label cannot be read any more."""

    case_id: str
    case: Case | None
    baseline: CaseRecord
    best: CaseRecord | None


@dataclass(frozen=True, slots=True)
class CaseList:
    """Cases of one split of which the best variant makes more (`won`) or less (`lost`); `failing` without a best.

    `total` counts all there are, of which `cases` are the first; `place` is the evaluation that has the traces of all.
    """

    split: Split
    kind: Literal["won", "lost", "failing"]
    cases: tuple[CaseChange, ...]
    total: int
    place: str

    @property
    def left_out(self) -> int:
        return self.total - len(self.cases)


@dataclass(frozen=True, slots=True)
class Ran:
    """When and how a run went. Times are seconds since the epoch; `command` runs it again from its own inputs."""

    started_at: float
    last_at: float
    command: str
    digests: Mapping[str, str]
    notes: tuple[str, ...] = ()
    """What is to be kept in mind: sessions that failed, inputs that have changed."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """All that a report tells of one run, finished or not."""

    summary: RunSummary
    asked: Asked
    ran: Ran
    diff: tuple[FileDiff, ...]
    losses: Losses
    steps: StepFigures
    cases: tuple[CaseList, ...] = ()
    includes_test: bool = False


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """All that a report tells of one evaluation of one variant.

    `score` is the mean over `n` decided cases with its interval, in [0, 1], or None before there are any.
    """

    pipeline: str
    variant: str
    split: Split
    scored_by: str
    models: Mapping[str, str]
    judge: str | None
    note: str | None
    score: tuple[float, float, float] | None
    n: int
    trials: int
    failures: int
    undecided: int
    usage: Usage
    judge_usage: Usage
    isolation: str
    directory: str
    losses: Losses
    steps: StepFigures
    cases: tuple[CaseList, ...]
    includes_test: bool
    missing: str = ""
    """Why cases and labels are left out, if they could not be read."""


@dataclass(frozen=True, slots=True)
class VariantNode:
    """A variant in the tree of variants, under the one that it changed; the root is the baseline, without a row."""

    id: str
    row: VariantRow | None
    children: tuple[VariantNode, ...] = field(default=())


def variant_tree(rows: Sequence[VariantRow]) -> VariantNode:
    """The variants under the baseline, children in order of submission. Unknown parents count as the baseline."""
    known = {row.id for row in rows}

    def children(parent: str) -> Iterator[VariantNode]:
        for row in rows:
            own = row.parent if row.parent in known and row.parent != row.id else "000"
            if own == parent:
                yield VariantNode(row.id, row, tuple(children(row.id)))

    return VariantNode("000", None, tuple(children("000")))
