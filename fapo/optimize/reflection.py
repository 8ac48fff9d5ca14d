"""GEPA as the optimizer: the `gepa` package on fapo's pipelines, evaluator, cache, budget and report.

GEPA (Agrawal et al., 2025, arXiv 2507.19457) evolves the instructions of all model steps by reflection on train cases,
and keeps what is best on validation by the mean. Its defaults hold; the prompts' System sections are its components.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib.util
import threading
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fapo.errors import UsageError
from fapo.evaluation.evaluate import Evaluation
from fapo.llm.gateway import Gateway
from fapo.optimize.events import Decided, Reflected, SearchEnded, Submitted
from fapo.optimize.limits import why_stop
from fapo.optimize.opening import open_test
from fapo.optimize.run import Run
from fapo.optimize.start import begin
from fapo.pipeline.components import instructions, with_instructions
from fapo.records import BASELINE, Case, CaseRecord, ModelRequest, Split
from fapo.store.variants import snapshot_digest

TECHNIQUE = "reflection"
CHECK_S = 0.5
MOST_STEP_CHARACTERS = 4000


T = TypeVar("T")


class SearchOverError(Exception):
    """The search was cancelled while GEPA's thread was still at work."""


@dataclass(frozen=True, slots=True)
class Item:
    """One case of GEPA's data."""

    split: Split
    case: Case


