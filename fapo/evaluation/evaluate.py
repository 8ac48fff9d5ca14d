"""One evaluation: cases → worker ⇄ gateway → predictions → scores → records, streamed to `traces.jsonl`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from fapo.config import Isolation
from fapo.data import Guards
from fapo.errors import CredentialsError, IsolationError, PipelineError, ProviderError, UsageError
from fapo.evaluation.case_run import CaseRun
from fapo.evaluation.guards import Allowance, check_documents, visible
from fapo.evaluation.intervention import Intervention
from fapo.evaluation.judging import Judge
from fapo.evaluation.pool import WorkerPool
from fapo.evaluation.process import WorkerDied, WorkerProcess
from fapo.evaluation.scoring import ScoreFunction
from fapo.llm.gateway import Gateway
from fapo.pipeline.spec import PipelineSpec
from fapo.records import Case, CaseRecord, Failure, Prediction, Score, Split, Usage
from fapo.sandbox.policy import Level
from fapo.sandbox.probe import choose_level
from fapo.store import run_names
from fapo.store.files import LineLog, from_json, read_json, read_lines, to_json, to_python, write_atomic

TRACES_FILE = run_names.TRACES_FILE
MANIFEST_FILE = run_names.MANIFEST_FILE
LEVEL_FILE = "isolation"
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
    first_trial: int = 0
    judge: str | None = None


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
    guards: Guards = field(default_factory=Guards)
    allowance: Allowance | None = None
    interventions: Mapping[str, Intervention] = field(default_factory=dict)
    """By case id: what is changed where the case is replayed."""
    corpus: Path | None = None
    """A folder that pipeline code may read."""
    judge: str | None = None
    """The model that the score function may ask."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case ended, without its steps. `offset` is where its record begins in `traces.jsonl`, bytes."""

    case_id: str
    trial: int
    value: float | None
    failure: Failure | None
    usage: Usage
    demand: Usage
    duration_s: float
    judge: Usage
    offset: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation: one result for each case and trial that was run, in the order of the cases.

    The records are on disk.
    """

    manifest: Manifest
    directory: Path
    results: tuple[CaseResult, ...]
    isolation: Level
    wall_s: float

    @property
    def values(self) -> dict[str, float]:
        """Mean value of each decided case over its trials; pipeline failures count 0."""
        collected: dict[str, list[float]] = {}
        for result in self.results:
            if result.value is not None:
                collected.setdefault(result.case_id, []).append(result.value)
        return {case: sum(values) / len(values) for case, values in collected.items()}

    @property
    def mean(self) -> float:
        values = self.values
        return sum(values.values()) / len(values)

    @property
    def usage(self) -> Usage:
        return sum((result.usage for result in self.results), Usage())

    @property
    def judge_usage(self) -> Usage:
        return sum((result.judge for result in self.results), Usage())

    @property
    def demand(self) -> Usage:
        """What it takes where no reply is in the cache."""
        return sum((result.demand for result in self.results), Usage())

    def failed(self, owner: str) -> tuple[CaseResult, ...]:
        return tuple(result for result in self.results if result.failure and result.failure.owner == owner)

    def read_records(self) -> Iterator[CaseRecord]:
        """The full records in the order of the results, one at a time from disk."""
        with (self.directory / TRACES_FILE).open("rb") as file:
            for result in self.results:
                file.seek(result.offset)
                yield from_json(CaseRecord, file.readline())

    @property
    def records(self) -> tuple[CaseRecord, ...]:
        """All records at once: for evaluations that are known to be small."""
        return tuple(self.read_records())


class Observer(Protocol):
    """Told of each case as it ends; in a resumed evaluation first of those that had ended."""

    def case_done(self, record: CaseRecord) -> None: ...


class _Evaluator:
    """One pass over the cases that have no record yet."""

    def __init__(self, plan: EvaluationPlan, gateway: Gateway, observer: Observer, log: LineLog) -> None:
        self._plan = plan
        self._gateway = gateway
        self._observer = observer
        self._log = log
        self._pool = WorkerPool(self._start_worker)
        self._level: Level = "none"
        self._flowing = asyncio.Event()
        """Set once a reply or a result is there: until then the first calls are to leave, and nothing else."""
        self._provider_failures = 0
        self.results: list[CaseResult] = []

    async def run(self, todo: Iterable[tuple[Case, int]]) -> None:
        pending = iter(todo)

        async def consume(*, at_once: bool) -> None:
            if not at_once:
                await self._flowing.wait()
            for case, trial in pending:
                self._finish(await self._run_case(case, trial))

        self._level = (await asyncio.to_thread(choose_level, self._plan.isolation)).level
        if self._plan.spec.openai_endpoint and self._level == "landlock":
            raise IsolationError(
                "`openai_endpoint` needs a network of its own, and this machine has level `landlock` only, which can "
                "name a port but not a host; `fapo doctor` says what level `full` lacks"
            )
        _note_level(self._plan.directory, self._level)
        try:
            await self._pool.open()
            async with asyncio.TaskGroup() as group:
                for number in range(_cases_in_flight(self._plan.concurrency)):
                    group.create_task(consume(at_once=number < self._plan.concurrency))
        except ExceptionGroup as stops:
            # What all cases run into, such as a limit or a bug, is told once.
            first = stops.exceptions[0]
            raise first from first.__cause__
        finally:
            await self._pool.close()

    async def _start_worker(self) -> WorkerProcess:
        return await WorkerProcess.start(self._plan.variant_dir, self._plan.spec, self._level, self._plan.corpus)

    async def _run_case(self, case: Case, trial: int) -> CaseRecord:
        """In a shared worker; if that goes down or runs out of memory, once more alone, which shows who did it."""
        run = self._case_run(case.id, trial)
        try:
            record = await self._run_in(await self._pool.shared(), case, run)
            if record.failure is None or record.failure.kind != "memory":
                return record
        except WorkerDied:
            pass
        async with self._pool.alone() as worker:
            run = self._case_run(case.id, trial)
            try:
                return await self._run_in(worker, case, run)
            except WorkerDied as death:
                return run.record(case, None, None, Failure("pipeline", death.kind, str(death)))

    def _case_run(self, case_id: str, trial: int) -> CaseRun:
        plan = self._plan
        return CaseRun(plan.spec, plan.manifest.models, self._gateway, trial, self._flowing.set, plan.allowance,
                       plan.interventions.get(case_id), plan.manifest.split != "train")  # fmt: skip

    async def _run_in(self, worker: WorkerProcess, case: Case, run: CaseRun) -> CaseRecord:
        run.begin()
        try:
            inputs = visible(self._plan.guards, case.inputs)
            given = self._plan.interventions.get(case.id)
            outputs = {given.step: given.outputs} if given is not None else None
            limit = self._plan.spec.limits.timeout_s
            prediction = await worker.run_case(inputs, run, timeout_s=limit, outputs=outputs)
            check_documents(self._plan.guards, prediction)
            run.ended = time.monotonic()
            score, judge = await self._score(case, prediction, run)
            return run.record(case, prediction, score, None, judge)
        except PipelineError as error:
            return run.record(case, None, None, Failure("pipeline", error.kind, str(error), error.step))
        except CredentialsError:
            raise
        except ProviderError as error:
            return run.record(case, None, None, Failure("provider", "unavailable", str(error)))

    async def _score(self, case: Case, prediction: Prediction, run: CaseRun) -> tuple[Score, Usage]:
        function = self._plan.score
        prediction = replace(prediction, sent=run.sent)
        if not function.waits:
            return function(case, prediction), Usage()
        if not function.asks_judge:
            return await function.waited(case, prediction), Usage()
        assert self._plan.judge is not None
        judge = Judge(self._gateway, self._plan.judge, rank=run.calls + 1)
        return await function.waited(case, prediction, judge), judge.usage

    def _finish(self, record: CaseRecord) -> None:
        try:
            line = to_json(record)
        except ValueError as error:
            why = Failure("pipeline", "invalid_output", f"its output or a step cannot be written as JSON: {error}")
            record = CaseRecord(record.case_id, record.trial, (), None, None, why, record.duration_s)
            line = to_json(record)
        self._flowing.set()
        self.results.append(_result(record, self._log.append(line)))
        self._observer.case_done(record)
        if record.value is not None:
            self._provider_failures = 0
            return
        self._provider_failures += 1
        if self._provider_failures >= OUTAGE_CASES and record.failure is not None:
            raise ProviderError(f"{OUTAGE_CASES} cases in a row failed at the provider, last: {record.failure.message}")


def _cases_in_flight(concurrency: int) -> int:
    """More than calls: while some cases compute or are scored others keep the wire full, to the very end."""
    return 3 * concurrency if concurrency > 1 else 1


def _result(record: CaseRecord, offset: int) -> CaseResult:
    return CaseResult(
        record.case_id, record.trial, record.value, record.failure, record.usage, record.demand, record.duration_s,
        record.judge, offset,
    )  # fmt: skip


async def evaluate(
    plan: EvaluationPlan, gateway: Gateway, observer: Observer, *, only: Container[str] | None = None
) -> Evaluation:
    """Run a plan, or what is missing of it where its directory holds an interrupted evaluation.

    With `only`, no other cases are run now; the result has those that were run before, too.

    Raises UsageError for broken pipelines, ScorerError, BudgetExceeded, and ProviderError when the provider is out;
    all that finished is on disk by then. Cases that a provider failed stay undecided in the result.
    """
    if not plan.cases:
        raise UsageError("the split has no cases", path=plan.directory)
    started = time.monotonic()
    _claim(plan)
    done = {key: result for key, result in _read_results(plan.directory) if result.value is not None}
    trials = range(plan.manifest.first_trial, plan.manifest.first_trial + plan.manifest.trials)
    order = [(case, trial) for trial in trials for case in plan.cases]
    wanted = order if only is None else [(case, trial) for case, trial in order if case.id in only]
    todo = [(case, trial) for case, trial in wanted if (case.id, trial) not in done]
    if todo:
        _tell_again(plan.directory, done.values(), observer)
        log = LineLog(plan.directory / TRACES_FILE)
        evaluator = _Evaluator(plan, gateway, observer, log)
        try:
            await evaluator.run(todo)
        finally:
            log.close()
        done |= {(result.case_id, result.trial): result for result in evaluator.results}
    results = tuple(done[case.id, trial] for case, trial in order if (case.id, trial) in done)
    return Evaluation(plan.manifest, plan.directory, results, _read_level(plan.directory), time.monotonic() - started)


def _tell_again(directory: Path, results: Iterable[CaseResult], observer: Observer) -> None:
    with contextlib.suppress(FileNotFoundError), (directory / TRACES_FILE).open("rb") as file:
        for result in results:
            file.seek(result.offset)
            observer.case_done(from_json(CaseRecord, file.readline()))


def _read_results(directory: Path) -> Iterator[tuple[tuple[str, int], CaseResult]]:
    offset = 0
    for line in read_lines(directory / TRACES_FILE):
        record = from_json(CaseRecord, line)
        yield (record.case_id, record.trial), _result(record, offset)
        offset += len(line) + 1


def _note_level(directory: Path, level: Level) -> None:
    """Keep the level at which code is confined; of an evaluation that ran at several, the weakest."""
    levels: tuple[Level, ...] = ("none", "landlock", "full")
    kept = _read_level(directory) if (directory / LEVEL_FILE).exists() else level
    write_atomic(directory / LEVEL_FILE, min(kept, level, key=levels.index) + "\n")


def _read_level(directory: Path) -> Level:
    text: Any = (directory / LEVEL_FILE).read_text(encoding="utf-8").strip()
    level: Level = text
    return level


def _claim(plan: EvaluationPlan) -> None:
    """Mark the directory as this plan's; refuse one that belongs to another, so that a resume never mixes two."""
    path = plan.directory / MANIFEST_FILE
    if path.exists():
        if read_json(path) != to_python(plan.manifest):
            raise UsageError("holds an evaluation of something else; choose another directory", path=plan.directory)
        return
    write_atomic(path, to_json(plan.manifest))


