"""The LiteLLM seam: its only importer."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
import warnings
from typing import Any

from fapo.errors import CredentialsError, PipelineError, UsageError
from fapo.llm.endpoints import Endpoint
from fapo.llm.requests import sample_seed
from fapo.llm.translate import plain_text, translate
from fapo.records import ModelReply, ModelRequest

# These may find credentials in places other than variables: a metadata service, a login, a profile.
_AMBIENT = frozenset({"azure", "azure_ai", "bedrock", "bedrock_converse", "sagemaker", "sagemaker_chat", "vertex_ai"})
_ASSUMED_OUTPUT_TOKENS = 1000


@functools.cache
def _litellm() -> Any:
    """LiteLLM, imported when the first call needs it: that takes seconds."""
    # Without these it fetches its price list from the network, and reads keys from whatever .env it finds.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    with warnings.catch_warnings():
        # Pydantic remarks on LiteLLM's own types when they are first used, which is of no use to anybody here.
        warnings.simplefilter("ignore")
        import litellm  # noqa: PLC0415

        litellm.ModelResponse()
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.drop_params = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


async def call(request: ModelRequest, endpoint: Endpoint, timeout_s: float) -> ModelReply:
    """One attempt. Raises Retryable, or what no retry mends: CredentialsError, ProviderError, PipelineError."""
    litellm = _litellm()
    seed = sample_seed(request) if endpoint.free else None
    params = request.params if seed is None else {**request.params, "seed": seed}
    started = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            response = await litellm.acompletion(
                model=endpoint.model, messages=list(request.messages), api_base=endpoint.api_base,
                api_key=endpoint.api_key, timeout=timeout_s, num_retries=0, **params,
            )  # fmt: skip
    # LiteLLM raises its own classes, its providers' and plain Python ones: whatever comes out of it is sorted here.
    except Exception as error:  # noqa: BLE001
        if isinstance(error, TimeoutError):
            error = TimeoutError(f"no reply within {timeout_s:g} s")
        raise translate(error, request.model, _key_name(endpoint)) from None
    if response is None:
        # What is left of the second HTTP 422 in a row; LiteLLM repeats the first one without the refused parameters.
        raise PipelineError(f"{request.model}: the endpoint cannot process the request (HTTP 422)", kind="bad_request")
    return _reply(response, request, endpoint, time.monotonic() - started)


def _reply(response: Any, request: ModelRequest, endpoint: Endpoint, latency_s: float) -> ModelReply:
    choice = response.choices[0] if response.choices else None
    usage: Any = getattr(response, "usage", None)
    # LiteLLM fills in zeros where the provider reports nothing; no prompt has zero tokens.
    known = bool(usage and usage.prompt_tokens)
    return ModelReply(
        text=(choice.message.content or "") if choice else "",
        model=request.model,
        finish_reason=choice.finish_reason if choice else None,
        input_tokens=usage.prompt_tokens if known else None,
        output_tokens=usage.completion_tokens if known else None,
        cost_usd=0.0 if endpoint.free else _cost(response, endpoint.model) if known else None,
        latency_s=latency_s,
    )


def _cost(response: Any, model: str) -> float | None:
    """Dollars, cached and long prompts included; None where the price is unknown."""
    if not known_price(model):
        return None
    try:
        return float(_litellm().completion_cost(completion_response=response, model=model))
    # It raises bare exceptions; a reply that was paid for is not lost over its price.
    except Exception:  # noqa: BLE001
        return None


@functools.cache
def known_price(model: str) -> bool:
    """Whether LiteLLM's price list has this model. It answers 0 for models that it merely guesses at."""
    litellm = _litellm()
    try:
        entry = litellm.model_cost.get(litellm.get_model_info(model)["key"], {})
    except Exception:  # noqa: BLE001  # bare exceptions again: all say that the model is not on the list
        return False
    return "input_cost_per_token" in entry and "output_cost_per_token" in entry


def estimate_cost(request: ModelRequest, endpoint: Endpoint) -> float | None:
    """About what a call will cost, before any such call was made; None where the price is unknown."""
    if endpoint.free or not known_price(endpoint.model):
        return 0.0 if endpoint.free else None
    info = _litellm().get_model_info(endpoint.model)
    asked = request.params.get("max_completion_tokens") or request.params.get("max_tokens")
    output = asked if isinstance(asked, int) else _ASSUMED_OUTPUT_TOKENS
    letters = sum(len(message["content"]) for message in request.messages)
    return float(letters / 4 * info["input_cost_per_token"] + output * info["output_cost_per_token"])


def check_model(model: str) -> None:
    """Raise UsageError for a model string that LiteLLM cannot place, CredentialsError where its key is missing."""
    litellm = _litellm()
    try:
        name, provider, _, _ = litellm.get_llm_provider(model)
    except Exception as error:  # noqa: BLE001  # any of its many classes says that the string has no provider
        hint = "write provider/model, for example openai/gpt-4.1-mini"
        raise UsageError(f"unknown model `{model}`: {hint} ({plain_text(error)[:80]})") from None
    if not name:
        raise UsageError(f"the model string `{model}` names a provider but no model")
    missing = litellm.validate_environment(model)["missing_keys"]
    keys = [key for key in missing if key.endswith(("KEY", "TOKEN"))]
    if keys and provider not in _AMBIENT:
        raise CredentialsError(f"no key for {model}: set {' or '.join(keys)}")


def _key_name(endpoint: Endpoint) -> str:
    """The variable that usually holds the key of the model's provider."""
    try:
        provider = _litellm().get_llm_provider(endpoint.model)[1]
    except Exception:  # noqa: BLE001  # as in check_model
        return "its key"
    return "its credentials" if provider in _AMBIENT else f"{provider.upper()}_API_KEY"


async def aclose() -> None:
    """Close what LiteLLM keeps open in this event loop."""
    if not _litellm.cache_info().currsize:
        return
    litellm = _litellm()
    await litellm.close_litellm_async_clients()
    # A closed client would otherwise be handed out again.
    litellm.in_memory_llm_clients_cache.flush_cache()
    await litellm.litellm_core_utils.logging_worker.GLOBAL_LOGGING_WORKER.stop()
