"""The whole of a benchmark: fetched by its user, checked, split as published, and kept as normalized cases.

`full.yaml` beside `benchmark.yaml` says where the rows are; `prepare.py` beside it has
`cases(rows) -> {split: [case, ...]}`, where `rows` maps a source to its rows in order; and, if pipelines search,
`corpus(rows, splits) -> [{"title", "text": [sentence, ...]}, ...]`.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fapo.benchmark.corpus import build_index, read_archive, write_abstracts
from fapo.benchmark.sources import Fetched, FullSource, fetch, read_rows
from fapo.data import load_splits, split_digest
from fapo.errors import UsageError
from fapo.records import SPLITS, Split
from fapo.store.files import make_directory, read_json, write_atomic

FULL_FILE = "full.yaml"
ADAPTER_FILE = "prepare.py"
PREPARED_FILE = "prepared.json"
Rows = dict[str, list[dict[str, Any]]]


class FullSpec(BaseModel):
    """The contents of `full.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    licence: str
    noncommercial: bool = False
    sources: dict[str, FullSource]
    corpora: dict[str, FullSource] = Field(
        default_factory=dict, description="Archives of abstracts, by name: alternatives to the corpus of `prepare.py`."
    )
    counts: dict[Split, int] = Field(description="Cases of each split, as published.")
    anchors: dict[Split, dict[int, str]] = Field(
        default_factory=dict, description="Split to position to the id that a case there must have."
    )


@dataclass(frozen=True, slots=True)
class Prepared:
    """A benchmark that was prepared: where its cases are, and what they were made of."""

    directory: Path
    facts: Mapping[str, Any]


def load_full_spec(benchmark: Path) -> FullSpec | None:
    """The spec of the whole benchmark; None for one that has no more than its sample. Raises UsageError."""
    path = benchmark / FULL_FILE
    if not path.is_file():
        return None
    try:
        return FullSpec.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise UsageError(" ".join(str(error).split()), path=path) from None


def prepare(
    benchmark: Path,
    target: Path,
    *,
    data_dir: Path | None,
    corpus: str | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Fetch or find the rows, check them, split them as published, and write the cases to `target`.

    Files in `data_dir` take precedence over the hub; `corpus` names one of the spec's. Raises UsageError: no network, a
    wrong checksum, another count of rows, a split whose ids are not those that were published.
    """
    spec = load_full_spec(benchmark)
    if spec is None:
        raise UsageError("has no more than its sample: there is nothing to prepare", path=benchmark)
    if corpus is not None and corpus not in spec.corpora:
        raise UsageError(f"no such corpus: `{corpus}`; there are {', '.join(spec.corpora) or 'none'}", path=benchmark)
    rows: Rows = {}
    fetched: dict[str, Fetched] = {}
    for name, source in spec.sources.items():
        say(f"{name}: {source.describe()}; licence {spec.licence}")
        fetched[name] = fetch(source, licence=spec.licence, data_dir=data_dir)
        rows[name] = read_rows(fetched[name].files)
        if source.rows is not None and len(rows[name]) != source.rows:
            raise UsageError(f"source `{name}` has {len(rows[name]):,} rows, not the {source.rows:,} that are known")
    adapter = _adapter(benchmark / ADAPTER_FILE)
    splits = adapter.cases(rows)
    _check(spec, splits)
    staged = target.with_name(f"{target.name}.new")
    shutil.rmtree(staged, ignore_errors=True)
    make_directory(staged)
    for split in SPLITS:
        lines = "".join(json.dumps(case, ensure_ascii=False) + "\n" for case in splits[split])
        write_atomic(staged / f"{split}.jsonl", lines)
    documents = _write_corpus(spec, corpus, adapter, rows, splits, staged / "corpus", data_dir, say)
    if documents:
        build_index(staged / "corpus", progress=progress)
    loaded = load_splits({split: staged / f"{split}.jsonl" for split in SPLITS})
    facts = {
        "benchmark": benchmark.name,
        "licence": spec.licence,
        "prepared": datetime.now(UTC).isoformat(timespec="seconds"),
        "sources": {name: found.facts for name, found in fetched.items()},
        "cases": {split: len(loaded[split]) for split in SPLITS},
        "digests": {split: split_digest(loaded[split]) for split in SPLITS},
        "corpus": {"name": corpus or "gold and distractors", "documents": documents} if documents else None,
    }
    write_atomic(staged / PREPARED_FILE, json.dumps(facts, indent=2) + "\n")
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)
    return Prepared(target, facts)


def find_prepared(target: Path) -> Prepared | None:
    """What was prepared at `target`, if anything. Raises UsageError where its files are not what was written."""
    path = target / PREPARED_FILE
    if not path.is_file():
        return None
    facts = read_json(path)
    splits = load_splits({split: target / f"{split}.jsonl" for split in SPLITS})
    if {split: split_digest(splits[split]) for split in SPLITS} != facts["digests"]:
        raise UsageError("its cases were changed: prepare it again", path=target)
    return Prepared(target, facts)


def _write_corpus(
    spec: FullSpec,
    named: str | None,
    adapter: Any,
    rows: Rows,
    splits: Mapping[Split, Sequence[Mapping[str, Any]]],
    target: Path,
    data_dir: Path | None,
    say: Callable[[str], None],
) -> int:
    """The corpus that was named, or else the one that `prepare.py` makes of the rows; how many documents it has."""
    if named is not None:
        source = spec.corpora[named]
        say(f"corpus {named}: {source.describe()}")
        fetched = fetch(source, licence=spec.licence, data_dir=data_dir)
        return write_abstracts((row for path in fetched.files for row in read_archive(path)), target)
    if not hasattr(adapter, "corpus"):
        return 0
    return write_abstracts(adapter.corpus(rows, splits), target)


def _adapter(path: Path) -> Any:
    """The module `prepare.py`."""
    if not path.is_file():
        raise UsageError("is missing", path=path)
    spec = importlib.util.spec_from_file_location(f"fapo_prepare_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _check(spec: FullSpec, splits: Mapping[Split, Sequence[Mapping[str, Any]]]) -> None:
    for split, count in spec.counts.items():
        if len(splits[split]) != count:
            raise UsageError(f"{split} has {len(splits[split])} cases, not the {count} that were published")
    for split, anchors in spec.anchors.items():
        for position, wanted in anchors.items():
            found = splits[split][position]["id"]
            if found != wanted:
                raise UsageError(
                    f"{split} case {position} is `{found}`, not `{wanted}`: the rows came in another order"
                )
