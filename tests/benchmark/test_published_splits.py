"""Each benchmark is split as published: the same rows, by position, from files of the real column layout."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fapo.benchmark.full import prepare
from fapo.benchmark.sources import read_rows
from fapo.data import load_benchmark
from fapo.errors import UsageError
from fapo.evaluation.scoring import load_score
from fapo.records import Case, Prediction
from tests.support.command import builtin

HOTPOT_ROWS = 90447
HOTPOT_FIRST = {"train": [76759, 74424, 80715], "validation": [44983, 40313, 52894], "test": [8805, 4135, 16716]}
"""Positions in HotpotQA's train split, computed from GEPA's published rule."""


def adapter(name: str) -> ModuleType:
    path = builtin("benchmarks", name) / "prepare.py"
    spec = importlib.util.spec_from_file_location(f"prepare_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hotpot_row(number: int) -> dict[str, Any]:
    return {
        "id": f"{number}", "question": f"who is {number}?", "answer": "016", "type": "bridge", "level": "hard",
        "supporting_facts": {"title": [f"T{number}", f"T{number}", f"U{number}"], "sent_id": [0, 1, 0]},
        "context": {"title": [f"T{number}", "D"], "sentences": [["One.", "Two."], ["Three."]]},
    }  # fmt: skip


def test_hotpotqa() -> None:
    prepare = adapter("hotpotqa")
    rows = {"train": [hotpot_row(number) for number in range(HOTPOT_ROWS)]}
    splits = prepare.cases(rows)
    assert {split: len(cases) for split, cases in splits.items()} == {"train": 150, "validation": 300, "test": 300}
    assert {split: [int(case["id"]) for case in cases[:3]] for split, cases in splits.items()} == HOTPOT_FIRST
    case = splits["train"][0]
    assert case["expected"] == "016"
    assert case["inputs"] == {"question": "who is 76759?"}
    assert case["metadata"]["titles"] == ["T76759", "U76759"]
    documents = list(prepare.corpus(rows, splits))
    assert len(documents) == 2 * 750
    assert {"title": "T76759", "text": ["One.", "Two."]} in documents


@pytest.mark.parametrize("as_objects", [False, True])
def test_hover(as_objects: bool) -> None:
    def row(number: int, titles: int) -> dict[str, Any]:
        pairs: list[Any] = [[f"T{number}-{title}", 0] for title in range(titles)] + [[f"T{number}-0", 3]]
        facts = [{"key": title, "value": sentence} for title, sentence in pairs] if as_objects else pairs
        return {"uid": f"u{number}", "claim": f"claim {number}", "supporting_facts": facts, "label": 1,
                "num_hops": titles, "hpqa_id": f"h{number}"}  # fmt: skip

    rows = {"train": [row(number, 2 + number % 3) for number in range(6000)]}
    splits = adapter("hover").cases(rows)
    assert {split: len(cases) for split, cases in splits.items()} == {"train": 150, "validation": 300, "test": 300}
    every = [case["id"] for cases in splits.values() for case in cases]
    assert len(set(every)) == 750
    case = splits["test"][0]
    number = int(case["id"][1:])
    assert number % 3 == 1, "three distinct titles"
    assert case["expected"] == {"titles": [f"T{number}-{title}" for title in range(3)]}
    assert case["inputs"] == {"claim": f"claim {number}"}


def test_hovers_own_rows() -> None:
    rows = read_rows([builtin("benchmarks", "hover") / "real" / "hover_dev_3hop_first30.json"])
    assert len(rows) == 30
    splits = adapter("hover").cases({"train": rows})
    assert {split: len(cases) for split, cases in splits.items()} == {"test": 12, "validation": 12, "train": 6}
    every = {case["id"]: case for cases in splits.values() for case in cases}
    first = every["1ce51ba0-ddfd-4ef7-8eac-064d31cf0706"]
    assert first["expected"] == {"titles": ["Verna Bloom", "Animal House", "Jay Cocks"]}
    score = load_score("gold_titles", Path())
    for case in every.values():
        titles = case["expected"]["titles"]
        assert score(Case(case["id"], case["inputs"], case["expected"]), Prediction("", tuple(titles))).value == 1
        assert score(Case(case["id"], case["inputs"], case["expected"]), Prediction("", tuple(titles[:2]))).value == 0


def test_ifbench() -> None:
    def row(key: object) -> dict[str, Any]:
        given: dict[str, Any] = {"N": 2.0, "keyword": None}
        return {"key": key, "prompt": f"p {key}", "instruction_id_list": ["count:numbers"], "kwargs": [given]}

    rows = {"train": [row(number) for number in range(1000)], "test": [row(str(number)) for number in range(300)]}
    splits = adapter("ifbench").cases(rows)
    assert {split: len(cases) for split, cases in splits.items()} == {"train": 150, "validation": 300, "test": 294}
    assert [case["id"] for case in splits["validation"]] == [f"train-{number}" for number in range(300)]
    assert {int(case["id"].removeprefix("train-")) // 300 for case in splits["train"]} == {1}
    assert not {f"test-{number}" for number in range(269, 275)} & {case["id"] for case in splits["test"]}
    assert splits["test"][0]["inputs"] == {"prompt": "p 0"}
    assert splits["test"][0]["expected"] == {"instruction_id_list": ["count:numbers"], "kwargs": [{"N": 2.0}]}


AIME_FIRST = {"train": [8, 7, 29], "validation": [63, 25, 46]}
"""Positions in the file of 90, by Random(0)."""
AIME_2025 = adapter("aime_2025").ANSWERS


def older_problem(number: int) -> dict[str, Any]:
    return {"id": number, "problem": f"problem {number}", "solution": "...", "answer": f"{number:03}", "url": "..."}


def problem_of_2025(number: int) -> dict[str, Any]:
    return {
        "problem_idx": number,
        "problem": f"p{number}",
        "answer": AIME_2025[number - 1],
        "problem_type": ["Algebra"],
    }


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_aime_from_files_of_the_real_columns(form: str, tmp_path: Path) -> None:
    """Two data sets whose files have one name, in folders of their own; answers keep their leading zeros."""
    benchmark = shutil.copytree(builtin("benchmarks", "aime_2025"), tmp_path / "aime_2025")
    _relax(benchmark, "train-00000-of-00001.parquet", f"train.{form}")
    _write(tmp_path / "mine" / "aimo-validation-aime" / f"train.{form}", [older_problem(n) for n in range(90)])
    _write(tmp_path / "mine" / "aime_2025" / f"train.{form}", [problem_of_2025(n) for n in range(1, 31)])
    prepare(benchmark, tmp_path / "whole", data_dir=tmp_path / "mine")
    whole = load_benchmark(benchmark, prepared=tmp_path / "whole")
    assert [len(whole.cases(split)) for split in ("train", "validation", "test")] == [45, 45, 30]
    for split in ("train", "validation"):
        assert [case.id for case in whole.cases(split)[:3]] == [f"aimo-{number}" for number in AIME_FIRST[split]]
    (case,) = (case for case in whole.cases("train") + whole.cases("validation") if case.id == "aimo-16")
    assert case.expected == "016", "a text stays a text, though it is a number, too"
    assert case.inputs == {"problem": "problem 16"}
    assert [(case.id, case.expected) for case in whole.cases("test")[:3]] == [
        ("aime-2025-01", "70"), ("aime-2025-02", "588"), ("aime-2025-03", "16"),
    ]  # fmt: skip


def test_aime_refuses_other_answers_than_those_of_2025() -> None:
    rows = {"train": [older_problem(n) for n in range(90)], "test": [problem_of_2025(n) for n in range(1, 31)]}
    rows["test"][4]["answer"] = 280
    with pytest.raises(UsageError, match="aime-2025-05: not the answers"):
        adapter("aime_2025").cases(rows)


def livebench_question(number: int) -> dict[str, Any]:
    task, subtask = [("math_comp", "amc_2023"), ("olympiad", "imo"), ("AMPS_Hard", "amps_hard")][number % 3]
    return {
        "question_id": f"q{number}", "category": "math", "task": task, "subtask": subtask, "turns": [f"turn {number}"],
        "ground_truth": f"0{number}", "hardness": 0.5, "year": "2023", "expressions": "a\nb",
        "livebench_release_date": datetime(2024, 6, 24), "livebench_removal_date": "",
    }  # fmt: skip


def test_livebench_math_from_a_file_of_the_real_columns(tmp_path: Path) -> None:
    benchmark = shutil.copytree(builtin("benchmarks", "livebench_math"), tmp_path / "livebench_math")
    _relax(benchmark)
    _write(tmp_path / "mine" / "test-00000-of-00001.parquet", [livebench_question(n) for n in range(368)])
    prepare(benchmark, tmp_path / "whole", data_dir=tmp_path / "mine")
    whole = load_benchmark(benchmark, prepared=tmp_path / "whole")
    train, validation, test = (whole.cases(split) for split in ("train", "validation", "test"))
    assert [len(train), len(validation), len(test)] == [121, 121, 126]
    first = {"train": [192, 65, 245], "validation": [86, 112, 329], "test": [25, 15, 208]}
    for cases, numbers in zip((train, validation, test), first.values(), strict=True):
        assert [case.id for case in cases[:3]] == [f"q{number}" for number in numbers]
    case = train[1]
    assert case.inputs == {"question": "turn 65"}
    assert case.expected == "065"
    assert case.metadata == {"task": "AMPS_Hard", "subtask": "amps_hard", "year": "2023"}


def test_livebench_math_of_an_old_revision_or_a_new_task() -> None:
    old = [{**livebench_question(n), "release_date": 1718000000000} for n in range(3)]
    for row in old:
        del row["year"], row["subtask"]
    found = adapter("livebench_math").cases({"test": old})
    assert [
        case["metadata"] for case in found["train"] + found["validation"] + found["test"] if case["id"] == "q2"
    ] == [{"task": "AMPS_Hard"}]
    new = [{**livebench_question(0), "task": "integrals_with_game"}]
    with pytest.raises(UsageError, match="without a parser: integrals_with_game"):
        adapter("livebench_math").cases({"test": new})


def test_ctibench_rcm_from_a_file_of_the_real_columns(tmp_path: Path) -> None:
    """Labels with up to three rows are test; of the others a fifth, rounded down, is train and validation."""
    sizes = {"CWE-79": 229, "CWE-89": 101, "cwe-20": 9, "CWE-22": 4, "CWE-1": 3, "CWE-2": 1}
    path = tmp_path / "cti-rcm.tsv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["URL", "Description", "Prompt", "GT"])
        for label, count in sizes.items():
            for number in range(count):
                url = f"https://nvd.nist.gov/vuln/detail/CVE-{label[4:]}-{number}"
                table.writerow([url, f'A "flaw",\n  number {number} ', f"Analyze: {number}", f"{label} "])
    splits = adapter("ctibench_rcm").cases({"test": read_rows([path])})
    development = [*splits["train"], *splits["validation"]]
    assert len(splits["train"]) == 60
    assert Counter(case["expected"]["cwe"] for case in development) == {
        "CWE-79": 45,
        "CWE-89": 20,
        "CWE-20": 1,
        "CWE-22": 1,
    }
    assert len(splits["test"]) == sum(sizes.values()) - 67
    assert len({case["id"] for case in [*development, *splits["test"]]}) == sum(sizes.values())
    case = next(case for case in splits["test"] if case["id"] == "CVE-2-0")
    assert case["inputs"] == {"description": 'A "flaw", number 0'}
    again = adapter("ctibench_rcm").cases({"test": read_rows([path])})
    assert again == splits


def _relax(benchmark: Path, old: str = "", new: str = "") -> None:
    """Let files with other bytes than the real ones pass."""
    path = benchmark / "full.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line.split(", sha256")[0].split(", bytes")[0] + "}]" if "sha256" in line else line for line in lines]
    path.write_text("\n".join(kept).replace(old or new, new), encoding="utf-8")


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
