"""The pipelines that are written in LangGraph and DSPy run as they are, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import fapo

pytestmark = pytest.mark.needs_level("full")

STEPS = ["summarize", "route"]


@pytest.mark.parametrize("name", ["langgraph_triage", "dspy_triage"])
def test_it_is_evaluated_with_its_own_steps_and_every_call_counted(name: str, tmp_path: Path) -> None:
    done = fapo(tmp_path, "eval", name, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [step["step"] for step in found["steps"]] == STEPS
    assert found["isolation"] == "full"
    assert found["usage"]["llm_calls"] == 24
    assert found["failures"] == 0
    assert found["score"]["mean"] > 0.5


def test_two_trials_of_dspy_are_two_samples(tmp_path: Path) -> None:
    done = fapo(tmp_path, "eval", "dspy_triage", "--json", "--limit", "3", "--trials", "2")
    assert json.loads(done.out)["usage"]["llm_calls"] == 12
