"""What an evaluation would come to, judged by a few of its cases, which are really run."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, cast

from fapo.config import CallLimits
from fapo.data import split_digest
from fapo.errors import ProviderError
from fapo.evaluation.evaluate import EvaluationPlan, Observer, evaluate
from fapo.llm.client import provider_of
from fapo.llm.gateway import Gateway
from fapo.records import Case, CaseRecord, ModelReply, ModelRequest, Usage
from fapo.stats import Forecast, forecast_sum

SAMPLED_CASES = 5
"""Three would do with less money, but give a 95 % range twice as wide."""


@dataclass(frozen=True, slots=True)
class SampledCase:
    """One case that was run. Counts are of all its calls, cached ones included: of what they cost when first made.

    `seconds` are from its begin to its end, `wire_s` those that its calls took; None is unknown.
    """

    case_id: str
    failure: str | None
    undecided: bool
    calls: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    seconds: float
    wire_s: float
    models: dict[str, Usage]


@dataclass(frozen=True, slots=True)
class DryRun:
    """An evaluation's forecast. Each figure is for all cases and trials, those that were sampled included.

    `usage` is what sampling itself has used. `exceeded` are sentences about limits that would end the evaluation.
    """

    cases: int
    trials: int
    concurrency: int
    sampled: tuple[SampledCase, ...]
    usage: Usage
    calls: Forecast
    input_tokens: Forecast | None
    output_tokens: Forecast | None
    cost_usd: Forecast | None
    minutes: Forecast
    exceeded: tuple[str, ...]


@dataclass(slots=True)
class _Meter:
    """Stands between an evaluation and its gateway, and takes down what each reply cost when it was first given."""

    gateway: Gateway
    observer: Observer
    replies: list[tuple[str, ModelReply]] = field(default_factory=list)
    sampled: list[SampledCase] = field(default_factory=list)

    async def complete(self, request: ModelRequest, *args: Any, **options: Any) -> ModelReply:
        reply = await self.gateway.complete(request, *args, **options)
        self.replies.append((request.model, reply))
        return reply

    def case_done(self, record: CaseRecord) -> None:
        """Cases are run one after the other, so that what came in since the last one belongs to this one."""
        self.sampled.append(_sampled(record, self.replies))
        self.replies = []
        self.observer.case_done(record)


def _sampled(record: CaseRecord, replies: Sequence[tuple[str, ModelReply]]) -> SampledCase:
    models: dict[str, Usage] = {}
    for model, reply in replies:
        first = Usage(1, 0, reply.input_tokens, reply.output_tokens, reply.cost_usd)
        models[model] = models.get(model, Usage()) + first
    usage = sum(models.values(), Usage())
    failure = None if record.failure is None else record.failure.message
    return SampledCase(
        record.case_id, failure, record.value is None, usage.llm_calls, usage.input_tokens, usage.output_tokens,
        usage.cost_usd, record.duration_s,
        sum(reply.latency_s for _, reply in replies), models,
    )  # fmt: skip


def spread_cases(cases: Sequence[Case], count: int) -> tuple[Case, ...]:
    """One case from each of `count` equal stretches, drawn from a fixed seed: the same ones each time.

    Cases at equal distances would all be of one kind where kinds alternate.
    """
    draw = random.Random(0)  # noqa: S311
    count = min(count, len(cases))
    bounds = [number * len(cases) // count for number in range(count + 1)]
    return tuple(cases[draw.randrange(low, high)] for low, high in pairwise(bounds))


async def dry_run(
    plan: EvaluationPlan, gateway: Gateway, observer: Observer, *, sample: int = SAMPLED_CASES,
    limits: CallLimits | None = None,
) -> DryRun:  # fmt: skip
    """Run a few cases of `plan` once, and forecast the whole. The plan's directory must be new; throw it away.

    Replies end in the reply cache, so that the evaluation itself does not pay for them again. Raises as `evaluate`
    does, and ProviderError where the provider failed for all of the cases.
    """
    cases = spread_cases(plan.cases, sample)
    manifest = replace(plan.manifest, cases_digest=split_digest(cases), trials=1)
    meter = _Meter(gateway, observer)
    evaluation = await evaluate(
        replace(plan, cases=cases, manifest=manifest, concurrency=1), cast(Gateway, meter), meter
    )
    decided = [case for case in meter.sampled if not case.undecided]
    if not decided:
        raise ProviderError(f"no case could be run: {meter.sampled[0].failure}")
    return _forecast(plan, tuple(meter.sampled), decided, evaluation.usage, limits or CallLimits())


def _forecast(
    plan: EvaluationPlan, sampled: tuple[SampledCase, ...], decided: Sequence[SampledCase], usage: Usage,
    limits: CallLimits,
) -> DryRun:  # fmt: skip
    trials, cases = plan.manifest.trials, len(plan.cases)

    def whole(values: Iterable[float | None]) -> Forecast | None:
        known = [value for value in values if value is not None]
        if len(known) < len(decided):
            return None
        return _times(forecast_sum(known, cases - len(known)), trials)

    calls = whole(case.calls for case in decided)
    seconds, wire_s = (whole(getattr(case, name) for case in decided) for name in ("seconds", "wire_s"))
    assert calls is not None
    assert seconds is not None
    assert wire_s is not None
    found = DryRun(
        cases=cases,
        trials=trials,
        concurrency=plan.concurrency,
        sampled=sampled,
        usage=usage,
        calls=calls,
        input_tokens=whole(case.input_tokens for case in decided),
        output_tokens=whole(case.output_tokens for case in decided),
        cost_usd=whole(case.cost_usd for case in decided),
        minutes=_minutes(seconds, wire_s, decided, plan, limits),
        exceeded=(),
    )
    tokens = whole(_add(case.input_tokens, case.output_tokens) for case in decided)
    return replace(found, exceeded=tuple(_exceeded(found, tokens, limits)))


def _add(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def _times(forecast: Forecast, factor: float) -> Forecast:
    low, high = (None if bound is None else bound * factor for bound in (forecast.low, forecast.high))
    return Forecast(forecast.expected * factor, low, high)


def _minutes(
    seconds: Forecast, wire_s: Forecast, decided: Sequence[SampledCase], plan: EvaluationPlan, limits: CallLimits
) -> Forecast:
    """--concurrency calls are on the wire at once, and twice as many cases in flight, unless a pace holds them back."""
    longest = max(case.seconds for case in decided)
    least = 60 * _paced_minutes(decided, len(plan.cases) * plan.manifest.trials, limits) + longest
    cases, calls = _times(seconds, 1 / (2 * plan.concurrency)), _times(wire_s, 1 / plan.concurrency)

    def needed(case_s: float | None, call_s: float | None) -> float | None:
        return None if case_s is None or call_s is None else max(case_s, call_s, least) / 60

    expected = max(cases.expected, calls.expected, least) / 60
    return Forecast(expected, needed(cases.low, calls.low), needed(cases.high, calls.high))


def _paced_minutes(decided: Sequence[SampledCase], runs: int, limits: CallLimits) -> float:
    """When the last call of so many cases may leave: the limits hold for each provider in each minute."""
    if limits.rpm is None and limits.tpm is None:
        return 0.0
    providers: dict[str, Usage] = {}
    for model, used in (pair for case in decided for pair in case.models.items()):
        provider = provider_of(model) or model
        providers[provider] = providers.get(provider, Usage()) + used
    minutes = 0.0
    for used in providers.values():
        tokens = _add(used.input_tokens, used.output_tokens) or 0
        for amount, limit in ((used.llm_calls, limits.rpm), (tokens, limits.tpm)):
            if limit is not None:
                whole = max(round(amount * runs / len(decided)), 1)
                minutes = max(minutes, float((whole - 1) // limit))
    return minutes


def _exceeded(found: DryRun, tokens: Forecast | None, limits: CallLimits) -> list[str]:
    checks = (
        ("--budget-usd", limits.budget_usd, found.cost_usd),
        ("--max-calls", limits.max_calls, found.calls),
        ("--max-tokens", limits.max_tokens, tokens),
    )
    sentences = []
    for option, limit, forecast in checks:
        if limit is None or forecast is None:
            continue
        if forecast.expected > limit:
            sentences.append(f"{option} {limit:g} would end it before its end")
        elif forecast.high is not None and forecast.high > limit:
            sentences.append(f"{option} {limit:g} may end it before its end")
    return sentences
