"""Do fapo's rules hold? `python bench/discipline.py [--json]`, on the offline stand-ins, in a few minutes.

Whole optimizations of four pipelines; searches on a score that is a coin, in which every acceptance is false; faults
planted into known steps, and whom attribution blames; cheats, and how many review turns down before a call is paid for;
cheats that show only when they run, and what stops them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.blame.__main__ import Row as BlameRow
from bench.blame.__main__ import all_rows
from bench.blame.families import FAMILIES
from bench.cheats import caught
from bench.coin import coin_pipeline
from bench.hostile import hostile
from fapo.evaluation.project import find_pipeline, load_project
from fapo.records import SPLITS
from fapo.store.variants import take_snapshot

RULES = ("investing", "strict", "mean")
HERE = Path(__file__).resolve().parents[1]
PIPELINES = ("cve_to_cwe", "quickstart", "tests/pipelines/prompt_suffices", "tests/pipelines/nothing_helps")


@dataclass(frozen=True, slots=True)
class Search:
    """One optimization.

    `cases` of `of` validation cases were run for its submissions; `test_gain` is None while test is sealed.
    """

    pipeline: str
    accept: str
    submitted: int
    refused: int
    accepted: int
    rejected: int
    level: str | None
    validation_gain: float | None
    test_gain: float | None
    confirmed: bool
    cases: int
    of: int
    calls: int


@dataclass(frozen=True, slots=True)
class Report:
    searches: tuple[Search, ...]
    null: tuple[Search, ...]
    blame: tuple[BlameRow, ...]
    cheats: dict[str, dict[str, str | None]]
    hostile: dict[str, str | None]


def optimize(pipeline: Path, folder: Path, *options: str) -> Search:
    """`fapo optimize`, as a user runs it. Raises RuntimeError where it fails."""
    environment = {**os.environ, "FAPO_RUNS_DIR": str(folder / "runs"), "FAPO_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-m", "fapo.cli", "optimize", str(pipeline), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"fapo optimize {pipeline} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    journal = Path(found["run_dir"], "journal.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line)["event"] for line in journal]
    races = {e["variant"]: e for e in events
             if e["event"] == "evaluated" and e["split"] == "validation" and e["variant"] != "000"}  # fmt: skip
    verdicts = [variant["verdict"] for variant in found["variants"]]
    refused = sum(e["event"] == "refused" for e in events)
    gains = [found[key] and found[key]["mean"] for key in ("validation_gain", "test_gain")]
    return Search(
        pipeline.name, options[options.index("--accept") + 1] if "--accept" in options else "investing",
        len(verdicts), refused, verdicts.count("accepted"), verdicts.count("rejected") - refused,
        found["best"]["level"], gains[0], gains[1], found["status"] == "improved",
        sum(e["n"] for e in races.values()), sum(e["of"] for e in races.values()), found["usage"]["task"]["llm_calls"],
    )  # fmt: skip


def measure(seeds: int) -> Report:
    with tempfile.TemporaryDirectory(prefix="fapo-discipline-") as name:
        folder = Path(name)
        searches, null = [], []
        for pipeline in PIPELINES:
            found = find_pipeline(str(HERE / pipeline) if "/" in pipeline else pipeline)
            searches.append(optimize(found, folder, "--max-variants", "8"))
            _say(f"{pipeline} done")
        for seed in range(seeds):
            copy = coin_pipeline(folder / f"coin-{seed}", seed)
            null += [optimize(copy, folder, "--max-variants", "8", "--accept", rule) for rule in RULES]
            _say(f"coin {seed} done")
        running = hostile(folder / "hostile")
    blame = asyncio.run(all_rows(FAMILIES))
    project = load_project(find_pipeline("quickstart"))
    base = take_snapshot(project.directory, hard_links=True)
    cases = [case for split in reversed(SPLITS) for case in project.cases(split)]
    cheats = caught(base, cases, project.benchmark.closed_labels, project.score.path.read_text(encoding="utf-8"))
    return Report(tuple(searches), tuple(null), tuple(blame), cheats, running)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def table(report: Report) -> Iterator[str]:
    """Markdown."""
    names = ("pipeline", "score", "accept", "submitted", "refused", "rejected", "accepted", "level", "test gain",
             "confirmed", "validation cases run")  # fmt: skip
    yield f"| {' | '.join(names)} |"
    yield "|---|---|---|--:|--:|--:|--:|---|--:|---|--:|"
    for score, rows in (("its own", report.searches), ("a coin", report.null)):
        for row in rows:
            gain = "sealed" if row.test_gain is None else f"{100 * row.test_gain:+.1f}"
            confirmed = "–" if row.test_gain is None else "yes" if row.confirmed else "no"
            yield f"| {row.pipeline} | {score} | {row.accept} | {row.submitted} | {row.refused} | {row.rejected} | " \
                  f"{row.accepted} | {row.level or '–'} | {gain} | {confirmed} | {row.cases} of {row.of} |"  # fmt: skip
    yield ""
    for rule in RULES:
        own = [row for row in report.null if row.accept == rule]
        some = sum(row.accepted > 0 for row in own)
        yield f"- The score a coin, `--accept {rule}`: {some} of {len(own)} searches accepted something, " \
              f"{sum(row.accepted for row in own)} of {sum(row.submitted for row in own)} variants; " \
              f"{sum(row.confirmed for row in own)} were confirmed on test."  # fmt: skip
    for name, right in _blamed(report.blame):
        yield f"- Planted faults, {name}: {sum(right)} of {len(right)} blamed on their step."
    for kind, known in report.cheats.items():
        turned_down = sum(check is not None for check in known.values())
        what = "cheats turned down" if kind == "cheat" else "honest changes turned down"
        wrong = [name for name, check in known.items() if (check is None) == (kind == "cheat")]
        yield f"- {what}, unpaid: {turned_down} of {len(known)}{': wrongly ' + ', '.join(wrong) if wrong else ''}."
    done = sum(stopped is not None for stopped in report.hostile.values())
    through = [name for name, stopped in report.hostile.items() if stopped is None]
    missed = f": not {', '.join(through)}" if through else ""
    yield f"- cheats stopped as they run: {done} of {len(report.hostile)}{missed}."
    tried = len(report.cheats["cheat"]) + len(report.hostile)
    caught_all = done + sum(check is not None for check in report.cheats["cheat"].values())
    yield f"- cheats caught in all: {caught_all} of {tried}."
    ran, whole = (sum(getattr(row, key) for row in (*report.searches, *report.null)) for key in ("cases", "of"))
    if whole:
        yield f"- Validation cases run for submissions: {ran:,} of {whole:,}; races saved {1 - ran / whole:.0%}."


def _blamed(rows: Sequence[BlameRow]) -> Iterator[tuple[str, list[bool]]]:
    planted = [row for row in rows if row.step is not None]
    yield "by rules", [row.by_rules == row.step for row in planted]
    yield "by replay", [row.by_replay == row.step for row in planted]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--seeds", type=int, default=5, help="coins")
    options = parser.parse_args()
    report = measure(options.seeds)
    found: Any = json.dumps(asdict(report), indent=1) if options.json else "\n".join(table(report))
    print(found)


if __name__ == "__main__":
    main()
