"""What a person may call a run: its directory, its name in the folder of runs, the beginning of that, or `latest`."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from fapo.errors import UsageError

Kind = Literal["run", "evaluation"]
LATEST = "latest"
RUN_FILE = "run.json"
MANIFEST_FILE = "evaluation.json"
TRACES_FILE = "traces.jsonl"
_SHOWN = 4


def kind_of(directory: Path) -> Kind | None:
    """Whether a directory holds an optimization or an evaluation; None for neither."""
    if (directory / RUN_FILE).is_file():
        return "run"
    return "evaluation" if (directory / MANIFEST_FILE).is_file() else None


def run_names(runs_dir: Path, kind: Kind | None = None) -> Iterator[str]:
    """The names of runs and evaluations, or of one kind, the latest first."""
    for path in sorted((path for path in runs_dir.glob("*") if path.is_dir()), reverse=True):
        if (found := kind_of(path)) is not None and kind in (None, found):
            yield path.name


def find_run(name: str, runs_dir: Path, kind: Kind | None = None) -> Path:
    """The directory that `name` means: a path, a name in `runs_dir`, a beginning that only one has, or `latest`.

    `NAME/PATH` leads into a run, such as to one of its evaluations; the traces.jsonl of an evaluation means its folder.
    `kind` bounds what names are looked for, and refuses a directory of the other kind. Raises UsageError.
    """
    path = _path_of(name, runs_dir, kind)
    if path.name == TRACES_FILE and path.is_file():
        path = path.parent
    if not path.is_dir():
        raise UsageError("no such directory", path=path)
    found = kind_of(path)
    if found == "run" and kind == "evaluation":
        raise UsageError(f"a run of fapo optimize; name one of its evaluations: {path}/evaluations/...", path=path)
    if found == "evaluation" and kind == "run":
        raise UsageError("an evaluation, not a run of fapo optimize; `fapo runs` lists both", path=path)
    return path


def _path_of(name: str, runs_dir: Path, kind: Kind | None) -> Path:
    path = Path(name)
    if (name and path.exists()) or path.is_absolute() or name.startswith("."):
        return path
    first, *rest = path.parts or ("",)
    return runs_dir.joinpath(_named(first, runs_dir, None if rest else kind), *rest)


def _named(name: str, runs_dir: Path, kind: Kind | None) -> str:
    names = list(run_names(runs_dir, kind))
    if name == LATEST and names:
        return names[0]
    every = names if kind is None else list(run_names(runs_dir))
    if name in every:
        return name
    begins = [each for each in names if each.startswith(name)] if name else []
    if len(begins) == 1:
        return begins[0]
    if len(begins) > 1:
        more = f" and {len(begins) - _SHOWN} more" if len(begins) > _SHOWN else ""
        raise UsageError(f"is the beginning of {', '.join(begins[:_SHOWN])}{more}: give more of it", path=name)
    what = {"run": "run of fapo optimize", "evaluation": "evaluation", None: "run or evaluation"}[kind]
    if not names:
        raise UsageError(f"no such {what}, and none in {runs_dir} (FAPO_RUNS_DIR says where they lie)", path=name)
    near = get_close_matches(name, names, 1) or [each for each in names if name and each.endswith(f"-{name}")][:1]
    hint = f"did you mean {near[0]}?" if near else "`fapo runs` lists them"
    raise UsageError(f"no such {what} in {runs_dir}; {hint}", path=name)
