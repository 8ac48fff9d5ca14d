"""Cases and splits: where they come from, and the `datasets` seam.

Rows of every source become cases in one place, under the same checks. How they are read differs, since reading must
never change a value:

- JSONL with `json`: `datasets` 5.2 decodes the strings of a column of mixed type, so that "016" becomes 16 and "null"
  None, and turns ISO dates into datetimes.
- CSV and TSV with `csv`, every cell a text: behind `datasets`, a row with a cell too many is moved one column to the
  left, and one with a cell too few is filled up, both without a word.
- Parquet, here or on the hub, through `datasets`: the file says what its values are.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from fapo.errors import UsageError, did_you_mean
from fapo.records import GOLD_BY_STEP, GOLD_EVIDENCE, SPLITS, Case, Split

BENCHMARK_FILE = "benchmark.yaml"
Kind = Literal["pipelines", "benchmarks", "scores", "templates"]
Rows = Iterator[tuple[int, dict[str, Any]]]


def _full_hash(revision: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ValueError("must be a commit hash of 40 hex digits, so that the cases stay the same")
    return revision


class Columns(BaseModel):
    """Which columns of a table make a case. JSONL rows need none: they have the form of a case already."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    inputs: tuple[str, ...] = Field(min_length=1)
    expected: tuple[str, ...] = Field(min_length=1)
    metadata: tuple[str, ...] = ()


class HubSplit(BaseModel):
    """One split of a Parquet data set on the Hugging Face hub, pinned to a commit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    config: str | None = None
    revision: Annotated[str, AfterValidator(_full_hash)]
    split: str

    def __str__(self) -> str:
        return f"{self.id}@{self.revision[:12]} {self.split}"


class HubSource(BaseModel):
    """`{hub: {id, config, revision, split}}` in place of a case file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hub: HubSplit


SourceSpec = Annotated[
    Annotated[str, Tag("file")] | Annotated[HubSource, Tag("hub")],
    Discriminator(lambda value: "hub" if isinstance(value, dict | HubSource) else "file"),
]
Source = Path | HubSplit


class Guards(BaseModel):
    """What keeps a score from being bought by excess.

    `calls`, `tokens` and `cost` are factors: what a case of a variant may take, over what one of the baseline takes on
    average.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: int | None = Field(None, ge=1, description="Documents that a prediction may name.")
    inputs: tuple[str, ...] | None = Field(None, description="Input fields that pipeline code may see; default: all.")
    calls: float | None = Field(None, ge=1, description="Model calls a case, over the baseline's mean.")
    tokens: float | None = Field(None, ge=1, description="Tokens a case, over the baseline's mean.")
    cost: float | None = Field(None, ge=1, description="Dollars a case, over the baseline's mean.")


class GoldEvidence(BaseModel):
    """The documents that a right answer rests on: what attribution follows, and what a replay puts in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: str = Field(description="Key of `expected`, or of `metadata`, with a case's gold documents by title.")
    steps: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict,
        description="Step to the place, from 0, of the one that it is to bring, where a sample has them in that order.",
    )


