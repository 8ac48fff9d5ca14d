"""One evaluation: cases → worker ⇄ gateway → predictions → scores → records, streamed to `traces.jsonl`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fapo.config import Isolation
from fapo.errors import CredentialsError, FapoError, PipelineError, ProviderError, UsageError
from fapo.evaluation.process import WorkerDied, WorkerProcess
from fapo.evaluation.scoring import ScoreFunction
from fapo.llm.gateway import Gateway
from fapo.pipeline.spec import PipelineSpec
from fapo.records import Case, CaseRecord, Failure, ModelRequest, Prediction, Score, Split, Step, Usage
from fapo.store.files import LineLog, from_json, read_json, read_lines, to_json, to_python, write_atomic

TRACES_FILE = "traces.jsonl"
MANIFEST_FILE = "evaluation.json"
OUTAGE_CASES = 20
"""Cases in a row that end by a provider's fault before an evaluation stops and waits to be resumed."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an evaluation ran on; two evaluations are comparable where all but variant, models and trials agree."""

    pipeline: str
    variant: str
    variant_digest: str
    split: Split
    cases_digest: str
    score: str
    score_digest: str
    trials: int
    models: dict[str, str]
    sample: str | None = None
    """A sentence that restricts what the figures mean, such as that a stand-in answered."""


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """One variant over the cases of one split."""

    variant_dir: Path
    spec: PipelineSpec
    cases: tuple[Case, ...]
    score: ScoreFunction
    manifest: Manifest
    directory: Path
    concurrency: int
    isolation: Isolation


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished evaluation: one record for each case and trial, in the order of the cases."""

    manifest: Manifest
    directory: Path
    records: tuple[CaseRecord, ...]
    isolation: str
    wall_s: float

    @property
    def values(self) -> dict[str, float]:
        """Mean value of each decided case over its trials; pipeline failures count 0."""
        collected: dict[str, list[float]] = {}
        for record in self.records:
            if record.value is not None:
                collected.setdefault(record.case_id, []).append(record.value)
        return {case: sum(values) / len(values) for case, values in collected.items()}

    @property
    def mean(self) -> float:
        values = self.values
        return sum(values.values()) / len(values)

    @property
    def usage(self) -> Usage:
        return sum((record.usage for record in self.records), Usage())

    def failed(self, owner: str) -> tuple[CaseRecord, ...]:
        return tuple(record for record in self.records if record.failure and record.failure.owner == owner)


class Observer(Protocol):
    """Told of each case as it ends; in a resumed evaluation first of those that had ended."""

    def case_done(self, record: CaseRecord) -> None: ...


@dataclass(slots=True)
class _CaseRun:
    """The parent's half of one running case: makes its model calls and takes down its steps."""

    spec: PipelineSpec
    models: Mapping[str, str]
    gateway: Gateway
    trial: int
    started: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)
    held_s: float = 0.0
    calls: int = 0
    occurrences: Counter[str] = field(default_factory=Counter)

    async def call_model(self, message: dict[str, Any]) -> str:
        step = str(message["step"])
        self.calls += 1
        if self.calls > self.spec.limits.llm_calls:
            limit = self.spec.limits.llm_calls
            raise PipelineError(f"more than {limit} model calls in one case", kind="limit", step=step)
        model = self.models.get(str(message["role"]))
        if model is None:
            raise PipelineError(f"step {step}: no model has the role `{message['role']}`", kind="no_role", step=step)
        request = ModelRequest(model, tuple(message["messages"]), dict(message["sampling"]), self.trial)
        request = self._numbered(request)
        inputs = {"variables": message["variables"], "messages": message["messages"]}
        start = time.monotonic()
        try:
            reply = await self.gateway.complete(request, on_hold=self.hold)
        except Exception as error:
            self._add(step, "llm", inputs, None, start, model=model, error=str(error))
            raise
        self._add(step, "llm", inputs, reply.text, start, model=model, usage=reply.usage,
                  finish_reason=reply.finish_reason, cached=reply.cached)  # fmt: skip
        return reply.text

    def hold(self, seconds: float) -> None:
        """Take down a wait that is no fault of the pipeline, before it begins."""
        self.held_s += seconds

    def _numbered(self, request: ModelRequest) -> ModelRequest:
        key = repr((request.model, request.messages, sorted(request.params.items(), key=str)))
        occurrence = self.occurrences[key]
        self.occurrences[key] += 1
        return ModelRequest(request.model, request.messages, request.params, request.trial, occurrence)

    def _add(self, name: str, kind: Any, inputs: Any, output: Any, start: float, **extra: Any) -> None:
        now = time.monotonic()
        self.steps.append(Step(name, kind, inputs, output, start - self.started, now - start, **extra))

    def record_step(self, message: dict[str, Any]) -> None:
        error = message["error"]
        self.steps.append(
            Step(
                name=str(message["step"]),
                kind="function",
                inputs=message["inputs"],
                output=message["output"],
                start_s=float(message["start_s"]),
                duration_s=float(message["duration_s"]),
                error=error and str(error),
            )
        )

    def record(
        self, case: Case, prediction: Prediction | None, score: Score | None, failure: Failure | None
    ) -> CaseRecord:
        steps = tuple(sorted(self.steps, key=lambda step: step.start_s))
        return CaseRecord(case.id, self.trial, steps, prediction, score, failure, time.monotonic() - self.started)


