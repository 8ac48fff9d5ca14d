"""What commands take as names (runs, evaluations, pipelines, benchmarks), found alike everywhere and completed by Tab.

Imported by every command, so it stays light; completion reads folder names and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

Kind = Literal["run", "evaluation"]
_COMPLETED = 50
"""Runs that completion offers, the latest."""


def find_run(name: str, kind: Kind | None = None) -> Path:
    """The directory of a run or evaluation: `fapo.store.run_names.find_run` in the user's folder of runs."""
    from fapo.config import read_environment
    from fapo.store import run_names

    return run_names.find_run(name, read_environment().runs_dir, kind)


def runs(incomplete: str) -> list[str]:
    return list(_begun(incomplete, "run"))


def evaluations(incomplete: str) -> list[str]:
    return list(_begun(incomplete, "evaluation"))


def runs_and_evaluations(incomplete: str) -> list[str]:
    return list(_begun(incomplete, None))


def pipelines(incomplete: str) -> list[str]:
    from fapo.data import builtin_names
    from fapo.pipeline.spec import SPEC_FILE

    return [*_folders(incomplete, SPEC_FILE), *_starting(incomplete, builtin_names("pipelines", SPEC_FILE))]


def benchmarks(incomplete: str) -> list[str]:
    from fapo.data import BENCHMARK_FILE, builtin_names

    return [*_folders(incomplete, BENCHMARK_FILE), *_starting(incomplete, builtin_names("benchmarks", BENCHMARK_FILE))]


def _begun(incomplete: str, kind: Kind | None) -> Iterator[str]:
    from itertools import islice

    from fapo.config import read_environment
    from fapo.store.run_names import LATEST, run_names

    if "/" in incomplete:
        yield from _paths(incomplete)
        return
    yield from _starting(incomplete, [LATEST])
    names = run_names(read_environment().runs_dir, kind)
    yield from islice((name for name in names if name.startswith(incomplete)), _COMPLETED)


def _starting(incomplete: str, names: tuple[str, ...] | list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _paths(incomplete: str) -> list[str]:
    """Directories that begin so, as a shell would complete them."""
    head, _, begun = incomplete.rpartition("/")
    folder = Path(head or "/").expanduser()
    try:
        found = sorted(path.name for path in folder.iterdir() if path.name.startswith(begun) and path.is_dir())
    except OSError:
        return []
    return [f"{head}/{name}" for name in found]


def _folders(incomplete: str, file: str) -> list[str]:
    """Directories that begin so; below the present one only those that hold `file`."""
    if "/" in incomplete:
        return _paths(incomplete)
    return sorted(path.parent.name for path in Path().glob(f"*/{file}") if path.parent.name.startswith(incomplete))


Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run: its directory, its name or the beginning of that, or `latest`.", autocompletion=runs
    ),
]
Evaluation = Annotated[
    str,
    typer.Argument(
        metavar="EVALUATION",
        help="An evaluation: its directory, its name or the beginning of that, or `latest`; RUN/evaluations/... too.",
        autocompletion=evaluations,
    ),
]
Either = Annotated[
    str,
    typer.Argument(
        metavar="RUN|EVALUATION",
        help="A run or evaluation: its directory, its name or the beginning of that, or `latest`.",
        autocompletion=runs_and_evaluations,
    ),
]