class BenchmarkSpec(BaseModel):
    """The contents of `benchmark.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str = ""
    source: str = ""
    licence: str = ""
    splits: dict[Split, SourceSpec] = Field(
        description="Split to a case file, relative to the benchmark's directory, or to a data set on the hub."
    )
    columns: Columns | None = None
    score: str = Field(description="Name of a built-in score function, or a path to a Python file.")
    closed_labels: bool = Field(False, description="Expected answers are a closed public set, such as class names.")
    judge: str | None = Field(None, description="Model string of the judge that the score function asks.")
    cluster: str | None = Field(None, description="Metadata key of cases that are not independent of each other.")
    guards: Guards = Guards()
    gold: GoldEvidence | None = None
    corpus: str | None = Field(None, description="Folder of documents that pipelines may search, beside the sample.")
    sample: str = Field("", description="What the cases beside it are, where they are not the benchmark's own.")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark with its cases, read and checked as a whole."""

    name: str
    directory: Path
    score: str
    closed_labels: bool
    cluster: str | None
    splits: Mapping[Split, tuple[Case, ...]] = field(repr=False)
    source: str = ""
    licence: str = ""
    guards: Guards = field(default_factory=Guards)
    judge: str | None = None
    about: str = ""
    corpus: Path | None = None
    sample: str = ""
    """What the cases are, where they are not the benchmark's own."""

    def cases(self, split: Split) -> tuple[Case, ...]:
        return self.splits[split]

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of train, validation and test."""
        return hashlib.sha256("".join(split_digest(self.splits[split]) for split in SPLITS).encode()).hexdigest()


def load_benchmark(directory: Path, *, prepared: Path | None = None) -> Benchmark:
    """Read `directory/benchmark.yaml` and all splits. Raises UsageError for the first fault, with file and line.

    With `prepared`, the cases are those of that folder, and not the sample beside the benchmark.
    """
    path = directory / BENCHMARK_FILE
    if not path.is_file():
        raise UsageError(f"not a benchmark: {BENCHMARK_FILE} is missing", path=directory)
    spec = _parse_spec(_read_text(path), path)
    corpus = directory / spec.corpus if spec.corpus else None
    sources: dict[Split, Source] = {
        split: source.hub if isinstance(source, HubSource) else directory / source
        for split, source in spec.splits.items()
    }
    if prepared is not None:
        sources = {split: prepared / f"{split}.jsonl" for split in SPLITS}
        corpus = prepared / "corpus" if (prepared / "corpus").is_dir() else None
    if corpus is not None and not corpus.is_dir():
        raise UsageError(f"`corpus`: no such folder: {corpus}", path=path)
    splits = load_splits(sources, columns=spec.columns, cluster=spec.cluster)
    if spec.gold is not None:
        gold = spec.gold if prepared is None else GoldEvidence(documents=spec.gold.documents)
        splits = {split: tuple(_with_gold(case, gold, path) for case in cases) for split, cases in splits.items()}
    return Benchmark(
        spec.name, directory, spec.score, spec.closed_labels, spec.cluster, splits, spec.source, spec.licence,
        spec.guards, spec.judge, spec.about, corpus, "" if prepared is not None else spec.sample,
    )  # fmt: skip


def _with_gold(case: Case, gold: GoldEvidence, path: Path) -> Case:
    """The case with its gold documents in its metadata, under the names that attribution looks for."""
    expected = case.expected if isinstance(case.expected, dict) else {}
    found = expected.get(gold.documents, case.metadata.get(gold.documents))
    if not isinstance(found, list) or not found:
        raise UsageError(f"`gold`: case `{case.id}` has no list `{gold.documents}` in expected or metadata", path=path)
    by_step = {step: [found[place]] for step, place in gold.steps.items() if place < len(found)}
    return replace(case, metadata=case.metadata | {GOLD_EVIDENCE: found, GOLD_BY_STEP: by_step})


def _parse_spec(text: str, path: Path) -> BenchmarkSpec:
    try:
        raw = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise UsageError(f"broken YAML: {error.problem}", path=path, line=line) from None
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"broken YAML: {_flat(error)}", path=path) from None
    if not isinstance(raw, dict):
        raise UsageError("must hold a mapping with `name:`, `splits:` and `score:`", path=path)
    try:
        spec = BenchmarkSpec.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        keys = [str(key) for key in first["loc"]]
        if keys[0] == "splits":
            del keys[2:3]  # the tag that says which kind of source it was read as
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"unknown key{did_you_mean(keys[-1], BenchmarkSpec.model_fields)}"
        raise UsageError(f"`{'.'.join(keys)}`: {message}", path=path, line=_line_of(text, keys[0])) from None
    if missing := [split for split in SPLITS if split not in spec.splits]:
        raise UsageError(f"`splits`: {missing[0]} is missing", path=path, line=_line_of(text, "splits"))
    return spec


def _line_of(text: str, key: str) -> int | None:
    """The line of a top-level key."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return next((name.start_mark.line + 1 for name, _ in pairs if name.value == key), None)


def inline_benchmark(
    name: str,
    directory: Path,
    files: Mapping[Split, Path],
    *,
    score: str,
    closed_labels: bool,
    guards: Mapping[str, Any],
) -> Benchmark:
    """The benchmark of a pipeline that names its case files itself."""
    try:
        checked = Guards.model_validate(guards)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("guards", *first["loc"])))
        message = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise UsageError(f"`{where}`: {message}", path=directory / "pipeline.yaml") from None
    return Benchmark(name, directory, score, closed_labels, None, load_splits(files), guards=checked)


def load_splits(
    sources: Mapping[Split, Path] | Mapping[Split, Source],
    *,
    columns: Columns | None = None,
    cluster: str | None = None,
) -> dict[Split, tuple[Case, ...]]:
    """All splits; a case id may stand in one of them only, since a case in two would leak.

    `cluster` is a metadata key that every case must have.
    """
    splits: dict[Split, tuple[Case, ...]] = {}
    first: dict[str, str] = {}
    for split in SPLITS:
        source = sources[split]
        numbered = _numbered_cases(source, columns)
        for line, case in numbered:
            if case.id in first:
                raise UsageError(f"case `{case.id}` is in {first[case.id]} too", path=_place(source), line=line)
            if cluster is not None and _is_blank(case.metadata.get(cluster)):
                message = f"case `{case.id}` has no metadata `{cluster}`, which the benchmark names as `cluster`"
                raise UsageError(message, path=_place(source), line=line)
        name = source.name if isinstance(source, Path) else str(source)
        first |= {case.id: f"{name}:{line}" for line, case in numbered}
        splits[split] = tuple(case for _, case in numbered)
    return splits


