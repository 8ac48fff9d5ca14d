"""Which levels may be opened, decided by the program from its own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fapo.attribution.blame import Attribution
from fapo.optimize.events import Attempt, State
from fapo.records import LEVELS, Level

PLATEAU = 3
"""Rejected variants in a row, with distinct techniques, after which the open levels count as tried."""
NOVEL = 0.2
"""How far a variant's change must be from earlier ones to count as another technique, whatever it is called."""
LARGER_PART = 0.5


@dataclass(frozen=True, slots=True)
class LevelDecision:
    granted: bool
    why: str


def plateau(attempts: tuple[Attempt, ...]) -> bool:
    """Whether the last PLATEAU validated variants were all rejected, each with a technique of its own.

    Its own by what the agent calls it, and by what it changes.
    """
    looked = [attempt for attempt in attempts if attempt.looked][-PLATEAU:]
    techniques = {attempt.technique.strip().casefold() for attempt in looked}
    rejected = all(attempt.verdict == "rejected" and attempt.novelty >= NOVEL for attempt in looked)
    return len(techniques) == PLATEAU and rejected


def prompts_tried(state: State) -> bool:
    """A prompt variant was accepted, or the search ran into a plateau."""
    accepted = any(attempt.level == "prompt" and attempt.verdict == "accepted" for attempt in state.attempts)
    return accepted or plateau(state.attempts)


def tried_in_vain(attempts: tuple[Attempt, ...]) -> frozenset[str]:
    """Steps at which PLATEAU prompt variants, each with its own technique, were rejected since the last acceptance."""
    good = [number for number, attempt in enumerate(attempts) if attempt.verdict == "accepted"]
    techniques: dict[str, set[str]] = {}
    for attempt in attempts[good[-1] + 1 if good else 0 :]:
        if attempt.looked and attempt.level == "prompt" and attempt.novelty >= NOVEL:
            techniques.setdefault(attempt.step, set()).add(attempt.technique.strip().casefold())
    return frozenset(step for step, names in techniques.items() if len(names) >= PLATEAU)


def shares_left(attribution: Attribution, attempts: tuple[Attempt, ...]) -> dict[str, float]:
    """The lost score by level. What is blamed on prompts of steps where these were tried in vain is `unidentified`."""
    shares = {str(level): share for level, share in attribution.by_level.items()}
    vain = tried_in_vain(attempts)
    for blame in attribution.by_step:
        if blame.step in vain and blame.levels[:1] == ("prompt",):
            shares["prompt"] -= blame.share
            shares["unidentified"] += blame.share
    return shares


def decide_level(level: Level, state: State, scope: tuple[Level, ...], shares: Mapping[str, float]) -> LevelDecision:
    """Whether `level` opens now. `shares` divides the incumbent's lost score among levels and `unidentified`."""
    if level in state.open_levels:
        return LevelDecision(True, f"{level} is open already")
    if level not in scope:
        return LevelDecision(False, f"{level} is outside of this run's scope ({', '.join(scope)})")
    outside = sum(share for name, share in shares.items() if name in LEVELS and name not in state.open_levels)
    own = shares.get(level, 0.0)
    if level == "parameter":
        if plateau(state.attempts):
            return LevelDecision(True, f"{PLATEAU} variants in a row with different techniques were rejected")
        if own > LARGER_PART:
            return LevelDecision(True, f"attribution places {own:.0%} of the lost score at parameters")
        return LevelDecision(False, _not_yet(state, f"attribution places {own:.0%} of the lost score at parameters"))
    if not prompts_tried(state):
        return LevelDecision(False, _not_yet(state, "prompts have not been tried"))
    if outside > LARGER_PART:
        return LevelDecision(
            True,
            f"prompts were tried, and attribution places {outside:.0%} of the remaining loss outside the open levels",
        )
    unidentified = shares.get("unidentified", 0.0)
    if plateau(state.attempts) and outside + unidentified > LARGER_PART:
        return LevelDecision(
            True,
            f"{PLATEAU} different techniques were rejected in a row; attribution cannot place {unidentified:.0%} of "
            f"the remaining loss, and {outside:.0%} lies outside the open levels",
        )
    return LevelDecision(
        False,
        f"attribution places only {outside:.0%} of the remaining loss outside the open levels, and cannot place "
        f"{unidentified:.0%}, which {PLATEAU} different techniques rejected in a row would make count",
    )


def _not_yet(state: State, why: str) -> str:
    rejected = 0
    for attempt in reversed([attempt for attempt in state.attempts if attempt.looked]):
        if attempt.verdict != "rejected":
            break
        rejected += 1
    return f"{why}; it opens after {PLATEAU} rejected variants in a row with different techniques (now {rejected})"


def initial_levels(scope: tuple[Level, ...]) -> tuple[Level, ...]:
    """The lowest level of the scope is open from the start."""
    return tuple(level for level in LEVELS if level in scope)[:1]


def closed_reasons(state: State, scope: tuple[Level, ...], shares: Mapping[str, float]) -> dict[str, str]:
    """Why each closed level is closed, for the agent to read."""
    closed = [level for level in LEVELS if level not in state.open_levels]
    decisions = {level: decide_level(level, state, scope, shares) for level in closed}
    return {level: "ask with request_level" if d.granted else d.why for level, d in decisions.items()}
