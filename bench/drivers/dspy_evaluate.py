"""`dspy.Evaluate` over a module that calls its language model three times; no adapter, no cache."""

# mypy: disable-error-code="import-not-found, import-untyped, misc"
# Its libraries live in an environment of their own.
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import dspy
from dspy.lm15 import Config, Message, Request

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.work import KEY, MODEL, SAMPLING, STEPS, arguments, report, score

_MODEL = f"openai/{MODEL}"


class Chain(dspy.Module):
    def forward(self, message: str) -> Any:
        text = message
        for system in STEPS.values():
            request = Request(_MODEL, (Message.user(text),), system=system, config=Config(**SAMPLING))
            text = dspy.settings.lm(request).text
        return dspy.Prediction(answer=text)


def main() -> None:
    base_url, cases, concurrency = arguments()
    dspy.configure(lm=dspy.LM(_MODEL, api_base=base_url, api_key=KEY, cache=False))
    rows = [dspy.Example(message=case.message, case=case).with_inputs("message") for case in cases]
    evaluate = dspy.Evaluate(devset=rows, metric=metric, num_threads=concurrency, max_errors=1)
    found = evaluate(Chain())
    report([value for _, _, value in found.results])


def metric(example: Any, prediction: Any, _: object = None) -> float:
    return score(example.case, prediction.answer)


if __name__ == "__main__":
    main()
