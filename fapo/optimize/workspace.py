"""An agent's workspace: the pipeline copy, train cases and traces, the score's source, the ledger; nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from fapo.optimize.events import State
from fapo.records import Case, CaseRecord, Level, Usage
from fapo.report.trace_text import trace_markdown
from fapo.store.files import to_json, write_atomic, write_file
from fapo.store.variants import Snapshot, take_snapshot, write_snapshot

PASSING_TRACES = 10

_EDITABLE: dict[Level, tuple[str, ...]] = {
    "prompt": ("pipeline/prompts/*.md",),
    "parameter": ("pipeline/pipeline.yaml", "pipeline/prompts/*.md"),
    "structure": ("pipeline/**/*.py", "pipeline/prompts/*.md", "pipeline/resources/**"),
}


class Workspace:
    """The directory in which an agent works. Its pipeline is a change of the variant `base`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pipeline = directory / "pipeline"
        self.base = ""

    def fill(self, base: str, snapshot: Snapshot, train: Iterable[Case], score: Path) -> None:
        """Lay the workspace anew, with `snapshot`, the variant `base`, as the pipeline."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.restore(base, snapshot)
        lines = b"".join(to_json(case) + b"\n" for case in train)
        write_atomic(self.directory / "train" / "cases.jsonl", lines)
        write_atomic(self.directory / "score" / score.name, score.read_bytes())

    def restore(self, base: str, snapshot: Snapshot) -> None:
        """Set the pipeline copy to `snapshot`, which is the variant `base` or a change of it."""
        shutil.rmtree(self.pipeline, ignore_errors=True)
        write_snapshot(snapshot, self.pipeline)
        self.base = base

    def set_aside(self, path: str, content: bytes) -> None:
        """Keep a file that is no part of the pipeline, for the agent to read."""
        write_atomic(self.directory / path, content)

    def snapshot(self) -> dict[str, bytes]:
        """The pipeline copy as it stands. Raises UsageError for links and special files."""
        return take_snapshot(self.pipeline)

    def has_traces(self, variant: str) -> bool:
        return (self.directory / "train" / "traces" / variant / "index.md").is_file()

    def write_traces(self, variant: str, records: Iterable[CaseRecord], cases: Mapping[str, Case]) -> str:
        """One readable file for each failing case and a few passing ones; returns the folder, relative."""
        folder = Path("train", "traces", variant)
        target = self.directory / folder
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        rows = ["| case | score | feedback |", "|---|--:|---|"]
        passing = 0
        for record in records:
            if record.value == 1.0:
                passing += 1
                if passing > PASSING_TRACES:
                    continue
            name = trace_name(record)
            write_file(target / name, trace_markdown(record, cases[record.case_id]))
            shown = "undecided" if record.value is None else f"{record.value:.2f}"
            rows.append(f"| [{record.case_id}]({name}) | {shown} | {_feedback(record)} |")
        write_file(target / "index.md", "\n".join(rows) + "\n")
        return f"{folder}/"

    def write_ledger(self, state: State) -> None:
        """What was tried so far and what became of it."""
        lines = [
            "# Ledger", "", f"Incumbent: {state.incumbent}. Open levels: {', '.join(state.open_levels)}.", "",
            "| variant | parent | level | step | technique | hypothesis | lines | verdict | difference | reason | paid "
            "| learned |",
            "|---|---|---|---|---|---|--:|---|--:|---|--:|---|",
        ]  # fmt: skip
        for a in state.attempts:
            difference = "" if a.difference is None else f"{a.difference:+.2f}"
            done = state.evaluated(a.variant, "validation")
            cells = (
                a.variant,
                a.parent,
                a.level or "",
                a.step,
                a.technique,
                a.hypothesis,
                str(a.lines or ""),
                a.verdict or "",
                difference,
                a.told,
                _paid(done.paid) if done else "",
                a.lesson,
            )
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        write_atomic(self.directory / "ledger.md", "\n".join(lines) + "\n")


def editable(levels: Iterable[Level]) -> tuple[str, ...]:
    """Globs, relative to the workspace, of what may be written while `levels` are open."""
    return tuple(dict.fromkeys(glob for level in levels for glob in _EDITABLE[level]))


def trace_name(record: CaseRecord) -> str:
    """A file name for a case's trace."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", record.case_id)[:100]
    return f"{safe}.md" if record.trial == 0 else f"{safe}.{record.trial}.md"


def _feedback(record: CaseRecord) -> str:
    if record.failure is not None:
        return _cell(f"{record.failure.owner} failure, {record.failure.kind}: {record.failure.message}")
    return _cell(record.score.feedback if record.score else "")


def _paid(usage: Usage) -> str:
    return f"{usage.llm_calls} calls" + ("" if usage.cost_usd is None else f", ${usage.cost_usd:.2f}")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())[:300]
