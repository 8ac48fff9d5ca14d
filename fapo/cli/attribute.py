"""`fapo attribute EVALUATION`: where an evaluation loses its score, and at which level that can be mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fapo.cli.names import Evaluation, find_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fapo.attribution.blame import Attribution, Cluster
    from fapo.attribution.replay import Replay
    from fapo.config import CallLimits, Isolation
    from fapo.evaluation.evaluate import Manifest
    from fapo.evaluation.project import Project
    from fapo.records import Level

SHOWN_CLUSTERS = 6


def attribute_command(
    evaluation: Evaluation,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Measure: run failing cases again with a step changed. Costs model calls."),
    ] = False,
    teacher: Annotated[
        str | None,
        typer.Option(help="A stronger model (a LiteLLM model string), which shows what better prompts could reach."),
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="Failing cases that --replay runs again at most.")] = 48,
    budget_usd: Annotated[float | None, typer.Option(min=0, help="Limit on what this command spends.")] = None,
    max_calls: Annotated[int | None, typer.Option(min=1, help="Limit on paid model calls.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Limit on tokens of paid calls.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Model calls in flight at once.")] = 32,
    isolation: Annotated[Literal["auto", "none"], typer.Option(help="How pipeline code is confined.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Divide the lost score among steps and levels: by rules over the traces of failing cases, or by replay."""
    from fapo.attribution.rules import attribute
    from fapo.cli.console import print_json
    from fapo.cli.running import run_to_end
    from fapo.config import CallLimits
    from fapo.errors import UsageError
    from fapo.evaluation.evaluate import load_decided, load_manifest
    from fapo.optimize.evaluated import project_of
    from fapo.store.files import to_python

    directory = find_run(evaluation, "evaluation")
    manifest = load_manifest(directory)
    project = project_of(directory, manifest)
    known = {case.id: case for case in project.cases(manifest.split)}
    records = list(load_decided(directory).values())
    if not records:
        raise UsageError("no case is decided; go on with `fapo eval --resume`", path=directory)
    facts = {"pipeline": manifest.pipeline, "variant": manifest.variant, "split": manifest.split,
             "evaluation_dir": str(directory), "note": manifest.sample}  # fmt: skip
    if replay:
        limits = CallLimits(budget_usd=budget_usd, max_calls=max_calls, max_tokens=max_tokens, concurrency=concurrency)
        run_to_end(_replay(project, manifest, directory, teacher, cases, limits, isolation, facts if as_json else None))
    if teacher is not None:
        raise UsageError("--teacher belongs to --replay")
    found = attribute(known, records)
    if as_json:
        print_json(facts | to_python(found))
    else:
        _show(found, manifest, directory)


async def _replay(
    project: Project,
    manifest: Manifest,
    directory: Path,
    teacher: str | None,
    most_cases: int,
    limits: CallLimits,
    isolation: Isolation,
    facts: dict[str, Any] | None,
) -> int:
    from dataclasses import replace as changed

    from fapo.attribution.counterfactual import resource_texts
    from fapo.attribution.replay import replay
    from fapo.cli.console import TerminalNarrator, print_json, say_unpriced, stderr
    from fapo.config import read_environment
    from fapo.evaluation.connect import connect
    from fapo.evaluation.evaluate import EvaluationPlan, load_decided
    from fapo.evaluation.replaying import replayer
    from fapo.store.files import lock_directory, to_python

    environment = read_environment()
    console = stderr(plain=environment.plain)
    project = changed(project, spec=project.spec.model_copy(update={"models": manifest.models}))
    models = [*project.model_names, *([teacher] if teacher else [])]
    plan = EvaluationPlan(project.directory, project.spec, (), project.score, manifest, directory, limits.concurrency,
                          isolation, project.benchmark.guards, corpus=project.benchmark.corpus,
                          judge=manifest.judge)  # fmt: skip
    with lock_directory(directory):
        async with connect(models, environment, limits=limits) as connection:
            say_unpriced(console, connection.unpriced)
            narrator = TerminalNarrator(console, plain=environment.plain)
            try:
                found = await replay(
                    {case.id: case for case in project.cases(manifest.split)},
                    list(load_decided(directory).values()),
                    replayer(plan, connection.gateway, narrator.evaluating),
                    teacher=teacher,
                    resources=resource_texts(project.directory, project.benchmark.corpus),
                    most_cases=most_cases,
                )
            finally:
                narrator.evaluated()
    if facts is not None:
        print_json(facts | {"teacher": teacher} | to_python(found))
    else:
        _show(found.attribution, manifest, directory)
        _show_replay(found, teacher)
    return 0


_MEASURED_BY: dict[Level, str] = {
    "prompt": "stronger models on the same inputs",
    "structure": "gold documents where they were missing",
}


