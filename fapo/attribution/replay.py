"""Counterfactual replay: blame that is measured. Failing cases run again with one step changed; the rest is as it was.

Cases are drawn at random and every arm is tried on the same ones, round by round, until what an arm can turn is known
well enough, or it is far behind the best. What came before the changed step is answered from the cache.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fapo.attribution.blame import Attribution, Blame
from fapo.attribution.clusters import find_clusters, views_by_case
from fapo.attribution.counterfactual import Arm, Kind, Library, arms, intervention, unchangeable
from fapo.attribution.rules import attribute
from fapo.attribution.summary import summarise
from fapo.attribution.verdict import retrieval_levels
from fapo.attribution.view import CaseView, retrieval_names
from fapo.evaluation.intervention import Intervention
from fapo.records import Case, CaseRecord, Level, Usage
from fapo.stats import Interval, mean_interval

ROUND = 8
"""Cases of a round."""
MOST_CASES = 48
"""Failing cases that are replayed at most."""
WIDTH = 0.15
"""An arm is known well enough when its interval is no wider than this to either side."""
PASSING_CASES = 8
"""Passing cases on which steps are corrupted."""
_CEILING: dict[Kind, Level] = {"teacher": "prompt", "gold": "structure", "context": "structure"}
_CAUSES: tuple[Kind, ...] = ("gold", "teacher", "context")
_CERTAIN = frozenset({"error", "lost", "truncated", "format", "refusal", "empty"})
"""Categories of the rules that are seen in the trace itself, and need no replay."""

Run = Callable[[Mapping[str, tuple[Case, Intervention]]], Awaitable[Mapping[str, CaseRecord]]]
"""Runs cases, each with its change, by a name of its own, and gives back their records."""


@dataclass(frozen=True, slots=True)
class Headroom:
    """What changing one step turned. `turned` of `tried` failing cases succeeded (of `corrupt`: passing ones failed);
    `share` is that with its interval. `regained` is the mean share of their lost score that the change won, which
    counts parts of a score, too; None for `corrupt`. `demand` is what it took, cached or not. `inapplicable` cases gave
    nothing to change."""

    step: str
    kind: Kind
    tried: int
    turned: int
    inapplicable: int
    share: Interval | None
    regained: float | None
    cases: tuple[str, ...]
    demand: Usage


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The mean that a level was seen to reach: each failing case at what the best arm of the level made of it.

    It bounds what the level can win by the ways that replay knows: for prompts, a stronger model on the same inputs;
    for structure, gold documents. A wrong prompt misleads a stronger model, too, so that better prompts may reach more.
    """

    level: Level
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Replay:
    """Blame by replay. `attribution` divides the lost score as `attribute` does, by what was measured where it was.

    `overlap` is the share of the replayed failures that more than one step can turn: the first of them is blamed, and
    headrooms are no summands. `unchanged` steps cannot be replayed.
    """

    attribution: Attribution
    rules: Attribution
    headrooms: tuple[Headroom, ...]
    ceilings: tuple[Ceiling, ...]
    failing: int
    replayed: int
    overlap: float
    unchanged: tuple[str, ...]
    usage: Usage


async def replay(
    cases: Mapping[str, Case],
    records: Sequence[CaseRecord],
    run: Run,
    *,
    teacher: str | None,
    resources: Iterable[str] = (),
    pass_mark: float = 1.0,
    most_cases: int = MOST_CASES,
) -> Replay:
    """Replay failing cases of `records`, of several trials of a case the first. `resources` are the texts of the
    pipeline's resource files."""
    rules = attribute(cases, records, pass_mark)
    retrieval = retrieval_names(records)
    first: dict[str, CaseRecord] = {}
    for record in sorted(records, key=lambda record: record.trial):
        if record.value is not None:
            first.setdefault(record.case_id, record)
    views = [CaseView(record, cases[record.case_id], retrieval) for record in first.values()]
    failing = [view for view in views if (view.record.value or 0.0) < pass_mark and view.steps]
    passing = [view for view in views if (view.record.value or 0.0) >= pass_mark]
    library = Library((step.step.output for view in views for step in view.retrievals), resources)
    trials = _Trials(failing, passing, library, run, teacher, pass_mark)
    await trials.play(most_cases)
    await trials.corrupt()
    blames = _blames(rules, trials)
    return Replay(
        attribution=replace(
            summarise(blames, n=rules.n, undecided=rules.undecided, mean=rules.mean),
            retrieval=rules.retrieval,
            clusters=find_clusters(blames, views_by_case(failing)),
        ),
        rules=rules,
        headrooms=trials.headrooms(),
        ceilings=_ceilings(trials, rules.mean or 0.0, rules.lost),
        failing=len(failing),
        replayed=len(trials.played),
        overlap=trials.overlap(),
        unchanged=unchangeable(failing, trials.arms),
        usage=trials.usage,
    )


