"""One optimization: its directory, its variants and their evaluations, its state. All is resumed from the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from fapo import stats
from fapo.agent.protocol import AgentEvent
from fapo.attribution.blame import Attribution
from fapo.attribution.counterfactual import resource_texts
from fapo.attribution.replay import Replay, replay
from fapo.attribution.rules import attribute
from fapo.config import OptimizeConfig
from fapo.data import split_digest
from fapo.errors import ProviderError, UsageError
from fapo.evaluation.evaluate import Evaluation, EvaluationPlan, Manifest, Observer, evaluate
from fapo.evaluation.guards import Allowance, allowance
from fapo.evaluation.project import Project
from fapo.evaluation.replaying import replayer
from fapo.evaluation.request import write_cases
from fapo.llm.budget import Budget, Kept
from fapo.llm.gateway import Gateway
from fapo.optimize.events import (
    Evaluated,
    EvaluationKey,
    Event,
    Journal,
    Learned,
    LevelOpened,
    Replayed,
    State,
)
from fapo.optimize.levels import LevelDecision, decide_level, shares_left
from fapo.pipeline.spec import load_spec
from fapo.records import BASELINE, Case, Level, Split, Usage
from fapo.store.testlock import close_look, lock_home, open_look, require_look
from fapo.store.variants import Snapshot, freeze_snapshot, snapshot_digest, take_snapshot

TRIALS_A_SEED = 100
"""Trial numbers that a seed has for itself, so that searches with different seeds draw samples of their own."""


def evaluation_name(key: EvaluationKey) -> str:
    """The folder of an evaluation below a run's `evaluations/`."""
    variant, split, limit, trial = key
    return f"{variant}-{split}" + ("" if limit is None else f"-{limit}") + (f"-arm{trial}" if trial else "")


