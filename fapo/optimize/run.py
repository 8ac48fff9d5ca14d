"""One optimization: freeze, search with the agent, open test once. Everything is resumed from the journal."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from fapo import __version__
from fapo.agent.protocol import AgentEvent
from fapo.attribution.blame import Attribution
from fapo.attribution.rules import attribute
from fapo.config import OptimizeConfig
from fapo.data import split_digest
from fapo.errors import ProviderError, UsageError
from fapo.evaluation.evaluate import Evaluation, EvaluationPlan, Manifest, Observer, evaluate
from fapo.evaluation.project import Project, load_project
from fapo.evaluation.request import write_cases
from fapo.llm.budget import Budget
from fapo.llm.gateway import Gateway
from fapo.optimize.events import (
    Decided,
    Evaluated,
    Event,
    Journal,
    LevelOpened,
    Refused,
    Started,
    State,
    Submitted,
)
from fapo.optimize.judge import judge
from fapo.optimize.levels import LevelDecision, decide_level, initial_levels
from fapo.optimize.workspace import Workspace
from fapo.pipeline.check import check_pipeline
from fapo.pipeline.spec import load_spec
from fapo.records import Case, Level, Split, Usage
from fapo.review.gate import Review, ReviewContext, review
from fapo.review.leaks import LeakIndex
from fapo.store.files import make_directory, read_json, write_atomic
from fapo.store.variants import Snapshot, freeze_snapshot, snapshot_digest, take_snapshot

BASELINE = "000"
RUN_FILE = "run.json"
REFUSALS_PER_VARIANT = 3
"""Submissions that review may turn down for each that validation may be asked about."""


class Narrator(Protocol):
    """Shows a person what happens. Nothing that it does changes the run."""

    def event(self, event: Event, state: State) -> None: ...

    def agent(self, event: AgentEvent) -> None: ...

    def note(self, text: str) -> None: ...

    def evaluating(self, title: str, total: int) -> Observer: ...

    def evaluated(self) -> None: ...


class Run:
    """One optimization's directory, inputs and state, and what can be done with its variants."""

    def __init__(
        self,
        directory: Path,
        source: Path,
        project: Project,
        config: OptimizeConfig,
        *,
        gateway: Gateway,
        budget: Budget,
        narrator: Narrator,
    ) -> None:
        self.directory = directory
        self.source = source
        self.project = project
        self.config = config
        self.narrator = narrator
        self.journal = Journal(directory / "journal.jsonl")
        self.workspace = Workspace(directory / "workspace")
        self._gateway = gateway
        self._budget = budget
        self._leaks = LeakIndex.build([*project.cases("train"), *project.cases("validation"), *project.cases("test")])
        self._evaluations: dict[tuple[str, Split, int | None], Evaluation] = {}
        self._attributions: dict[str, Attribution] = {}
        self._lock = asyncio.Lock()

    @property
    def state(self) -> State:
        return self.journal.state

    @property
    def scope(self) -> tuple[Level, ...]:
        return tuple(level for level in self.project.spec.scope if level in self.config.scope)

    def log(self, event: Event) -> None:
        self.journal.append(event)
        self.narrator.event(event, self.state)

    # -- variants

    def variant_dir(self, variant: str) -> Path:
        return self.directory / "variants" / variant

    def snapshot(self, variant: str) -> dict[str, bytes]:
        return take_snapshot(self.variant_dir(variant))

    def freeze(self, variant: str, snapshot: Snapshot) -> None:
        """Store a snapshot as an immutable variant directory."""
        freeze_snapshot(snapshot, self.variant_dir(variant))

    # -- evaluations

    async def evaluate(self, variant: str, split: Split, *, limit: int | None = None) -> Evaluation:
        """Evaluate a variant on a split, or read back what was evaluated before.

        Raises ProviderError while cases are undecided.
        """
        if (variant, split, limit) in self._evaluations:
            return self._evaluations[variant, split, limit]
        cases = self.project.cases(split)[:limit]
        name = f"{variant}-{split}" + ("" if limit is None else f"-{limit}")
        directory = self.variant_dir(variant)
        spec = load_spec(directory)
        models = self.project.spec.models
        manifest = Manifest(
            pipeline=self.project.spec.name,
            variant=variant,
            variant_digest=snapshot_digest(self.snapshot(variant)),
            split=split,
            cases_digest=split_digest(cases),
            score=self.project.score.name,
            score_digest=self.project.score.digest,
            trials=1,
            models=models,
            sample=self.project.sample_note,
        )
        target = self.directory / "evaluations" / name
        plan = EvaluationPlan(directory, spec, cases, self.project.score, manifest, target,
                              self.config.concurrency, self.config.isolation)  # fmt: skip
        write_cases(target, cases, self.project.clusters(split))
        observer = self.narrator.evaluating(f"{variant} on {split}", len(cases))
        try:
            evaluation = await evaluate(plan, self._gateway, observer)
        finally:
            self.narrator.evaluated()
        if undecided := evaluation.failed("provider"):
            assert undecided[0].failure is not None
            raise ProviderError(
                f"{len(undecided)} cases are undecided, since the provider failed: {undecided[0].failure.message}; "
                "resume the run to decide them"
            )
        if (variant, split, limit) not in self.state.evaluations:
            failures = len(evaluation.failed("pipeline"))
            self.log(Evaluated(variant, split, limit, evaluation.mean, len(evaluation.values), failures,
                               evaluation.usage, evaluation.isolation))  # fmt: skip
        self._evaluations[variant, split, limit] = evaluation
        return evaluation

    async def attribution(self) -> Attribution:
        """Where the incumbent loses its score on train."""
        variant = self.state.incumbent
        if variant not in self._attributions:
            evaluation = await self.evaluate(variant, "train")
            cases = self.case_map("train")
            self._attributions[variant] = attribute(cases, evaluation.records)
            self.workspace.write_traces(variant, evaluation.records, cases)
        return self._attributions[variant]

    def case_map(self, split: Split) -> dict[str, Case]:
        return {case.id: case for case in self.project.cases(split)}

    async def shares(self) -> Mapping[str, float]:
        attribution = await self.attribution()
        return {str(level): share for level, share in attribution.by_level.items()}

    # -- what the agent may ask for

    async def submit(self, hypothesis: str, technique: str, step: str) -> Decided | Refused:
        """Freeze the workspace, review it, and compare it with the incumbent on validation."""
        async with self._lock:
            incumbent = self.state.incumbent
            variant = f"{len(self.state.attempts) + 1:03d}"
            snapshot = self.workspace.snapshot()
            found = self.review(snapshot)
            reason = "; ".join(_finding(finding) for finding in found.findings[:5]) or await self._smoke(
                variant, snapshot
            )
            if reason or found.level is None:
                refused = Refused(
                    variant, incumbent, found.level, hypothesis, technique, step, reason or "nothing changed"
                )
                self.log(refused)
                return refused
            self.freeze(variant, snapshot)
            look = self.state.looks + 1
            self.log(
                Submitted(
                    variant,
                    incumbent,
                    snapshot_digest(snapshot),
                    found.level,
                    hypothesis,
                    technique,
                    step,
                    look,
                )
            )
            return await self.decide(variant)

    def review(self, snapshot: Snapshot) -> Review:
        """The deterministic review of a snapshot against the incumbent, at the levels that are open now."""
        context = ReviewContext(
            open_levels=frozenset(self.state.open_levels),
            baseline=self.snapshot(BASELINE),
            leaks=self._leaks,
            closed_labels=self.project.benchmark.closed_labels,
        )
        return review(self.snapshot(self.state.incumbent), snapshot, context)

    async def _smoke(self, variant: str, snapshot: Snapshot) -> str:
        """Why the variant does not even run on one train case, or an empty text."""
        draft = f"draft-{snapshot_digest(snapshot)[:12]}"
        self.freeze(draft, snapshot)
        try:
            check_pipeline(self.variant_dir(draft), load_spec(self.variant_dir(draft)))
            evaluation = await self.evaluate(draft, "train", limit=1)
        except UsageError as error:
            return f"does not run: {error}".replace(str(self.variant_dir(draft)), "pipeline")
        failures = evaluation.failed("pipeline")
        if failures and failures[0].failure is not None:
            return f"fails on a smoke case: {failures[0].failure.message}"
        return ""

    async def decide(self, variant: str) -> Decided:
        """Ask validation about a submitted variant, and log the verdict."""
        attempt = self.state.attempt(variant)
        look = [a.variant for a in self.state.attempts if a.looked].index(variant) + 1
        incumbent = await self.evaluate(attempt.parent, "validation")
        candidate = await self.evaluate(variant, "validation")
        verdict = judge(variant, candidate.values, incumbent.values, clusters=self.project.clusters("validation"),
                        look=look, config=self.config)  # fmt: skip
        self.log(verdict)
        return verdict

    async def request_level(self, level: Level) -> LevelDecision:
        """Open a level, if the program's own numbers say so."""
        decision = decide_level(level, self.state, self.scope, await self.shares())
        if decision.granted:
            self.open_up_to(level, decision.why)
        return decision

    def open_up_to(self, level: Level, why: str) -> None:
        """Open `level`, and with structure also the parameters, where the scope has them."""
        wanted: tuple[Level, ...] = ("parameter", "structure") if level == "structure" else (level,)
        for each in wanted:
            if each in self.scope and each not in self.state.open_levels:
                self.log(LevelOpened(each, why))

    async def evaluate_workspace(self, limit: int | None) -> tuple[Evaluation, Evaluation, str]:
        """The workspace as it stands, on train: its evaluation, the incumbent's, and the traces' folder.

        Raises UsageError where review finds fault with it.
        """
        async with self._lock:
            snapshot = self.workspace.snapshot()
            found = self.review(snapshot)
            if found.findings:
                raise UsageError("; ".join(_finding(finding) for finding in found.findings[:5]))
            draft = f"draft-{snapshot_digest(snapshot)[:12]}"
            self.freeze(draft, snapshot)
            check_pipeline(self.variant_dir(draft), load_spec(self.variant_dir(draft)))
            evaluation = await self.evaluate(draft, "train", limit=limit)
            incumbent = await self.evaluate(self.state.incumbent, "train")
            traces = self.workspace.write_traces(draft, evaluation.records, self.case_map("train"))
            return evaluation, incumbent, traces

    def charge_optimizer(self, usage: Usage) -> None:
        """Count an agent session against the budget, so that task calls stop in time."""
        self._budget.charge("optimizer", usage)

    # -- limits

    def why_stop(self) -> tuple[str, str] | None:
        """The status and the reason to end the search now, or None."""
        state, config = self.state, self.config
        validated = state.evaluated(state.incumbent, "validation")
        if config.target is not None and validated is not None and validated.mean >= config.target:
            return "target", f"validation reached {validated.mean:.3f}, target {config.target:.3f}"
        if validated is not None and validated.mean >= 1.0:
            return "target", "validation is at 1.000: nothing is left to gain"
        if state.looks >= config.max_variants:
            return "variants", f"all {config.max_variants} variants were tried"
        if len(state.attempts) - state.looks >= REFUSALS_PER_VARIANT * config.max_variants:
            return "variants", "review turned down too many submissions"
        if config.max_minutes is not None and time.time() - state.started_at >= 60 * config.max_minutes:
            return "time", f"{config.max_minutes:g} minutes are over"
        left = self.dollars_left()
        if left is not None and left <= self.test_reserve():
            return "budget", f"what is left of ${config.budget_usd:g} is kept for the test split"
        return None

    def dollars_left(self) -> float | None:
        """What is left of the budget, or None where there is none or spending is unknown."""
        spent = (self.state.usage("task") + self.state.usage("optimizer")).cost_usd
        if self.config.budget_usd is None or spent is None:
            return None
        return self.config.budget_usd - spent

    def test_reserve(self) -> float:
        """What test will cost, judged by validation, for baseline and best."""
        cost = 0.0
        for variant in (BASELINE, self.state.incumbent):
            done = self.state.evaluated(variant, "validation")
            paid = done.paid.cost_usd if done else None
            cost += (paid or 0.0) * len(self.project.cases("test")) / max(done.n if done else 1, 1)
        return 1.2 * cost


