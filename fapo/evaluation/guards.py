"""What a benchmark's guards allow a variant: enforced while it is evaluated, so that no score is bought by excess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fapo.data import Guards
from fapo.errors import PipelineError
from fapo.records import Prediction, Usage


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one case of a variant may take, cached or not; None is no limit. An unknown part is never over it."""

    calls: float | None
    tokens: float | None
    cost_usd: float | None

    def exceeded_by(self, demand: Usage) -> str | None:
        """What of `demand` is too much, in words."""
        tokens = _sum(demand.input_tokens, demand.output_tokens)
        if self.calls is not None and demand.llm_calls > self.calls:
            return f"{demand.llm_calls} model calls in one case ({self.calls:g} at most)"
        if self.tokens is not None and tokens is not None and tokens > self.tokens:
            return f"{tokens:,} tokens in one case ({self.tokens:,.0f} at most)"
        if self.cost_usd is not None and demand.cost_usd is not None and demand.cost_usd > self.cost_usd:
            return f"${demand.cost_usd:.4f} for one case (${self.cost_usd:.4f} at most)"
        return None


def allowance(guards: Guards, demand: Usage, cases: int) -> Allowance | None:
    """What a case of a variant may take, where the baseline took `demand` for `cases` cases."""
    factors = (guards.calls, guards.tokens, guards.cost)
    if not cases or all(factor is None for factor in factors):
        return None
    tokens = _sum(demand.input_tokens, demand.output_tokens)
    totals = (demand.llm_calls, tokens, demand.cost_usd)
    calls, tokens_limit, cost = (
        None if factor is None or not total else factor * total / cases
        for factor, total in zip(factors, totals, strict=True)
    )
    return Allowance(calls, tokens_limit, cost)


def visible(guards: Guards, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that pipeline code may see."""
    return {key: value for key, value in inputs.items() if guards.inputs is None or key in guards.inputs}


def check_documents(guards: Guards, prediction: Prediction) -> None:
    """Raise PipelineError for a prediction that names more documents than the benchmark allows."""
    named = len(set(prediction.evidence))
    if guards.documents is not None and named > guards.documents:
        raise PipelineError(
            f"names {named} documents, and the benchmark's guards allow {guards.documents}", kind="guard"
        )


def _sum(*parts: int | None) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
