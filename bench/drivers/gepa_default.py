"""gepa's DefaultAdapter. It makes one call a case, so the three steps are three evaluations, one after the other."""

# mypy: disable-error-code="import-not-found, import-untyped"
# Its libraries live in an environment of their own.
from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from gepa.adapters.default_adapter.default_adapter import DefaultAdapter, DefaultDataInst, EvaluationResult

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.work import KEY, MODEL, SAMPLING, STEPS, arguments, report, score


def scored(data: object, response: str) -> EvaluationResult:
    """Only the last step's answers have a score, which `main` gives."""
    return EvaluationResult(0.0, "")


def replies(adapter: DefaultAdapter, system: str, texts: Sequence[str]) -> list[str]:
    rows: list[DefaultDataInst] = [{"input": text, "additional_context": {}, "answer": ""} for text in texts]
    found = adapter.evaluate(rows, {"system_prompt": system}, capture_traces=True)
    return [output["full_assistant_response"] for output in found.outputs]


def main() -> None:
    base_url, cases, concurrency = arguments()
    adapter = DefaultAdapter(
        f"openai/{MODEL}",
        evaluator=scored,
        max_litellm_workers=concurrency,
        litellm_batch_completion_kwargs={"api_base": base_url, "api_key": KEY, **SAMPLING},
    )
    texts = [case.message for case in cases]
    for system in STEPS.values():
        texts = replies(adapter, system, texts)
    report([score(case, text) for case, text in zip(cases, texts, strict=True)])


if __name__ == "__main__":
    main()
