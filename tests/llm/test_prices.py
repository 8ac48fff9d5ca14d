"""A price that was probed is LiteLLM's own, for every model of its list, or is asked of LiteLLM each time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from fapo.llm import client
from fapo.llm.prices import ModelPrice

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm", "ignore:.*:UserWarning:pydantic")

TOKENS: list[tuple[int, int, dict[str, Any]]] = [
    (1, 1, {}),
    (17, 0, {}),
    (0, 17, {}),
    (3_000, 250, {}),
    (99_999, 100_000, {}),
    (150_000, 10, {}),
    (250_000, 9_000, {}),
    (5_000, 100, {"prompt_tokens_details": {"cached_tokens": 4_096}}),
    (90_000, 100, {"prompt_tokens_details": {"cached_tokens": 90_000, "audio_tokens": None}}),
    (500, 100, {"prompt_tokens_details": {"cached_tokens": 100, "audio_tokens": 50}}),
    (500, 400, {"completion_tokens_details": {"reasoning_tokens": 300}}),
    (500, 100, {"prompt_tokens_details": None, "completion_tokens_details": None}),
]
ASKING_THEIR_ENDPOINT = ("github_copilot/", "lemonade/")

USAGES: list[dict[str, Any]] = [
    {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **details}
    for prompt, completion, details in TOKENS
]


def litellm() -> Any:
    """As fapo imports it: else it would look for its price list on the network."""
    client.load()
    import litellm as loaded  # noqa: PLC0415

    return loaded


@dataclass
class Asked:
    """LiteLLM's calculation, and how often it was made."""

    model: str
    times: int = 0

    def __call__(self, usage: Mapping[str, Any]) -> float | None:
        self.times += 1
        response = litellm().ModelResponse(usage=litellm().Usage(**usage), model=self.model)
        try:
            return float(litellm().completion_cost(completion_response=response, model=self.model))
        except Exception:  # noqa: BLE001  # it raises bare ones for a model without a price
            return None


def listed_models() -> list[str]:
    prices = {"input_cost_per_token", "output_cost_per_token"}
    listed = litellm().model_cost.items()
    chat = sorted(name for name, entry in listed if entry.get("mode") == "chat" and prices <= entry.keys())
    return [name for name in chat if not name.startswith(ASKING_THEIR_ENDPOINT)]


@dataclass
class Found:
    wrong: list[str] = field(default_factory=list)
    linear: int = 0


@pytest.fixture(scope="module")
def found() -> Found:
    found = Found()
    for model in listed_models():
        full = Asked(model)
        price = ModelPrice(full)
        full.times = 0
        price.cost(USAGES[3])
        found.linear += not full.times
        for usage in USAGES:
            expected, told = full(usage), price.cost(usage)
            same = told is expected is None or (
                told is not None and expected is not None and math.isclose(told, expected, rel_tol=1e-9, abs_tol=1e-15)
            )
            if not same:
                found.wrong.append(f"{model} {usage}: {told}, not {expected}")
    return found


def test_no_price_differs_from_litellms(found: Found) -> None:
    assert len(listed_models()) > 1000
    assert found.wrong == []


def test_most_prices_are_rates(found: Found) -> None:
    assert found.linear > 0.9 * len(listed_models())


def test_a_model_that_is_not_on_the_list_has_no_price() -> None:
    assert ModelPrice(Asked("openai/my-own-model")).cost(USAGES[0]) is None


def test_a_price_that_is_not_linear_is_asked_for_each_time() -> None:
    def stepped(usage: Mapping[str, Any]) -> float | None:
        return 1.0 if usage["prompt_tokens"] < 5_000 else 3.0

    price = ModelPrice(stepped)
    assert [price.cost({"prompt_tokens": n, "completion_tokens": 1}) for n in (10, 6_000)] == [1.0, 3.0]


def test_a_price_that_changes_with_the_hour_is_asked_for_each_time() -> None:
    hour = [1.0]
    price = ModelPrice(lambda usage: hour[0] * int(usage["prompt_tokens"]), steady=False)
    first = price.cost({"prompt_tokens": 10, "completion_tokens": 0})
    hour[0] = 2.0
    assert (first, price.cost({"prompt_tokens": 10, "completion_tokens": 0})) == (10.0, 20.0)


def test_tokens_of_an_agents_reply_are_priced_by_the_list() -> None:
    rates = litellm().model_cost["gpt-5.5"]
    full = 1000 * rates["input_cost_per_token"] + 50 * rates["output_cost_per_token"]
    saved = 800 * (rates["input_cost_per_token"] - rates["cache_read_input_token_cost"])
    assert client.token_cost("gpt-5.5", 1000, 0, 50) == pytest.approx(full)
    assert client.token_cost("gpt-5.5", 1000, 800, 50) == pytest.approx(full - saved)
    assert client.token_cost("a-model-of-tomorrow", 1000, 0, 50) is None
