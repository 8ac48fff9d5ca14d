"""The LiteLLM seam: its only importer.

A call takes one of two ways. The ordinary one is `litellm.acompletion`. The short one posts the request that LiteLLM
would send, from a template learned on two calls of the ordinary kind (`wire.py`), and costs a tenth of the CPU.
Whatever it cannot be sure of (content other than text, tools, a status that needs LiteLLM's knowledge) goes the
ordinary way. Of LiteLLM it uses the arguments `shared_session` and `client`, `get_ssl_configuration`, and the
providers' `transform_response`; tests/llm/test_short_way.py holds that both ways agree.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import logging
import os
import time
import urllib.request
import warnings
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import aiohttp
from yarl import URL

from fapo.errors import CredentialsError, FapoError, PipelineError, ProviderError, UsageError
from fapo.llm.endpoints import Endpoint
from fapo.llm.prices import ModelPrice
from fapo.llm.requests import plain_texts, sample_seed
from fapo.llm.shapes import Lesson, Shapes
from fapo.llm.translate import Retryable, plain_text, translate, translate_answer
from fapo.llm.wire import RequestTemplate
from fapo.records import ModelReply, ModelRequest, Usage

# These may find credentials in places other than variables: a metadata service, a login, a profile.
_AMBIENT = frozenset({"azure", "azure_ai", "bedrock", "bedrock_converse", "sagemaker", "sagemaker_chat", "vertex_ai"})
# They report costs of their own in headers, which only LiteLLM reads.
_ORDINARY_ONLY = frozenset({"litellm_proxy", "openrouter"})
# They take the shared session inside a client of LiteLLM's only.
_WANT_A_CLIENT = frozenset({"anthropic", "gemini"})
_ASSUMED_OUTPUT_TOKENS = 1000
_LESSON_S = 1.0
_STANDARD_REASONS = frozenset({"stop", "length", "content_filter"})
_RETRIED = frozenset({408, 409, 425, 429})
_sent: ContextVar[Lesson | None] = ContextVar("sent", default=None)


@functools.cache
def _litellm() -> Any:
    """LiteLLM, imported when the first call needs it: that takes seconds."""
    # Without these it fetches its price list from the network, and reads keys from whatever .env it finds.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    # Its millions of objects live as long as the process. A garbage collector that walks them makes the import take
    # half as long again, and later on halts every call.
    gc.disable()
    with warnings.catch_warnings():
        # Pydantic remarks on LiteLLM's own types when they are first used, which is of no use to anybody here.
        warnings.simplefilter("ignore")
        import litellm  # noqa: PLC0415

        litellm.ModelResponse()
    # It does so again for every provider whose module is imported later.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydantic\._internal\.")
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
    gc.enable()
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.drop_params = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


def load() -> None:
    """Import LiteLLM now: from another thread, while there is something else to do."""
    _litellm()


class LiteLLMClient:
    """Makes single attempts. One event loop at a time; `aclose` before it ends.

    `short_calls` counts the requests that went the short way.
    """

    def __init__(self, *, short_way: bool = True) -> None:
        self.short_calls = 0
        self._short_way = short_way
        self._session: aiohttp.ClientSession | None = None
        self._watched: aiohttp.ClientSession | None = None
        self._wrapped: Any = None
        self._shapes = Shapes()

    async def call(self, request: ModelRequest, endpoint: Endpoint, timeout_s: float) -> ModelReply:
        """One attempt. Raises Retryable, or what no retry mends: CredentialsError, ProviderError, PipelineError."""
        seed = sample_seed(request) if endpoint.free else None
        params = request.params if seed is None else {**request.params, "seed": seed}
        if request.texts:
            return await self._embed(request, endpoint, timeout_s)
        texts = plain_texts(request) if self._short_way and _has_short_way(endpoint.model) else None
        if texts is None:
            return await self._ordinary(request, endpoint, params, timeout_s, None)
        shape = self._shapes.of(endpoint, request, params)
        lesson = await shape.template_or_lesson(texts, _LESSON_S)
        if isinstance(lesson, RequestTemplate):
            try:
                reply = await self._short(lesson, texts, request, endpoint, timeout_s)
            except _Unreadable as error:
                shape.give_up()
                raise _unusable(request.model, str(error), endpoint) from None
            if reply is not None:
                shape.failures = 0
                return reply
            reply = await self._ordinary(request, endpoint, params, timeout_s, None)
            # LiteLLM got an answer where the template got none: a token has expired, or it mends what is refused.
            shape.forget(lesson)
            return reply
        return await self._watch(request, endpoint, params, timeout_s, lesson)

    # -- the ordinary way

    async def _watch(
        self, request: ModelRequest, endpoint: Endpoint, params: dict[str, Any], timeout_s: float, lesson: Lesson | None
    ) -> ModelReply:
        answered = False
        try:
            reply = await self._ordinary(request, endpoint, params, timeout_s, lesson)
            answered = True
            return reply
        finally:
            if lesson is not None:
                lesson.end(answered=answered)

    async def _ordinary(
        self, request: ModelRequest, endpoint: Endpoint, params: dict[str, Any], timeout_s: float, lesson: Lesson | None
    ) -> ModelReply:
        litellm = _litellm()
        started = time.monotonic()
        _sent.set(lesson)
        try:
            async with asyncio.timeout(timeout_s):
                response = await litellm.acompletion(
                    model=endpoint.model, messages=list(request.messages), api_base=endpoint.api_base,
                    api_key=endpoint.api_key, timeout=timeout_s, num_retries=0, **self._transport(endpoint), **params,
                )  # fmt: skip
        # LiteLLM raises its own classes, its providers' and plain Python ones: whatever comes out of it is sorted here.
        except Exception as error:  # noqa: BLE001
            if isinstance(error, TimeoutError):
                error = TimeoutError(f"no reply within {timeout_s:g} s")
            raise translate(error, request.model, _key_name(endpoint)) from None
        finally:
            _sent.set(None)
        if response is None:
            # What is left of the second HTTP 422 in a row; LiteLLM repeats the first without the refused parameters.
            text = f"{request.model}: the endpoint cannot process the request (HTTP 422)"
            raise PipelineError(text, kind="bad_request")
        return _reply(response, request, endpoint, time.monotonic() - started)

    def _transport(self, endpoint: Endpoint) -> dict[str, Any]:
        """The arguments by which LiteLLM uses a session that tells what it sends."""
        if self._watched is None:
            self._open()
        if provider_of(endpoint.model) not in _WANT_A_CLIENT:
            return {"shared_session": self._watched}
        if self._wrapped is None:
            self._wrapped = _http_module().AsyncHTTPHandler(shared_session=self._watched)
        return {"client": self._wrapped}

    def _open(self) -> None:
        configured = _http_module().get_ssl_configuration()
        connector = aiohttp.TCPConnector(
            limit=0, ttl_dns_cache=300, keepalive_timeout=60.0, ssl=True if configured is None else configured
        )
        # Cookies would tie unrelated calls together; LiteLLM keeps none either.
        jar = aiohttp.DummyCookieJar()
        watch = aiohttp.TraceConfig()
        watch.on_request_start.append(_note_request)
        watch.on_request_chunk_sent.append(_note_body)
        self._watched = aiohttp.ClientSession(connector=connector, cookie_jar=jar, trace_configs=[watch])
        self._session = aiohttp.ClientSession(connector=connector, connector_owner=False, cookie_jar=jar)

    async def _embed(self, request: ModelRequest, endpoint: Endpoint, timeout_s: float) -> ModelReply:
        litellm = _litellm()
        started = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                response = await litellm.aembedding(
                    model=endpoint.model, input=list(request.texts), api_base=endpoint.api_base,
                    api_key=endpoint.api_key, timeout=timeout_s, num_retries=0, **request.params,
                )  # fmt: skip
            vectors = tuple(tuple(float(x) for x in item["embedding"]) for item in response.data)
        except Exception as error:  # noqa: BLE001  # as above
            raise translate(error, request.model, _key_name(endpoint)) from None
        tokens = getattr(response.usage, "prompt_tokens", None) or None
        cost = 0.0 if endpoint.free else _response_cost(response, endpoint.model) if tokens else None
        latency_s = time.monotonic() - started
        return ModelReply("", request.model, None, tokens, 0, cost, latency_s, embeddings=vectors)

    # -- the short way

    async def _short(
        self, template: RequestTemplate, texts: tuple[str, ...], request: ModelRequest, endpoint: Endpoint,
        timeout_s: float,
    ) -> ModelReply | None:  # fmt: skip
        """Post what LiteLLM would; None for an answer that it has to say the meaning of."""
        assert self._session is not None
        self.short_calls += 1
        started = time.monotonic()
        try:
            async with self._session.post(
                template.url, data=template.fill(texts), headers=template.headers, allow_redirects=False,
                timeout=_timeout(timeout_s), proxy=_proxy(template.url),
            ) as response:  # fmt: skip
                payload = await response.read()
        except TimeoutError:
            raise Retryable(ProviderError(f"{request.model}: no reply within {timeout_s:g} s")) from None
        except aiohttp.ClientError as error:
            raise Retryable(ProviderError(f"{request.model}: {plain_text(error)}")) from None
        latency_s = time.monotonic() - started
        if response.status == 200:
            return _read(payload, response, request, endpoint, latency_s)
        if response.status in _RETRIED or response.status >= 500:
            raise _refused(response.status, payload, response.headers, request.model, endpoint)
        return None

    async def aclose(self) -> None:
        """Close what LiteLLM and this client keep open in this event loop."""
        self._shapes = Shapes()
        for session in (self._session, self._watched):
            if session is not None:
                await session.close()
        self._session = self._watched = self._wrapped = None
        if not _litellm.cache_info().currsize:
            return
        litellm = _litellm()
        await litellm.close_litellm_async_clients()
        # A closed client would otherwise be handed out again.
        litellm.in_memory_llm_clients_cache.flush_cache()
        await litellm.litellm_core_utils.logging_worker.GLOBAL_LOGGING_WORKER.stop()

    def provider(self, endpoint: Endpoint) -> str:
        """Whose limits a call counts against: an address of its own, or LiteLLM's name for the provider."""
        return endpoint.api_base or provider_of(endpoint.model) or endpoint.model

    def known_price(self, model: str) -> bool:
        return known_price(model)

    def estimate_cost(self, request: ModelRequest, endpoint: Endpoint) -> float | None:
        return estimate_cost(request, endpoint)


