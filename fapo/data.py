"""Cases and splits: where they come from, and the `datasets` seam.

JSONL is read with `json`, line by line: `datasets` 5.2 decodes strings in columns of mixed type, so that "016" becomes
16 and "null" becomes None, which changes labels without a word. CSV and Parquet come through `datasets` with every CSV
column read as a string.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fapo.errors import UsageError
from fapo.records import SPLITS, Case, Split

BENCHMARK_FILE = "benchmark.yaml"
Kind = Literal["pipelines", "benchmarks", "scores"]


class Columns(BaseModel):
    """Which columns of a table make a case. JSONL rows need none: they have the form of a case already."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    inputs: tuple[str, ...] = Field(min_length=1)
    expected: tuple[str, ...] = Field(min_length=1)
    metadata: tuple[str, ...] = ()


class BenchmarkSpec(BaseModel):
    """The contents of `benchmark.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str = ""
    source: str = ""
    licence: str = ""
    splits: dict[Split, str] = Field(description="Split to a case file, relative to the benchmark's directory.")
    columns: Columns | None = None
    score: str = Field(description="Name of a built-in score function, or a path to a Python file.")
    closed_labels: bool = Field(False, description="Expected answers are a closed public set, such as class names.")
    cluster: str | None = Field(None, description="Metadata key of cases that are not independent of each other.")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark with its cases, read and checked as a whole."""

    name: str
    directory: Path
    score: str
    closed_labels: bool
    cluster: str | None
    splits: Mapping[Split, tuple[Case, ...]] = field(repr=False)

    def cases(self, split: Split) -> tuple[Case, ...]:
        return self.splits[split]


def load_benchmark(directory: Path) -> Benchmark:
    """Read `directory/benchmark.yaml` and all splits. Raises UsageError for the first fault, with file and line."""
    path = directory / BENCHMARK_FILE
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        spec = BenchmarkSpec.model_validate(raw)
    except FileNotFoundError:
        raise UsageError(f"not a benchmark: {BENCHMARK_FILE} is missing", path=directory) from None
    except yaml.YAMLError as error:
        raise UsageError(f"broken YAML: {' '.join(str(error).split())}", path=path) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}", path=path) from None
    if missing := set(SPLITS) - set(spec.splits):
        raise UsageError(f"`splits`: {min(missing)} is missing", path=path)
    files = {split: directory / name for split, name in spec.splits.items()}
    splits = load_splits(files, columns=spec.columns)
    if spec.cluster is not None:
        _require_metadata(splits, spec.cluster, path)
    return Benchmark(spec.name, directory, spec.score, spec.closed_labels, spec.cluster, splits)


def inline_benchmark(
    name: str, directory: Path, files: Mapping[Split, Path], *, score: str, closed_labels: bool
) -> Benchmark:
    """The benchmark of a pipeline that names its case files itself."""
    return Benchmark(name, directory, score, closed_labels, None, load_splits(files))


def load_splits(files: Mapping[Split, Path], *, columns: Columns | None = None) -> dict[Split, tuple[Case, ...]]:
    """All splits; a case id may stand in one of them only, since a case in two would leak."""
    splits = {split: load_cases(files[split], columns=columns) for split in SPLITS}
    owner: dict[str, Split] = {}
    for split, cases in splits.items():
        for case in cases:
            if (other := owner.setdefault(case.id, split)) != split:
                raise UsageError(f"case `{case.id}` is in {files[other].name} too", path=files[split])
    return splits


def load_cases(path: Path, *, columns: Columns | None = None) -> tuple[Case, ...]:
    """The cases of a .jsonl, .csv, .tsv or .parquet file.

    Raises UsageError with file and line: missing file, unknown kind, a row that is no case, a duplicate id, no rows.
    """
    if not path.is_file():
        raise UsageError("no such case file", path=path)
    if path.suffix == ".jsonl":
        rows: Iterable[tuple[int, dict[str, Any]]] = _read_jsonl(path)
    elif path.suffix in (".csv", ".tsv", ".parquet"):
        if columns is None:
            raise UsageError("a table needs `columns:` in benchmark.yaml, to say which columns make a case", path=path)
        rows = ((line, _from_columns(row, columns, path, line)) for line, row in _read_table(path))
    else:
        raise UsageError("unknown kind of case file: use .jsonl, .csv, .tsv or .parquet", path=path)
    cases: list[Case] = []
    seen: dict[str, int] = {}
    for line, row in rows:
        case = _as_case(row, path, line)
        if case.id in seen:
            raise UsageError(f"case id `{case.id}` stands on line {seen[case.id]} already", path=path, line=line)
        seen[case.id] = line
        cases.append(case)
    if not cases:
        raise UsageError("the split is empty", path=path)
    return tuple(cases)


