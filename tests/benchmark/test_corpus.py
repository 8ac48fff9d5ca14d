"""The corpus of a benchmark: made or fetched, indexed once, read by pipeline code and never written."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import bm25s
import Stemmer

from fapo.benchmark.corpus import build_index, read_archive, write_abstracts
from tests.support.command import fapo

ROWS = [
    {"title": "Vell Bridge", "text": ["Vell Bridge crosses the Orne.", "It was built in 1911."]},
    {"title": "Orne", "text": ["The Orne is a river."]},
    {"title": "Vell Bridge", "text": ["A second article of the name."]},
]
CODE = """\
import bm25s
import json
import Stemmer

from fapo import corpus_dir

INDEX = bm25s.BM25.load(str(corpus_dir() / "index"), mmap=True, load_corpus=True)
STEMMER = Stemmer.Stemmer("english")


async def run(inputs, ctx):
    words = bm25s.tokenize([inputs["question"]], stopwords="en", stemmer=STEMMER, show_progress=False)
    found, _ = INDEX.retrieve(words, k=1, show_progress=False)
    try:
        (corpus_dir() / "abstracts.jsonl").write_text("gone")
    except OSError:
        return found[0][0]["text"]
    return "it could be written"
"""


def test_titles_stand_once_and_the_index_finds_them(tmp_path: Path) -> None:
    assert write_abstracts(ROWS, tmp_path) == 2
    build_index(tmp_path, progress=False)
    index = bm25s.BM25.load(str(tmp_path / "index"), mmap=True, load_corpus=True)
    words = bm25s.tokenize(["rivers"], stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False)
    found, scores = index.retrieve(words, k=2, show_progress=False)
    assert found[0][0]["text"] == "Orne | The Orne is a river."
    assert scores[0][0] > 0


def test_an_archive_is_read_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "wiki.tar.gz"
    content = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("wiki/abstracts.jsonl")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
        archive.addfile(tarfile.TarInfo("wiki/README"), io.BytesIO())
    assert list(read_archive(path)) == ROWS


def test_pipeline_code_searches_the_whole_corpus_and_cannot_write_it(tmp_path: Path) -> None:
    benchmark, mine, pipeline = tmp_path / "toy", tmp_path / "mine", tmp_path / "pipeline"
    (benchmark / "data").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        case = {"id": f"s-{split}", "inputs": {"question": "?"}, "expected": "1"}
        (benchmark / "data" / f"{split}.jsonl").write_text(json.dumps(case) + "\n")
    splits = "{train: data/train.jsonl, validation: data/validation.jsonl, test: data/test.jsonl}"
    (benchmark / "benchmark.yaml").write_text(f"name: toy\nsplits: {splits}\nscore: exact_match\n")
    (benchmark / "full.yaml").write_text(
        "licence: MIT\nsources: {all: {id: a/b, files: [{path: rows.json}]}}\n"
        "counts: {train: 1, validation: 1, test: 1}\n"
    )
    (benchmark / "prepare.py").write_text(
        "def cases(rows):\n"
        "    made = [{'id': r['id'], 'inputs': {'question': r['q']}, 'expected': r['a']} for r in rows['all']]\n"
        "    return {'train': made[:1], 'validation': made[1:2], 'test': made[2:]}\n\n\n"
        f"def corpus(rows, splits):\n    return {ROWS!r}\n"
    )
    mine.mkdir()
    text = "Orne | The Orne is a river."
    (mine / "rows.json").write_text(json.dumps([{"id": f"q{i}", "q": "which rivers?", "a": text} for i in range(3)]))
    (pipeline / "prompts").mkdir(parents=True)
    (pipeline / "pipeline.yaml").write_text("name: p\nbenchmark: ../toy\nmodels: {task: standin/reader}\n")
    (pipeline / "pipeline.py").write_text(CODE)
    prepared = fapo(tmp_path, "benchmark", "prepare", benchmark, "--data-dir", mine, "--json")
    assert prepared.json["corpus"] == {"name": "gold and distractors", "documents": 2}
    done = fapo(tmp_path, "eval", pipeline, "--full", "--json")
    assert done.code == 0, done.err
    assert done.json["score"]["mean"] == 1.0
    sample = fapo(tmp_path, "eval", pipeline)
    assert sample.code == 2
    assert "there is no corpus" in " ".join(sample.err.split())
    other = fapo(tmp_path, "benchmark", "prepare", benchmark, "--data-dir", mine, "--corpus", "wiki")
    assert other.code == 2
    assert "no such corpus: `wiki`; there are none" in " ".join(other.err.split())
