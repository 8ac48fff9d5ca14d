"""inspect_ai: a task whose solver generates three times."""

# mypy: disable-error-code="import-not-found, untyped-decorator"
# Its libraries live in an environment of their own.
from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, get_model
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.work import KEY, MODEL, SAMPLING, STEPS, arguments, report


@solver
def chain() -> Solver:
    async def solve(state: TaskState, _: Generate) -> TaskState:
        text = state.input_text
        for system in STEPS.values():
            state.output = await get_model().generate(
                [ChatMessageSystem(content=system), ChatMessageUser(content=text)]
            )
            text = state.output.completion
        return state

    return solve


@scorer(metrics=[mean()])
def same_words() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        return Score(value=float(state.output.completion.split() == target.text.split()))

    return score


def main() -> None:
    base_url, cases, concurrency = arguments()
    samples = [Sample(input=case.message, target=case.expected, id=case.id) for case in cases]
    model = get_model(
        f"openai/{MODEL}", base_url=base_url, api_key=KEY, responses_api=False,
        config=GenerateConfig(max_connections=concurrency, **SAMPLING),
    )  # fmt: skip
    (log,) = eval(
        Task(dataset=samples, solver=chain(), scorer=same_words()), model=model, display="none",
        log_dir=tempfile.mkdtemp(), max_samples=concurrency, max_connections=concurrency,
    )  # fmt: skip
    if log.samples is None:
        raise SystemExit(str(log.error))
    report([float(sample.scores["same_words"].value) for sample in log.samples])


if __name__ == "__main__":
    main()