def _read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"not UTF-8: {error}", path=path) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"invalid JSON: {error}", path=path, line=number) from None
        if not isinstance(row, dict):
            raise UsageError("a case must be a JSON object", path=path, line=number)
        yield number, row


def _read_table(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import datasets  # noqa: PLC0415  heavy: most of a second

    datasets.disable_progress_bars()
    try:
        if path.suffix == ".parquet":
            table = datasets.Dataset.from_parquet(str(path))
        else:
            separator = "\t" if path.suffix == ".tsv" else ","
            with path.open(encoding="utf-8", newline="") as file:
                names = next(csv.reader(file, delimiter=separator), [])
            texts = datasets.Features({name: datasets.Value("string") for name in names})
            table = datasets.Dataset.from_csv(str(path), sep=separator, features=texts, na_filter=False)
    except Exception as error:
        raise UsageError(f"cannot be read as a table: {' '.join(str(error).split())}", path=path) from error
    for number, row in enumerate(table, 2):
        yield number, dict(row)


def _from_columns(row: dict[str, Any], columns: Columns, path: Path, line: int) -> dict[str, Any]:
    wanted = (columns.id, *columns.inputs, *columns.expected, *columns.metadata)
    if missing := [name for name in wanted if name not in row]:
        raise UsageError(f"column `{missing[0]}` is missing", path=path, line=line)
    return {
        "id": row[columns.id],
        "inputs": {name: row[name] for name in columns.inputs},
        "expected": {name: row[name] for name in columns.expected},
        "metadata": {name: row[name] for name in columns.metadata},
    }


def _as_case(row: dict[str, Any], path: Path, line: int) -> Case:
    if unknown := set(row) - {"id", "inputs", "expected", "metadata"}:
        raise UsageError(
            f"unknown key `{min(unknown)}`; a case has id, inputs, expected, metadata", path=path, line=line
        )
    ident, inputs, expected = row.get("id"), row.get("inputs"), row.get("expected")
    if not isinstance(ident, str) or not ident.strip():
        raise UsageError("`id` must be a text that is not empty", path=path, line=line)
    if not isinstance(inputs, dict) or not inputs:
        raise UsageError("`inputs` must be an object with at least one entry", path=path, line=line)
    if expected is None or expected in ("", {}, []):
        raise UsageError(f"case `{ident}` has no label: `expected` is missing", path=path, line=line)
    extra = row.get("metadata", {})
    if not isinstance(extra, dict):
        raise UsageError("`metadata` must be an object", path=path, line=line)
    return Case(ident, inputs, expected, extra)


def _require_metadata(splits: Mapping[Split, tuple[Case, ...]], key: str, path: Path) -> None:
    for cases in splits.values():
        for case in cases:
            if key not in case.metadata:
                raise UsageError(f"`cluster`: case `{case.id}` has no metadata `{key}`", path=path)


def split_digest(cases: tuple[Case, ...]) -> str:
    """SHA-256 over the canonical JSON of cases in order."""
    total = hashlib.sha256()
    for case in cases:
        row = [case.id, case.inputs, case.expected, case.metadata]
        total.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return total.hexdigest()


def find_builtin(kind: Kind, name: str) -> Path | None:
    """A pipeline, benchmark or score file that comes with fapo: from the source checkout, or as installed."""
    for root in _builtin_roots():
        path = root / kind / name
        if path.exists():
            return path
    return None


def _builtin_roots() -> Iterator[Path]:
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file():
        yield checkout
    for file in metadata.files("fapo") or ():
        parts = file.parts
        if "share" in parts and parts[-1] == BENCHMARK_FILE:
            yield Path(str(file.locate())).resolve().parent.parent.parent
            break
    yield Path(sysconfig.get_path("data")) / "share" / "fapo"
