"""The corpus of a benchmark, which pipeline code may search: a folder that it can read and not write."""

from __future__ import annotations

from pathlib import Path

_directory: Path | None = None


def corpus_dir() -> Path:
    """The folder of the benchmark's corpus: `abstracts.jsonl`, and `index/` where one was built.

    Raises RuntimeError where the benchmark declares none.
    """
    if _directory is None:
        raise RuntimeError("there is no corpus: the benchmark declares none, or this is no evaluation")
    return _directory


def set_corpus(directory: str | None) -> None:
    """Say where the corpus is, before pipeline code is imported."""
    global _directory
    _directory = Path(directory) if directory else None
