"""Verifiers by the instruction ids of IFBench and IFEval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Check = Callable[..., bool]


@dataclass(frozen=True, slots=True)
class Verifier:
    """`check(reply, **arguments)` says whether a reply follows; `missed` says in general words what it missed."""

    check: Check
    missed: str


VERIFIERS: dict[str, Verifier] = {}


def verifies(instruction: str, missed: str) -> Callable[[Check], Check]:
    """Register a function for an instruction id."""

    def register(check: Check) -> Check:
        VERIFIERS[instruction] = Verifier(check, missed)
        return check

    return register


def follows(instruction: str, arguments: dict[str, Any], reply: str) -> bool:
    """Whether a reply follows an instruction; a blank one follows none. Raises KeyError for an unknown one."""
    check = VERIFIERS[instruction].check
    return bool(reply.strip()) and bool(check(reply, **arguments))
