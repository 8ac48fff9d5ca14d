"""Cases from promptfoo and MLflow keep every value, and their answers never become inputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow.entities import EvaluationDataset
from mlflow.entities.dataset_record import DatasetRecord

from fapo.data import load_cases
from fapo.errors import UsageError
from fapo.interchange.mlflow_records import cases_of_mlflow
from fapo.interchange.promptfoo import cases_of_promptfoo
from tests.support.command import fapo

CONFIG = """
prompts: [file://p.txt]
defaultTest:
  vars: {language: en}
tests:
  - description: a capital
    vars: {question: "Capital of France?", expected: Paris}
    assert:
      - {type: equals, value: "{{expected}}"}
      - {type: llm-rubric, value: is polite}
  - vars: {question: "When?", expected: 2024-08-31, code: "016"}
    assert: [{type: equals, value: "{{ expected }}"}]
"""


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_tests_of_promptfoo_become_cases_and_the_answer_is_no_input(tmp_path: Path) -> None:
    first, second = cases_of_promptfoo(write(tmp_path, "promptfooconfig.yaml", CONFIG))
    assert (first.id, first.inputs, first.expected) == (
        "a capital", {"language": "en", "question": "Capital of France?"}, {"answer": "Paris"},
    )  # fmt: skip
    assert first.metadata == {"assert": [{"type": "llm-rubric", "value": "is polite"}]}
    assert second.id == "test-0002"
    assert second.expected == {"answer": "2024-08-31"}
    assert second.inputs["code"] == "016"


def test_tests_in_a_file_of_their_own_and_as_jsonl_are_read(tmp_path: Path) -> None:
    write(tmp_path, "t.jsonl", '{"vars": {"q": "1+1", "a": "2"}}\n\n{"vars": {"q": "2+2", "a": "4"}}\n')
    config = write(tmp_path, "c.yaml", "tests: file://t.jsonl\n")
    assert [case.expected["answer"] for case in cases_of_promptfoo(config, "a")] == ["2", "4"]
    assert all(set(case.inputs) == {"q"} for case in cases_of_promptfoo(tmp_path / "t.jsonl", "a"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tests: []", "no tests"),
        ("tests: [{vars: {q: 1}}]", "--expected"),
        ("tests: [{vars: {q: 1}, assert: [{type: equals, value: a}, {type: equals, value: b}]}]", "2 `equals`"),
        ("tests: [{vars: {q: 1}, assert: [{type: equals, value: '{{a}}'}]}]", "no variable `a`"),
        ("tests: [{vars: {a: 1}, assert: [{type: equals, value: '{{a}}'}]}]", "no variable but"),
        ("tests: [{assert: []}]", "test 1"),
        ("tests: https://example.org/t.csv", "fetch"),
        ("tests: [", "cannot be read"),
        ("tests: none.yaml", "cannot be read"),
    ],
)
def test_tests_without_an_answer_are_refused_by_number(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        cases_of_promptfoo(write(tmp_path, "c.yaml", text))


def record(number: int, expectations: dict[str, object]) -> DatasetRecord:
    return DatasetRecord(
        dataset_record_id=f"dr-{number}", dataset_id="d-1", inputs={"question": f"{number:03}?"},
        expectations=expectations, created_time=0, last_update_time=0, tags={"topic": "numbers"},
    )  # fmt: skip


def test_a_data_set_that_mlflow_wrote_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    records = [record(n, {"expected_response": f"0{n}", "expected_facts": ["f"]}) for n in range(3)]
    dataset = EvaluationDataset.from_dict({
        "dataset_id": "d-1", "name": "n", "digest": "x", "created_time": 0, "last_update_time": 0,
        "experiment_ids": ["0"], "records": [each.to_dict() for each in records],
    })  # fmt: skip
    whole = write(tmp_path, "whole.json", json.dumps(dataset.to_dict()))
    lines = write(tmp_path, "lines.jsonl", dataset.to_df().to_json(orient="records", lines=True))
    for path in (whole, lines):
        cases = cases_of_mlflow(path, "expected_response")
        assert [case.id for case in cases] == ["dr-0", "dr-1", "dr-2"]
        assert cases[1].inputs == {"question": "001?"}
        assert cases[1].expected == {"answer": "01"}
        assert cases[1].metadata["expectations"] == {"expected_facts": ["f"]}
    assert cases_of_mlflow(whole)[0].expected == {"expected_response": "00", "expected_facts": ["f"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "no records"),
        ('[{"inputs": {}}]', "record 1 has no `inputs`"),
        ('[{"inputs": {"q": 1}}]', "no `expectations`"),
        ('[{"inputs": {"q": 1}, "expectations": {"a": 1}}]', "no expectation `b`"),
        ("nothing", "neither JSON"),
    ],
)
def test_records_without_an_answer_are_refused_by_number(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        cases_of_mlflow(write(tmp_path, "r.json", text), "b" if "b" in words else None)


def test_the_command_writes_three_splits_that_are_read_as_cases(tmp_path: Path) -> None:
    tests = [{"vars": {"q": f"{n}+1", "a": str(n + 1)}} for n in range(9)]
    source = write(tmp_path, "t.json", json.dumps(tests))
    command = ("cases", "import", source, "--from", "promptfoo", "--expected", "a", "--into", tmp_path / "d")
    done = fapo(tmp_path, *command)
    assert done.code == 0, done.err
    read = [load_cases(tmp_path / "d" / f"{split}.jsonl") for split in ("train", "validation", "test")]
    assert [len(cases) for cases in read] == [3, 3, 3]
    assert {case.inputs["q"] for cases in read for case in cases} == {test["vars"]["q"] for test in tests}
    again = fapo(
        tmp_path, "cases", "import", source, "--from", "promptfoo", "--expected", "a", "--into", tmp_path / "d"
    )
    assert again.code == 2
    assert "is there already" in again.err


def test_prompts_go_out_and_come_in_by_command(tmp_path: Path) -> None:
    out = fapo(tmp_path, "prompts", "export", "hotpotqa", "--to", "prompty", "--out", tmp_path / "out")
    assert out.code == 0, out.err
    files = sorted((tmp_path / "out").glob("*.prompty"))
    done = fapo(tmp_path, "prompts", "import", *files, "--into", tmp_path / "p")
    assert done.code == 0, done.err
    assert {path.stem for path in (tmp_path / "p/prompts").glob("*.md")} == {path.stem for path in files}
    refused = fapo(tmp_path, "prompts", "export", "hotpotqa", "--to", "dotprompt", "--out", tmp_path / "other")
    assert refused.code == 2
    assert not (tmp_path / "other").exists()
