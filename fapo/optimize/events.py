"""The events of a run, one line each in `journal.jsonl`, and the state that they fold into.

The journal alone is enough to resume: whatever the loop decides, it decides from a State.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, TypeAdapter

from fapo.records import Level, Split, Usage
from fapo.store.files import LineLog, read_lines

Verdict = Literal["accepted", "rejected"]
EvaluationKey = tuple[str, Split, int | None, int]
"""Variant, split, limit and trial."""


@dataclass(frozen=True, slots=True)
class Started:
    """The run began; its inputs are frozen in `run.json`."""

    event: Literal["started"] = "started"


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """An agent session began, its process confined at the level `isolation`, which leaves `open_ends`.

    `lane` numbers the workspace, where several agents work at the same time.
    """

    session: int
    isolation: str
    open_ends: tuple[str, ...]
    lane: int = 1
    event: Literal["session_started"] = "session_started"


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """An agent session ended. `usage.cost_usd` is what the agent's own calls cost."""

    session: int
    status: str
    error: str | None
    usage: Usage
    sdk: str
    cli: str
    event: Literal["session_ended"] = "session_ended"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation finished. `paid` is what this run paid for it, resumed parts included.

    `limit` is set where only the first cases of the split were run, `trial` where it is a second arm. A race goes on
    block by block: `n` of `of` cases were run so far. `demand` is what they take where nothing is cached.
    """

    variant: str
    split: Split
    limit: int | None
    mean: float
    n: int
    failures: int
    paid: Usage
    isolation: str
    demand: Usage
    of: int
    trial: int = 0
    judge: Usage = field(default_factory=Usage)
    event: Literal["evaluated"] = "evaluated"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A variant was frozen under `variants/`; `look` numbers it among those that validation is asked about.

    `lines` were added or removed; `novelty` is how far the change is from those that were tried before, in [0, 1].
    """

    variant: str
    parent: str
    digest: str
    level: Level
    hypothesis: str
    technique: str
    step: str
    look: int
    lines: int
    novelty: float
    event: Literal["submitted"] = "submitted"


@dataclass(frozen=True, slots=True)
class Decided:
    """The verdict on a submitted variant. `difference` is None where it was rejected before it cost anything.

    `told` is what the agent learns of the reason: no counts, no p. `by` is what it was accepted for; the rule of
    acceptance counts only a `gain`. `margin` is the loss that was tolerated for a simpler one; `n` cases settled it.
    """

    variant: str
    verdict: Verdict
    reason: str
    told: str
    difference: float | None = None
    p: float | None = None
    alpha: float | None = None
    by: Literal["gain", "tie", "no_worse"] | None = None
    margin: float = 0.0
    n: int = 0
    event: Literal["decided"] = "decided"


@dataclass(frozen=True, slots=True)
class Refused:
    """A submission that review turned down before it cost anything; it is no look at validation.

    `digest` is its snapshot's, where the reviewer blocked it.
    """

    variant: str
    parent: str
    level: Level | None
    hypothesis: str
    technique: str
    step: str
    reason: str
    digest: str = ""
    event: Literal["refused"] = "refused"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What the independent reviewer said of a variant; `status` is `pass`, `block`, `unfounded` or `none`."""

    variant: str
    status: str
    check: str
    reason: str
    path: str
    usage: Usage
    event: Literal["reviewed"] = "reviewed"


@dataclass(frozen=True, slots=True)
class Reflected:
    """GEPA's reflection model was asked once."""

    usage: Usage
    event: Literal["reflected"] = "reflected"


@dataclass(frozen=True, slots=True)
class Estimated:
    """What the whole run would take, by a few cases that were run for `paid`. Unknown cost is None; `exceeded` are the
    limits that would end the search earlier."""

    calls: int
    cost_usd: float | None
    cost_high_usd: float | None
    exceeded: tuple[str, ...]
    paid: Usage
    event: Literal["estimated"] = "estimated"


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """Two arms of the baseline on validation: the share of `n` cases that differ, how far the means do, and the mean
    square of the cases' differences (of 0/1 scores of one trial, that share again)."""

    discordant: float
    difference: float
    n: int
    square: float = 0.0
    event: Literal["noise_floor"] = "noise_floor"


@dataclass(frozen=True, slots=True)
class Replayed:
    """Blame for a variant's failures was measured on so many cases: the loss by level, and what that cost."""

    variant: str
    cases: int
    by_level: dict[str, float]
    paid: Usage
    event: Literal["replayed"] = "replayed"


@dataclass(frozen=True, slots=True)
class Learned:
    """What the agent took from a variant, in its own words."""

    variant: str
    lesson: str
    event: Literal["learned"] = "learned"


