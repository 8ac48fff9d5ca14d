"""One optimization: freeze, search with the agent, open test once. Everything is resumed from the journal."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from fapo import __version__, stats
from fapo.acceptance import next_level
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
from fapo.evaluation.project import Project, load_project
from fapo.evaluation.replaying import replayer
from fapo.evaluation.request import write_cases
from fapo.llm.budget import Budget
from fapo.llm.gateway import Gateway
from fapo.optimize.events import (
    Decided,
    Evaluated,
    EvaluationKey,
    Event,
    Journal,
    Learned,
    LevelOpened,
    NoiseFloor,
    Refused,
    Replayed,
    Reviewed,
    Started,
    State,
    Submitted,
)
from fapo.optimize.judge import Arm, Question, change_words, judge, novelty, race_order, settled
from fapo.optimize.levels import LevelDecision, decide_level, initial_levels
from fapo.optimize.reviewer import Claim, Reviewer, review_by_agent
from fapo.optimize.workspace import Workspace
from fapo.pipeline.check import check_pipeline
from fapo.pipeline.spec import load_spec
from fapo.records import Case, Level, Split, Usage
from fapo.review.changes import changed_level
from fapo.review.gate import Review, ReviewContext, review
from fapo.review.leaks import LeakIndex
from fapo.store.files import make_directory, read_json, write_atomic
from fapo.store.testlock import close_look, lock_home, open_look, require_look
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
        reviewer: Reviewer | None = None,
    ) -> None:
        self.directory = directory
        self.source = source
        self.project = project
        self.config = config
        self.narrator = narrator
        self._reviewer = reviewer
        self.journal = Journal(directory / "journal.jsonl")
        self.workspace = Workspace(directory / "workspace")
        self._gateway = gateway
        self._budget = budget
        self._leaks = LeakIndex.build([*project.cases("train"), *project.cases("validation"), *project.cases("test")])
        self._evaluations: dict[EvaluationKey, Evaluation] = {}
        self._attributions: dict[str, Attribution] = {}
        self._replays: dict[str, Replay] = {}
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

    async def evaluate(
        self,
        variant: str,
        split: Split,
        *,
        limit: int | None = None,
        trial: int = 0,
        only: Collection[str] | None = None,
    ) -> Evaluation:
        """Evaluate a variant on a split, or read back what was evaluated before.

        `trial` numbers a second arm; with `only`, no other cases are run now. Raises ProviderError while cases are
        undecided.
        """
        cases = self.project.cases(split)[:limit]
        wanted = {case.id for case in cases} if only is None else set(only)
        key = (variant, split, limit, trial)
        if key in self._evaluations and wanted <= self._evaluations[key].values.keys():
            return self._evaluations[key]
        name = f"{variant}-{split}" + ("" if limit is None else f"-{limit}") + (f"-arm{trial}" if trial else "")
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
            first_trial=trial,
        )
        target = self.directory / "evaluations" / name
        plan = self._plan(variant, cases, manifest, target)
        write_cases(target, cases, self.project.clusters(split))
        observer = self.narrator.evaluating(f"{variant} on {split}", len(wanted))
        try:
            evaluation = await evaluate(plan, self._gateway, observer, only=None if only is None else wanted)
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
                               trial))  # fmt: skip
        self._evaluations[key] = evaluation
        return evaluation

    def _plan(self, variant: str, cases: tuple[Case, ...], manifest: Manifest, target: Path) -> EvaluationPlan:
        directory = self.variant_dir(variant)
        return EvaluationPlan(directory, load_spec(directory), cases, self.project.score, manifest, target,
                              self.config.concurrency, self.config.isolation, self.project.benchmark.guards,
                              self._allowance(variant))  # fmt: skip

    def _allowance(self, variant: str) -> Allowance | None:
        """What a case of a variant may take, by the benchmark's guards; of the baseline, anything."""
        if variant == BASELINE:
            return None
        done = self.state.evaluated(BASELINE, "train") or self.state.evaluated(BASELINE, "validation")
        return allowance(self.project.benchmark.guards, done.demand, done.n) if done else None

    async def noise_floor(self) -> NoiseFloor:
        """How far the baseline differs from itself on validation, by a second arm, whose replies the cache has not."""
        if self.state.noise is None:
            first = (await self.evaluate(BASELINE, "validation")).values
            second = (await self.evaluate(BASELINE, "validation", trial=1)).values
            changed = [second[case] - first[case] for case in first]
            differ = sum(abs(change) > 1e-12 for change in changed) / len(changed)
            self.log(NoiseFloor(differ, sum(changed) / len(changed), len(changed)))
        assert self.state.noise is not None
        return self.state.noise

    async def attribution(self) -> Attribution:
        """Where the incumbent loses its score on train: measured, once that was asked for."""
        variant = self.state.incumbent
        if variant not in self._attributions:
            evaluation = await self.evaluate(variant, "train")
            cases = self.case_map("train")
            self._attributions[variant] = attribute(cases, evaluation.records)
            self.workspace.write_traces(variant, evaluation.records, cases)
        if any(done.variant == variant for done in self.state.replays):
            await self.replay()
        return self._attributions[variant]

    async def replay(self) -> Replay:
        """Blame for the incumbent's failures on train, measured: each step changed in turn, the rest as it was."""
        variant = self.state.incumbent
        if variant not in self._replays:
            evaluation = await self.evaluate(variant, "train")
            plan = self._plan(variant, self.project.cases("train"), evaluation.manifest, evaluation.directory)
            directory = self.variant_dir(variant)
            title = f"replay of {variant}"
            run = replayer(plan, self._gateway, lambda _, total: self.narrator.evaluating(title, total))
            try:
                found = await replay(self.case_map("train"), evaluation.records, run, teacher=self.config.teacher,
                                     resources=resource_texts(directory))  # fmt: skip
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
        return shares_of(await self.attribution())

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
            claim = Claim(variant, hypothesis, technique, step, found.level)
            reviewed = await self._ask_reviewer(claim, incumbent, snapshot)
            if reviewed is not None and reviewed.status == "block":
                refused = Refused(variant, incumbent, found.level, hypothesis, technique, step,
                                  self._blocked(reviewed, technique))  # fmt: skip
                self.log(refused)
                self.log(reviewed)
                return refused
            self.freeze(variant, snapshot)
            look = self.state.looks + 1
            lines = sum(file.added_lines + file.removed_lines for file in changed_level(
                self.snapshot(incumbent), snapshot).files)  # fmt: skip
            change = change_words(self.snapshot(incumbent), snapshot)
            earlier = [
                change_words(self.snapshot(a.parent), self.snapshot(a.variant)) for a in self.state.attempts if a.looked
            ]
            self.log(Submitted(variant, incumbent, snapshot_digest(snapshot), found.level, hypothesis, technique, step,
                               look, lines, round(novelty(change, earlier), 3)))  # fmt: skip
            if reviewed is not None:
                self.log(reviewed)
            return await self.decide(variant)

    async def _ask_reviewer(self, claim: Claim, incumbent: str, snapshot: Snapshot) -> Reviewed | None:
        """What the independent reviewer says, if there is one."""
        if self._reviewer is None:
            return None
        left = None if self._reviewer.free else self.dollars_left()
        reviewed = await review_by_agent(
            self._reviewer, claim, self.snapshot(incumbent), snapshot, self.project.score.path,
            self.directory / "review", max_budget_usd=left,
        )  # fmt: skip
        self.charge_optimizer(reviewed.usage)
        return reviewed

    def _blocked(self, reviewed: Reviewed, technique: str) -> str:
        """Why a variant was blocked, and whether it may come back: once."""
        before = [a for a in self.state.attempts if a.technique == technique and a.review is not None]
        again = any(a.review is not None and a.review.status == "block" for a in before)
        advice = "it was blocked before: leave this idea" if again else "you may revise it once"
        return f"the reviewer blocks it ({reviewed.check}): {reviewed.path}: {reviewed.reason}; {advice}"

    def review(self, snapshot: Snapshot) -> Review:
        """The deterministic review of a snapshot against the incumbent, at the levels that are open now."""
        context = ReviewContext(
            open_levels=frozenset(self.state.open_levels),
            baseline=self.snapshot(BASELINE),
            leaks=self._leaks,
            closed_labels=self.project.benchmark.closed_labels,
            scorer=self.project.score.path.read_text(encoding="utf-8", errors="replace"),
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
        parent = self.state.attempt(variant).parent
        cases = self.project.cases("validation")
        clusters = self.project.clusters("validation")
        question = Question(variant, self.next_level(), self.state.tolerated, self.config, clusters, len(cases))
        digests = ":".join(snapshot_digest(self.snapshot(each)) for each in (parent, variant))
        seen: list[str] = []
        early = None
        for block in race_order((case.id for case in cases), clusters, seed=f"{digests}:{self.state.looks}"):
            seen += block
            incumbent, candidate = await self._arm(parent, seen), await self._arm(variant, seen)
            early = settled(question, candidate, incumbent) if len(seen) < len(cases) else None
            if early is not None:
                break
        verdict = judge(question, candidate, incumbent, early=early)
        self.log(verdict)
        if verdict.verdict == "accepted" and self.config.target is not None:
            await self.evaluate(variant, "validation")
        return verdict

    async def _arm(self, variant: str, cases: Collection[str]) -> Arm:
        evaluation = await self.evaluate(variant, "validation", only=cases)
        chosen = set(cases)
        values = {case: value for case, value in evaluation.values.items() if case in chosen}
        demand = sum((result.demand for result in evaluation.results if result.case_id in chosen), Usage())
        return Arm(values, demand, sum(map(len, self.snapshot(variant).values())))

    def next_level(self) -> float:
        """What the p value of the next look at validation must not exceed."""
        return next_level(self.config.accept, self.config.error, self.config.max_variants, self.state.accepted_looks)

    def detectable_gain(self) -> float:
        """The smallest true gain that the first look at validation would find with 80 % power."""
        n, known = self._known_of_validation()
        return stats.detectable_gain(n, **known)

    def cases_needed(self, gain: float) -> int:
        """How many validation cases the first look would need to find a true `gain` with 80 % power."""
        _, known = self._known_of_validation()
        return stats.cases_needed(gain, **known)

    def _known_of_validation(self) -> tuple[int, Mapping[str, Any]]:
        """Cases, and what the power depends on. Noise counts as measured, but not as less than what is usual."""
        done = self.state.evaluated(BASELINE, "validation")
        assert done is not None
        level = next_level(self.config.accept, self.config.error, self.config.max_variants, ())
        usual = 2 * done.mean * (1 - done.mean) * (1 - stats.CORRELATION)
        noise = max(self.state.noise.discordant if self.state.noise else 0.0, usual)
        return done.n, {"alpha": min(level, 0.5), "baseline": done.mean, "discordance": noise}

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
        return self.project.sample_note is not None

    @property
    def lock_home(self) -> Path:
        return lock_home(self.source, self.directory.parent)

    def _test_digest(self) -> str:
        return split_digest(self.project.cases("test"))

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


def shares_of(attribution: Attribution) -> dict[str, float]:
    """The lost score by level, and what is unidentified."""
    return {str(level): share for level, share in attribution.by_level.items()}


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
