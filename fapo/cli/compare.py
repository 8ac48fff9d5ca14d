"""`fapo compare A B`: two evaluations, case by case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fapo.cli.names import evaluations, find_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from fapo.evaluation.compare import Arm, ArmFigures, Change, Comparison

SHOWN_CHANGES = 5


def compare_command(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="An evaluation: its directory, name or the beginning of that.", autocompletion=evaluations
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            metavar="B", help="The other one, or `latest`; differences are B minus A.", autocompletion=evaluations
        ),
    ],
    show_all: Annotated[bool, typer.Option("--all", help="List every case that changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Say whether one evaluation is better than another of the same cases, and where they differ.

    The p-value is that of a single comparison, planned before the scores were seen.
    """
    from fapo.cli.console import print_json
    from fapo.evaluation.compare import compare_arms, read_arm

    one, other = (read_arm(find_run(each, "evaluation")) for each in (a, b))
    found = compare_arms(one, other)
    if as_json:
        print_json(_figures(one, other, found))
    else:
        _show(one, other, found, None if show_all else SHOWN_CHANGES)


def _figures(a: Arm, b: Arm, found: Comparison) -> dict[str, Any]:
    from fapo.store.files import to_python

    paired = found.paired
    return {
        "split": a.manifest.split,
        "score": a.manifest.score,
        "a": _arm_figures(a, found.a),
        "b": _arm_figures(b, found.b),
        "difference": {
            "mean": paired.difference, "ci95": [paired.low, paired.high], "p": paired.p_two_sided, "n": paired.n,
            "won": paired.won, "lost": paired.lost, "tied": paired.tied,
        },
        "clusters": found.clusters,
        "detectable": found.detectable,
        "won": [to_python(change) for change in found.won],
        "lost": [to_python(change) for change in found.lost],
        "left_out": list(found.left_out),
        "notes": list(found.notes),
    }  # fmt: skip


def _arm_figures(arm: Arm, found: ArmFigures) -> dict[str, Any]:
    from fapo.store.files import to_python

    score = found.score
    figures: dict[str, Any] = to_python(found)
    return figures | {
        "evaluation_dir": str(arm.directory),
        "pipeline": arm.manifest.pipeline,
        "variant": arm.manifest.variant,
        "variant_digest": arm.manifest.variant_digest,
        "models": arm.manifest.models,
        "trials": arm.manifest.trials,
        "score": {"mean": score.mean, "ci95": [score.low, score.high], "n": score.n},
    }


def _show(a: Arm, b: Arm, found: Comparison, most: int | None) -> None:
    from rich.markup import escape

    from fapo.cli.console import stdout

    console = stdout()
    for letter, arm in (("A", a), ("B", b)):
        models = ", ".join(sorted(set(arm.manifest.models.values())))
        console.print(f"[bold]{letter}[/]  {escape(_name(arm))} with {escape(models)}")
        console.print(f"   {escape(str(arm.directory))}")
    paired, cases = found.paired, len(found.left_out) + found.paired.n
    console.print(f"on {a.manifest.split}, {cases:,} cases, scored by {escape(a.manifest.score)}")
    console.print()
    console.print(f"[bold]{_verdict(found)}[/]")
    console.print(
        f"B - A: {100 * paired.difference:+.1f} points (95 % interval {100 * paired.low:+.1f} to "
        f"{100 * paired.high:+.1f}, p = {paired.p_two_sided:.2g}, n = {paired.n:,}{_clusters(found)})"
    )
    console.print(
        f"a true difference of {100 * found.detectable:.1f} points would show in four of five such comparisons"
    )
    if found.left_out:
        console.print(f"[yellow]{len(found.left_out):,} cases are left out[/]: they are not decided in both")
    console.print()
    console.print(_side_by_side(found))
    _show_changes("won by B", found.won, most)
    _show_changes("lost by B", found.lost, most)
    console.print()
    console.print(f"{paired.won:,} cases won, {paired.lost:,} lost, {paired.tied:,} tied")
    for note in found.notes:
        console.print(f"[yellow]note[/] {escape(note)}")


def _name(arm: Arm) -> str:
    manifest = arm.manifest
    return manifest.pipeline if manifest.variant == manifest.pipeline else f"{manifest.pipeline} {manifest.variant}"


def _verdict(found: Comparison) -> str:
    paired = found.paired
    if paired.p_two_sided >= 0.05:
        return "No difference is shown: what there is may be chance."
    return f"B is {'better' if paired.difference > 0 else 'worse'} than A, by more than chance explains."


def _clusters(found: Comparison) -> str:
    return "" if found.clusters is None else f" in {found.clusters:,} clusters"


def _side_by_side(found: Comparison) -> Any:
    from fapo.cli.console import dollars, table
    from fapo.cli.eval_output import whole

    a, b = found.a, found.b
    rows = table("", "A", "B", "B - A", right=lambda column: column != "")

    def add(name: str, one: float | None, other: float | None, shown: Callable[[float], str]) -> None:
        known = one is not None and other is not None
        values = ["unknown" if value is None else shown(value) for value in (one, other)]
        change = other - one if one is not None and other is not None else 0.0
        rows.add_row(
            name, *values, ("+" if change > 0 else "-" if change < 0 else "") + shown(abs(change)) if known else ""
        )

    add("mean score", a.score.mean, b.score.mean, lambda value: f"{value:.3f}")
    rows.add_row("95 % interval", *(f"{side.score.low:.3f} to {side.score.high:.3f}" for side in (a, b)), "")
    add("samples", a.samples, b.samples, whole)
    add("failed in the pipeline", a.failures, b.failures, whole)
    add("missing or undecided", a.missing, b.missing, whole)
    add("calls", a.usage.llm_calls, b.usage.llm_calls, whole)
    add("cached", a.usage.cached_calls, b.usage.cached_calls, whole)
    add("tokens in", a.usage.input_tokens, b.usage.input_tokens, whole)
    add("tokens out", a.usage.output_tokens, b.usage.output_tokens, whole)
    add("cost", a.usage.cost_usd, b.usage.cost_usd, dollars)
    add("p50 s a case", a.p50_s, b.p50_s, lambda value: f"{value:.3f}")
    add("p95 s a case", a.p95_s, b.p95_s, lambda value: f"{value:.3f}")
    unsteady = [
        side.repeatability and f"{side.repeatability.unsteady} of {side.repeatability.cases}" for side in (a, b)
    ]
    if any(unsteady):
        rows.add_row("cases that vary by sample", *(shown or "" for shown in unsteady), "")
    return rows


def _show_changes(title: str, changes: tuple[Change, ...], most: int | None) -> None:
    from rich.markup import escape

    from fapo.cli.console import stdout, table

    if not changes:
        return
    rows = table(title, "A", "B", right=lambda column: column in ("A", "B"))
    for change in changes[:most]:
        rows.add_row(escape(change.case_id), f"{change.a:.3f}", f"{change.b:.3f}")
    stdout().print()
    stdout().print(rows)
    if most is not None and len(changes) > most:
        stdout().print(f"and {len(changes) - most:,} more: --all")
