"""`fapo eval` and `fapo trace` as a person and as a program use them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import Done, fapo

PIPELINE = Path(__file__).parent.parent / "pipelines" / "prompt_suffices"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("eval")


@pytest.fixture(scope="module")
def as_json(folder: Path) -> Done:
    return fapo(folder, "eval", PIPELINE, "--limit", "6", "--json")


def test_json_is_one_object_with_the_documented_keys(as_json: Done) -> None:
    assert as_json.code == 0, as_json.err
    found = as_json.json
    assert set(found["score"]) == {"mean", "ci95", "n"}
    assert found["score"]["n"] == 6
    assert found["score"]["ci95"][0] <= found["score"]["mean"] <= found["score"]["ci95"][1]
    assert set(found["usage"]) == {"llm_calls", "cached_calls", "input_tokens", "output_tokens", "cost_usd"}
    assert (found["usage"]["llm_calls"], found["usage"]["cost_usd"], found["failures"]) == (12, 0.0, 0)
    assert found["wall_s"] > 0
    assert [step["step"] for step in found["steps"]] == ["gist", "route"]
    assert "not a language model" in found["note"]


def test_traces_hold_every_step_and_no_label(as_json: Done) -> None:
    lines = (Path(as_json.json["evaluation_dir"]) / "traces.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert sorted(record["case_id"] for record in records) == [f"validation-{i:03d}" for i in range(6)]
    for record in records:
        assert [step["name"] for step in record["steps"]] == ["gist", "route"]
        for step in record["steps"]:
            assert step["model"] == "standin/reader"
            assert step["finish_reason"] == "stop"
            assert step["usage"]["input_tokens"] > 0
        assert "expected" not in record


def test_the_second_time_costs_no_call(folder: Path, as_json: Done) -> None:
    again = fapo(folder, "eval", PIPELINE, "--limit", "6", "--json").json
    assert again["score"] == as_json.json["score"]
    assert (again["usage"]["llm_calls"], again["usage"]["cached_calls"]) == (0, 12)


def test_trials_are_samples_of_their_own(folder: Path) -> None:
    found = fapo(folder, "eval", PIPELINE, "--limit", "4", "--trials", "3", "--json").json
    assert found["score"]["n"] == 4
    assert found["usage"]["llm_calls"] + found["usage"]["cached_calls"] == 24
    assert found["usage"]["llm_calls"] >= 16


def test_a_person_reads_plain_text_in_a_pipe(folder: Path) -> None:
    done = fapo(folder, "eval", PIPELINE, "--limit", "6")
    assert done.code == 0
    assert "\x1b" not in done.out + done.err
    assert "mean score" in done.out
    assert "not a language model" in done.out
    assert "lost at" in done.out
    assert "traces: " in done.out


def test_trace_shows_every_step_of_one_case(folder: Path, as_json: Done) -> None:
    directory = as_json.json["evaluation_dir"]
    shown = fapo(folder, "trace", directory, "validation-003")
    assert shown.code == 0
    assert shown.out.index("gist") < shown.out.index("route")
    assert "Choose the team" in shown.out
    record = fapo(folder, "trace", directory, "validation-003", "--json").json
    assert record["case_id"] == "validation-003"
    assert fapo(folder, "trace", directory, "validation-999").code == 2


def test_without_confinement_it_says_so(folder: Path) -> None:
    done = fapo(folder, "eval", PIPELINE, "--limit", "2", "--isolation", "none")
    assert "can read labels and keys" in done.err
    assert "code not confined" in done.out