@functools.cache
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


@functools.cache
def _proxy(url: URL) -> str | None:
    """The proxy that the environment names for an address, found as LiteLLM finds it."""
    if urllib.request.proxy_bypass(url.host or ""):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


async def _note_request(_: aiohttp.ClientSession, __: Any, sent: aiohttp.TraceRequestStartParams) -> None:
    if (lesson := _sent.get()) is not None:
        lesson.begin(str(sent.url), dict(sent.headers))


async def _note_body(_: aiohttp.ClientSession, __: Any, sent: aiohttp.TraceRequestChunkSentParams) -> None:
    if (lesson := _sent.get()) is not None:
        lesson.take(sent.chunk)


def _http_module() -> Any:
    return _litellm().llms.custom_httpx.http_handler


@functools.cache
def provider_of(model: str) -> str | None:
    """LiteLLM's name for the provider of a model string; None for an unknown one."""
    try:
        return str(_litellm().get_llm_provider(model)[1])
    except Exception:  # noqa: BLE001  # any of its many classes says that the string has no provider
        return None


@functools.cache
def _has_short_way(model: str) -> bool:
    """Whether replies of this model can be read without LiteLLM's own call."""
    provider = provider_of(model)
    return provider is not None and provider not in _ORDINARY_ONLY and _config(model) is not None


