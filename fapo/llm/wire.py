"""Requests as they go over the wire, learned from two that LiteLLM sent itself and then filled with other messages.

LiteLLM knows where and how each provider wants to be asked, and takes milliseconds of CPU for each call to work it
out again. Of two calls that agree in model, parameters and roles only the texts of the messages differ; so what it
sent for the first is kept as a template, what it sent for the second proves it, and from then on the texts are all
that is filled in. A request that depends on its texts in any other way (a signature, a rendered prompt) proves nothing
and stays with LiteLLM.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDict
from yarl import URL

# Set anew for every request by whoever sends it. Which encodings a reply may have is up to the one who decodes it.
_OWN_HEADERS = frozenset({"content-length", "host", "connection", "accept-encoding"})
# Differ from call to call, and mean nothing to the endpoint.
_VOLATILE_HEADERS = frozenset({"x-stainless-retry-count", "x-stainless-read-timeout", "idempotency-key"})


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One HTTP POST as it was sent."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """All of a request but the texts of its messages. `parts` of its JSON surround them, in the order of `order`."""

    url: URL
    headers: CIMultiDict[str]
    parts: tuple[bytes, ...]
    order: tuple[int, ...]

    def fill(self, texts: Sequence[str]) -> bytes:
        """The body for other texts."""
        pieces = [self.parts[0]]
        for index, part in zip(self.order, self.parts[1:], strict=True):
            pieces += (json.dumps(texts[index]).encode(), part)
        return b"".join(pieces)

    def explains(self, sent: SentRequest, texts: Sequence[str]) -> bool:
        """Whether this template, filled with `texts`, is what was sent."""
        if str(self.url) != sent.url or _lasting(self.headers) != _lasting(sent.headers):
            return False
        return bool(json.loads(self.fill(texts)) == json.loads(sent.body))


def learn_template(sent: SentRequest, texts: Sequence[str]) -> RequestTemplate | None:
    """The template of a request whose body holds each of `texts` exactly once; None where it does not."""
    try:
        body = json.loads(sent.body)
    except ValueError:
        return None
    # Plain requests have no tools: LiteLLM adds them where a provider returns structured output through one.
    if not isinstance(body, dict) or "tools" in body:
        return None
    places = {text: [path for path, leaf in _leaves(body) if leaf == text] for text in texts}
    if len(places) != len(texts) or any(len(found) != 1 for found in places.values()):
        return None
    marks = [f"{{text {index} of {len(texts)} of a template}}" for index in range(len(texts))]
    for mark, text in zip(marks, texts, strict=True):
        _put(body, places[text][0], mark)
    rest, parts, order = json.dumps(body), [], []
    quoted = {json.dumps(mark): index for index, mark in enumerate(marks)}
    for mark in sorted(quoted, key=rest.find):
        before, found, rest = rest.partition(mark)
        if not found or mark in rest:
            return None
        parts.append(before.encode())
        order.append(quoted[mark])
    headers = CIMultiDict((name, value) for name, value in sent.headers.items() if name.lower() not in _OWN_HEADERS)
    return RequestTemplate(URL(sent.url, encoded=True), headers, (*parts, rest.encode()), tuple(order))


def _lasting(headers: Mapping[str, str]) -> dict[str, str]:
    left_out = _OWN_HEADERS | _VOLATILE_HEADERS
    return {name.lower(): value for name, value in headers.items() if name.lower() not in left_out}


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
        return
    for key, inner in items:
        yield from _leaves(inner, (*path, key))


def _put(body: Any, path: tuple[Any, ...], value: str) -> None:
    for key in path[:-1]:
        body = body[key]
    body[path[-1]] = value
