"""The share of a request's instructions that a reply follows, by the verifiers of IFBench and IFEval, loosely read.

Loose: an instruction is followed where one of eight readings of the reply follows it: as it is, without its first line,
last line or both, and each of these without asterisks. `expected` holds `instruction_id_list` and `kwargs`, one each.
`strict` is the share by the reply as it is; `all` and `strict_all` are 1 where no instruction was missed. Sources:
allenai/IFBench (instructions.py, evaluation_lib.py) and GEPA's artifact, which scores the share and not all or nothing.
"""

from __future__ import annotations

from typing import Any

from fapo import Case, Prediction, Score

from . import counting, custom, formats, ifeval, wording
from .registry import VERIFIERS, follows

THEMES = (counting, custom, formats, ifeval, wording)
"""Where the verifiers are; importing them registers them."""


def readings(reply: str) -> list[str]:
    """The eight texts of which one has to follow."""
    lines = reply.split("\n")
    parts = [reply, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [*parts, *(part.replace("*", "") for part in parts)]


def score(case: Case, prediction: Prediction) -> Score:
    reply = "" if prediction.output is None else str(prediction.output)
    instructions: list[tuple[str, dict[str, Any]]] = [
        (name, {key: value for key, value in given.items() if value is not None})
        for name, given in zip(case.expected["instruction_id_list"], case.expected["kwargs"], strict=True)
    ]
    strict = [follows(name, given, reply) for name, given in instructions]
    texts = readings(reply)
    loose = [any(follows(name, given, text) for text in texts) for name, given in instructions]
    missed = [VERIFIERS[name].missed for (name, _), held in zip(instructions, loose, strict=True) if not held]
    share = sum(loose) / len(loose)
    breakdown = {"strict": sum(strict) / len(strict), "all": float(all(loose)), "strict_all": float(all(strict))}
    return Score(share, breakdown, "; ".join(dict.fromkeys(missed)))
