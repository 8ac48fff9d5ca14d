"""LiveBench's math tasks, each read in its own way, as GEPA's artifact scores them.

`expected` is the row's ground truth; `metadata` has its `task` and `subtask`, of which the subtask, or else the task,
says how an answer is read: a choice among options (amc, smc), the number of an AIME problem, the order of a proof's
formulas (imo, usamo; partial credit), or a formula (amps_hard). What stands between `<think>` and `</think>` is left
out first. `answered` is 1 where an answer in a form that counts was found; `math_verify` is a second verdict on
formulas, which does not count. Sources: LiveBench (process_results/math), gepa-artifact (livebench_math).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fapo import Case, Prediction, Score

from . import competitions, formulas, proofs
from .passages import without_thoughts

Kind = Literal["choice", "aime", "proof", "formula"]


def kind_of(metadata: Mapping[str, Any]) -> Kind:
    """How a task is read. Raises ValueError for one that GEPA's scorer does not know either."""
    name = str(metadata.get("subtask") or metadata["task"]).lower()
    words = name.split("_")
    if words[0] in ("amc", "smc") or words[1:2] == ["amc"]:
        return "choice"
    if words[0] == "aime":
        return "aime"
    if words[0] in ("imo", "usamo"):
        return "proof"
    if "amps_hard" in name:
        return "formula"
    raise ValueError(f"no parser for the task `{name}`")


async def score(case: Case, prediction: Prediction) -> Score:
    reply = without_thoughts("" if prediction.output is None else str(prediction.output))
    gold = case.expected
    match kind_of(case.metadata):
        case "choice":
            return competitions.score_choice(str(gold), reply, question=str(case.inputs["question"]))
        case "aime":
            return competitions.score_aime(str(gold), reply)
        case "proof":
            return proofs.score_order(str(gold), reply)
        case "formula":
            return await formulas.score_formula(str(gold[-1] if isinstance(gold, list) else gold), reply)