class ReflectiveSearch:
    """Drives one run by GEPA to its end. `go` again on a run that was interrupted goes on from GEPA's own state."""

    def __init__(self, run: Run, gateway: Gateway, *, model: str, seed: int) -> None:
        self._run = run
        self._gateway = gateway
        self._model = model
        self._seed = seed
        self._over = threading.Event()
        self._reflections = 0

    async def go(self) -> None:
        """Search, then open test. Raises ProviderError or BudgetExceeded; the run can be resumed after each."""
        run = self._run
        begin(run)
        if run.state.search_ended is None:
            await run.evaluate(BASELINE, "validation")
            await run.evaluate(BASELINE, "train")
            if why_stop(run) is None:
                try:
                    await asyncio.to_thread(self._evolve, asyncio.get_running_loop())
                finally:
                    self._over.set()
            if (unjudged := run.state.undecided) is not None:
                run.log(await self._decided(unjudged.variant, await run.evaluate(unjudged.variant, "validation")))
            run.log(SearchEnded(*(why_stop(run) or ("agent", "GEPA ended"))))
        if run.state.finished is None:
            await open_test(run)

    def _evolve(self, loop: asyncio.AbstractEventLoop) -> None:
        """GEPA's own loop, in a thread; what it calls runs in the event loop."""
        from gepa.api import optimize  # noqa: PLC0415  an extra

        run = self._run
        adapter: Any = _Adapter(self, loop)
        directory = run.directory / "gepa"
        directory.mkdir(exist_ok=True)
        optimize(
            seed_candidate=instructions(run.snapshot(BASELINE)),
            trainset=[Item("train", case) for case in run.project.cases("train")],
            valset=[Item("validation", case) for case in run.project.cases("validation")],
            adapter=adapter,
            reflection_lm=lambda prompt: self.ask(self._reflect(prompt), loop),
            stop_callbacks=lambda _: why_stop(run) is not None,
            run_dir=str(directory),
            logger=_Quiet(),
            seed=self._seed,
        )

    def ask(self, work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
        """Have the event loop do some work, for GEPA's thread; gives up once the search is over."""
        if self._over.is_set():
            work.close()
            raise SearchOverError
        future = asyncio.run_coroutine_threadsafe(work, loop)
        while True:
            done, _ = concurrent.futures.wait([future], timeout=CHECK_S)
            if done:
                return future.result()
            if self._over.is_set():
                future.cancel()
                raise SearchOverError

    async def _reflect(self, prompt: str | Sequence[Mapping[str, Any]]) -> str:
        messages = ({"role": "user", "content": prompt},) if isinstance(prompt, str) else tuple(map(dict, prompt))
        self._reflections += 1
        request = ModelRequest(self._model, messages, {"temperature": 1.0}, occurrence=self._reflections)
        reply = await self._gateway.complete(request, "optimizer")
        self._run.log(Reflected(reply.usage))
        return reply.text

    async def evaluate(self, items: Sequence[Item], candidate: Mapping[str, str]) -> Evaluation | None:
        """A candidate on some cases of one split; None for instructions that make no pipeline.

        The first time that a candidate runs on all of validation it becomes a variant, with the verdict by the mean.
        """
        run = self._run
        try:
            snapshot = with_instructions(run.snapshot(BASELINE), candidate)
        except ValueError:
            return None
        digest = snapshot_digest(snapshot)
        split = items[0].split
        whole = split == "validation" and len(items) == len(run.project.cases(split))
        variant = self._variant(digest)
        if variant is None:
            variant = f"{len(run.state.attempts) + 1:03d}" if whole else f"draft-{digest[:12]}"
            run.freeze(variant, snapshot)
            if whole:
                run.log(self._submitted(variant, digest, candidate))
        evaluation = await run.evaluate(variant, split, only=[item.case.id for item in items])
        if whole and variant != BASELINE and run.state.attempt(variant).verdict is None:
            run.log(await self._decided(variant, evaluation))
        return evaluation

    def _variant(self, digest: str) -> str | None:
        """The baseline or an earlier variant with these files, if there is one."""
        run = self._run
        names = [BASELINE, *(attempt.variant for attempt in run.state.attempts)]
        return next((name for name in names if snapshot_digest(run.snapshot(name)) == digest), None)

    def _submitted(self, variant: str, digest: str, candidate: Mapping[str, str]) -> Submitted:
        run = self._run
        before = instructions(run.snapshot(BASELINE))
        steps = ", ".join(step for step, text in candidate.items() if text.strip() != before[step])
        return Submitted(variant, BASELINE, digest, "prompt", f"reflection on train cases rewrote {steps}", TECHNIQUE,
                         steps, run.state.looks + 1, 0, 1.0)  # fmt: skip

    async def _decided(self, variant: str, evaluation: Evaluation) -> Decided:
        run = self._run
        incumbent = await run.evaluate(run.state.incumbent, "validation")
        difference = evaluation.mean - incumbent.mean
        better = difference > 0
        reason = f"{100 * difference:+.1f} points on validation against {run.state.incumbent}, by the mean alone"
        return Decided(variant, "accepted" if better else "rejected", reason, reason, difference,
                       by="gain" if better else None, n=len(evaluation.values))  # fmt: skip


class _Adapter:
    """GEPA's `GEPAAdapter` over a fapo run."""

    propose_new_texts = None

    def __init__(self, search: ReflectiveSearch, loop: asyncio.AbstractEventLoop) -> None:
        self._search = search
        self._loop = loop

    def evaluate(self, batch: list[Item], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        from gepa.core.adapter import EvaluationBatch  # noqa: PLC0415  an extra

        found = self._search.ask(self._search.evaluate(batch, candidate), self._loop)
        if found is None:
            return EvaluationBatch([None] * len(batch), [0.0] * len(batch),
                                   [(item, None) for item in batch] if capture_traces else None)  # fmt: skip
        wanted = {item.case.id for item in batch}
        records = {record.case_id: record for record in found.read_records() if record.case_id in wanted}
        ran = [records[item.case.id] for item in batch]
        outputs = [record.prediction.output if record.prediction else None for record in ran]
        traces = list(zip(batch, ran, strict=True)) if capture_traces else None
        return EvaluationBatch(outputs, [record.value or 0.0 for record in ran], traces)

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """For each step what it was given and said in each case, and the feedback."""
        return {
            step: [_example(item, record, step) for item, record in eval_batch.trajectories]
            for step in components_to_update
        }


def _example(item: Item, record: CaseRecord | None, step: str) -> dict[str, Any]:
    feedback = "The new instruction lost a placeholder, so that the pipeline could not run."
    ran = [each for each in record.steps if each.name == step] if record is not None else []
    if record is not None and record.failure is not None:
        feedback = f"The pipeline failed: {record.failure.message}"
    elif record is not None and record.score is not None:
        own = record.score.step_feedback.get(step, "")
        feedback = f"Score {record.score.value:g}. {record.score.feedback} {own}".strip()
    inputs = ran[0].inputs.get("variables") if ran and isinstance(ran[0].inputs, dict) else item.case.inputs
    return {
        "Inputs": {name: str(value)[:MOST_STEP_CHARACTERS] for name, value in (inputs or {}).items()},
        "Generated Outputs": str(ran[0].output)[:MOST_STEP_CHARACTERS] if ran else "(the step did not run)",
        "Feedback": feedback,
    }


class _Quiet:
    """GEPA's logger: what it says is in the journal already."""

    def log(self, message: str) -> None: ...


def require_gepa() -> None:
    """Raise UsageError where the gepa package is missing."""
    if importlib.util.find_spec("gepa") is None:
        raise UsageError("--optimizer gepa needs the gepa package: pip install 'fapo[gepa]'")
