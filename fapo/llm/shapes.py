"""Which requests may be posted from a template: those of a shape that two of LiteLLM's own calls have taught."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from fapo.llm.endpoints import Endpoint
from fapo.llm.wire import RequestTemplate, SentRequest, learn_template
from fapo.records import ModelRequest

_MAX_SHAPES = 1024
_MAX_FAILURES = 3


@dataclass(slots=True, eq=False)
class Shape:
    """What is known of the requests that agree in all but their texts."""

    template: RequestTemplate | None = None
    proved: bool = False
    failures: int = 0
    teaching: Lesson | None = None

    async def template_or_lesson(self, texts: tuple[str, ...], patience_s: float) -> RequestTemplate | Lesson | None:
        """The proved template; or a lesson, for the call that teaches; or None, for one that goes without.

        While another call teaches this waits for it, at most `patience_s`.
        """
        while self.failures < _MAX_FAILURES:
            if self.proved:
                return self.template
            if self.teaching is None:
                self.teaching = Lesson(self, texts)
                return self.teaching
            try:
                async with asyncio.timeout(patience_s):
                    await self.teaching.over.wait()
            except TimeoutError:
                return None
        return None

    def forget(self, template: RequestTemplate | None) -> None:
        """Learn anew, if `template` is still what is known: the endpoint does not take what it sends."""
        if self.template is template:
            self.template, self.proved = None, False
            self.failures += 1

    def give_up(self) -> None:
        """Leave all further requests of this shape to LiteLLM."""
        self.template, self.proved, self.failures = None, False, _MAX_FAILURES


@dataclass(slots=True, eq=False)
class Lesson:
    """One of LiteLLM's own calls while it is watched."""

    shape: Shape
    texts: tuple[str, ...]
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _url: str = ""
    _headers: dict[str, str] = field(default_factory=dict)
    _body: bytes = b""

    def begin(self, url: str, headers: dict[str, str]) -> None:
        """A request is on its way."""
        self._url, self._headers, self._body = url, headers, b""

    def take(self, chunk: bytes) -> None:
        """More of its body was sent; learn from it when that is whole."""
        self._body += chunk
        lengths = [value for name, value in self._headers.items() if name.lower() == "content-length"]
        if not self.over.is_set() and lengths == [str(len(self._body))]:
            self._learn(SentRequest(self._url, self._headers, self._body))

    def end(self, *, answered: bool) -> None:
        """The call is over; one that was answered and never seen on the wire has gone over another."""
        if not self.over.is_set():
            if answered:
                self.shape.give_up()
            self._leave()

    def _learn(self, sent: SentRequest) -> None:
        shape = self.shape
        if shape.template is None:
            shape.template = learn_template(sent, self.texts)
            shape.failures += shape.template is None
        elif shape.template.explains(sent, self.texts):
            shape.proved = True
        else:
            shape.forget(shape.template)
        self._leave()

    def _leave(self) -> None:
        self.shape.teaching = None
        self.over.set()


class Shapes:
    """The shapes seen lately."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], Shape] = OrderedDict()

    def of(self, endpoint: Endpoint, request: ModelRequest, params: dict[str, Any]) -> Shape:
        """The shape of a request: where it goes, with which parameters, in which roles."""
        roles = tuple(message["role"] for message in request.messages)
        key = (endpoint.model, endpoint.api_base, endpoint.api_key, roles, json.dumps(params, sort_keys=True))
        shape = self._known.get(key)
        if shape is None:
            shape = self._known[key] = Shape()
            if len(self._known) > _MAX_SHAPES:
                self._known.popitem(last=False)
        return shape