@dataclass(frozen=True, slots=True)
class LevelOpened:
    level: Level
    why: str
    event: Literal["level_opened"] = "level_opened"


@dataclass(frozen=True, slots=True)
class SearchEnded:
    """The search is over, for the reason that `status` names; test comes next."""

    status: str
    why: str
    event: Literal["search_ended"] = "search_ended"


@dataclass(frozen=True, slots=True)
class OpenedTest:
    """The test split is about to be read, for these variants and never again: look number `look`, at level `alpha`."""

    variants: tuple[str, ...]
    look: int
    alpha: float
    event: Literal["opened_test"] = "opened_test"


@dataclass(frozen=True, slots=True)
class Finished:
    status: str
    event: Literal["finished"] = "finished"


Event = (
    Started | Estimated | SessionStarted | SessionEnded | Evaluated | NoiseFloor | Submitted | Reviewed | Reflected
    | Decided | Refused | Replayed | Learned | LevelOpened | SearchEnded | OpenedTest | Finished
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. `time` is seconds since the epoch."""

    time: float
    event: Annotated[Event, Discriminator("event")]


_ENTRY = TypeAdapter(Entry)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One idea that was submitted, with what became of it."""

    variant: str
    parent: str
    level: Level | None
    hypothesis: str
    technique: str
    step: str
    verdict: Verdict | None
    reason: str
    difference: float | None
    looked: bool
    """Whether validation was asked."""
    told: str = ""
    by: str | None = None
    margin: float = 0.0
    cases: int = 0
    lines: int = 0
    novelty: float = 1.0
    lesson: str = ""
    review: Reviewed | None = None
    digest: str = ""
    """Of a variant that the reviewer blocked."""


@dataclass(frozen=True, slots=True)
class State:
    """What a run knows so far."""

    incumbent: str = "000"
    open_levels: tuple[Level, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    evaluations: dict[EvaluationKey, Evaluated] = field(default_factory=dict)
    sessions: tuple[SessionEnded, ...] = ()
    sessions_started: int = 0
    agent_isolation: tuple[str, ...] = ()
    open_ends: tuple[str, ...] = ()
    search_ended: SearchEnded | None = None
    estimate: Estimated | None = None
    noise: NoiseFloor | None = None
    replays: tuple[Replayed, ...] = ()
    test: OpenedTest | None = None
    side_usage: Usage = field(default_factory=Usage)
    """What reviewer and reflection cost."""
    finished: Finished | None = None
    started_at: float = 0.0
    ended_at: float = 0.0
    stale: int = 0
    """Variants that validation rejected in a row, since one was accepted or a level was opened."""

    @property
    def looks(self) -> int:
        return sum(attempt.looked for attempt in self.attempts)

    @property
    def undecided(self) -> Attempt | None:
        """A variant that was frozen when the run was interrupted, and not judged yet."""
        return next((attempt for attempt in self.attempts if attempt.verdict is None), None)

    def attempt(self, variant: str) -> Attempt:
        return next(attempt for attempt in self.attempts if attempt.variant == variant)

    def evaluated(self, variant: str, split: Split) -> Evaluated | None:
        """The evaluation of a variant on a whole split, if there is one."""
        return self.evaluations.get((variant, split, None, 0))

    @property
    def accepted_looks(self) -> tuple[bool, ...]:
        """Of each decided look at validation, in order, whether it found a gain."""
        decided = (attempt for attempt in self.attempts if attempt.looked and attempt.verdict is not None)
        return tuple(attempt.by == "gain" for attempt in decided)

    @property
    def tolerated(self) -> float:
        """The loss that was tolerated so far for simpler variants."""
        return sum(attempt.margin for attempt in self.attempts)

    @property
    def line(self) -> tuple[str, ...]:
        """The accepted variants, from the incumbent back to the first."""
        line = []
        variant = self.incumbent
        while variant != "000":
            line.append(variant)
            variant = self.attempt(variant).parent
        return tuple(line)

    def level_of(self, variant: str) -> Level | None:
        """The highest level at which a variant differs from the baseline, over all its accepted ancestors."""
        ranks: dict[Level, int] = {"prompt": 0, "parameter": 1, "structure": 2}
        levels: list[Level] = []
        while variant != "000":
            attempt = self.attempt(variant)
            if attempt.level is not None:
                levels.append(attempt.level)
            variant = attempt.parent
        return max(levels, key=lambda level: ranks[level], default=None)

    @property
    def searched(self) -> int:
        """Task-model calls that the search has made so far, those that the cache answered included."""
        done = sum(each.demand.llm_calls for key, each in self.evaluations.items() if key[1] != "test")
        return done + sum(each.paid.llm_calls + each.paid.cached_calls for each in self.replays)

    def usage(self, purpose: Literal["task", "judge", "optimizer"]) -> Usage:
        if purpose == "judge":
            return sum((done.judge for done in self.evaluations.values()), Usage())
        if purpose == "task":
            paid = [*(done.paid for done in self.evaluations.values()), *(done.paid for done in self.replays)]
            return sum(paid, self.estimate.paid if self.estimate else Usage())
        return sum((session.usage for session in self.sessions), self.side_usage)


def fold(state: State, entry: Entry) -> State:
    """The state after one more event."""
    match entry.event:
        case Started():
            return replace(state, started_at=entry.time)
        case SessionStarted() as begun:
            return replace(
                state,
                sessions_started=state.sessions_started + 1,
                agent_isolation=tuple(dict.fromkeys((*state.agent_isolation, begun.isolation))),
                open_ends=tuple(dict.fromkeys((*state.open_ends, *begun.open_ends))),
            )
        case SessionEnded() as ended:
            return replace(state, sessions=(*state.sessions, ended))
        case Evaluated() as done:
            return replace(state, evaluations=state.evaluations | {_key(done): done})
        case Submitted() as new:
            attempt = Attempt(new.variant, new.parent, new.level, new.hypothesis, new.technique, new.step,
                              verdict=None, reason="", difference=None, looked=True, lines=new.lines,
                              novelty=new.novelty)  # fmt: skip
            return replace(state, attempts=(*state.attempts, attempt))
        case Refused() as new:
            attempt = Attempt(new.variant, new.parent, new.level, new.hypothesis, new.technique, new.step,
                              verdict="rejected", reason=new.reason, difference=None, looked=False,
                              told=new.reason, digest=new.digest)  # fmt: skip
            return replace(state, attempts=(*state.attempts, attempt))
        case Decided() as verdict:
            attempts = _changed(
                state, verdict.variant, verdict=verdict.verdict, reason=verdict.reason, told=verdict.told,
                difference=verdict.difference, by=verdict.by, margin=verdict.margin,
                cases=verdict.n,
            )  # fmt: skip
            if verdict.verdict == "accepted":
                return replace(state, attempts=attempts, incumbent=verdict.variant, stale=0)
            return replace(state, attempts=attempts, stale=state.stale + 1)
        case Reviewed() as seen:
            attempts = _changed(state, seen.variant, review=seen)
            return replace(state, attempts=attempts, side_usage=state.side_usage + seen.usage)
        case Reflected() as reflected:
            return replace(state, side_usage=state.side_usage + reflected.usage)
        case Estimated() as estimate:
            return replace(state, estimate=estimate)
        case NoiseFloor() as noise:
            return replace(state, noise=noise)
        case Replayed() as replayed:
            return replace(state, replays=(*state.replays, replayed))
        case Learned() as learned:
            return replace(state, attempts=_changed(state, learned.variant, lesson=learned.lesson))
        case LevelOpened() as opened:
            return replace(state, open_levels=(*state.open_levels, opened.level), stale=0)
        case SearchEnded() as ended_search:
            return replace(state, search_ended=ended_search)
        case OpenedTest() as opened_test:
            return replace(state, test=opened_test)
        case Finished() as finished:
            return replace(state, finished=finished, ended_at=entry.time)


def _key(done: Evaluated) -> EvaluationKey:
    return done.variant, done.split, done.limit, done.trial


def _changed(state: State, variant: str, **fields: Any) -> tuple[Attempt, ...]:
    return tuple(replace(old, **fields) if old.variant == variant else old for old in state.attempts)


class Journal:
    """The run's event log and the state that follows from it."""

    def __init__(self, path: Path) -> None:
        self._log = LineLog(path)
        self.state = replay(read_entries(path))

    def append(self, event: Event) -> None:
        """Write the event, then let it take effect."""
        entry = Entry(time.time(), event)
        self._log.append(_ENTRY.dump_json(entry))
        self.state = fold(self.state, entry)

    def close(self) -> None:
        self._log.close()


def parse_entry(line: bytes) -> Entry:
    """One line of a journal. Raises pydantic's ValidationError for what is none."""
    return _ENTRY.validate_json(line)


def read_entries(path: Path) -> Iterable[Entry]:
    return map(parse_entry, read_lines(path))


def replay(entries: Iterable[Entry]) -> State:
    state = State()
    for entry in entries:
        state = fold(state, entry)
    return state