def load_cases(source: Source, *, columns: Columns | None = None) -> tuple[Case, ...]:
    """The cases of a .jsonl, .csv, .tsv or .parquet file, or of a split on the hub.

    Raises UsageError with file and line (in Parquet the row, from 1): missing file, unknown kind, a row that is no
    case, a duplicate id, no rows.
    """
    return tuple(case for _, case in _numbered_cases(source, columns))


def _numbered_cases(source: Source, columns: Columns | None) -> list[tuple[int, Case]]:
    numbered: list[tuple[int, Case]] = []
    seen: dict[str, int] = {}
    for line, row in _read_rows(source, columns):
        case = _as_case(row, _place(source), line)
        if case.id in seen:
            message = f"case id `{case.id}` stands on line {seen[case.id]} already"
            raise UsageError(message, path=_place(source), line=line)
        seen[case.id] = line
        numbered.append((line, case))
    if not numbered:
        raise UsageError("the split is empty", path=_place(source))
    return numbered


def _place(source: Source) -> Path | str:
    return source if isinstance(source, Path) else str(source)


def _read_rows(source: Source, columns: Columns | None) -> Rows:
    if isinstance(source, Path):
        if not source.is_file():
            near = did_you_mean(source.name, [path.name for path in source.parent.glob("*") if path.is_file()])
            raise UsageError(f"no such case file{near}", path=source)
        if source.suffix == ".jsonl":
            return _read_jsonl(source)
        if source.suffix not in (".csv", ".tsv", ".parquet"):
            raise UsageError("unknown kind of case file: use .jsonl, .csv, .tsv or .parquet", path=source)
    if columns is None:
        message = "a table needs `columns:` in benchmark.yaml, to say which columns make a case"
        raise UsageError(message, path=_place(source))
    if isinstance(source, HubSplit):
        rows = _read_hub(source)
    else:
        rows = _read_parquet(source) if source.suffix == ".parquet" else _read_delimited(source)
    return ((line, _from_columns(row, columns, _place(source), line)) for line, row in rows)


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", path=path) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError("not UTF-8: save it in that encoding", path=path, line=line) from None


def _read_jsonl(path: Path) -> Rows:
    for number, line in enumerate(_read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_object_without_repeats)
        except json.JSONDecodeError as error:
            message = f"invalid JSON: {error.msg} at column {error.colno}"
            raise UsageError(message, path=path, line=number) from None
        except (ValueError, RecursionError) as error:
            raise UsageError(f"invalid JSON: {error}", path=path, line=number) from None
        if not isinstance(row, dict):
            raise UsageError("a case must be a JSON object", path=path, line=number)
        yield number, row


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key `{next(name for name in names if names.count(name) > 1)}` stands twice in an object")
    return found


