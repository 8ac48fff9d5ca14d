"""`fapo benchmark compare NAME`: optimizers on one benchmark, at the same number of task-model calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fapo.cli.names import benchmarks

if TYPE_CHECKING:
    from rich.console import Console

    from fapo.config import Environment
    from fapo.report.versus import Trial

OPTIMIZERS: dict[str, tuple[str, ...]] = {
    "fapo": (),
    "fapo-prompt": ("--scope", "prompt"),
    "gepa": ("--optimizer", "gepa"),
}
"""What each name stands for, as options of `fapo optimize`."""


def compare_command(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of a built-in benchmark.", autocompletion=benchmarks)
    ],
    optimizers: Annotated[
        str, typer.Option(help=f"Which, with commas between: {', '.join(OPTIMIZERS)}.")
    ] = "fapo,gepa",
    trials: Annotated[int, typer.Option(min=1, help="Optimizations of each, with seeds of their own.")] = 3,
    budget_calls: Annotated[
        int, typer.Option(min=1, help="Task-model calls that each search may make, cached ones included.")
    ] = 10000,
    pipeline: Annotated[str | None, typer.Option(help="Pipeline; default: the built-in one of the benchmark.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Replaces the pipeline's `task` model; ROLE=MODEL,... others.")
    ] = None,
    optimizer_model: Annotated[str | None, typer.Option(help="Model of fapo's agent, as Claude Code names it.")] = None,
    reflection_model: Annotated[
        str | None, typer.Option(help="Model of GEPA's reflection, as LiteLLM names it.")
    ] = None,
    max_variants: Annotated[int, typer.Option(min=1, help="Variants that validation may be asked about.")] = 40,
    concurrency: Annotated[int, typer.Option(min=1, help="Model calls in flight at once.")] = 32,
    full: Annotated[bool, typer.Option("--full", help="The whole benchmark, not its sample.")] = False,
    paper_rules: Annotated[
        bool, typer.Option("--paper-rules", help="Without the benchmark's guards, as in what was published.")
    ] = False,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Go on with an interrupted comparison, by the same options.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Run optimizers on a benchmark at the same number of task-model calls, and compare them on test."""
    from fapo.cli.console import print_json, stderr, stdout
    from fapo.config import read_environment
    from fapo.errors import UsageError
    from fapo.report.versus import markdown
    from fapo.store.files import make_directory, to_python, write_atomic

    wanted = [each.strip() for each in optimizers.split(",") if each.strip()]
    if unknown := [each for each in wanted if each not in OPTIMIZERS]:
        raise UsageError(f"--optimizers: `{unknown[0]}` is none of {', '.join(OPTIMIZERS)}")
    environment = read_environment()
    console = stderr(plain=environment.plain)
    source = _pipeline_of(name, pipeline)
    directory = resume.absolute() if resume is not None else _new_directory(environment, name)
    make_directory(directory)
    common = ["--max-variants", str(max_variants), "--concurrency", str(concurrency),
              "--search-calls", str(budget_calls), *(["--full"] if full else []),
              *(["--paper-rules"] if paper_rules else []), *(["--model", model] if model else [])]  # fmt: skip
    done: dict[str, list[Trial]] = {}
    for trial in range(trials):
        for optimizer in wanted:
            own = reflection_model if optimizer == "gepa" else optimizer_model
            options = [*OPTIMIZERS[optimizer], *common, "--seed", str(trial),
                       *(["--optimizer-model", own] if own else [])]  # fmt: skip
            found = _run(directory / f"{optimizer}-{trial}", source, options, console)
            done.setdefault(optimizer, []).append(_trial(optimizer, trial, found, directory, source, common))
    report = _report(name, source, done, directory, common)
    text = "\n".join(markdown(report)) + "\n"
    write_atomic(directory / "comparison.md", text)
    if as_json:
        print_json({"directory": str(directory), **to_python(report)})
    else:
        stdout().print(text, markup=False, highlight=False)
        stdout().print(f"written to {directory}/comparison.md", markup=False)


def _pipeline_of(benchmark: str, named: str | None) -> Path:
    from fapo.data import builtin_names
    from fapo.errors import UsageError
    from fapo.evaluation.project import find_pipeline
    from fapo.pipeline.spec import SPEC_FILE, load_spec

    if named is not None:
        return find_pipeline(named)
    for each in builtin_names("pipelines", SPEC_FILE):
        path = find_pipeline(each)
        if load_spec(path).benchmark == benchmark:
            return path
    raise UsageError("no built-in pipeline has this benchmark: name one by --pipeline", path=benchmark)