class _Trials:
    """What was tried so far, arm by arm."""

    def __init__(
        self,
        failing: Sequence[CaseView],
        passing: Sequence[CaseView],
        library: Library,
        run: Run,
        teacher: str | None,
        pass_mark: float,
    ) -> None:
        order = sorted(failing, key=lambda view: view.record.case_id)
        random.Random(0).shuffle(order)  # noqa: S311 - nothing here is a secret
        self.order = order
        self.passing = passing
        self.arms = arms(order, teacher=teacher is not None)
        self.played: list[CaseView] = []
        self.turned: dict[Arm, dict[str, bool]] = {arm: {} for arm in self.arms}
        self.gain: dict[Arm, dict[str, float]] = {arm: {} for arm in self.arms}
        """By arm and case: the share of the case's lost score that the change won."""
        self.offered: defaultdict[Arm, set[str]] = defaultdict(set)
        self.inapplicable: defaultdict[Arm, int] = defaultdict(int)
        self.demand: defaultdict[Arm, Usage] = defaultdict(Usage)
        self.usage = Usage()
        self._library = library
        self._run = run
        self._teacher = teacher
        self._pass_mark = pass_mark

    async def play(self, most_cases: int) -> None:
        live = list(self.arms)
        for start in range(0, min(len(self.order), most_cases), ROUND):
            chosen = self.order[start : min(start + ROUND, most_cases)]
            self.played += chosen
            await self._try(live, chosen)
            live = [arm for arm in live if self._open(arm)]
            if not live:
                return

    def _open(self, arm: Arm) -> bool:
        """Whether more cases could change what the arm says: it is not known yet, and not far behind the best."""
        share = self.share(arm)
        if share is None:
            return len(self.played) < 2 * ROUND
        best = max((found.low for other in self.arms if (found := self.share(other))), default=0.0)
        return share.high >= best and max(share.high - share.mean, share.mean - share.low) > WIDTH

    async def _try(self, live: Iterable[Arm], chosen: Sequence[CaseView]) -> None:
        jobs: dict[str, tuple[Case, Intervention]] = {}
        whose: dict[str, tuple[Arm, CaseView]] = {}
        for arm in live:
            for view in chosen:
                self.offered[arm].add(view.record.case_id)
                others = [other for other in self.order[:ROUND] if other is not view]
                change = intervention(arm, view, self._library, teacher=self._teacher, others=others)
                if change is None:
                    self.inapplicable[arm] += 1
                    continue
                name = f"{view.record.case_id} {arm.kind} {arm.step}"
                jobs[name], whose[name] = (view.case, change), (arm, view)
        await self._take(jobs, whose, lambda record: (record.value or 0.0) >= self._pass_mark)

    async def corrupt(self) -> None:
        """What depends on each step: passing cases with another case's output in its place."""
        chosen = list(self.passing)
        random.Random(1).shuffle(chosen)  # noqa: S311 - nothing here is a secret
        jobs: dict[str, tuple[Case, Intervention]] = {}
        whose: dict[str, tuple[Arm, CaseView]] = {}
        for view in chosen[:PASSING_CASES]:
            for step in dict.fromkeys(step.name for step in view.steps):
                arm = Arm(step, "corrupt")
                self.turned.setdefault(arm, {})
                self.gain.setdefault(arm, {})
                others = [other for other in [*chosen, *self.order] if other is not view]
                change = intervention(arm, view, self._library, teacher=None, others=others[:50])
                if change is None:
                    self.inapplicable[arm] += 1
                    continue
                name = f"{view.record.case_id} corrupt {step}"
                jobs[name], whose[name] = (view.case, change), (arm, view)
        await self._take(jobs, whose, lambda record: (record.value or 0.0) < self._pass_mark)

    async def _take(
        self,
        jobs: Mapping[str, tuple[Case, Intervention]],
        whose: Mapping[str, tuple[Arm, CaseView]],
        turned: Callable[[CaseRecord], bool],
    ) -> None:
        if not jobs:
            return
        for name, record in (await self._run(jobs)).items():
            arm, view = whose[name]
            self.usage += record.usage
            self.demand[arm] += record.demand
            if record.value is None:
                continue
            self.turned[arm][view.record.case_id] = turned(record)
            if (before := view.record.value or 0.0) < self._pass_mark:
                self.gain[arm][view.record.case_id] = (record.value - before) / (1 - before)

    def share(self, arm: Arm) -> Interval | None:
        tried = self.turned[arm]
        return mean_interval([float(flag) for flag in tried.values()]) if tried else None

    def regained(self, arm: Arm) -> float | None:
        """The mean share of its lost score that a failing case wins by the arm; less than 0 where it loses more."""
        won = list(self.gain[arm].values())
        return sum(won) / len(won) if won and arm.kind != "corrupt" else None

    def headrooms(self) -> tuple[Headroom, ...]:
        """By what was turned, most first; what could be tried on no case at the end."""
        found = [
            Headroom(arm.step, arm.kind, len(tried), sum(tried.values()), self.inapplicable[arm], self.share(arm),
                     self.regained(arm), tuple(case for case, flag in tried.items() if flag)[:5], self.demand[arm])
            for arm, tried in self.turned.items()
        ]  # fmt: skip
        return tuple(sorted(found, key=lambda each: (each.kind == "corrupt", -(each.share.mean if each.share else -1))))

    def turners(self, case: str) -> list[Arm]:
        """The arms that turned a failing case, but for those of a step of which a fresh sample does the same."""
        won = [arm for arm in self.arms if self.turned[arm].get(case)]
        by_chance = {arm.step for arm in won if arm.kind == "sample"}
        return [arm for arm in won if arm.step not in by_chance or arm.kind in ("sample", "gold")]

    def overlap(self) -> float:
        turned = [{arm.step for arm in self.turners(view.record.case_id)} for view in self.played]
        return sum(len(steps) > 1 for steps in turned) / len(turned) if turned else 0.0