def _finding(finding: Any) -> str:
    where = f"{finding.path}:{finding.line}" if finding.line else finding.path
    return f"{where}: {finding.message}" if where else str(finding.message)


def create_run(source: Path, project: Project, config: OptimizeConfig, runs_dir: Path) -> Path:
    """Freeze the inputs of a new run under `runs_dir`; returns its directory."""
    make_directory(runs_dir)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    directory = _fresh(runs_dir, f"{stamp}-{project.spec.name}")
    snapshot = take_snapshot(source, hard_links=True)
    freeze_snapshot(snapshot, directory / "variants" / BASELINE)
    frozen = {
        "pipeline": project.spec.name,
        "source": str(source.resolve()),
        "config": config.model_dump(mode="json"),
        "baseline_digest": snapshot_digest(snapshot),
        "score_digest": project.score.digest,
        "cases": _digests(project),
        "fapo": __version__,
    }
    write_atomic(directory / RUN_FILE, json.dumps(frozen, indent=2) + "\n")
    return directory


def reopen_run(directory: Path) -> tuple[Project, OptimizeConfig, Path]:
    """The project, configuration and source directory of an interrupted run.

    Raises UsageError where what it ran on has changed.
    """
    path = directory / RUN_FILE
    if not path.is_file():
        raise UsageError("not a run: run.json is missing", path=directory)
    try:
        frozen = read_json(path)
        config = OptimizeConfig.model_validate(frozen["config"])
    except (ValueError, KeyError) as error:
        raise UsageError(f"cannot be read back: {' '.join(str(error).split())}", path=path) from None
    project = load_project(directory / "variants" / BASELINE, model=config.model, data_from=Path(frozen["source"]))
    if project.score.digest != frozen["score_digest"]:
        raise UsageError("the score function has changed since the run began; start a new run", path=project.score.path)
    if _digests(project) != frozen["cases"]:
        raise UsageError("the benchmark's cases have changed since the run began; start a new run", path=directory)
    return project, config, Path(frozen["source"])


def begin(run: Run) -> None:
    """Log the start of a run, once."""
    if run.state.started_at == 0.0:
        run.log(Started())
        for level in initial_levels(run.scope):
            run.log(LevelOpened(level, "the lowest level of the scope is open from the start"))


def _digests(project: Project) -> dict[str, str]:
    splits: Iterable[Split] = ("train", "validation", "test")
    return {split: split_digest(project.cases(split)) for split in splits}


def _fresh(parent: Path, name: str) -> Path:
    for number in range(1, 1000):
        path = parent / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            continue
    raise UsageError("too many runs with this name", path=parent)
