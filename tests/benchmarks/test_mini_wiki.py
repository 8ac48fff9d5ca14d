"""The invented encyclopedia, the questions and claims over it, and the two baselines that search it."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import bm25s
import pytest
import Stemmer
import yaml

from fapo.data import Benchmark, load_benchmark
from fapo.records import SPLITS, Case
from tests.support.command import builtin, fapo
from tests.support.labels import with_labels_of_others

NAMES = ("hotpotqa", "hover")
PAIRS = list(itertools.combinations(SPLITS, 2))


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def holds(text: str, value: str) -> bool:
    """Whether a value stands in a text, at the bounds of words."""
    return re.search(rf"(?<!\w){re.escape(value.casefold())}(?!\w)", text.casefold()) is not None


def titles_of(case: Case) -> list[str]:
    found = case.expected["titles"] if isinstance(case.expected, dict) else case.metadata["titles"]
    assert isinstance(found, list)
    return found


def text_of(case: Case) -> str:
    (text,) = case.inputs.values()
    assert isinstance(text, str)
    return text


@pytest.fixture(scope="module")
def wiki() -> dict[str, str]:
    rows = rows_of(builtin("benchmarks", "mini_wiki") / "corpus" / "abstracts.jsonl")
    assert all(set(row) == {"title", "text"} for row in rows)
    found = {row["title"]: " ".join(row["text"]) for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.fixture(scope="module")
def benchmarks() -> dict[str, Benchmark]:
    return {name: load_benchmark(builtin("benchmarks", name)) for name in NAMES}


def every(benchmark: Benchmark) -> Iterator[Case]:
    return itertools.chain.from_iterable(benchmark.cases(split) for split in SPLITS)


# -- the data


def test_the_script_makes_all_files_byte_for_byte(tmp_path: Path) -> None:
    source = builtin("benchmarks", "mini_wiki")
    root = source.parent.parent
    copy = tmp_path / "benchmarks" / "mini_wiki"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.jsonl", "__pycache__"))
    subprocess.run([sys.executable, str(copy / "make_wiki.py")], check=True, capture_output=True)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.jsonl"))
    assert [str(path) for path in made] == [
        *(f"benchmarks/{name}/data/{split}.jsonl" for name in NAMES for split in sorted(SPLITS)),
        "benchmarks/mini_wiki/corpus/abstracts.jsonl",
    ]
    for path in made:
        assert (tmp_path / path).read_bytes() == (root / path).read_bytes(), path


def test_the_wiki_has_some_200_abstracts_of_several_sentences(wiki: Mapping[str, str]) -> None:
    rows = rows_of(builtin("benchmarks", "mini_wiki") / "corpus" / "abstracts.jsonl")
    assert 150 <= len(rows) <= 250
    assert all(3 <= len(row["text"]) <= 9 for row in rows)
    sentences = [sentence for row in rows for sentence in row["text"]]
    assert all(sentence[0].isupper() and sentence[-1] == "." and "{" not in sentence for sentence in sentences)
    assert len(set(wiki.values())) == len(wiki)


def test_most_abstracts_name_others_and_share_words_of_their_titles(wiki: Mapping[str, str]) -> None:
    naming = [title for title, text in wiki.items() if any(holds(text, other) for other in wiki if other != title)]
    assert len(naming) / len(wiki) > 0.9
    words = [frozenset(re.findall(r"\w{4,}", title)) for title in wiki]
    alike = [own for own in words if sum(bool(own & other) for other in words) > 1]
    assert len(alike) / len(words) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_each_split_has_60_cases_whose_gold_titles_are_in_the_wiki(
    name: str, benchmarks: Mapping[str, Benchmark], wiki: Mapping[str, str]
) -> None:
    assert [len(benchmarks[name].cases(split)) for split in SPLITS] == [60, 60, 60]
    for case in every(benchmarks[name]):
        titles = titles_of(case)
        assert len(set(titles)) == len(titles) == (2 if name == "hotpotqa" else 3)
        assert set(titles) <= wiki.keys()


def test_inputs_hold_what_is_asked_and_nothing_else(benchmarks: Mapping[str, Benchmark]) -> None:
    assert all(set(case.inputs) == {"question"} for case in every(benchmarks["hotpotqa"]))
    assert all(set(case.inputs) == {"claim"} for case in every(benchmarks["hover"]))
    assert benchmarks["hotpotqa"].guards.inputs == ("question",)
    assert benchmarks["hover"].guards.inputs == ("claim",)
    assert benchmarks["hover"].guards.documents == 24


def test_an_answer_stands_in_a_gold_abstract_and_not_in_the_question(
    benchmarks: Mapping[str, Benchmark], wiki: Mapping[str, str]
) -> None:
    for case in every(benchmarks["hotpotqa"]):
        first, second = titles_of(case)
        assert not holds(text_of(case), case.expected)
        if case.expected in ("yes", "no"):
            assert case.metadata["type"] == "comparison"
        elif case.metadata["type"] == "bridge":
            assert holds(wiki[second], case.expected)
            assert not holds(wiki[first], case.expected)
        else:
            assert holds(wiki[first] + " " + wiki[second], case.expected)


def test_a_question_over_a_bridge_names_its_first_title_and_not_its_second(
    benchmarks: Mapping[str, Benchmark], wiki: Mapping[str, str]
) -> None:
    for case in every(benchmarks["hotpotqa"]):
        first, second = (title.split(" (")[0].removeprefix("The ") for title in titles_of(case))
        assert holds(text_of(case), first)
        if case.metadata["type"] == "bridge":
            assert holds(wiki[titles_of(case)[0]], second)
        else:
            assert holds(text_of(case), second)


@pytest.mark.parametrize("split", SPLITS)
def test_kinds_of_cases_are_spread_alike(split: str, benchmarks: Mapping[str, Benchmark]) -> None:
    questions = [case for case in every(benchmarks["hotpotqa"]) if split in case.id]
    claims = [case for case in every(benchmarks["hover"]) if split in case.id]
    assert sum(case.metadata["type"] == "bridge" for case in questions) == 48
    assert 15 <= sum(case.metadata["label"] == "SUPPORTED" for case in claims) <= 45


# -- no leakage, and hops that are needed


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_question_and_no_set_of_gold_titles_is_in_two_splits(
    name: str, one: str, other: str, benchmarks: Mapping[str, Benchmark]
) -> None:
    left, right = ([case for case in every(benchmarks[name]) if split in case.id] for split in (one, other))
    assert not {text_of(case).casefold() for case in left} & {text_of(case).casefold() for case in right}
    assert not {frozenset(titles_of(case)) for case in left} & {frozenset(titles_of(case)) for case in right}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_answer_is_taken_from_the_same_abstract_in_two_splits(
    one: str, other: str, benchmarks: Mapping[str, Benchmark], wiki: Mapping[str, str]
) -> None:
    left, right = (
        {
            (title, case.expected)
            for case in every(benchmarks["hotpotqa"])
            if split in case.id and case.expected not in ("yes", "no")
            for title in titles_of(case)
            if holds(wiki[title], case.expected)
        }
        for split in (one, other)
    )
    assert not left & right


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_first_hop_of_a_claim_is_in_two_splits(one: str, other: str, benchmarks: Mapping[str, Benchmark]) -> None:
    left, right = (
        {frozenset(titles_of(case)[:2]) for case in every(benchmarks["hover"]) if split in case.id}
        for split in (one, other)
    )
    assert not left & right


def test_the_words_of_a_claim_alone_do_not_find_all_its_titles(
    benchmarks: Mapping[str, Benchmark], wiki: Mapping[str, str]
) -> None:
    titles, stemmer = list(wiki), Stemmer.Stemmer("english")

    def tokens(texts: list[str]) -> Any:
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)

    index = bm25s.BM25(k1=0.9, b=0.4)
    index.index(tokens([f"{title} | {text}" for title, text in wiki.items()]), show_progress=False)

    def found_at_once(case: Case) -> bool:
        best, _ = index.retrieve(tokens([text_of(case)]), k=7, show_progress=False)
        return set(titles_of(case)) <= {titles[place] for place in best[0]}

    claims = [found_at_once(case) for case in every(benchmarks["hover"])]
    questions = [found_at_once(case) for case in every(benchmarks["hotpotqa"]) if case.metadata["type"] == "bridge"]
    assert sum(claims) / len(claims) < 0.4
    assert sum(questions) / len(questions) < 0.7


# -- the figures of others


@pytest.mark.parametrize("name", NAMES)
def test_a_published_figure_has_a_model_a_source_and_a_percentage_or_says_unknown(name: str) -> None:
    found = yaml.safe_load((builtin("benchmarks", name) / "published.yaml").read_text(encoding="utf-8"))
    for row in found["figures"]:
        assert set(row) == {"optimizer", "model", "test", "source"}
        assert row["test"] == "unknown" or 0 < row["test"] <= 100
    assert {"baseline", "MIPROv2", "GRPO", "GEPA", "FAPO"} <= {row["optimizer"] for row in found["figures"]}


# -- the baselines


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("hotpotqa", "retrieve_hop1 summarize1 create_query_hop2 retrieve_hop2 summarize2 final_answer"),
        (
            "hover",
            "retrieve_hop1 summarize1 create_query_hop2 retrieve_hop2 summarize2 create_query_hop3 retrieve_hop3",
        ),
    ],
)
def test_a_baseline_gets_some_cases_right_and_fewer_with_the_labels_of_others(
    name: str, steps: str, tmp_path: Path
) -> None:
    as_shipped = _evaluated(name, name, tmp_path)
    assert [step["step"] for step in as_shipped["steps"]] == steps.split()
    assert as_shipped["failures"] == 0
    assert 0.1 <= as_shipped["score"]["mean"] <= 0.6
    shutil.copytree(builtin("benchmarks", "mini_wiki") / "corpus", tmp_path / "mini_wiki" / "corpus")
    shuffled = _evaluated(with_labels_of_others(name, tmp_path), name, tmp_path)
    assert shuffled["score"]["mean"] < as_shipped["score"]["mean"]


def _evaluated(pipeline: str | Path, name: str, folder: Path) -> dict[str, Any]:
    done = fapo(folder, "eval", pipeline, "--json", "--split", "validation")
    assert done.code == 0, f"{name}: {done.err}"
    return done.json


@pytest.mark.parametrize("name", NAMES)
def test_what_pipelines_may_read_holds_abstracts_alone(name: str) -> None:
    corpus = load_benchmark(builtin("benchmarks", name)).corpus
    assert corpus is not None
    assert [path.name for path in corpus.iterdir()] == ["abstracts.jsonl"]