@functools.cache
def _config(model: str) -> Any:
    """LiteLLM's knowledge of how a provider's chat replies are to be read; None where it has none."""
    litellm = _litellm()
    name, provider, _, _ = litellm.get_llm_provider(model)
    try:
        kind = litellm.LlmProviders(provider)
    except ValueError:
        return None
    return litellm.utils.ProviderConfigManager.get_provider_chat_config(model=name, provider=kind)


class _Unreadable(Exception):
    """A reply that the provider's parser fails on outside of LiteLLM's own call."""


class _Unheard:
    """Takes the place of LiteLLM's log of a call."""

    def __init__(self) -> None:
        self.optional_params: dict[str, Any] = {}
        self.model_call_details: dict[str, Any] = {}

    def post_call(self, *_: Any, **__: Any) -> None: ...


def _read(
    payload: bytes, response: aiohttp.ClientResponse, request: ModelRequest, endpoint: Endpoint, latency_s: float
) -> ModelReply:
    """The reply in an HTTP 200. Raises Retryable for what is none: it was sent, so it may have been charged.

    Raises _Unreadable for what LiteLLM's own call might read.
    """
    try:
        body = json.loads(payload)
    except ValueError:
        raise _unusable(request.model, "the reply is not JSON", endpoint) from None
    if not isinstance(body, dict):
        raise _unusable(request.model, "the reply is not a JSON object", endpoint)
    if body.get("error"):
        raise _refused(200, payload, response.headers, request.model, endpoint)
    if (plain := _plain_reply(body, request, endpoint, latency_s)) is not None:
        return plain
    try:
        return _reply(_parse(payload, endpoint.model), request, endpoint, latency_s)
    # Whatever LiteLLM's parsers raise says the same: this is no reply, or none that they can read from here.
    except Exception as error:  # noqa: BLE001
        raise _Unreadable(f"the reply cannot be read ({plain_text(error)})") from None


