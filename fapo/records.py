"""The records that fapo's parts exchange: frozen, plain, and light enough for the worker to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Level = Literal["prompt", "parameter", "structure"]
Split = Literal["train", "validation", "test"]
FaultOwner = Literal["provider", "pipeline", "scorer"]
StepKind = Literal["llm", "function"]

GOLD_EVIDENCE, GOLD_BY_STEP = "gold_evidence", "gold_by_step"
"""Metadata of a case: the documents that a right answer rests on, and which of them each step is to bring."""

LEVELS: tuple[Level, ...] = ("prompt", "parameter", "structure")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
BASELINE = "000"
"""The variant that a run begins with."""


@dataclass(frozen=True, slots=True)
class Case:
    """One example. `inputs` is all that pipeline code ever sees of it."""

    id: str
    inputs: dict[str, Any]
    expected: Any
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a pipeline returns for one case: any JSON value, and the evidence that it names (titles, ids).

    `sent` is for score functions: by role, the text of each request that a model of that role was sent for the case, as
    fapo took it down. Pipeline code cannot set it.
    """

    output: Any
    evidence: tuple[str, ...] = ()
    sent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """A score function's verdict on one prediction. `value` lies in [0, 1]."""

    value: float
    breakdown: dict[str, float] = field(default_factory=dict)
    feedback: str = ""
    step_feedback: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that ended without a score, attributed at the boundary where the fault arose.

    `kind` is a short stable word such as `raised`, `timeout`, `limit`, `invalid_output`, `unavailable`.
    """

    owner: FaultOwner
    kind: str
    message: str
    step: str | None = None


N = TypeVar("N", int, float)


def _add_known(a: N | None, b: N | None) -> N | None:
    return None if a is None or b is None else a + b


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of model calls and what they cost. `None` means unknown; an unknown part makes the sum unknown."""

    llm_calls: int = 0
    cached_calls: int = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cost_usd: float | None = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            llm_calls=self.llm_calls + other.llm_calls,
            cached_calls=self.cached_calls + other.cached_calls,
            input_tokens=_add_known(self.input_tokens, other.input_tokens),
            output_tokens=_add_known(self.output_tokens, other.output_tokens),
            cost_usd=_add_known(self.cost_usd, other.cost_usd),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One named unit of a pipeline run, as it ran. Times are seconds; `start_s` counts from the case's start.

    `duration_s` of an `llm` step is what the reply took at the provider, of a cached one when it was first given;
    waiting for other cases or for rate limits counts nowhere, and `start_s` leaves it out.
    `first_usage` is what a reply from the cache took when it was first given.
    `role` is the role of `models:` that an `llm` step called.
    For an `llm` step `inputs` is `{"variables": {...}, "messages": [...]}` and `output` the reply's text.
    For a `function` step `inputs` is `{"args": [...], "kwargs": {...}}` and `output` its JSON-able result.
    """

    name: str
    kind: StepKind
    inputs: Any
    output: Any
    start_s: float
    duration_s: float
    model: str | None = None
    usage: Usage = Usage()
    finish_reason: str | None = None
    cached: bool = False
    error: str | None = None
    first_usage: Usage | None = None
    role: str | None = None

    @property
    def demand(self) -> Usage:
        """What the step takes where no reply is in the cache."""
        return self.usage if self.first_usage is None else self.first_usage


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """One case run once: its steps in order and how it ended. One line of `traces.jsonl`.

    `duration_s` is what it takes alone, with each step as long as its `duration_s`.
    """

    case_id: str
    trial: int
    steps: tuple[Step, ...]
    prediction: Prediction | None
    score: Score | None
    failure: Failure | None
    duration_s: float
    judge: Usage = Usage()
    """What the score function's questions to the judge cost."""

    @property
    def value(self) -> float | None:
        """The number this case counts for: its score, 0 for a pipeline failure, None while it is undecided."""
        if self.score is not None:
            return self.score.value
        if self.failure is not None and self.failure.owner == "pipeline":
            return 0.0
        return None

    @property
    def usage(self) -> Usage:
        return sum((step.usage for step in self.steps), Usage())

    @property
    def demand(self) -> Usage:
        """What the case takes where no reply is in the cache."""
        return sum((step.demand for step in self.steps), Usage())


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model call. `trial` and `occurrence` tell samples apart that share all the rest.

    `messages` are OpenAI chat messages; `params` LiteLLM call parameters (temperature, max_tokens, tools, ...);
    `occurrence` is how many equal requests the same case has made before. A request without messages asks for the
    embeddings of `texts`. Replies to requests of `held_out` cases are shared among these only: that a reply comes from
    the cache would tell code that runs on train what code asked on validation.
    """

    model: str
    messages: tuple[dict[str, Any], ...]
    params: dict[str, Any] = field(default_factory=dict)
    trial: int = 0
    occurrence: int = 0
    texts: tuple[str, ...] = ()
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class ModelReply:
    """The reply to a ModelRequest. `held_s` is how long it queued or backed off before it was sent for good.

    `tool_calls` are as in OpenAI's chat messages; `embeddings` holds a vector for each text of the request; `wasted` is
    what attempts before this one may have been charged.
    """

    text: str
    model: str
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    latency_s: float
    held_s: float = 0.0
    cached: bool = False
    tool_calls: tuple[dict[str, Any], ...] = ()
    embeddings: tuple[tuple[float, ...], ...] = ()
    wasted: Usage = Usage()

    @property
    def usage(self) -> Usage:
        """What this reply costs now: a reply from the cache costs nothing."""
        if self.cached:
            return Usage(cached_calls=1)
        return self.demand + self.wasted

    @property
    def demand(self) -> Usage:
        """What this reply costs where it is not in the cache."""
        return Usage(1, 0, self.input_tokens, self.output_tokens, self.cost_usd)
