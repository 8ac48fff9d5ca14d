"""Rows of a data set as its files have them, from the hub at a commit or from a folder; no value is changed."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fapo.errors import UsageError

HUB = "huggingface.co"
PATIENCE_S = 5.0


class SourceFile(BaseModel):
    """One file of a data set. `sha256` is None where it is not known; then rows and ids are what is checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str | None = None
    bytes: int | None = None


class FullSource(BaseModel):
    """A data set on the hub, or one whose files are to be had elsewhere (`where`).

    Without a `revision` the head is fetched, and noted; the checks tell whether it fits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    repo_type: Literal["dataset", "model"] = "dataset"
    revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$")
    files: tuple[SourceFile, ...] = Field(min_length=1)
    rows: int | None = None
    where: str | None = Field(None, description="Where a user gets files that are not on the hub.")

    def describe(self) -> str:
        size = sum(file.bytes or 0 for file in self.files)
        shown = f", {size / 1e6:,.1f} MB" if size else ", size not known"
        return f"{self.id}, {', '.join(file.path for file in self.files)}{shown}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """The files of a source on this machine, in order, and what is recorded of them."""

    files: tuple[Path, ...]
    facts: dict[str, Any]


def fetch(source: FullSource, *, licence: str, data_dir: Path | None) -> Fetched:
    """The files of a source: those in `data_dir`, or else downloaded, with progress.

    Raises UsageError for a checksum that does not hold, and at once, with what to fetch, where there is no network.
    """
    files, revision = [], source.revision
    for file in source.files:
        own = _own_file(source, file, data_dir)
        if own is not None:
            path = own
        elif source.where is not None:
            raise UsageError(
                f"{file.path} is not on the hub: take it from {source.where} (licence {licence}) into a folder that "
                "you name by --data-dir"
            )
        else:
            revision = revision or _head(source, licence)
            path = _download(source, file, revision, licence)
        digest = _sha256(path)
        if file.sha256 is not None and digest != file.sha256:
            raise UsageError(f"sha256 is {digest}, not the known {file.sha256}", path=path)
        files.append((path, digest))
    facts = {"id": source.id, "revision": revision, "files": {path.name: digest for path, digest in files}}
    return Fetched(tuple(path for path, _ in files), facts)


def _own_file(source: FullSource, file: SourceFile, data_dir: Path | None) -> Path | None:
    """The user's file, by its name: in a folder that is named like the data set, or else in `data_dir` itself."""
    if data_dir is None:
        return None
    name = Path(file.path).name
    places = (data_dir / source.id.rpartition("/")[2] / name, data_dir / name)
    return next((place for place in places if place.is_file()), None)


def _require_network(source: FullSource, licence: str) -> None:
    missing = (
        f"{source.describe()} has to be fetched once (licence {licence}): with a network, or into a folder that you "
        "name by --data-dir"
    )
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        raise UsageError(f"HF_HUB_OFFLINE is set, and {missing}")
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HF_ENDPOINT")):
        return
    try:
        socket.create_connection((HUB, 443), timeout=PATIENCE_S).close()
    except OSError as error:
        raise UsageError(f"{HUB} cannot be reached ({error.strerror or error}), and {missing}") from None


def _head(source: FullSource, licence: str) -> str:
    from huggingface_hub import HfApi  # noqa: PLC0415  heavy, and needed for downloads only

    _require_network(source, licence)
    try:
        return str(HfApi().repo_info(source.id, repo_type=source.repo_type, timeout=PATIENCE_S).sha)
    except Exception as error:
        raise UsageError(f"{source.id}: the hub says: {' '.join(str(error).split())[:300]}") from error


def _download(source: FullSource, file: SourceFile, revision: str, licence: str) -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache  # noqa: PLC0415

    known = try_to_load_from_cache(source.id, file.path, revision=revision, repo_type=source.repo_type)
    if isinstance(known, str):
        return Path(known)
    _require_network(source, licence)
    try:
        return Path(hf_hub_download(source.id, file.path, revision=revision, repo_type=source.repo_type))
    except Exception as error:
        raise UsageError(f"{source.id}/{file.path}: the hub says: {' '.join(str(error).split())[:300]}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_rows(files: Sequence[Path]) -> list[dict[str, Any]]:
    """The rows of JSON, JSONL (also gzipped), CSV, TSV or Parquet files, one after the other."""
    return [row for path in files for row in _rows(path)]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        import pyarrow.parquet as pq  # noqa: PLC0415  heavy

        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
        return
    raw = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    text = raw.decode("utf-8-sig")
    if name.endswith(".jsonl"):
        yield from (json.loads(line) for line in text.split("\n") if line.strip())
    elif name.endswith(".json"):
        yield from json.loads(text)
    elif name.endswith((".csv", ".tsv")):
        csv.field_size_limit(max(csv.field_size_limit(), len(text)))
        yield from csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if name.endswith(".tsv") else ",")
    else:
        raise UsageError("unknown kind of file: use .parquet, .jsonl, .json, .csv or .tsv", path=path)
