"""A corpus that pipelines search: abstracts of an encyclopedia, and a BM25 index that is built once and memory-mapped.

Parameters are those of GEPA's retriever: k1 = 0.9, b = 0.4, English stop words, the English Snowball stemmer; a
document is `title | text`.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fapo.errors import UsageError
from fapo.store.files import make_directory

ABSTRACTS_FILE = "abstracts.jsonl"
INDEX_DIR = "index"
K1, B = 0.9, 0.4


def write_abstracts(rows: Iterable[Mapping[str, Any]], target: Path) -> int:
    """Write {"title", "text": [sentence, ...]} rows to `target/abstracts.jsonl`, each title once; how many they are."""
    make_directory(target)
    seen: set[str] = set()
    with (target / ABSTRACTS_FILE).open("w", encoding="utf-8") as file:
        for row in rows:
            if row["title"] not in seen:
                seen.add(row["title"])
                file.write(json.dumps({"title": row["title"], "text": list(row["text"])}, ensure_ascii=False) + "\n")
    if not seen:
        raise UsageError("the corpus has no abstracts", path=target)
    return len(seen)


def read_archive(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of the JSONL files in a .tar.gz archive."""
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() and member.name.endswith(".jsonl") else None
            if file is not None:
                yield from (json.loads(line) for line in io.TextIOWrapper(file, "utf-8") if line.strip())


def build_index(target: Path, *, progress: bool) -> None:
    """Index `target/abstracts.jsonl` into `target/index`, to be opened by `bm25s.BM25.load(..., mmap=True)`."""
    import bm25s  # noqa: PLC0415  heavy
    import Stemmer  # noqa: PLC0415

    with (target / ABSTRACTS_FILE).open(encoding="utf-8") as file:
        texts = [f"{row['title']} | {' '.join(row['text'])}" for row in map(json.loads, file)]
    words = bm25s.tokenize(texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=progress)
    index = bm25s.BM25(k1=K1, b=B)
    index.index(words, show_progress=progress)
    index.save(str(target / INDEX_DIR), corpus=texts, show_progress=progress)
