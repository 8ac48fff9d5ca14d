"""Several agents at the same time: each in a workspace of its own, each begins elsewhere; one gate judges them all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fapo.attribution.blame import Attribution
from fapo.optimize.workspace import Workspace

APPROACHES = (
    "what its prompt asks for, and in which form",
    "how its prompt breaks the task down",
    "rules for the confusions that you see, and what must not be done",
    "what the step is given to work with, and what it lacks",
)


@dataclass(frozen=True, slots=True)
class Lane:
    """One agent's place. `home` is its CLI's own configuration; `direction` is empty where it works alone."""

    number: int
    workspace: Workspace
    home: Path
    direction: str


def directions(found: Attribution, directory: Path, lanes: int) -> tuple[Lane, ...]:
    """Lanes that begin at different steps, those that lose most first, and then by different approaches."""
    steps = list(dict.fromkeys(blame.step for blame in found.by_step if blame.step)) or [""]
    made = []
    for index in range(lanes):
        suffix = f"-{index + 1}" if index else ""
        step, approach = steps[index % len(steps)], APPROACHES[index // len(steps) % len(APPROACHES)]
        where = f"at `{step}`, with {approach}" if step else f"with {approach}"
        direction = f"You are number {index + 1} of {lanes}: begin {where}." if lanes > 1 else ""
        workspace = Workspace(directory / f"workspace{suffix}")
        made.append(Lane(index + 1, workspace, directory / f"agent{suffix}", direction))
    return tuple(made)
