"""The result of a run, made from its directory alone: the summary, the reports, the patch."""

from __future__ import annotations

from pathlib import Path

from fapo.optimize.evaluated import gather_evaluation
from fapo.optimize.gather import gather
from fapo.optimize.run_files import RunFiles
from fapo.records import BASELINE
from fapo.report.facts import EvaluationReport
from fapo.report.html import evaluation_html, run_html
from fapo.report.markdown import evaluation_markdown, run_markdown
from fapo.report.patch import unified_patch
from fapo.report.run_summary import RunSummary
from fapo.store.files import write_atomic


def conclude(directory: Path) -> RunSummary:
    """Write patch and reports of a run that has ended into it, and return the summary. All is on disk."""
    files = RunFiles(directory)
    if files.state.incumbent != BASELINE:
        patch = unified_patch(files.snapshot(BASELINE), files.snapshot(files.state.incumbent))
        write_atomic(directory / "best.patch", patch)
    return write_reports(files)[0]


def write_evaluation_reports(directory: Path, *, include_test: bool = False) -> tuple[EvaluationReport, Path, Path]:
    """Write `report.html` and `report.md` into an evaluation; the facts, and where they are."""
    report = gather_evaluation(directory, include_test=include_test)
    page, text = directory.absolute() / "report.html", directory.absolute() / "report.md"
    write_atomic(page, evaluation_html(report))
    write_atomic(text, evaluation_markdown(report))
    return report, page, text


def write_reports(files: RunFiles, *, include_test: bool = False) -> tuple[RunSummary, Path, Path]:
    """Write `report.html` and `report.md` into a run, finished or not; the summary, and where they are."""
    report = gather(files, include_test=include_test)
    page, text = files.directory / "report.html", files.directory / "report.md"
    write_atomic(page, run_html(report))
    write_atomic(text, run_markdown(report))
    return report.summary, page, text
