"""How often attribution blames the step that a fault was planted in: `python -m bench.blame [--json]`.

Each pipeline of `families.py` runs healthy and with one fault at a time, on the offline reader. Rules and replay each
name the step that loses most; where nothing was planted, what they name is false blame.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.blame.families import FAMILIES, Family, Fault
from fapo.attribution.blame import Attribution
from fapo.attribution.counterfactual import resource_texts
from fapo.attribution.replay import Replay, replay
from fapo.attribution.rules import attribute
from fapo.config import CallLimits, EvalConfig, read_environment
from fapo.evaluation.connect import STANDIN_TEACHER, Connection, connect
from fapo.evaluation.evaluate import Evaluation, evaluate
from fapo.evaluation.plan import plan_evaluation
from fapo.evaluation.project import Project, load_project
from fapo.evaluation.replaying import replayer
from fapo.records import CaseRecord
from fapo.stats import mean_interval


@dataclass(frozen=True, slots=True)
class Row:
    """One pipeline with or without a fault. `by_rules` and `by_replay` are the steps blamed for most of the loss."""

    family: str
    fault: str | None
    step: str | None
    level: str | None
    healthy: float
    score: float
    by_rules: str | None
    by_replay: str | None
    rules_level: str
    replay_level: str
    calls: int
    full_calls: int


class _Silent:
    def case_done(self, record: CaseRecord) -> None:
        pass


async def measure(family: Family, fault: Fault | None, healthy: float, connection: Connection, folder: Path) -> Row:
    """Run a pipeline and let both methods blame."""
    source = folder / f"{family.name}-{fault.name if fault else 'healthy'}-{fault.step if fault else ''}"
    family.write(source, fault)
    project = load_project(source)
    plan = plan_evaluation(project, EvalConfig(split="train", concurrency=64), folder / "runs")
    evaluation = await evaluate(plan, connection.gateway, _Silent())
    rules = attribute({case.id: case for case in project.cases("train")}, evaluation.records)
    measured = await _replayed(project, evaluation, connection)
    return Row(
        family.name, fault.name if fault else None, fault.step if fault else None, fault.level if fault else None,
        healthy if fault else evaluation.mean, evaluation.mean, blamed(rules), blamed(measured.attribution),
        rules.recommended_level, measured.attribution.recommended_level,
        sum(each.demand.llm_calls for each in measured.headrooms),
        len(measured.headrooms) * measured.failing * len(project.steps),
    )  # fmt: skip


async def _replayed(project: Project, evaluation: Evaluation, connection: Connection) -> Replay:
    plan = plan_evaluation(project, EvalConfig(split="train", concurrency=64), evaluation.directory.parent,
                           resume=str(evaluation.directory))  # fmt: skip
    run = replayer(plan, connection.gateway, lambda *_: _Silent())
    cases = {case.id: case for case in project.cases("train")}
    return await replay(cases, evaluation.records, run, teacher=STANDIN_TEACHER,
                        resources=resource_texts(project.directory))  # fmt: skip


def blamed(found: Attribution) -> str | None:
    """The step that most of the loss is placed at; None where most of it is placed nowhere, or nothing was lost."""
    shares: dict[str | None, float] = {}
    for row in found.by_step:
        step = None if row.category == "unidentified" else row.step
        shares[step] = shares.get(step, 0.0) + row.share
    return max(shares, key=lambda step: shares[step], default=None)


async def all_rows(families: Sequence[Family]) -> list[Row]:
    rows = []
    limits = CallLimits(concurrency=64)
    with tempfile.TemporaryDirectory(prefix="fapo-blame-") as name:
        folder = Path(name)
        environment = read_environment().model_copy(update={"cache_file": folder / "cache" / "replies.sqlite"})
        async with connect(["standin/reader", STANDIN_TEACHER], environment, limits=limits) as connection:
            for family in families:
                base = await measure(family, None, 0.0, connection, folder)
                rows.append(base)
                for fault in family.faults:
                    rows.append(await measure(family, fault, base.score, connection, folder))
                    print(f"\r{len(rows)} pipelines", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown, with the totals below."""
    yield "| pipeline | planted | step | healthy | score | rules blame | replay blames |"
    yield "|---|---|---|--:|--:|---|---|"
    for row in rows:
        marks = [f"{name or '–'}{'' if row.step is None else ' ✓' if name == row.step else ' ✗'}"
                 for name in (row.by_rules, row.by_replay)]  # fmt: skip
        yield f"| {row.family} | {row.fault or '–'} | {row.step or '–'} | {row.healthy:.2f} | {row.score:.2f} | " \
              f"{marks[0]} | {marks[1]} |"  # fmt: skip
    planted = [row for row in rows if row.step is not None]
    yield ""
    for name, right in (("rules", [row.by_rules == row.step for row in planted]),
                        ("replay", [row.by_replay == row.step for row in planted])):  # fmt: skip
        share = mean_interval([float(flag) for flag in right])
        yield f"{name}: {sum(right)} of {len(right)} planted faults blamed on their step " \
              f"({share.mean:.0%}, 95 % interval {share.low:.0%} to {share.high:.0%})"  # fmt: skip
    replayed, full = sum(row.calls for row in planted), sum(row.full_calls for row in planted)
    if full:
        yield f"replay made {replayed:,} calls; trying every change on every failing case would take about {full:,}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--families", default=",".join(family.name for family in FAMILIES), help="separated by commas")
    options = parser.parse_args()
    chosen = [family for family in FAMILIES if family.name in options.families.split(",")]
    rows = asyncio.run(all_rows(chosen))
    print(json.dumps([asdict(row) for row in rows], indent=1) if options.json else "\n".join(table(rows)))


if __name__ == "__main__":
    main()
