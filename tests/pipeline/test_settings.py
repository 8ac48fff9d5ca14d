"""Single settings are changed and nothing around them: comments, order and text stay."""

from __future__ import annotations

import pytest

from fapo.errors import UsageError
from fapo.pipeline.settings import setting_names, with_settings

SPEC = b"name: p  # ours\nparams: {k: 7, weights: [1, 2]}   # depth\n\n# models\nmodels: {task: m}\n"
PLAIN = b"System:\nBe kind.\n\nUser:\n{{ text }}\n"
FRONT = b"---\n# how\noutput: json\nsampling: {temperature: 0.7}\n---\n" + PLAIN
SNAPSHOT = {"pipeline.yaml": SPEC, "prompts/say.md": PLAIN, "prompts/ask.md": FRONT, "pipeline.py": b"x = 1\n"}


def test_a_parameter_changes_alone() -> None:
    changed = with_settings(SNAPSHOT, {"params.k": 9})
    assert changed == SNAPSHOT | {"pipeline.yaml": SPEC.replace(b"k: 7", b"k: 9")}


def test_sampling_of_a_prompt_with_front_matter() -> None:
    changed = with_settings(SNAPSHOT, {"ask.temperature": 0.2})
    assert changed == SNAPSHOT | {"prompts/ask.md": FRONT.replace(b"0.7", b"0.2")}


def test_sampling_of_a_prompt_without_front_matter() -> None:
    changed = with_settings(SNAPSHOT, {"say.temperature": 0.2, "say.max_tokens": 9})
    head = b"---\nsampling:\n  temperature: 0.2\n  max_tokens: 9\n---\n"
    assert changed == SNAPSHOT | {"prompts/say.md": head + PLAIN}


@pytest.mark.parametrize("name", ["params.z", "k", "other.temperature", "say.colour", "say", "params."])
def test_settings_that_there_are_not(name: str) -> None:
    with pytest.raises(UsageError):
        with_settings(SNAPSHOT, {name: 1})


def test_names() -> None:
    assert setting_names(SNAPSHOT) == ("params.k", "params.weights", "say.temperature", "ask.temperature")
