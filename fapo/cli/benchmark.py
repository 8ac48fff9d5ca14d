"""`fapo benchmark list`, `prepare` and `show`: the benchmarks that come along, and the whole of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fapo.cli.benchmark_compare import compare_command
from fapo.cli.names import benchmarks

if TYPE_CHECKING:
    from fapo.benchmark.full import FullSpec

benchmark_app = typer.Typer(
    no_args_is_help=True, help="The benchmarks that come along: what they are, and fetch the whole of one."
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
benchmark_app.command("compare")(compare_command)
Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Name of a built-in benchmark, or a benchmark directory.", autocompletion=benchmarks
    ),
]


@benchmark_app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the benchmarks: what each asks, how many cases its sample has, and whether the whole is prepared."""
    from fapo.cli.console import print_json, stdout, table

    rows = [_facts(path) for path in _all()]
    if as_json:
        print_json({"benchmarks": rows})
        return
    shown = table("benchmark", "cases here", "the whole", "prepared", "licence of the whole")
    for row in rows:
        whole = row["whole"]
        counts = " / ".join(str(count) for count in row["cases"].values())
        if whole is None:
            shown.add_row(row["name"], counts, "is here", "–", row["licence"])
        else:
            sizes = " / ".join(str(count) for count in whole["counts"].values())
            shown.add_row(row["name"], counts, sizes, "yes" if whole["prepared"] else "no", whole["licence"])
    stdout().print(shown)


@benchmark_app.command("show")
def show_command(name: Name, as_json: AsJson = False) -> None:
    """Show a benchmark: source, licence, splits, guards, what others published."""
    from rich.markup import escape

    from fapo.cli.console import print_json, stdout

    facts = _facts(_find(name), published=True)
    if as_json:
        print_json(facts)
        return
    console = stdout()
    console.print(f"[bold]{escape(facts['name'])}[/]: {escape(facts['about'])}")
    for label in ("source", "licence", "sample", "score", "judge", "guards", "directory"):
        if facts[label]:
            console.print(f"{label}: {escape(str(facts[label]))}")
    console.print(f"cases here: {', '.join(f'{split} {count}' for split, count in facts['cases'].items())}")
    if facts["whole"]:
        whole = facts["whole"]
        sizes = ", ".join(f"{split} {count}" for split, count in whole["counts"].items())
        ready = "prepared" if whole["prepared"] else f"not prepared: fapo benchmark prepare {facts['name']}"
        console.print(f"the whole: {sizes}; licence {escape(whole['licence'])}; {ready}")
        for source in whole["sources"]:
            console.print(f"  {escape(source)}")
    if facts["published"]:
        console.print(_published_table(facts["published"]))


@benchmark_app.command("prepare")
def prepare_command(
    name: Name,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Files that you have already; they go before the hub's.")
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Search this corpus of the benchmark, such as wiki2017, and not the small one.")
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Needed for data that may not be used commercially.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch the whole benchmark, check it, split it as published, and keep its cases for `--full`."""
    from fapo.benchmark.full import load_full_spec, prepare
    from fapo.cli.console import print_json, stderr, stdout
    from fapo.config import read_environment
    from fapo.errors import UsageError

    directory = _find(name)
    environment = read_environment()
    if data_dir is not None and not data_dir.is_dir():
        raise UsageError("no such folder", path=data_dir)
    spec = load_full_spec(directory)
    if spec is not None and spec.noncommercial and not accept_licence:
        raise UsageError(
            f"{directory.name} is {spec.licence}: not for commercial use; say --accept-licence if yours is not"
        )
    console = stderr(plain=environment.plain)
    target = environment.benchmarks_dir / directory.name
    done = prepare(
        directory, target, data_dir=data_dir, corpus=corpus, progress=console.is_terminal,
        say=lambda text: console.print(text, markup=False),
    )  # fmt: skip
    if as_json:
        print_json({"directory": str(done.directory), **done.facts})
    else:
        sizes = ", ".join(f"{split} {count}" for split, count in done.facts["cases"].items())
        stdout().print(f"{directory.name} is prepared: {sizes}; fapo eval {directory.name} --full", markup=False)


def _find(name: str) -> Path:
    from fapo.data import BENCHMARK_FILE, builtin_names, find_builtin
    from fapo.errors import UsageError, did_you_mean

    path = Path(name)
    if not (path / BENCHMARK_FILE).is_file():
        builtin = find_builtin("benchmarks", path.name)
        if builtin is None or not (builtin / BENCHMARK_FILE).is_file():
            near = did_you_mean(path.name, builtin_names("benchmarks", BENCHMARK_FILE))
            raise UsageError(f"no such benchmark; `fapo benchmark list` names them{near}", path=name)
        path = builtin
    return path


def _all() -> list[Path]:
    from fapo.data import BENCHMARK_FILE, builtin_names

    return [_find(name) for name in builtin_names("benchmarks", BENCHMARK_FILE)]


def _facts(path: Path, *, published: bool = False) -> dict[str, Any]:
    from fapo.benchmark.full import load_full_spec
    from fapo.data import load_benchmark
    from fapo.records import SPLITS

    found = load_benchmark(path)
    whole = load_full_spec(path)
    return {
        "name": found.name,
        "about": found.about,
        "directory": str(path),
        "source": found.source,
        "licence": found.licence,
        "score": found.score,
        "judge": found.judge,
        "guards": {name: value for name, value in found.guards.model_dump(mode="json").items() if value is not None},
        "sample": found.sample,
        "cases": {split: len(found.cases(split)) for split in SPLITS},
        "whole": None if whole is None else _whole(path, whole),
        "published": _published(path) if published else None,
    }


def _whole(path: Path, spec: FullSpec) -> dict[str, Any]:
    from fapo.benchmark.full import find_prepared
    from fapo.config import read_environment

    prepared = find_prepared(read_environment().benchmarks_dir / path.name)
    return {
        "licence": spec.licence,
        "counts": spec.counts,
        "sources": [source.describe() for source in spec.sources.values()],
        "prepared": prepared.facts if prepared else None,
    }


def _published(path: Path) -> list[dict[str, Any]]:
    import yaml

    file = path / "published.yaml"
    if not file.is_file():
        return []
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = found["figures"]
    return rows


def _published_table(rows: list[dict[str, Any]]) -> Any:
    from rich.markup import escape

    from fapo.cli.console import table

    shown = table("published", "model", "test", "source", right=lambda c: c == "test")
    for row in rows:
        score = row["test"] if isinstance(row["test"], str) else f"{row['test']:.2f}"
        shown.add_row(escape(str(row["optimizer"])), escape(str(row["model"])), score, escape(str(row["source"])))
    return shown
