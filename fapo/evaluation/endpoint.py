"""The OpenAI-compatible endpoint inside the worker, for code that brings a client of its own.

It listens on the loopback interface of the sandbox's own network and leads over the worker's pipe to the gateway, so
whatever calls it is traced, cached, budgeted and confined like `ctx.llm`. Which case a request belongs to travels in
headers that `instrument` has httpx add.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from fapo.errors import PipelineError
from fapo.evaluation import openai_api
from fapo.evaluation.openai_api import ApiError, Call
from fapo.pipeline.tracing import carry_context_into_threads, current_case, step_name

CASE_HEADER = "X-Fapo-Case"
STEP_HEADER = "X-Fapo-Step"
_MAX_BODY_BYTES = 16 * 2**20
_HOST = "127.0.0.1"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Submit(Protocol):
    """Makes a model call for a case, from any thread."""

    def __call__(self, ident: int, call: dict[str, Any], /) -> Future[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running endpoint and the variables by which clients find it."""

    port: int
    environment: Mapping[str, str]


def start_endpoint(submit: Submit, models: Mapping[str, str], token: str, running: Callable[[], list[int]]) -> Endpoint:
    """Serve from a thread of its own, until the process ends. `running` names the cases that run now."""
    server = _Server(submit, models, token, running)
    started: Future[int] = Future()
    threading.Thread(target=lambda: asyncio.run(server.serve(started)), daemon=True, name="openai").start()
    port = started.result()
    url = f"http://{_HOST}:{port}/v1"
    environment = {
        "OPENAI_BASE_URL": url,
        "OPENAI_API_BASE": url,
        "OPENAI_API_KEY": token,
        # LiteLLM would try for seconds to fetch its price list, and LangSmith to report.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LANGSMITH_TRACING": "false",
        "NO_PROXY": _HOST,
    }
    return Endpoint(port, environment)


class _Server:
    def __init__(self, submit: Submit, models: Mapping[str, str], token: str, running: Callable[[], list[int]]) -> None:
        self._submit = submit
        self._models = models
        self._token = token
        self._running = running
        self._numbers: Counter[int] = Counter()
        self._made = 0

    async def serve(self, started: Future[int]) -> None:
        app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[self._guard])
        for prefix in ("/v1", ""):
            app.router.add_post(f"{prefix}/chat/completions", self._chat)
            app.router.add_post(f"{prefix}/embeddings", self._embeddings)
            app.router.add_post(f"{prefix}/responses", self._responses)
            app.router.add_get(f"{prefix}/models", self._list_models)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, _HOST, 0, backlog=1024).start()
        started.set_result(int(runner.addresses[0][1]))
        await asyncio.Event().wait()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            refused = ApiError("use the key in OPENAI_API_KEY", status=401, code="invalid_api_key")
            return web.json_response(refused.body(), status=refused.status)
        try:
            return await handler(request)
        except ApiError as error:
            return web.json_response(error.body(), status=error.status)
        except PipelineError as error:
            refusal = openai_api.as_api_error(error)
            return web.json_response(refusal.body(), status=refusal.status)
        except web.HTTPException as error:
            unknown = ApiError(f"{request.method} {request.path}: {error.reason}", status=error.status, code="not_here")
            return web.json_response(unknown.body(), status=error.status)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        call = openai_api.read_chat(await _body(request), self._models)
        number, replies = await self._make(request, call)
        if not call.stream:
            return web.json_response(openai_api.chat_completion(number, call, replies))
        return await _streamed(request, openai_api.chat_chunks(number, call, replies))

    async def _embeddings(self, request: web.Request) -> web.Response:
        body = await _body(request)
        call = openai_api.read_embeddings(body, self._models)
        _, replies = await self._make(request, call)
        return web.json_response(openai_api.embedding_list(call, replies[0], body.get("encoding_format")))

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        call = openai_api.read_response(await _body(request), self._models)
        number, replies = await self._make(request, call)
        if call.stream:
            return await _streamed(request, openai_api.response_events(number, call, replies[0]))
        return web.json_response(openai_api.response(number, call, replies[0]))

    async def _list_models(self, _: web.Request) -> web.Response:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "fapo"} for name in self._models.values()]
        return web.json_response({"object": "list", "data": data})

    async def _make(self, request: web.Request, call: Call) -> tuple[int, list[dict[str, Any]]]:
        case = self._case_of(request)
        self._made += 1
        number = self._made
        name = request.headers.get(STEP_HEADER)
        if not name:
            self._numbers[case] += 1
            name = f"call_{self._numbers[case]}"
        futures = [self._submit(case, call.as_message(name)) for _ in range(call.n)]
        return number, [await asyncio.wrap_future(future) for future in futures]

    def _case_of(self, request: web.Request) -> int:
        named = request.headers.get(CASE_HEADER, "")
        if named.isdecimal():
            return int(named)
        running = self._running()
        if len(running) == 1:
            return running[0]
        raise ApiError(
            "which case this call belongs to cannot be seen: make it with httpx (as openai, litellm, LangChain and "
            "DSPy do), in a thread that the case has started"
        )


async def _streamed(request: web.Request, events: Iterable[str]) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await stream.prepare(request)
    for event in events:
        await stream.write(event.encode())
    return stream


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        raise ApiError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise ApiError("the body is not a JSON object")
    return body


def instrument(port: int) -> None:
    """Have httpx tell the endpoint on `port` which case and step a request belongs to, from any thread."""
    carry_context_into_threads()
    import httpx  # noqa: PLC0415  # brought along by the client that is in use

    send, send_async = httpx.Client.send, httpx.AsyncClient.send

    def mark(request: httpx.Request) -> None:
        case = current_case.get()
        if case is None or request.url.port != port or request.url.host != _HOST:
            return
        request.headers[CASE_HEADER] = str(case)
        if STEP_HEADER not in request.headers and (name := step_name()):
            request.headers[STEP_HEADER] = name

    @functools.wraps(send)
    def send_marked(client: httpx.Client, request: httpx.Request, *args: Any, **kwargs: Any) -> httpx.Response:
        mark(request)
        return send(client, request, *args, **kwargs)

    @functools.wraps(send_async)
    async def send_async_marked(
        client: httpx.AsyncClient, request: httpx.Request, *args: Any, **kwargs: Any
    ) -> httpx.Response:
        mark(request)
        return await send_async(client, request, *args, **kwargs)

    httpx.Client.send = send_marked  # type: ignore[method-assign, assignment]
    httpx.AsyncClient.send = send_async_marked  # type: ignore[method-assign, assignment]


def forget_client_caches() -> None:
    """Switch off the caches of clients that are loaded: they would answer other trials, unseen, from memory."""
    if dspy := sys.modules.get("dspy"):
        dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
