"""The whole of a benchmark: found or fetched, checked, split as published, and kept; nothing half done is left."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fapo.benchmark.full import find_prepared, load_full_spec, prepare
from fapo.benchmark.sources import read_rows
from fapo.data import load_benchmark
from fapo.errors import UsageError
from tests.support.command import fapo

ROWS = [{"qid": f"q{i}", "question": f"what is {i}?", "answer": f"0{i}"} for i in range(6)]
ADAPTER = """\
def cases(rows):
    made = [
        {"id": row["qid"], "inputs": {"question": row["question"]}, "expected": row["answer"], "metadata": {}}
        for row in rows["all"]
    ]
    return {"train": made[:2], "validation": made[2:4], "test": made[4:]}
"""
FULL = """\
licence: MIT
sources:
  all: {id: some/set, files: [{path: data/rows.jsonl, bytes: 300%s}], rows: 6}
counts: {train: 2, validation: 2, test: 2}
anchors: {train: {1: q1}, test: {0: q4}}
"""


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    directory = tmp_path / "toy"
    (directory / "data").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        case = {"id": f"s-{split}", "inputs": {"question": "?"}, "expected": "1"}
        (directory / "data" / f"{split}.jsonl").write_text(json.dumps(case) + "\n")
    splits = "{train: data/train.jsonl, validation: data/validation.jsonl, test: data/test.jsonl}"
    (directory / "benchmark.yaml").write_text(f"name: toy\nsplits: {splits}\nscore: exact_match\nsample: made up\n")
    (directory / "full.yaml").write_text(FULL % "")
    (directory / "prepare.py").write_text(ADAPTER)
    return directory


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return folder


def test_the_users_files_become_the_cases(benchmark: Path, data_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept" / "toy"
    done = prepare(benchmark, target, data_dir=data_dir)
    assert done.facts["cases"] == {"train": 2, "validation": 2, "test": 2}
    whole = load_benchmark(benchmark, prepared=target)
    assert [case.id for case in whole.cases("test")] == ["q4", "q5"]
    assert whole.cases("train")[0].expected == "00", "a text stays a text"
    assert whole.sample == ""
    assert load_benchmark(benchmark).sample == "made up"
    assert find_prepared(target) == done


def test_what_was_changed_after_preparing_is_noticed(benchmark: Path, data_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept"
    prepare(benchmark, target, data_dir=data_dir)
    path = target / "test.jsonl"
    path.write_text(path.read_text().replace("04", "05"))
    with pytest.raises(UsageError, match="prepare it again"):
        find_prepared(target)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:5], "has 5 rows, not the 6"),
        (lambda rows: [rows[1], rows[0], *rows[2:]], "train case 1 is `q0`, not `q1`"),
    ],
)
def test_other_rows_than_were_published_are_refused(
    benchmark: Path, data_dir: Path, tmp_path: Path, change: Any, message: str
) -> None:
    (data_dir / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in change(ROWS)))
    with pytest.raises(UsageError, match=message):
        prepare(benchmark, tmp_path / "kept", data_dir=data_dir)
    assert not (tmp_path / "kept").exists()


def test_a_checksum_holds_or_nothing_is_prepared(benchmark: Path, data_dir: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((data_dir / "rows.jsonl").read_bytes()).hexdigest()
    (benchmark / "full.yaml").write_text(FULL % f", sha256: {digest}")
    prepare(benchmark, tmp_path / "kept", data_dir=data_dir)
    (benchmark / "full.yaml").write_text(FULL % f", sha256: {digest[::-1]}")
    with pytest.raises(UsageError, match="not the known"):
        prepare(benchmark, tmp_path / "other", data_dir=data_dir)


def test_without_a_network_it_says_at_once_what_to_fetch(
    benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        UsageError, match=r"HF_HUB_OFFLINE is set, and some/set, data/rows.jsonl.*licence MIT.*--data-dir"
    ):
        prepare(benchmark, tmp_path / "kept", data_dir=None)


@pytest.mark.parametrize("text", ["licence: MIT\n", "- a\n", "licence: [\n", FULL % "" + "more: 1\n"])
def test_a_broken_spec_is_named(benchmark: Path, text: str) -> None:
    (benchmark / "full.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"full\.yaml"):
        load_full_spec(benchmark)


def test_values_are_read_as_the_files_have_them(tmp_path: Path) -> None:
    rows = [{"a": "016", "b": "null"}, {"a": "16", "b": "2024-08-31"}]
    (tmp_path / "r.json").write_text(json.dumps([{"a": "016", "b": 1}, {"a": 5.5, "b": None}]))
    assert read_rows([tmp_path / "r.json"]) == [{"a": "016", "b": 1}, {"a": 5.5, "b": None}]
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    for name, mark in (("r.csv", ","), ("r.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, ["a", "b"], delimiter=mark)
            writer.writeheader()
            writer.writerows([*rows, {"a": "two\nlines", "b": 'a "quote"'}])
        assert read_rows([tmp_path / name]) == [*rows, {"a": "two\nlines", "b": 'a "quote"'}]
    assert read_rows([tmp_path / "r.jsonl.gz", tmp_path / "r.parquet"]) == rows + rows
    with pytest.raises(UsageError, match="unknown kind"):
        read_rows([tmp_path / "r.xlsx"]) if (tmp_path / "r.xlsx").write_text("x") else None


MIXED = '{"k": "a", "answer": "016"}\n{"k": "b", "answer": 7}\n{"k": "c", "answer": "null"}\n'
WITH_DATASETS = """\
import datasets, json, sys
datasets.disable_progress_bars()
rows = datasets.load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
print(json.dumps(rows["answer"][:]))
"""


def test_values_that_datasets_changes_stay_as_they_are_here(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_text(MIXED)
    command = [sys.executable, "-c", WITH_DATASETS, str(path), str(tmp_path / "cache")]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == [16, 7, None]
    assert [row["answer"] for row in read_rows([path])] == ["016", 7, "null"]


def test_an_unknown_corpus_is_refused_before_anything_is_fetched(benchmark: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such corpus: `wiki`; there are none"):
        prepare(benchmark, tmp_path / "kept", data_dir=None, corpus="wiki")


def test_the_command_line(benchmark: Path, data_dir: Path, tmp_path: Path) -> None:
    shown = fapo(tmp_path, "benchmark", "show", benchmark)
    assert "the whole: train 2, validation 2, test 2; licence MIT; not prepared" in " ".join(shown.out.split())
    done = fapo(tmp_path, "benchmark", "prepare", benchmark, "--data-dir", data_dir, "--json")
    assert done.json["cases"] == {"train": 2, "validation": 2, "test": 2}
    assert fapo(tmp_path, "benchmark", "show", benchmark, "--json").json["whole"]["prepared"]["licence"] == "MIT"
    names = [row["name"] for row in fapo(tmp_path, "benchmark", "list", "--json").json["benchmarks"]]
    assert "cve_cwe" in names
    missing = fapo(tmp_path, "benchmark", "show", "nothing")
    assert missing.code == 2
    assert "no such benchmark" in missing.err


def test_an_evaluation_of_the_whole(benchmark: Path, data_dir: Path, tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline"
    (pipeline / "prompts").mkdir(parents=True)
    (pipeline / "pipeline.yaml").write_text("name: p\nbenchmark: ../toy\nmodels: {task: standin/reader}\n")
    (pipeline / "pipeline.py").write_text("async def run(inputs, ctx):\n    return await ctx.llm('say', **inputs)\n")
    (pipeline / "prompts" / "say.md").write_text("User:\nQuestion: {{ question }}\n")
    early = fapo(tmp_path, "eval", pipeline, "--full")
    assert early.code == 2
    assert "is not prepared yet: fapo benchmark prepare toy" in " ".join(early.err.split())
    fapo(tmp_path, "benchmark", "prepare", benchmark, "--data-dir", data_dir)
    whole = fapo(tmp_path, "eval", pipeline, "--full", "--json")
    assert whole.json["score"]["n"] == 2
    assert "made up" not in (whole.json["note"] or "")
    sample = fapo(tmp_path, "eval", pipeline, "--json")
    assert sample.json["score"]["n"] == 1
    assert "the cases are made up" in sample.json["note"]


def test_data_that_may_not_be_used_commercially_want_a_word(benchmark: Path, data_dir: Path, tmp_path: Path) -> None:
    (benchmark / "full.yaml").write_text(
        (FULL % "").replace("licence: MIT", "licence: CC BY-NC 4.0\nnoncommercial: true")
    )
    refused = fapo(tmp_path, "benchmark", "prepare", benchmark, "--data-dir", data_dir)
    assert refused.code == 2
    assert "--accept-licence" in refused.err
    done = fapo(tmp_path, "benchmark", "prepare", benchmark, "--data-dir", data_dir, "--accept-licence")
    assert done.code == 0, done.err


def test_an_interrupted_preparation_leaves_the_earlier_one(benchmark: Path, data_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept"
    done = prepare(benchmark, target, data_dir=data_dir)
    (benchmark / "prepare.py").write_text("def cases(rows):\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        prepare(benchmark, target, data_dir=data_dir)
    assert find_prepared(target) == done
    shutil.rmtree(target)
    assert find_prepared(target) is None
