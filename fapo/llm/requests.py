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

ROLES = ("system", "developer", "user", "assistant", "tool")
PARAMETERS = SAMPLING | {"tools", "tool_choice", "parallel_tool_calls", "dimensions"}
_MESSAGE_KEYS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_DATA_URL = "data:image/"


def check_request(request: ModelRequest) -> None:
    """Raise PipelineError of kind `bad_request` for parameters and messages that are not passed on."""
    if unknown := set(request.params) - PARAMETERS:
        raise _refused(f"`{min(unknown)}` is not passed to models; use one of {', '.join(sorted(SAMPLING))}")
    if request.texts and not all(isinstance(text, str) and text for text in request.texts):
        raise _refused("only texts that are not empty can be embedded")
    if not request.messages and not request.texts:
        raise _refused("a model call needs at least one message")
    for message in request.messages:
        if not _is_message(message):
            content = "a text, or parts that are texts and images as data: URLs"
            raise _refused(f"a message is a role ({', '.join(ROLES)}) and as its content {content}; nothing else")


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or message.get("role") not in ROLES or not message.keys() <= _MESSAGE_KEYS:
        return False
    if ("tool_call_id" in message) != (message["role"] == "tool"):
        return False
    content = message.get("content")
    if isinstance(content, list):
        return all(_is_part(part) for part in content)
    return isinstance(content, str) or (content is None and bool(message.get("tool_calls")))


def _is_part(part: Any) -> bool:
    """A text, or an image that is in the request itself: an address would be fetched from outside of the sandbox."""
    if not isinstance(part, dict):
        return False
    if part.get("type") == "text":
        return part.keys() == {"type", "text"} and isinstance(part["text"], str)
    image = part.get("image_url")
    if part.keys() != {"type", "image_url"} or not isinstance(image, dict) or not image.keys() <= {"url", "detail"}:
        return False
    return isinstance(image.get("url"), str) and image["url"].startswith(_DATA_URL)


def plain_texts(request: ModelRequest) -> tuple[str, ...] | None:
    """The texts of a request that is nothing but roles and texts; None for any other.

    Nor has a request plain texts if LiteLLM rewrites them for some providers: blank ones, and an assistant's that ends
    in blanks.
    """
    if "tools" in request.params or not all(map(_is_plain, request.messages)):
        return None
    return tuple(message["content"] for message in request.messages)


def _is_plain(message: dict[str, Any]) -> bool:
    content = message.get("content")
    if message.keys() != {"role", "content"} or not isinstance(content, str) or not content.strip():
        return False
    return message["role"] != "assistant" or content == content.rstrip()


def _refused(message: str) -> PipelineError:
    return PipelineError(message, kind="bad_request")


def request_key(request: ModelRequest, identity: str) -> bytes:
    """32 bytes that are equal exactly for requests that may share one reply. Raises PipelineError (`bad_request`)."""
    parts = [identity, request.messages, request.params, request.trial, request.occurrence]
    if request.texts:
        parts.append(request.texts)
    if request.held_out:
        parts.append("held out")
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
