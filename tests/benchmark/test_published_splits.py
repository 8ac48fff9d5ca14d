"""Each benchmark is split as published: the same rows, by position, from files of the real column layout."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import pytest

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