def load_manifest(directory: Path) -> Manifest:
    """What an evaluation directory holds the evaluation of. Raises UsageError for what is none, or is damaged."""
    path = directory / MANIFEST_FILE
    if not path.is_file():
        raise UsageError(f"not an evaluation: {MANIFEST_FILE} is missing", path=directory)
    try:
        return from_json(Manifest, path.read_bytes())
    except ValidationError as error:
        raise UsageError(f"cannot be read back: {first_problem(error)}", path=path) from None


def first_problem(error: ValidationError) -> str:
    """The first thing that was wrong with a record, and at which field."""
    first = error.errors()[0]
    return f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}" if first["loc"] else str(first["msg"])


def load_decided(directory: Path) -> dict[tuple[str, int], CaseRecord]:
    """The decided records of an evaluation directory by case id and trial: `read_decided`."""
    return {(record.case_id, record.trial): record for record in read_decided(directory)}


def read_decided(directory: Path) -> Iterator[CaseRecord]:
    """The decided records of an evaluation directory one by one, in the order in which they ended.

    Raises UsageError, with file and line, for what is damaged.
    """
    for number, line in enumerate(read_lines(directory / TRACES_FILE), 1):
        try:
            record = from_json(CaseRecord, line)
        except ValidationError as error:
            problem = f"cannot be read back: {first_problem(error)}"
            raise UsageError(problem, path=directory / TRACES_FILE, line=number) from None
        if record.value is not None:
            yield record


def find_record(directory: Path, case: str, trial: int) -> CaseRecord | None:
    """The last record of one case and trial in an evaluation directory, decided or not."""
    found = None
    for line in read_lines(directory / TRACES_FILE):
        if case.encode() in line:
            record = from_json(CaseRecord, line)
            if record.case_id == case and record.trial == trial:
                found = record
    return found
