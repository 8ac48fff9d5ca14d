"""`report.md` of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fapo.report.facts import (
    CaseList,
    Efficiency,
    EvaluationReport,
    Losses,
    RunReport,
    StepFigures,
    StepLoss,
    VariantNode,
    variant_tree,
)
from fapo.report.headline import evaluation_notices, evaluation_sentence, evaluation_tiles
from fapo.report.run_summary import RunSummary, counted, describe_gain, describe_mean, verdict_sentence
from fapo.report.trace_parts import one_line
from fapo.report.words import (
    about_agent,
    about_measurement,
    dollars,
    duration,
    limits_of,
    number,
    paid,
    points,
    seconds,
    when,
)


def run_markdown(report: RunReport) -> str:
    """The report as Markdown, without traces and with the patch by reference."""
    return "\n".join(_lines(report)) + "\n"


def evaluation_markdown(report: EvaluationReport) -> str:
    """The report of an evaluation as Markdown, without traces."""
    lines = [f"# fapo: {report.pipeline}"]
    for notice in evaluation_notices(report):
        lines += ["", f"> **Note:** {_line(notice)}"]
    lines += ["", evaluation_sentence(report), ""]
    lines += [f"- {tile.label}: {tile.value} ({tile.detail})" for tile in evaluation_tiles(report)]
    lines += [*_losses(report.losses, report.variant), *_steps(report.steps, report.variant), *_cases(report.cases)]
    return "\n".join(lines) + "\n"


def _lines(report: RunReport) -> Iterator[str]:
    summary = report.summary
    yield f"# fapo: {summary.pipeline}"
    if summary.note:
        yield from ("", f"> **Note:** {summary.note}.")
    yield from ("", verdict_sentence(summary))
    yield from _scores(summary)
    yield from _asked(report)
    yield from _variants(report)
    yield from _losses(report.losses, "baseline")
    yield from _steps(report.steps, "baseline")
    yield from _cases(report.cases)
    yield from ("", "## How it was measured", "")
    yield from (f"- {line}" for line in (*about_measurement(summary), *about_agent(summary), paid(summary.usage)))
    yield from _again(report)


def _scores(summary: RunSummary) -> Iterator[str]:
    yield from ("", "| | validation | test |", "|---|--:|--:|")
    test = "sealed" if summary.baseline.test is None else describe_mean(summary.baseline.test)
    yield f"| baseline | {describe_mean(summary.baseline.validation)} | {test} |"
    if summary.best.variant != "000":
        test = "sealed" if summary.best.test is None else describe_mean(summary.best.test)
        yield f"| best ({summary.best.variant}) | {describe_mean(summary.best.validation)} | {test} |"
    for name, gain in (("validation", summary.validation_gain), ("test", summary.test_gain)):
        if gain is not None:
            yield from ("", f"Gain on {name}: {describe_gain(gain)}; {gain.won} cases better, {gain.lost} worse.")
    if summary.validation_gain and summary.test_gain:
        gap = summary.validation_gain.mean - summary.test_gain.mean
        looks = f"after {counted(summary.looks, 'look')} at validation"
        yield from ("", f"Validation-to-test gap of the gain: {points(gap)} points, {looks}.")


def _asked(report: RunReport) -> Iterator[str]:
    asked = report.asked
    yield from ("", "## What was asked", "")
    if asked.task:
        yield f"- Task: {_line(asked.task)}"
    counts = ", ".join(f"{count:,} {split}" for split, count in asked.counts.items())
    yield f"- Data: {asked.benchmark or 'unknown'} ({counts or 'counts unknown'}); score: {asked.score or 'unknown'}."
    yield f"- Models: {', '.join(f'{role} {model}' for role, model in asked.models.items()) or 'unknown'}."
    if asked.judge:
        yield f"- Judge: {asked.judge}."
    yield f"- Limits: {limits_of(report)}."
    yield f"- Began {when(report.ran.started_at)}, took {duration(report.summary.wall_s)}."
    yield from (f"- {_line(note)}" for note in report.ran.notes)


def _variants(report: RunReport) -> Iterator[str]:
    if not report.summary.variants:
        yield from ("", "## Variants", "", "None was submitted.")
        return
    yield from ("", "## Variants", "")
    yield from _branch(variant_tree(report.summary.variants), 0)
    names = ("variant", "parent", "level", "step", "technique", "hypothesis", "points", "cases", "reviewer", "verdict",
             "reason")  # fmt: skip
    yield from ("", f"| {' | '.join(names)} |", "|---|---|---|---|---|---|--:|--:|---|---|---|")
    for row in report.summary.variants:
        difference = "–" if row.difference is None else points(row.difference)
        cases = "–" if row.cases is None else str(row.cases)
        cells = (row.id, row.parent, row.level or "", row.step, row.technique, row.hypothesis, difference, cases,
                 row.review or "–", row.verdict or "", row.reason)  # fmt: skip
        yield _row(cells)


def _branch(node: VariantNode, depth: int) -> Iterator[str]:
    row = node.row
    label = (
        "000 baseline"
        if row is None
        else f"{row.id} {_line(row.technique)} ({row.level or 'no level'}): {row.verdict or 'open'}"
    )
    yield f"{'  ' * depth}- {label}"
    for child in node.children:
        yield from _branch(child, depth + 1)


def _losses(losses: Losses, first: str) -> Iterator[str]:
    yield from ("", "## Where the score is lost", "")
    if losses.missing:
        yield f"Not divided: {losses.missing}."
    else:
        yield f"Points of the mean score lost, by rules over the traces of {losses.cases} {losses.split} cases."
        yield from ("", f"| step | {_line(first)} | best |", "|---|--:|--:|")
        for row in (*losses.steps, StepLoss("in all", losses.baseline or 0.0, losses.best)):
            best = "–" if row.best is None else f"{100 * row.best:.1f}"
            yield _row((row.step or "unidentified", f"{100 * row.baseline:.1f}", best))
    for found in losses.measured:
        shares = ", ".join(f"{share:.0%} {level}" for level, share in found.by_level.items())
        yield from ("", f"Measured by replay of {found.cases} train cases of {found.variant}: {shares}.")


def _steps(figures: StepFigures, first: str) -> Iterator[str]:
    if figures.baseline is None:
        return
    yield from ("", "## What a case takes", "", f"On {figures.split}, with nothing cached.", "")
    yield from ("| | calls | tokens | cost | median | 95 % |", "|---|--:|--:|--:|--:|--:|")
    for name, each in ((first, figures.baseline), ("best", figures.best)):
        if each is not None:
            yield _row((name, *_efficiency(each)))
    yield from ("", "| step | | calls | tokens in | tokens out | cost | median | errors |",
                "|---|---|--:|--:|--:|--:|--:|--:|")  # fmt: skip
    for pair in figures.steps:
        for name, step in ((first, pair.baseline), ("best", pair.best)):
            if step is not None:
                yield _row((pair.step, name, f"{step.calls:,}", number(step.input_tokens), number(step.output_tokens),
                            dollars(step.cost_usd), seconds(step.p50_s), f"{step.errors:,}"))  # fmt: skip


def _efficiency(each: Efficiency) -> tuple[str, ...]:
    return (f"{each.calls:.1f}", number(each.tokens), dollars(each.cost_usd), seconds(each.p50_s), seconds(each.p95_s))


def _cases(lists: Iterable[CaseList]) -> Iterator[str]:
    """Ids only, and none of test: the traces are in `report.html`."""
    shown = [each for each in lists if each.total and each.split != "test"]
    if shown:
        yield from ("", "## Cases", "")
    for each in shown:
        ids = ", ".join(f"`{_line(case.case_id).replace('`', chr(39))}`" for case in each.cases)
        more = f", and {each.left_out:,} more" if each.left_out else ""
        yield f"- {each.kind} on {each.split} ({each.total:,}): {ids}{more}"


def _again(report: RunReport) -> Iterator[str]:
    summary = report.summary
    yield from ("", "## Again, and further", "", "The same search:", "", f"    {report.ran.command}")
    versions = ", ".join(f"{name} {version}" for name, version in report.asked.versions.items() if version)
    yield from ("", f"It ran with {versions}.")
    if summary.patch:
        yield from ("", f"The best variant lies in `{summary.best_dir}`. Write it into the pipeline:", "",
                    f"    fapo apply {summary.run_dir}", "", "or take the patch against the baseline:", "",
                    f"    git apply --directory=PIPELINE_DIR {summary.patch}")  # fmt: skip


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_line(cell).replace("|", "/") for cell in cells) + " |"


def _line(text: str) -> str:
    """Text on one line that neither HTML nor Markdown takes for a tag, a link or an image."""
    return one_line(text).replace("<", "&lt;").replace("[", "\\[")