def _blames(rules: Attribution, trials: _Trials) -> list[Blame]:
    """The rules' blames, with what was measured in their place, and what it says of cases like those replayed."""
    by_case: defaultdict[str, list[Blame]] = defaultdict(list)
    for blame in rules.blames:
        by_case[blame.case_id].append(blame)
    measured: dict[str, list[Blame]] = {}
    for view in trials.played:
        case = view.record.case_id
        if case in by_case and (found := _measured(view, by_case[case], trials)):
            measured[case] = found
    pools = _pools(by_case, measured, {view.record.case_id for view in trials.played})
    blames: list[Blame] = []
    for case, own in by_case.items():
        if case in measured:
            blames += measured[case]
        elif any(view.record.case_id == case for view in trials.played):
            blames += own
        else:
            blames += _like_measured(own, pools)
    return blames


def _measured(view: CaseView, own: Sequence[Blame], trials: _Trials) -> list[Blame]:
    """What replay says of one case. Where no change turned it, that speaks against what the rules suspected."""
    case = view.record.case_id
    if all(blame.category in _CERTAIN and blame.confidence == "high" for blame in own):
        return list(own)
    loss = sum(blame.loss for blame in own)
    arms_won = trials.turners(case)
    if not arms_won:
        return [_refuted(blame, trials) for blame in own]
    causes = [arm for arm in arms_won if arm.kind != "sample"]
    if not causes:
        steps = dict.fromkeys(arm.step for arm in arms_won)
        return [
            Blame(case, step, "unidentified", (), "medium", f"a fresh sample of `{step}` succeeds", loss / len(steps))
            for step in steps
        ]
    return [_blame(view, min(causes, key=lambda arm: (_place(view, arm.step), _CAUSES.index(arm.kind))), loss)]


