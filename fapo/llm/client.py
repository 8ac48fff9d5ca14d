"""The LiteLLM seam, and its only importer. Foreign errors are translated here and nowhere else."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fapo.errors import CredentialsError, PipelineError, ProviderError, UsageError
from fapo.llm.endpoints import Endpoint
from fapo.records import ModelReply, ModelRequest


class RetryableError(Exception):
    """The endpoint failed in a way that may pass. `retry_after_s` is what it asked for, if anything."""

    def __init__(self, message: str, *, retry_after_s: float | None = None, rate_limited: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.rate_limited = rate_limited


@dataclass(frozen=True, slots=True)
class Fault:
    """What an exception class of LiteLLM means: whose fault it is, and a word for it."""

    owner: str
    kind: str


RETRY = Fault("retry", "unavailable")
FAULTS: dict[str, Fault] = {
    "APIConnectionError": RETRY,
    "APIError": RETRY,
    "APIResponseValidationError": RETRY,
    "BadGatewayError": RETRY,
    "ImageFetchError": RETRY,
    "InternalServerError": RETRY,
    "MidStreamFallbackError": RETRY,
    "ServiceUnavailableError": RETRY,
    "Timeout": RETRY,
    "OpenAIError": RETRY,
    "RateLimitError": Fault("retry", "rate_limited"),
    "AuthenticationError": Fault("credentials", "refused"),
    "PermissionDeniedError": Fault("credentials", "refused"),
    "PaymentRequiredError": Fault("credentials", "no credit"),
    "NotFoundError": Fault("provider", "not found"),
    "LiteLLMUnknownProvider": Fault("provider", "unknown provider"),
    "ModelNotMappedError": Fault("provider", "unknown model"),
    "BudgetExceededError": Fault("provider", "budget"),
    "MockException": Fault("provider", "mock"),
    "VectorStoreSearchError": Fault("provider", "vector store"),
    "ContextWindowExceededError": Fault("pipeline", "context_length"),
    "ContentPolicyViolationError": Fault("pipeline", "content_policy"),
    "BlockedPiiEntityError": Fault("pipeline", "content_policy"),
    "GuardrailRaisedException": Fault("pipeline", "content_policy"),
    "SensitiveDataRouteException": Fault("pipeline", "content_policy"),
    "ModifyResponseException": Fault("pipeline", "content_policy"),
    "BadRequestError": Fault("pipeline", "bad_request"),
    "InvalidRequestError": Fault("pipeline", "bad_request"),
    "RejectedRequestError": Fault("pipeline", "bad_request"),
    "UnprocessableEntityError": Fault("pipeline", "bad_request"),
    "UnsupportedParamsError": Fault("pipeline", "bad_request"),
    "JSONSchemaValidationError": Fault("pipeline", "invalid_output"),
}
"""Every exception class of `litellm.exceptions`; a test fails when LiteLLM adds one."""

_library: Any = None


def library() -> Any:
    """LiteLLM, imported when the first call is made, with its price list from the release and its talk turned off."""
    global _library
    if _library is None:
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        import litellm  # noqa: PLC0415  heavy: seconds

        litellm.telemetry = False
        litellm.suppress_debug_info = True
        litellm.drop_params = True
        logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
        _library = litellm
    return _library


async def call(request: ModelRequest, endpoint: Endpoint, *, timeout_s: float) -> ModelReply:
    """Make one call, without retries. Raises RetryableError, CredentialsError, ProviderError or PipelineError."""
    litellm = library()
    params = dict(request.params)
    if endpoint.free and (request.trial or request.occurrence):
        params.setdefault("seed", 1000 * request.trial + request.occurrence)
    started = time.monotonic()
    try:
        response = await litellm.acompletion(
            model=endpoint.model,
            messages=list(request.messages),
            api_base=endpoint.api_base,
            api_key=endpoint.api_key,
            num_retries=0,
            max_retries=0,
            timeout=timeout_s,
            **params,
        )
    except Exception as error:
        raise translate(error, endpoint.model) from error
    return _reply(response, endpoint, time.monotonic() - started)


def _reply(response: Any, endpoint: Endpoint, latency_s: float) -> ModelReply:
    choices = getattr(response, "choices", None)
    if not choices:
        raise RetryableError(f"{endpoint.model}: the reply has no choices")
    choice = choices[0]
    if choice.finish_reason == "content_filter":
        raise PipelineError(f"{endpoint.model}: the reply was withheld by a content filter", kind="content_policy")
    usage = getattr(response, "usage", None)
    return ModelReply(
        text=choice.message.content or "",
        model=endpoint.model,
        finish_reason=choice.finish_reason,
        input_tokens=getattr(usage, "prompt_tokens", None),
        output_tokens=getattr(usage, "completion_tokens", None),
        cost_usd=0.0 if endpoint.free else _cost(response),
        latency_s=latency_s,
    )


def _cost(response: Any) -> float | None:
    """What the call cost by LiteLLM's price list, or None where that does not know the model."""
    try:
        return float(library().completion_cost(response))
    except Exception:  # noqa: BLE001 - LiteLLM raises a bare Exception for a model without a price
        return None


def translate(error: Exception, model: str) -> Exception:
    """A LiteLLM exception as one of fapo's. Anything unknown counts as the provider's fault, for good."""
    names = [kind.__name__ for kind in type(error).__mro__]
    fault = next((FAULTS[name] for name in names if name in FAULTS), Fault("provider", "failed"))
    message = f"{model}: {_one_line(error)}"
    match fault.owner:
        case "retry":
            limited = fault.kind == "rate_limited"
            return RetryableError(message, retry_after_s=_retry_after(error), rate_limited=limited)
        case "credentials":
            return CredentialsError(f"{message}; check the key of this provider in the environment")
        case "pipeline":
            return PipelineError(message, kind=fault.kind)
    return ProviderError(message)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    for prefix in (f"litellm.{type(error).__name__}: ", f"{type(error).__name__}: "):
        text = text.replace(prefix, "")
    return text[:300] or type(error).__name__


def _retry_after(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    headers = getattr(error, "litellm_response_headers", None) or headers
    with contextlib.suppress(TypeError, ValueError):
        return float(headers.get("retry-after"))
    return None


def check_model(model: str) -> None:
    """Raise UsageError for a model string that LiteLLM cannot route, CredentialsError where its key is missing."""
    litellm = library()
    try:
        with _quiet():
            litellm.get_llm_provider(model)
    except Exception:  # noqa: BLE001 - LiteLLM raises several classes here, all for the one reason
        raise UsageError(
            f"unknown model `{model}`: give a LiteLLM model string such as openai/gpt-4.1-mini, or standin/reader"
        ) from None
    found = litellm.validate_environment(model)
    if missing := found.get("missing_keys"):
        raise CredentialsError(f"no key for `{model}`: set {' and '.join(missing)}")


def known_price(model: str) -> bool:
    """Whether LiteLLM's price list knows the model."""
    try:
        prompt, completion = library().cost_per_token(model, prompt_tokens=1000, completion_tokens=1000)
    except Exception:  # noqa: BLE001 - see _cost
        return False
    return bool(prompt + completion > 0)


async def close() -> None:
    """Close the connections that LiteLLM keeps."""
    if _library is not None:
        await _library.close_litellm_async_clients()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteLLM's help text for unknown providers out of the terminal."""
    with open(os.devnull, "w", encoding="utf-8") as sink, contextlib.redirect_stdout(sink):
        yield
