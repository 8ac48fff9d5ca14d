"""The splits of cve_cwe: disjoint, without near-duplicates or shared assigners between them, and made by the script."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from rapidfuzz import fuzz, process

from fapo.data import Benchmark, find_builtin, load_benchmark
from fapo.records import SPLITS, Split

PAIRS = list(combinations(SPLITS, 2))


def phrases(text: str) -> set[tuple[str, ...]]:
    """All runs of eight words."""
    words = re.findall(r"\w+", text.casefold())
    return set(zip(*(words[start:] for start in range(8)), strict=False))


@pytest.fixture(scope="module")
def directory() -> Path:
    path = find_builtin("benchmarks", "cve_cwe")
    assert path is not None
    return path


@pytest.fixture(scope="module")
def benchmark(directory: Path) -> Benchmark:
    return load_benchmark(directory)


def test_each_split_has_near_300_cases(benchmark: Benchmark) -> None:
    assert all(280 <= len(benchmark.cases(split)) <= 300 for split in SPLITS)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_assigner_is_in_two_splits(benchmark: Benchmark, one: Split, other: Split) -> None:
    assigners = [{case.metadata["assigner"] for case in benchmark.cases(split)} for split in (one, other)]
    assert not assigners[0] & assigners[1]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_description_nearly_repeats_one_of_another_split(benchmark: Benchmark, one: Split, other: Split) -> None:
    texts = [[case.inputs["description"].casefold() for case in benchmark.cases(split)] for split in (one, other)]
    likeness = process.cdist(*texts, scorer=fuzz.token_set_ratio, score_cutoff=85)
    assert likeness.max() == 0


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_description_shares_most_of_its_phrases_with_another_split(
    benchmark: Benchmark, one: Split, other: Split
) -> None:
    left, right = ([phrases(case.inputs["description"]) for case in benchmark.cases(split)] for split in (one, other))
    shared = (len(a & b) / min(len(a), len(b)) for a in left for b in right if a and b)
    assert max(shared) < 0.4


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_spread_alike_over_the_splits(benchmark: Benchmark, split: Split) -> None:
    every = Counter(case.expected["cwe"] for name in SPLITS for case in benchmark.cases(name))
    own = Counter(case.expected["cwe"] for case in benchmark.cases(split))
    apart = sum(abs(own[label] / own.total() - count / every.total()) for label, count in every.items()) / 2
    assert apart < 0.1
    assert len(own) >= 58


def test_inputs_hold_the_description_and_no_label(benchmark: Benchmark) -> None:
    for split in SPLITS:
        for case in benchmark.cases(split):
            assert set(case.inputs) == {"description"}
            assert set(case.expected) == {"cwe"}


def test_the_script_makes_the_committed_splits_byte_for_byte(directory: Path, tmp_path: Path) -> None:
    copy = tmp_path / "cve_cwe"
    shutil.copytree(directory, copy)
    shutil.rmtree(copy / "data")
    subprocess.run([sys.executable, str(copy / "make_splits.py")], check=True, capture_output=True)
    for split in SPLITS:
        name = f"data/{split}.jsonl"
        assert (copy / name).read_bytes() == (directory / name).read_bytes()


@pytest.mark.parametrize("script", ["pipelines/quickstart/data/make_notices.py", "tests/pipelines/make_data.py"])
def test_made_up_cases_are_made_by_their_script(script: str, tmp_path: Path) -> None:
    checkout = Path(__file__).parents[2]
    source = (checkout / script).parent
    copy = tmp_path / source.name
    shutil.copytree(source, copy)
    for path in copy.rglob("*.jsonl"):
        path.unlink()
    subprocess.run([sys.executable, str(copy / Path(script).name)], check=True, capture_output=True)
    for path in source.rglob("*.jsonl"):
        assert (copy / path.relative_to(source)).read_bytes() == path.read_bytes()