def _plain_reply(
    body: dict[str, Any], request: ModelRequest, endpoint: Endpoint, latency_s: float
) -> ModelReply | None:
    """An ordinary text reply in OpenAI's format, which most providers speak; None for anything else."""
    try:
        (choice,) = body["choices"]
        text, reason = choice["message"]["content"], choice["finish_reason"]
        usage = body.get("usage") or {}
        tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    tier = body.get("service_tier")
    plain = isinstance(text, str) and "think" not in text and not choice["message"].get("tool_calls")
    plain = plain and (tier is None or isinstance(tier, str))
    if not plain or reason not in _STANDARD_REASONS or not all(isinstance(count, int) for count in tokens):
        return None
    known = bool(tokens[0])
    cost = 0.0 if endpoint.free else _price(endpoint.model, tier).cost(usage) if known else None
    return ModelReply(
        text, request.model, reason, tokens[0] if known else None, tokens[1] if known else None, cost, latency_s
    )


def _parse(payload: bytes, model: str) -> Any:
    """The reply as LiteLLM's response object. Raises whatever its parsers raise."""
    import httpx  # noqa: PLC0415  # what LiteLLM's parsers take; it comes with LiteLLM

    litellm = _litellm()
    raw = httpx.Response(200, content=payload, headers={"content-type": "application/json"})
    return _config(model).transform_response(
        model=litellm.get_llm_provider(model)[0], raw_response=raw, model_response=litellm.ModelResponse(),
        logging_obj=_Unheard(), request_data={}, messages=[], optional_params={}, litellm_params={}, encoding=None,
        api_key=None, json_mode=False,
    )  # fmt: skip


def _unusable(model: str, why: str, endpoint: Endpoint) -> Retryable:
    charged = Usage() if endpoint.free else Usage(input_tokens=None, output_tokens=None, cost_usd=None)
    return Retryable(ProviderError(f"{model}: {why}"), charged=charged)


def _refused(
    status: int, payload: bytes, headers: Mapping[str, str], model: str, endpoint: Endpoint
) -> FapoError | Retryable:
    """What an answer means that is no reply: a limit, an outage, or what its error code says."""
    try:
        error = json.loads(payload).get("error")
    except (ValueError, AttributeError):
        error = None
    return translate_answer(status, error, model, _key_name(endpoint), headers)


def _reply(response: Any, request: ModelRequest, endpoint: Endpoint, latency_s: float) -> ModelReply:
    choice = response.choices[0] if response.choices else None
    usage: Any = getattr(response, "usage", None)
    # LiteLLM fills in zeros where the provider reports nothing; no prompt has zero tokens.
    known = bool(usage and usage.prompt_tokens)
    calls = (choice.message.tool_calls or ()) if choice else ()
    return ModelReply(
        text=(choice.message.content or "") if choice else "",
        model=request.model,
        finish_reason=choice.finish_reason if choice else None,
        input_tokens=usage.prompt_tokens if known else None,
        output_tokens=usage.completion_tokens if known else None,
        cost_usd=0.0 if endpoint.free else _response_cost(response, endpoint.model) if known else None,
        latency_s=latency_s,
        tool_calls=tuple(call.model_dump(exclude_none=True) for call in calls),
    )