def _read_delimited(path: Path) -> Rows:
    text = _read_text(path)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # documents are longer than the default of 128 KiB
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
    try:
        names = next(reader, [])
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"two columns have the name `{twice[0]}`", path=path, line=1)
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                if len(cells) != len(names):
                    raise UsageError(f"{len(cells)} cells under {len(names)} columns", path=path, line=line)
                yield line, dict(zip(names, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(f"broken table: {error}", path=path, line=reader.line_num) from None


def _datasets() -> Any:
    import datasets  # noqa: PLC0415  heavy: most of a second

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what goes wrong is raised too, and said once
    return datasets


def _read_parquet(path: Path) -> Rows:
    # A cache folder of its own: labels must not stay behind in the user's cache.
    with tempfile.TemporaryDirectory(prefix="fapo-parquet-") as scratch:
        try:
            table = _datasets().Dataset.from_parquet(str(path), cache_dir=scratch, keep_in_memory=True)
            rows = table.to_list()
        except Exception as error:
            raise UsageError(f"cannot be read as Parquet: {_flat(error)}", path=path) from error
    yield from enumerate(rows, 1)


def _read_hub(source: HubSplit) -> Rows:
    """The rows of the split at exactly that commit, from the hub or, without a network, from the cache of datasets.

    Without a network `datasets` takes the newest revision that its cache folder holds, whichever was asked for; so
    each revision has a folder of its own, and what comes is checked.
    """
    datasets = _datasets()
    cache = Path(datasets.config.HF_DATASETS_CACHE) / "fapo" / source.revision
    try:
        builder = datasets.load_dataset_builder(
            source.id, source.config, revision=source.revision, cache_dir=str(cache)
        )
        if builder.info.builder_name == "parquet" and builder.hash == source.revision:
            builder.download_and_prepare()
            yield from enumerate(builder.as_dataset(split=source.split).to_list(), 1)
            return
    except ConnectionError as error:
        message = f"cannot be fetched, and is not in the cache: {_flat(error)}; fetch it once with a network"
        raise UsageError(message, path=str(source)) from error
    except Exception as error:
        raise UsageError(f"cannot be loaded from the hub: {_flat(error)}", path=str(source)) from error
    if builder.hash != source.revision:
        raise UsageError(f"the hub gave revision {builder.hash} instead", path=str(source))
    kind = builder.info.builder_name
    message = f"its files are {kind}, whose values `datasets` would guess: download them and name them as files"
    raise UsageError(message, path=str(source))


def _flat(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _from_columns(row: dict[str, Any], columns: Columns, place: Path | str, line: int) -> dict[str, Any]:
    wanted = (columns.id, *columns.inputs, *columns.expected, *columns.metadata)
    if missing := [name for name in wanted if name not in row]:
        message = f"column `{missing[0]}` is missing; there are {', '.join(row)}"
        raise UsageError(message, path=place, line=line)
    ident = row[columns.id]
    return {
        "id": str(ident) if isinstance(ident, int) else ident,
        "inputs": {name: row[name] for name in columns.inputs},
        "expected": {name: row[name] for name in columns.expected},
        "metadata": {name: row[name] for name in columns.metadata},
    }


def _as_case(row: dict[str, Any], place: Path | str, line: int) -> Case:
    def refuse(message: str) -> UsageError:
        return UsageError(message, path=place, line=line)

    if unknown := set(row) - {"id", "inputs", "expected", "metadata"}:
        raise refuse(f"unknown key `{min(unknown)}`; a case has id, inputs, expected, metadata")
    ident, inputs, expected = row.get("id"), row.get("inputs"), row.get("expected")
    if not isinstance(ident, str) or not ident.strip():
        raise refuse("`id` must be a text that is not empty")
    if not isinstance(inputs, dict) or not inputs:
        raise refuse("`inputs` must be an object with at least one entry")
    if _is_blank(expected) or expected == []:
        raise refuse(f"case `{ident}` has no label: `expected` is missing or empty")
    extra = row.get("metadata", {})
    if not isinstance(extra, dict):
        raise refuse("`metadata` must be an object")
    for name, value in row.items():
        if (foreign := _not_json(value)) is not None:
            raise refuse(f"`{name}` holds {foreign}, which JSON has no word for: make it a text")
    return Case(ident, inputs, expected, extra)


def _is_blank(value: Any) -> bool:
    """Whether a value is None, white space, or a mapping of nothing else. An empty list in a mapping is an answer."""
    if isinstance(value, dict):
        return all(_is_blank(part) for part in value.values())
    return value is None or (isinstance(value, str) and not value.strip())


def _not_json(value: Any) -> str | None:
    """What in a value cannot be sent to a worker or digested, in words; None where there is no such thing."""
    todo = [value]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            todo += [*part, *part.values()]
        elif isinstance(part, list):
            todo += part
        elif isinstance(part, float) and not math.isfinite(part):
            return f"the number {part}"
        elif isinstance(part, str) and not part.isascii() and any("\ud800" <= mark <= "\udfff" for mark in part):
            return "half of a surrogate pair"
        elif part is not None and not isinstance(part, str | int | float):
            return f"a {type(part).__name__}"
    return None


def split_digest(cases: Iterable[Case]) -> str:
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


def builtin_names(kind: Kind, file: str) -> tuple[str, ...]:
    """The names of the directories of a kind that hold `file`, in order."""
    found = {path.parent.name for root in _builtin_roots() for path in (root / kind).glob(f"*/{file}")}
    return tuple(sorted(found))


def builtin_files(kind: Kind) -> tuple[str, ...]:
    """The names of the Python files and packages of a kind, in order."""
    found = {path for root in _builtin_roots() for path in (root / kind).glob("*") if path.suffix in ("", ".py")}
    return tuple(sorted({path.stem for path in found if path.stem.isidentifier() and not path.stem.startswith("_")}))


def _builtin_roots() -> Iterator[Path]:
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file():
        yield checkout
    try:
        installed = metadata.files("fapo") or []
    except metadata.PackageNotFoundError:
        installed = []
    for file in installed:
        if "share" in file.parts and file.name == BENCHMARK_FILE:
            yield Path(str(file.locate())).resolve().parent.parent.parent
            break
    yield Path(sysconfig.get_path("data")) / "share" / "fapo"
