"""What of a request may leave the machine, and the key that its reply is kept under.

Requests come from pipeline code, which is confined because it is not trusted. Whatever else LiteLLM accepts
(`api_base`, `extra_headers`, URLs of images that it would fetch itself) would let that code reach the network.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fapo.errors import PipelineError
from fapo.pipeline.prompts import SAMPLING
from fapo.records import ModelRequest

ROLES = ("system", "developer", "user", "assistant")


def check_request(request: ModelRequest) -> None:
    """Raise PipelineError of kind `bad_request` for parameters and messages that are not passed on."""
    if unknown := set(request.params) - SAMPLING:
        raise _refused(f"`{min(unknown)}` is not passed to models; use one of {', '.join(sorted(SAMPLING))}")
    if not request.messages:
        raise _refused("a model call needs at least one message")
    if not all(_is_plain(message) for message in request.messages):
        raise _refused(f"a message is a role ({', '.join(ROLES)}) and a text as its content, nothing else")


def _is_plain(message: dict[str, Any]) -> bool:
    return (
        isinstance(message, dict)
        and set(message) == {"role", "content"}
        and message["role"] in ROLES
        and isinstance(message["content"], str)
    )


def _refused(message: str) -> PipelineError:
    return PipelineError(message, kind="bad_request")


def request_key(request: ModelRequest, identity: str) -> bytes:
    """32 bytes that are equal exactly for requests that may share one reply. Raises PipelineError (`bad_request`)."""
    parts = [identity, request.messages, request.params, request.trial, request.occurrence]
    try:
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
        return hashlib.sha256(text.encode()).digest()
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused(f"the request is not plain JSON: {error}") from None


def sample_seed(request: ModelRequest) -> int | None:
    """A seed that tells repeated samples of one request apart; None for the first one of trial 0."""
    if not request.trial and not request.occurrence:
        return None
    text = json.dumps([request.params.get("seed"), request.trial, request.occurrence])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