def _place(view: CaseView, name: str) -> int:
    """Where a step first runs. Of the steps that can be mended the first is the cause: later ones make up for it."""
    return next(step.index for step in view.steps if step.name == name)


def _refuted(blame: Blame, trials: _Trials) -> Blame:
    """A rule's blame for what a step was not given, after replay gave it that in vain; any other as it was.

    A teacher that fails refutes nothing: a wrong prompt misleads a stronger model, too.
    """
    tried = [arm for arm in trials.arms if arm.step == blame.step and arm.kind in ("gold", "context")]
    vain = [arm.kind for arm in tried if trials.turned[arm].get(blame.case_id) is False]
    if not vain or not blame.category.startswith("retrieval"):
        return blame
    why = f"{' and '.join(vain)} at `{blame.step}` did not turn it ({blame.evidence})"
    return replace(blame, category="unidentified", levels=(), confidence="low", evidence=why)


def _blame(view: CaseView, arm: Arm, loss: float) -> Blame:
    case = view.record.case_id
    if arm.kind == "teacher":
        why = f"a stronger model at `{arm.step}`, on the same inputs, succeeds"
        return Blame(case, arm.step, "reasoning", ("prompt",), "high", why, loss)
    if arm.kind == "gold":
        step = next(step for step in reversed(view.steps) if step.name == arm.step)
        why = f"with the gold documents in what `{arm.step}` brings, the case succeeds"
        return Blame(case, arm.step, "retrieval_miss", retrieval_levels(view, step), "high", why, loss)
    why = f"with what it lacks among {arm.step}'s inputs, the case succeeds"
    return Blame(case, arm.step, "retrieval_miss", ("structure",), "high", why, loss)


_Kind = tuple[str | None, str]


def _pools(
    by_case: Mapping[str, Sequence[Blame]], measured: Mapping[str, Sequence[Blame]], played: set[str]
) -> dict[_Kind, list[Sequence[Blame]]]:
    """What became of the replayed cases, by what the rules said of them first."""
    pools: defaultdict[_Kind, list[Sequence[Blame]]] = defaultdict(list)
    for case, own in by_case.items():
        if case in played:
            pools[own[0].step, own[0].category].append(measured.get(case, own))
    return dict(pools)


def _like_measured(own: Sequence[Blame], pools: Mapping[_Kind, Sequence[Sequence[Blame]]]) -> list[Blame]:
    """The blames of a case that was not replayed: in parts, as of those replayed of which the rules said the same."""
    pool = pools.get((own[0].step, own[0].category))
    if not pool:
        return list(own)
    loss = sum(blame.loss for blame in own)
    total = sum(blame.loss for blames in pool for blame in blames)
    if not total:
        return list(own)
    return [
        replace(blame, case_id=own[0].case_id, loss=loss * blame.loss / total,
                evidence=f"as {len(pool)} replayed cases like it: {blame.evidence}")
        for blames in pool for blame in blames
    ]  # fmt: skip


def _ceilings(trials: _Trials, mean: float, lost: float) -> tuple[Ceiling, ...]:
    """For each level that an arm speaks of: the mean if each failing case were as good as its best arm makes it."""
    found = []
    for level in ("prompt", "structure"):
        own = [arm for arm in trials.arms if _CEILING.get(arm.kind) == level]
        cases = {case for arm in own for case in trials.gain[arm]}
        if not cases:
            continue
        won = [max(trials.gain[arm].get(case, 0.0) for arm in own) for case in sorted(cases)]
        share = mean_interval([min(max(each, 0.0), 1.0) for each in won])
        reach = len(cases) / len({case for arm in own for case in trials.offered[arm]})
        figures = (mean + lost * reach * part for part in (share.mean, share.low, share.high))
        found.append(Ceiling(level, *figures))
    return tuple(found)
