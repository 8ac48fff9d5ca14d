"""The made-up samples of AIME-2025 and LiveBench-Math, the one of CTIBench-RCM, and their baselines."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from fapo.data import load_benchmark
from fapo.evaluation.scoring import load_score
from fapo.records import SPLITS, Case, Prediction, Score
from tests.support.command import builtin, fapo
from tests.support.labels import with_labels_of_others

NAMES = ("aime_2025", "livebench_math", "ctibench_rcm")
MADE = ("aime_2025", "livebench_math")
LIVEBENCH = load_score("livebench_math", Path())
PERFECT = {"choice": "{0}{0}{0}{0}{0}", "aime": "It is {0}", "proof": "Answer: {0}", "formula": r"\boxed{{{0}}}"}


def cases_of(name: str) -> list[Case]:
    benchmark = load_benchmark(builtin("benchmarks", name))
    return [case for split in SPLITS for case in benchmark.cases(split)]


def text_of(case: Case) -> str:
    (text,) = case.inputs.values()
    assert isinstance(text, str)
    return text


def kind_of(case: Case) -> str:
    return str(sys.modules[LIVEBENCH.function.__module__].kind_of(case.metadata))


# -- the samples


@pytest.mark.parametrize(
    ("program", "names"), [("made_math/make_math.py", MADE), ("ctibench_rcm/make_sample.py", ("ctibench_rcm",))]
)
def test_the_program_makes_all_files_byte_for_byte(program: str, names: tuple[str, ...], tmp_path: Path) -> None:
    root = builtin("benchmarks", "cve_cwe").parent
    for name in ("made_math", "ctibench_rcm", "cve_cwe"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(tmp_path / "ctibench_rcm" / "data")
    (tmp_path / "ctibench_rcm" / "data").mkdir()
    subprocess.run([sys.executable, str(tmp_path / program)], check=True, capture_output=True)
    for name, split in itertools.product(names, SPLITS):
        file = Path(name, "data", f"{split}.jsonl")
        assert (tmp_path / file).read_bytes() == (root / file).read_bytes(), file


@pytest.mark.parametrize(
    ("name", "sizes"), [("aime_2025", [45, 45, 30]), ("livebench_math", [40] * 3), ("ctibench_rcm", [50] * 3)]
)
def test_nothing_is_in_two_splits_and_code_sees_the_inputs_alone(name: str, sizes: list[int]) -> None:
    benchmark = load_benchmark(builtin("benchmarks", name))
    assert [len(benchmark.cases(split)) for split in SPLITS] == sizes
    assert max(Counter(text_of(case) for case in cases_of(name)).values()) == 1
    assert all(tuple(case.inputs) == benchmark.guards.inputs for case in cases_of(name))
    assert (benchmark.guards.calls, benchmark.guards.tokens) == (3, 4)
    assert benchmark.sample


def test_answers_of_aime_are_written_as_in_the_real_files() -> None:
    benchmark = load_benchmark(builtin("benchmarks", "aime_2025"))
    for split in SPLITS:
        for case in benchmark.cases(split):
            assert re.fullmatch(r"0|[1-9]\d{0,2}" if split == "test" else r"\d{3}", case.expected)
    kinds = Counter(case.metadata["kind"] for case in cases_of("aime_2025"))
    written_out = sum(kinds[kind] for kind in ("chain", "mixed", "letters", "remainder"))
    assert len(kinds) == 9
    assert 0.5 < written_out / sum(kinds.values()) < 0.7


def test_each_split_of_livebench_has_all_four_forms_and_every_kind_of_subtask() -> None:
    benchmark = load_benchmark(builtin("benchmarks", "livebench_math"))
    for split in SPLITS:
        kinds = Counter(kind_of(case) for case in benchmark.cases(split))
        assert kinds == {"choice": 12, "aime": 8, "proof": 8, "formula": 12}
        subtasks = {str(case.metadata["subtask"]).split("_")[0] for case in benchmark.cases(split)}
        assert subtasks == {"amc", "smc", "aime", "imo", "usamo", "amps"}


async def scored(cases: list[Case], answers: list[Case]) -> list[Score]:
    replies = [PERFECT[kind_of(case)].format(answer.expected) for case, answer in zip(cases, answers, strict=True)]
    pairs = zip(cases, replies, strict=True)
    return await asyncio.gather(*(LIVEBENCH.waited(case, Prediction(reply)) for case, reply in pairs))


def test_a_perfect_reply_gets_every_case_of_livebench_right_and_that_of_another_case_few() -> None:
    cases = sorted(cases_of("livebench_math"), key=kind_of)
    assert {found.value for found in asyncio.run(scored(cases, cases))} == {1.0}
    some = cases[::3]
    assert sum(found.value for found in asyncio.run(scored(some, [*some[1:], some[0]]))) < 0.25 * len(some)


def test_the_proofs_of_the_sample_are_in_the_order_that_the_answer_says() -> None:
    for case in cases_of("livebench_math"):
        if kind_of(case) == "proof":
            formulas = dict(re.findall(r"<expression (\d+)> \$(.*)\$", text_of(case)))
            lines = [formulas[number] for number in case.expected.split(",")]
            assert text_of(case).count("<missing") == len(lines) == len(formulas)
            assert [line.count("^") for line in lines] == sorted((line.count("^") for line in lines), reverse=True)
            assert [line.count("+") for line in lines] == sorted((line.count("+") for line in lines), reverse=True)


def test_the_sample_of_ctibench_shares_nothing_with_cve_cwe() -> None:
    rows = cases_of("ctibench_rcm")
    assert not {case.id for case in rows} & {case.id for case in cases_of("cve_cwe")}
    benchmark = load_benchmark(builtin("benchmarks", "ctibench_rcm"))
    assigners = [{case.metadata["assigner"] for case in benchmark.cases(split)} for split in SPLITS]
    assert not any(one & other for one, other in itertools.combinations(assigners, 2))
    assert benchmark.closed_labels
    score = load_score(benchmark.score, Path())
    assert {score(case, Prediction(f"It is {case.expected['cwe']}.")).value for case in rows} == {1.0}


# -- the figures of others


@pytest.mark.parametrize("name", NAMES)
def test_a_published_figure_has_a_model_a_source_and_a_percentage_or_says_unknown(name: str) -> None:
    found = yaml.safe_load((builtin("benchmarks", name) / "published.yaml").read_text(encoding="utf-8"))
    for row in found["figures"]:
        assert set(row) == {"optimizer", "model", "test", "source"}
        assert row["test"] == "unknown" or 0 < row["test"] <= 100
    wanted = {"baseline", "GEPA", "FAPO"} | ({"MIPROv2", "GRPO"} if name in MADE else set())
    assert wanted <= {row["optimizer"] for row in found["figures"]}


# -- the baselines


@pytest.mark.parametrize(
    ("name", "steps"), [("aime_2025", "solve read_answer"), ("livebench_math", "solve"), ("ctibench_rcm", "classify")]
)
def test_a_baseline_gets_some_cases_right_fewer_with_the_labels_of_others_and_more_with_a_better_prompt(
    name: str, steps: str, tmp_path: Path
) -> None:
    as_shipped = _evaluated(name, tmp_path)
    assert [step["step"] for step in as_shipped["steps"]] == steps.split()
    assert as_shipped["failures"] == 0
    assert 0.1 <= as_shipped["score"]["mean"] <= 0.4
    assert "not a language model" in json.dumps(as_shipped)
    shuffled = with_labels_of_others(name, tmp_path, lambda row: row["metadata"].get("subtask"))
    assert _evaluated(shuffled, tmp_path)["score"]["mean"] < 0.7 * as_shipped["score"]["mean"]
    better = shutil.copytree(builtin("pipelines", name), tmp_path / "better")
    (prompt,) = (better / "prompts").glob("*.md")
    text = prompt.read_text(encoding="utf-8").replace(
        "\nUser:", "\nWork step by step. Do not name alternatives.\n\nUser:"
    )
    prompt.write_text(text, encoding="utf-8")
    assert _evaluated(better, tmp_path)["score"]["mean"] > as_shipped["score"]["mean"]


def _evaluated(pipeline: str | Path, folder: Path) -> dict[str, Any]:
    done = fapo(folder, "eval", pipeline, "--json", "--split", "validation")
    assert done.code == 0, done.err
    return done.json