def _show_replay(found: Replay, teacher: str | None) -> None:
    from rich.markup import escape

    from fapo.cli.console import dollars, stdout, table

    console = stdout()
    console.print()
    columns = ("step", "changed", "turned", "of", "share (95 %)", "regained", "calls")
    rows = table(*columns, right=lambda c: c in ("turned", "of", "regained", "calls"))
    for each in found.headrooms:
        shown = "–" if each.share is None else f"{each.share.mean:.0%} ({each.share.low:.0%} to {each.share.high:.0%})"
        regained = "–" if each.regained is None else f"{each.regained:.0%}"
        rows.add_row(escape(each.step), each.kind, str(each.turned), str(each.tried), shown, regained,
                     str(each.demand.llm_calls))  # fmt: skip
    console.print(rows)
    console.print("turned: of failing cases that succeed with the step changed; of `corrupt`, passing ones that fail")
    console.print("regained: the mean share of their lost score that failing cases win by it")
    for ceiling in found.ceilings:
        console.print(f"level {ceiling.level}: {_MEASURED_BY[ceiling.level]} reach a mean of {ceiling.mean:.3f} "
                      f"({ceiling.low:.3f} to {ceiling.high:.3f})")  # fmt: skip
    if teacher is None:
        console.print("no --teacher was given: what better prompts could reach is not measured")
    if found.unchanged:
        console.print(f"cannot be replayed: {escape(', '.join(found.unchanged))}; the rules speak of them")
    paid = f"{found.usage.llm_calls} calls, {found.usage.cached_calls} cached, {dollars(found.usage.cost_usd)}"
    console.print(f"{found.replayed} of {found.failing} failing cases were replayed, {found.overlap:.0%} of them can "
                  f"be turned at several steps; paid: {paid}")  # fmt: skip


def _show(found: Attribution, manifest: Manifest, directory: Path) -> None:
    from rich.markup import escape

    from fapo.cli.console import stdout, table

    console = stdout()
    undecided = f", {found.undecided} undecided" if found.undecided else ""
    variant = "" if manifest.variant == manifest.pipeline else f" {escape(manifest.variant)}"
    console.print(f"[bold]{escape(manifest.pipeline)}[/]{variant} on {manifest.split}: mean score "
                  f"{found.mean or 0:.3f}, {found.lost:.3f} lost a case, over {found.n} cases{undecided}")  # fmt: skip
    if found.by_step:
        columns = ("lost at", "why", "can be mended by", "cases", "share of loss", "confidence")
        rows = table(*columns, right=lambda c: c in ("cases", "share of loss"))
        for blame in found.by_step:
            rows.add_row(escape(blame.step or "?"), blame.category.replace("_", " "), ", ".join(blame.levels) or "?",
                         str(blame.cases), f"{blame.share:.0%}", blame.confidence)  # fmt: skip
        console.print()
        console.print(rows)
        console.print()
        for blame in found.by_step:
            where, example = escape(f"{blame.step or '?'}, {blame.category}"), escape(blame.examples[0])
            console.print(f"{where}: {escape(_line(blame.evidence))} ({example})")
        console.print()
        shares = ", ".join(f"{level} {share:.0%}" for level, share in found.by_level.items())
        console.print(f"by the level that can mend it first: {shares}")
        reach = ", ".join(f"{level} {mean:.3f}" for level, mean in found.ceilings.items())
        console.print(f"mean if a level won all that it can address: {reach}")
        if (quality := found.retrieval) is not None:
            lexical = " with the expected answer: no gold evidence is declared"
            by = f"{quality.by}{lexical if quality.by == 'lexical overlap' else ''}"
            console.print(f"retrievals of failing cases: {quality.hit} hits, {quality.partial} partial, {quality.miss} "
                          f"misses, judged by {by}")  # fmt: skip
        _show_clusters(found.clusters)
    console.print(f"work at level [bold]{found.recommended_level}[/]: {escape(found.why)}")
    if found.by_step:
        console.print(f"look at one: fapo trace {directory} {escape(found.by_step[0].examples[0])}")
    if manifest.sample:
        console.print(f"[yellow]note[/] {escape(manifest.sample)}")


def _show_clusters(clusters: Sequence[Cluster]) -> None:
    from rich.markup import escape

    from fapo.cli.console import stdout

    console = stdout()
    console.print()
    console.print("cases that fail alike, and some to look at:")
    for each in clusters[:SHOWN_CLUSTERS]:
        where = f"{each.step or '?'}, {each.category}"
        console.print(escape(f"  {each.share:4.0%}  {each.cases} × {where}: {_line(each.what)} "
                             f"({', '.join(each.representatives)})"))  # fmt: skip
    if len(clusters) > SHOWN_CLUSTERS:
        console.print(f"  … and {len(clusters) - SHOWN_CLUSTERS} more in --json")
    console.print()


def _line(text: str) -> str:
    return " ".join(text.split())