def _response_cost(response: Any, model: str) -> float | None:
    """Dollars, cached and long prompts included; None where the price is unknown."""
    if not known_price(model):
        return None
    # Some providers name the model as its maker does; LiteLLM would then take the maker's price.
    response.model = model
    response._hidden_params.pop("provider_response_model", None)
    try:
        return float(_litellm().completion_cost(completion_response=response, model=model))
    # It raises bare exceptions; a reply that was paid for is not lost over its price.
    except Exception:  # noqa: BLE001
        return None


@functools.cache
def _price(model: str, tier: str | None) -> ModelPrice:
    """The price of a model in the service tier that its replies name."""
    litellm = _litellm()

    def full_cost(usage: Mapping[str, Any]) -> float | None:
        return _response_cost(litellm.ModelResponse(usage=litellm.Usage(**usage), service_tier=tier), model)

    return ModelPrice(full_cost, steady="off_peak_pricing" not in _listed(model))


def known_price(model: str) -> bool:
    """Whether LiteLLM's price list has this model. It answers 0 for models that it merely guesses at."""
    return _listed_rates(model) is not None


@functools.cache
def _listed_rates(model: str) -> tuple[float, float] | None:
    """Dollars for a token in and a token out, as the list has them."""
    entry = _listed(model)
    if not entry.keys() >= {"input_cost_per_token", "output_cost_per_token"}:
        return None
    return float(entry["input_cost_per_token"]), float(entry["output_cost_per_token"])


def token_cost(model: str, input_tokens: int, cached_tokens: int, output_tokens: int) -> float | None:
    """Dollars for one reply by LiteLLM's price list; None where it lacks the model. Cached tokens are input tokens."""
    if not known_price(model):
        return None
    costs = _litellm().cost_per_token(
        model=model,
        prompt_tokens=input_tokens,
        completion_tokens=output_tokens,
        cache_read_input_tokens=cached_tokens,
    )
    return float(sum(costs))


def _listed(model: str) -> dict[str, Any]:
    """A model's entry in LiteLLM's price list; an empty one for a model that is not on it."""
    litellm = _litellm()
    try:
        return dict(litellm.model_cost.get(litellm.get_model_info(model)["key"], {}))
    except Exception:  # noqa: BLE001  # bare exceptions again: all say that the model is not on the list
        return {}


def estimate_cost(request: ModelRequest, endpoint: Endpoint) -> float | None:
    """About what a call will cost, before any such call was made; None where the price is unknown."""
    rates = (0.0, 0.0) if endpoint.free else _listed_rates(endpoint.model)
    if rates is None:
        return None
    asked = request.params.get("max_completion_tokens") or request.params.get("max_tokens")
    output = 0 if request.texts else asked if isinstance(asked, int) else _ASSUMED_OUTPUT_TOKENS
    letters = sum(map(len, request.texts)) + sum(_letters(message.get("content")) for message in request.messages)
    return letters / 4 * rates[0] + output * rates[1]


def _letters(content: Any) -> int:
    return len(content) if isinstance(content, str) else len(json.dumps(content))


def check_model(model: str) -> None:
    """Raise UsageError for a model string that LiteLLM cannot place, CredentialsError where its key is missing."""
    litellm = _litellm()
    try:
        name, provider, _, _ = litellm.get_llm_provider(model)
    except Exception:  # noqa: BLE001  # any of its many classes says that the string has no provider
        raise UsageError(
            f"unknown model `{model}`: write provider/model, for example openai/gpt-4.1-mini, as LiteLLM names them"
        ) from None
    if not name:
        raise UsageError(f"the model string `{model}` names a provider but no model")
    missing = litellm.validate_environment(model)["missing_keys"]
    keys = [key for key in missing if key.endswith(("KEY", "TOKEN"))]
    if keys and provider not in _AMBIENT:
        raise CredentialsError(f"no key for {model}: set {' or '.join(keys)}")


def _key_name(endpoint: Endpoint) -> str:
    """The variable that usually holds the key of the model's provider."""
    provider = provider_of(endpoint.model)
    return (
        "its key" if provider is None else "its credentials" if provider in _AMBIENT else f"{provider.upper()}_API_KEY"
    )
