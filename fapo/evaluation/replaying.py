"""Runs cases again with one step changed: each job is a case of its own in an evaluation of its own."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from fapo.evaluation.evaluate import EvaluationPlan, Observer, evaluate
from fapo.evaluation.intervention import Intervention
from fapo.evaluation.judging import Judge
from fapo.llm.gateway import Gateway
from fapo.records import Case, CaseRecord, Prediction

Jobs = Mapping[str, tuple[Case, Intervention]]
REPLAY_DIR = "replay"


def replayer(
    plan: EvaluationPlan, gateway: Gateway, observe: Callable[[str, int], Observer]
) -> Callable[[Jobs], Awaitable[dict[str, CaseRecord]]]:
    """Runs jobs, by a name of their own, on what `plan` evaluated; each set of jobs is kept below its directory.

    Jobs that were run before are read back. `observe` is told what is run, and how many jobs that is.
    """

    async def run(jobs: Jobs) -> dict[str, CaseRecord]:
        text = "\n".join(f"{name}\t{change}" for name, (_, change) in sorted(jobs.items()))
        digest = hashlib.sha256(text.encode()).hexdigest()
        real = {name: case for name, (case, _) in jobs.items()}
        own = plan.score.function

        def score(case: Case, prediction: Prediction) -> Any:
            return own(real[case.id], prediction)

        @functools.wraps(own)
        async def waited(case: Case, prediction: Prediction, *judge: Judge) -> Any:
            return await own(real[case.id], prediction, *judge)

        manifest = replace(plan.manifest, variant=f"{plan.manifest.variant}, replayed", cases_digest=digest,
                           trials=1)  # fmt: skip
        replayed = replace(
            plan,
            cases=tuple(replace(case, id=name) for name, case in real.items()),
            score=replace(plan.score, function=waited if plan.score.waits else score),
            manifest=manifest,
            directory=plan.directory / REPLAY_DIR / digest[:16],
            interventions={name: change for name, (_, change) in jobs.items()},
        )
        evaluation = await evaluate(replayed, gateway, observe("replay", len(jobs)))
        return {record.case_id: record for record in evaluation.read_records()}

    return run
