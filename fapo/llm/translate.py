"""Foreign errors of a model call become fapo's own here, and nowhere else."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fapo.errors import CredentialsError, FapoError, PipelineError, ProviderError
from fapo.records import Usage

Meaning = Literal[
    "retry", "rate_limit", "credentials", "provider", "context_length", "content_policy", "bad_request", "by_status"
]

# LiteLLM's exception classes by name; an error takes the first of its bases that is listed. Those that only its
# proxy raises mean a fault of the provider's side.
MEANINGS: dict[str, Meaning] = {
    "APIConnectionError": "retry",
    "APIError": "by_status",
    "APIResponseValidationError": "retry",
    "AuthenticationError": "credentials",
    "BadGatewayError": "retry",
    "BadRequestError": "bad_request",
    "BlockedPiiEntityError": "provider",
    "BudgetExceededError": "provider",
    "ContentPolicyViolationError": "content_policy",
    "ContextWindowExceededError": "context_length",
    "GuardrailRaisedException": "provider",
    "ImageFetchError": "bad_request",
    "InternalServerError": "retry",
    "InvalidRequestError": "bad_request",
    "JSONSchemaValidationError": "retry",
    "LiteLLMUnknownProvider": "provider",
    "MidStreamFallbackError": "retry",
    "MockException": "provider",
    "ModelNotMappedError": "provider",
    "ModifyResponseException": "provider",
    "NotFoundError": "provider",
    "OpenAIError": "provider",
    "PaymentRequiredError": "provider",
    "PermissionDeniedError": "credentials",
    "RateLimitError": "rate_limit",
    "RejectedRequestError": "bad_request",
    "SensitiveDataRouteException": "provider",
    "ServiceUnavailableError": "retry",
    "Timeout": "retry",
    "UnprocessableEntityError": "bad_request",
    "UnsupportedParamsError": "bad_request",
    "VectorStoreSearchError": "provider",
}

_BY_STATUS: dict[int, Meaning] = {
    400: "bad_request", 401: "credentials", 402: "provider", 403: "credentials", 404: "provider", 408: "retry",
    409: "retry", 413: "context_length", 422: "bad_request", 425: "retry", 429: "rate_limit",
}  # fmt: skip

# What OpenAI-compatible providers write into an error's `code`, where LiteLLM's class is broader.
_BY_CODE: dict[str, Meaning] = {
    "content_filter": "content_policy",
    "content_policy_violation": "content_policy",
    "context_length_exceeded": "context_length",
    "insufficient_quota": "provider",
    "model_not_found": "provider",
}
# Anthropic reports an empty account as a bad request, and gives it no code.
_EMPTY_ACCOUNT = "credit balance is too low"
# LiteLLM calls an answer that it cannot read a bad request.
_UNREADABLE = re.compile("Error converting to valid response block|Error in response object")
_SECRETS = re.compile(r"(?i)(\bkey=|\bbearer\s+)[^\s&'\"]+")
_PREFIX = re.compile(r"^(?:litellm\.)?\w+(?:Error|Exception|Timeout): ?(?:\w+Exception - )?")
_MAX_TEXT = 300


@dataclass(eq=False)
class Retryable(Exception):
    """One attempt failed in a way that another may mend; `error` is what to raise when none is left.

    `charged` is what the provider may have billed all the same for an answer that cannot be used.
    """

    error: ProviderError
    rate_limited: bool = False
    retry_after_s: float | None = None
    charged: Usage = field(default_factory=Usage)


def translate(error: Exception, model: str, key_name: str) -> FapoError | Retryable:
    """What a foreign error of a call to `model` means; `key_name` is the variable that holds its key."""
    return _as_own(meaning_of(error), model, plain_text(error), key_name, retry_after_s(error))


def translate_answer(
    status: int, error: Any, model: str, key_name: str, headers: Mapping[str, str]
) -> FapoError | Retryable:
    """What an HTTP answer without a reply means; `error` is the value of `error` in its JSON body, if there is one."""
    code = error.get("code") if isinstance(error, dict) else None
    if status == 200 and isinstance(code, int):
        status = code
    said = error.get("message") if isinstance(error, dict) else error
    text = plain_text(Exception(str(said or f"HTTP {status}")))
    meaning: Meaning = "retry"
    if isinstance(code, str) and code in _BY_CODE:
        meaning = _BY_CODE[code]
    elif status != 200:
        meaning = _BY_STATUS.get(status, "retry" if status >= 500 else "provider")
    return _as_own(meaning, model, text, key_name, parse_retry_after(headers.get("retry-after", "")))


def _as_own(meaning: Meaning, model: str, text: str, key_name: str, wait_s: float | None) -> FapoError | Retryable:
    match meaning:
        case "retry" | "rate_limit":
            return Retryable(ProviderError(f"{model}: {text}"), meaning == "rate_limit", wait_s)
        case "credentials":
            return CredentialsError(f"{model}: the provider refuses the key; check {key_name}: {text}")
        case "context_length" | "content_policy" | "bad_request":
            return PipelineError(f"{model}: {text}", kind=meaning)
        case _:
            return ProviderError(f"{model}: {text}")


def meaning_of(error: Exception) -> Meaning:
    """The meaning of an error by its code, its class, or its HTTP status, whichever of them speaks first."""
    if isinstance(error, TimeoutError | ConnectionError):
        return "retry"
    body = getattr(error, "body", None)
    # LiteLLM puts the code of an error inside an HTTP 200 where the status belongs.
    codes = (body.get("code") if isinstance(body, dict) else None, getattr(error, "status_code", None))
    for code in codes:
        if isinstance(code, str) and code in _BY_CODE:
            return _BY_CODE[code]
    if _EMPTY_ACCOUNT in str(error):
        return "provider"
    if _UNREADABLE.search(str(error)):
        return "retry"
    listed = (MEANINGS[base.__name__] for base in type(error).__mro__ if base.__name__ in MEANINGS)
    found: Meaning = next(listed, "provider")
    if found != "by_status":
        return found
    status = getattr(error, "status_code", None)
    # An error object inside an HTTP 200 has no number as its status.
    return _BY_STATUS.get(status, "retry" if status >= 500 else "provider") if isinstance(status, int) else "retry"


def plain_text(error: Exception) -> str:
    """The error in one short line, without keys."""
    # LiteLLM writes whole tracebacks into some messages.
    said = str(error).partition("Traceback (most recent call last)")[0]
    text = " ".join(said.split()) or type(error).__name__
    while (shorter := _PREFIX.sub("", text)) not in (text, ""):
        text = shorter
    text = _SECRETS.sub(r"\1***", text)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def retry_after_s(error: Exception) -> float | None:
    """Seconds that the provider asks to wait, from its Retry-After header (a number or a date)."""
    response = getattr(error, "response", None)
    for headers in (getattr(error, "litellm_response_headers", None), getattr(response, "headers", None)):
        if isinstance(headers, Mapping) and (value := headers.get("retry-after")):
            return parse_retry_after(value)
    return None


def parse_retry_after(value: Any) -> float | None:
    """Seconds from now, never negative; None for what is neither a number nor a date."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(str(value)).timestamp() - time.time()
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