def _new_directory(environment: Environment, name: str) -> Path:
    from datetime import UTC, datetime

    return environment.runs_dir / f"{datetime.now(UTC).strftime('%Y%m%d-%H%M%S')}-compare-{Path(name).name}"


def _run(folder: Path, source: Path, options: list[str], console: Console) -> dict[str, Any]:
    """One optimization on a copy of the pipeline, with a `fapo.lock` of its own; read back if it ended before."""
    import shutil

    from fapo.store.files import read_json, write_atomic

    result = folder / "result.json"
    if result.is_file():
        found: dict[str, Any] = read_json(result)
        return found
    copy = folder / source.name
    if not copy.exists():
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("fapo.lock"))
    begun = sorted((folder / "runs").glob("*/run.json"))
    arguments = ["--resume", str(begun[-1].parent)] if begun else [str(copy), *options]
    console.print(f"fapo optimize {' '.join(arguments)}", markup=False)
    text = _fapo(folder, ["optimize", *arguments, "--json"])
    write_atomic(result, text)
    parsed: dict[str, Any] = read_json(result)
    return parsed


def _fapo(folder: Path, arguments: list[str]) -> str:
    """`fapo ARGUMENTS` with runs below `folder`; its words go to standard error as they come."""
    import os
    import subprocess
    import sys

    from fapo.errors import AgentError

    environment = {**os.environ, "FAPO_RUNS_DIR": str(folder / "runs")}
    done = subprocess.run([sys.executable, "-m", "fapo.cli", *arguments], stdout=subprocess.PIPE, text=True,
                          env=environment, check=False)  # fmt: skip
    if done.returncode:
        again = f"go on with --resume {folder.parent}"
        raise AgentError(f"fapo {arguments[0]} ended with exit code {done.returncode}; {again}")
    return done.stdout


def _trial(
    optimizer: str, number: int, found: dict[str, Any], directory: Path, source: Path, common: list[str]
) -> Trial:
    from pydantic import TypeAdapter

    from fapo.records import Usage
    from fapo.report.versus import Trial

    run = Path(found["run_dir"])
    best = found["best"]["variant"]
    test = run / "evaluations" / f"{best}-test"
    values = _values(test) if test.is_dir() else _baseline(directory, source, common)
    usage = {name: TypeAdapter(Usage).validate_python(value) for name, value in found["usage"].items()}
    return Trial(optimizer, number, found["status"], found["best"]["level"], found["baseline"]["validation"],
                 found["best"]["validation"], values, len(found["variants"]), found["searched"], usage["task"],
                 usage["judge"], usage["optimizer"], found["wall_s"], str(run))  # fmt: skip


def _values(evaluation: Path) -> dict[str, float]:
    from fapo.evaluation.evaluate import load_decided

    return {case: float(record.value or 0.0) for (case, _), record in load_decided(evaluation).items()}


def _baseline(directory: Path, source: Path, common: list[str]) -> dict[str, float]:
    """The test scores of the pipeline as it is, evaluated once."""
    from fapo.store.files import read_json, write_atomic

    folder = directory / "baseline"
    result = folder / "result.json"
    if not result.is_file():
        options: list[str] = [option for option in ("--full", "--paper-rules") if option in common]
        if "--model" in common:
            options += ["--model", common[common.index("--model") + 1]]
        write_atomic(result, _fapo(folder, ["eval", str(source), "--split", "test", "--json", *options]))
    return _values(Path(read_json(result)["evaluation_dir"]))


def _report(name: str, source: Path, done: dict[str, list[Trial]], directory: Path, common: list[str]) -> Any:
    import yaml

    from fapo.config import read_environment
    from fapo.data import find_builtin
    from fapo.evaluation.project import load_project
    from fapo.report.versus import compare

    prepared = read_environment().benchmarks_dir if "--full" in common else None
    model = common[common.index("--model") + 1] if "--model" in common else None
    project = load_project(source, model=model, prepared=prepared, guarded="--paper-rules" not in common)
    file = (find_builtin("benchmarks", Path(name).name) or Path(name)) / "published.yaml"
    published = yaml.safe_load(file.read_text(encoding="utf-8"))["figures"] if file.is_file() else []
    baseline = _baseline(directory, source, common)
    return compare(name, project.spec.name, baseline, done, note=project.sample_note, published=published,
                   clusters=project.clusters("test"))  # fmt: skip