class _Evaluator:
    """One pass over the cases that have no record yet."""

    def __init__(self, plan: EvaluationPlan, gateway: Gateway, observer: Observer, log: LineLog) -> None:
        self._plan = plan
        self._gateway = gateway
        self._observer = observer
        self._log = log
        self._worker: WorkerProcess | None = None
        self._starting = asyncio.Lock()
        self._provider_failures = 0
        self.level = "none"
        self.records: list[CaseRecord] = []

    async def run(self, todo: Iterable[tuple[Case, int]]) -> None:
        pending = iter(todo)

        async def consume() -> None:
            for case, trial in pending:
                self._finish(await self._run_case(case, trial))

        self._worker = await self._start_worker()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._plan.concurrency):
                    group.create_task(consume())
        except* FapoError as stops:
            raise stops.exceptions[0] from None
        finally:
            await self._worker.close()

    async def _start_worker(self) -> WorkerProcess:
        plan = self._plan
        worker = await WorkerProcess.start(plan.variant_dir, params=plan.spec.params, isolation=plan.isolation)
        self.level = worker.level
        return worker

    async def _run_case(self, case: Case, trial: int) -> CaseRecord:
        """In the shared worker; if that goes down, once more in a worker of its own, which shows who did it."""
        worker = await self._shared_worker()
        try:
            return await self._run_in(worker, case, self._case_run(trial))
        except WorkerDied:
            own = await self._start_worker()
            run = self._case_run(trial)
            try:
                return await self._run_in(own, case, run)
            except WorkerDied as death:
                return run.record(case, None, None, Failure("pipeline", death.kind, str(death)))
            finally:
                await own.close()

    async def _shared_worker(self) -> WorkerProcess:
        async with self._starting:
            assert self._worker is not None
            if self._worker.dead:
                await self._worker.close()
                self._worker = await self._start_worker()
            return self._worker

    def _case_run(self, trial: int) -> _CaseRun:
        return _CaseRun(self._plan.spec, self._plan.manifest.models, self._gateway, trial)

    async def _run_in(self, worker: WorkerProcess, case: Case, run: _CaseRun) -> CaseRecord:
        try:
            prediction = await worker.run_case(case.inputs, run, timeout_s=self._plan.spec.limits.timeout_s)
        except PipelineError as error:
            return run.record(case, None, None, Failure("pipeline", error.kind, str(error), error.step))
        except CredentialsError:
            raise
        except ProviderError as error:
            return run.record(case, None, None, Failure("provider", "unavailable", str(error)))
        return run.record(case, prediction, self._plan.score(case, prediction), None)

    def _finish(self, record: CaseRecord) -> None:
        try:
            line = to_json(record)
        except ValueError as error:
            why = Failure("pipeline", "invalid_output", f"its output or a step cannot be written as JSON: {error}")
            record = CaseRecord(record.case_id, record.trial, (), None, None, why, record.duration_s)
            line = to_json(record)
        self._log.append(line)
        self.records.append(record)
        self._observer.case_done(record)
        if record.value is not None:
            self._provider_failures = 0
            return
        self._provider_failures += 1
        if self._provider_failures >= OUTAGE_CASES and record.failure is not None:
            raise ProviderError(
                f"{OUTAGE_CASES} cases in a row failed at the provider, last: {record.failure.message}; "
                f"what is done lies in {self._plan.directory}"
            )


async def evaluate(plan: EvaluationPlan, gateway: Gateway, observer: Observer) -> Evaluation:
    """Run a plan, or what is missing of it where its directory holds an interrupted evaluation.

    Raises UsageError for broken pipelines, ScorerError, BudgetExceeded, and ProviderError when the provider is out;
    all that finished is on disk by then. Cases that a provider failed stay undecided in the result.
    """
    if not plan.cases:
        raise UsageError("the split has no cases", path=plan.directory)
    started = time.monotonic()
    _claim(plan)
    done = load_decided(plan.directory)
    order = [(case, trial) for trial in range(plan.manifest.trials) for case in plan.cases]
    todo = [(case, trial) for case, trial in order if (case.id, trial) not in done]
    if todo:
        for record in done.values():
            observer.case_done(record)
    log = LineLog(plan.directory / TRACES_FILE)
    evaluator = _Evaluator(plan, gateway, observer, log)
    try:
        if todo:
            await evaluator.run(todo)
    finally:
        log.close()
    done |= {(record.case_id, record.trial): record for record in evaluator.records}
    records = tuple(done[case.id, trial] for case, trial in order)
    return Evaluation(plan.manifest, plan.directory, records, evaluator.level, time.monotonic() - started)


def _claim(plan: EvaluationPlan) -> None:
    """Mark the directory as this plan's; refuse one that belongs to another, so that a resume never mixes two."""
    path = plan.directory / MANIFEST_FILE
    if path.exists():
        if read_json(path) != to_python(plan.manifest):
            raise UsageError("holds an evaluation of something else; choose another directory", path=plan.directory)
        return
    write_atomic(path, to_json(plan.manifest))


def load_decided(directory: Path) -> dict[tuple[str, int], CaseRecord]:
    """The decided records of an evaluation directory by case id and trial."""
    records = (from_json(CaseRecord, line) for line in read_lines(directory / TRACES_FILE))
    return {(record.case_id, record.trial): record for record in records if record.value is not None}


def find_record(directory: Path, case: str, trial: int) -> CaseRecord | None:
    """The last record of one case and trial in an evaluation directory, decided or not."""
    found = None
    for line in read_lines(directory / TRACES_FILE):
        if case.encode() in line:
            record = from_json(CaseRecord, line)
            if record.case_id == case and record.trial == trial:
                found = record
    return found