class Narrator(Protocol):
    """Shows a person what happens. Nothing that it does changes the run."""

    def event(self, event: Event, state: State) -> None: ...

    def agent(self, event: AgentEvent, lane: int) -> None: ...

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
        self.gateway = gateway
        self._budget = budget
        self._evaluations: dict[EvaluationKey, Evaluation] = {}
        self._attributions: dict[str, Attribution] = {}
        self._replays: dict[str, Replay] = {}
        self._evaluating = asyncio.Lock()

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

    async def evaluate(
        self,
        variant: str,
        split: Split,
        *,
        limit: int | None = None,
        trial: int = 0,
        only: Collection[str] | None = None,
    ) -> Evaluation:
        """Evaluate a variant on a split, or read back what was evaluated before; one at a time.

        `trial` numbers a second arm; with `only`, no other cases are run now. Raises ProviderError while cases are
        undecided, and BudgetExceeded.
        """
        async with self._evaluating:
            return await self._evaluate(variant, split, limit, trial, only)

    async def _evaluate(
        self, variant: str, split: Split, limit: int | None, trial: int, only: Collection[str] | None
    ) -> Evaluation:
        cases = self.project.cases(split)[:limit]
        wanted = {case.id for case in cases} if only is None else set(only)
        key = (variant, split, limit, trial)
        if key in self._evaluations and wanted <= self._evaluations[key].values.keys():
            return self._evaluations[key]
        plan = self.plan(variant, split, limit=limit, trial=trial)
        target = plan.directory
        write_cases(target, cases, self.project.clusters(split))
        observer = self.narrator.evaluating(f"{variant} on {split}", len(wanted))
        try:
            evaluation = await evaluate(plan, self.gateway, observer, only=None if only is None else wanted)
        finally:
            self.narrator.evaluated()
        if undecided := evaluation.failed("provider"):
            assert undecided[0].failure is not None
            raise ProviderError(
                f"{len(undecided)} cases are undecided, since the provider failed: {undecided[0].failure.message}; "
                "resume the run to decide them"
            )
        known = self.state.evaluations.get(key)
        if known is None or known.n < len(evaluation.values):
            failures = len(evaluation.failed("pipeline"))
            self.log(Evaluated(variant, split, limit, evaluation.mean, len(evaluation.values), failures,
                               evaluation.usage, evaluation.isolation, evaluation.demand, len(cases),
                               trial, evaluation.judge_usage))  # fmt: skip
        self._evaluations[key] = evaluation
        return evaluation

    def plan(self, variant: str, split: Split, *, limit: int | None = None, trial: int = 0) -> EvaluationPlan:
        """How a variant is evaluated on a split, and where; `limit` and `trial` are those of `evaluate`."""
        cases, directory = self.project.cases(split)[:limit], self.variant_dir(variant)
        name = evaluation_name((variant, split, limit, trial))
        trials = 1 if split == "train" else self.config.trials
        manifest = Manifest(
            pipeline=self.project.spec.name,
            variant=variant,
            variant_digest=snapshot_digest(self.snapshot(variant)),
            split=split,
            cases_digest=split_digest(cases),
            score=self.project.score.name,
            score_digest=self.project.score.digest,
            trials=trials,
            models=self.project.spec.models,
            sample=self.project.sample_note,
            first_trial=trial * trials + TRIALS_A_SEED * self.config.seed,
            judge=self.project.judge,
        )
        return EvaluationPlan(directory, load_spec(directory), cases, self.project.score, manifest,
                              self.directory / "evaluations" / name, self.config.concurrency, self.config.isolation,
                              self.project.benchmark.guards, self._allowance(variant), judge=self.project.judge,
                              corpus=self.project.benchmark.corpus)  # fmt: skip

    def _allowance(self, variant: str) -> Allowance | None:
        """What a case of a variant may take, by the benchmark's guards; of the baseline, anything."""
        if variant == BASELINE:
            return None
        done, runs = self.state.evaluated(BASELINE, "train"), 1
        if done is None:
            done, runs = self.state.evaluated(BASELINE, "validation"), self.config.trials
        return allowance(self.project.benchmark.guards, done.demand, done.n * runs) if done else None

    async def attribution(self) -> Attribution:
        """Where the incumbent loses its score on train: measured, once that was asked for."""
        variant = self.state.incumbent
        if variant not in self._attributions:
            evaluation = await self.evaluate(variant, "train")
            self._attributions[variant] = attribute(self.case_map("train"), evaluation.records)
        if any(done.variant == variant for done in self.state.replays):
            await self.replay()
        return self._attributions[variant]

    async def replay(self) -> Replay:
        """Blame for the incumbent's failures on train, measured: each step changed in turn, the rest as it was."""
        variant = self.state.incumbent
        if variant not in self._replays:
            evaluation = await self.evaluate(variant, "train")
            plan = self.plan(variant, "train")
            directory = self.variant_dir(variant)
            title = f"replay of {variant}"
            run = replayer(plan, self.gateway, lambda _, total: self.narrator.evaluating(title, total))
            try:
                found = await replay(self.case_map("train"), evaluation.records, run, teacher=self.config.teacher,
                                     resources=resource_texts(directory, self.project.benchmark.corpus))  # fmt: skip
            finally:
                self.narrator.evaluated()
            if not any(done.variant == variant for done in self.state.replays):
                self.log(Replayed(variant, found.replayed, shares_of(found.attribution), found.usage))
            self._replays[variant] = found
            self._attributions[variant] = found.attribution
        return self._replays[variant]

    def measured(self) -> Replay | None:
        """What replay found for the incumbent, if it was asked."""
        return self._replays.get(self.state.incumbent)

    def case_map(self, split: Split) -> dict[str, Case]:
        return {case.id: case for case in self.project.cases(split)}

    async def shares(self) -> Mapping[str, float]:
        return shares_left(await self.attribution(), self.state.attempts)

    def learn(self, variant: str, lesson: str) -> None:
        """Take down what the agent learned from a variant. Raises UsageError for a variant that there is not."""
        if not any(attempt.variant == variant for attempt in self.state.attempts):
            raise UsageError(f"there is no variant {variant}")
        self.log(Learned(variant, lesson))

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

    def open_test(self) -> tuple[int, float]:
        """Enter this run's look at test in `fapo.lock`, before a case of it is read: its number and its level."""
        return open_look(self.lock_home, run=self.directory.name, test=self._test_digest(), standin=self.is_standin)

    async def confirm(self, best: str) -> bool:
        """Run baseline and best on test, and say whether test confirms that best is better."""
        assert self.state.test is not None
        baseline, candidate = [await self.evaluate(variant, "test") for variant in (BASELINE, best)]
        found = stats.paired_comparison(candidate.values, baseline.values, clusters=self.project.clusters("test"))
        confirmed = found.difference > 0 and found.p_greater <= self.state.test.alpha
        close_look(self.lock_home, run=self.directory.name, test=self._test_digest(), p=found.p_greater,
                   confirmed=confirmed)  # fmt: skip
        return confirmed

    def require_test_look(self) -> None:
        """Raise UsageError where the test cases can show nothing more."""
        if not self.is_standin:
            require_look(self.lock_home, test=self._test_digest(), run=self.directory.name)

    @property
    def is_standin(self) -> bool:
        return self.project.is_standin

    @property
    def lock_home(self) -> Path:
        return lock_home(self.source, self.directory.parent)

    def _test_digest(self) -> str:
        return split_digest(self.project.cases("test"))

    def keep_back(self, kept: Kept) -> None:
        """Leave a part of the limits unused for now."""
        self._budget.keep_back(kept)

    def charge_optimizer(self, usage: Usage) -> None:
        """Count an agent session against the budget, so that task calls stop in time."""
        self._budget.charge("optimizer", usage)


def shares_of(attribution: Attribution) -> dict[str, float]:
    """The lost score by level, and what is unidentified."""
    return {str(level): share for level, share in attribution.by_level.items()}
