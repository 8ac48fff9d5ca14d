"""What pipeline code may send to a model, and which requests share a reply."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fapo.errors import PipelineError
from fapo.llm.requests import check_request, request_key, sample_seed
from fapo.records import ModelRequest

REQUEST = ModelRequest("openai/m", ({"role": "user", "content": "hi"},), {"temperature": 0.5, "max_tokens": 9})


def test_order_of_keys_does_not_matter_to_the_key() -> None:
    turned = ModelRequest("openai/m", ({"content": "hi", "role": "user"},), {"max_tokens": 9, "temperature": 0.5})
    assert request_key(turned, "x") == request_key(REQUEST, "x")


@pytest.mark.parametrize(
    "changed",
    [
        replace(REQUEST, trial=1),
        replace(REQUEST, occurrence=1),
        replace(REQUEST, params={"temperature": 0.5, "max_tokens": 10}),
        replace(REQUEST, messages=({"role": "user", "content": "hi!"},)),
        replace(REQUEST, messages=({"role": "system", "content": "hi"},)),
        replace(REQUEST, held_out=True),
    ],
)
def test_anything_that_may_change_the_reply_changes_the_key(changed: ModelRequest) -> None:
    assert request_key(changed, "x") != request_key(REQUEST, "x")


def test_another_identity_of_the_model_is_another_key() -> None:
    assert request_key(REQUEST, "x") != request_key(REQUEST, "y")


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, "\ud800"])
def test_what_is_not_plain_json_is_the_pipelines_fault(value: Any) -> None:
    with pytest.raises(PipelineError, match="not plain JSON") as caught:
        request_key(replace(REQUEST, params={"stop": value}), "x")
    assert caught.value.kind == "bad_request"


@pytest.mark.parametrize(
    "name",
    ["api_base", "base_url", "api_key", "extra_headers", "mock_response", "fallbacks", "custom_llm_provider", "n"],
)
def test_parameters_that_steer_the_call_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(PipelineError, match=name) as caught:
        check_request(replace(REQUEST, params={name: "http://attacker.example"}))
    assert caught.value.kind == "bad_request"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://attacker.example"}}]},
        {"role": "user", "content": None},
        {"role": "tool", "content": "x"},
        {"role": ["user"], "content": "x"},
        {"role": "user", "content": "x", "cache_control": {}},
        {"role": "user"},
        "hi",
        7,
    ],
)
def test_messages_are_roles_and_texts(message: Any) -> None:
    with pytest.raises(PipelineError) as caught:
        check_request(replace(REQUEST, messages=(message,)))
    assert caught.value.kind == "bad_request"


def test_a_call_needs_a_message() -> None:
    with pytest.raises(PipelineError, match="at least one message"):
        check_request(replace(REQUEST, messages=()))


def test_samples_have_seeds_of_their_own_and_the_first_has_none() -> None:
    assert sample_seed(REQUEST) is None
    seeds = [sample_seed(replace(REQUEST, trial=t, occurrence=o)) for t, o in [(1, 0), (0, 1), (1, 1), (2, 0)]]
    assert len(set(seeds)) == 4
    assert all(seed is not None and 0 <= seed < 2**31 for seed in seeds)
    assert sample_seed(replace(REQUEST, trial=1)) == seeds[0]
