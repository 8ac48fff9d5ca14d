"""The LiteLLM seam against a real server: what goes over the wire, what comes back, and what each error means."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import replace
from typing import Any

import pytest
from litellm import exceptions as foreign

from fapo.errors import CredentialsError, PipelineError, ProviderError, UsageError
from fapo.llm import client
from fapo.llm.budget import Budget
from fapo.llm.client import LiteLLMClient
from fapo.llm.endpoints import Endpoint, plain_endpoint
from fapo.llm.gateway import Gateway, Patience
from fapo.llm.translate import MEANINGS, Retryable
from fapo.records import ModelReply
from tests.llm.fakes import ask
from tests.llm.faults import FINAL, RETRYABLE
from tests.llm.model_server import Answer, ModelServer, fails, hangs_up, model_server, never_answers, replies, says

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


def call(answer: Answer, request: Any = None, timeout_s: float = 30.0, **endpoint: Any) -> ModelReply:
    async def main() -> ModelReply:
        litellm = LiteLLMClient()
        async with model_server(answer) as server:
            try:
                return await litellm.call(request or ask(), server.endpoint(**endpoint), timeout_s)
            finally:
                await litellm.aclose()

    return asyncio.run(main())


def sent(request: Any, **endpoint: Any) -> ModelServer:
    async def main() -> ModelServer:
        litellm = LiteLLMClient()
        async with model_server(replies()) as server:
            await litellm.call(request, server.endpoint(**endpoint), 30.0)
            await litellm.aclose()
            return server

    return asyncio.run(main())


class TestReplies:
    def test_a_reply_carries_text_tokens_and_cost(self) -> None:
        reply = call(replies("hello"))
        assert (reply.text, reply.model, reply.finish_reason) == ("hello", "openai/m", "stop")
        assert (reply.input_tokens, reply.output_tokens) == (1000, 100)
        assert reply.cost_usd == pytest.approx(1000 * 0.15e-6 + 100 * 0.6e-6)
        assert reply.latency_s > 0.0

    def test_an_unknown_model_costs_an_unknown_sum(self) -> None:
        assert call(replies(model="nobody-knows-it"), model="openai/nobody-knows-it").cost_usd is None

    def test_a_free_endpoint_costs_nothing(self) -> None:
        assert call(replies(model="standin"), model="openai/standin", free=True).cost_usd == 0.0

    def test_without_reported_usage_tokens_and_cost_are_unknown(self) -> None:
        reply = call(replies(usage=None))
        assert (reply.input_tokens, reply.output_tokens, reply.cost_usd) == (None, None, None)

    def test_no_content_is_an_empty_text_that_keeps_its_reason(self) -> None:
        reply = call(replies(None, "length"))
        assert (reply.text, reply.finish_reason) == ("", "length")

    def test_no_choices_are_an_empty_text_without_a_reason(self) -> None:
        reply = call(replies(choices=[]))
        assert (reply.text, reply.finish_reason) == ("", None)

    def test_a_withheld_reply_says_so(self) -> None:
        assert call(replies("", "content_filter")).finish_reason == "content_filter"


class TestTheWire:
    def test_messages_parameters_and_key_arrive(self) -> None:
        request = replace(ask("hi"), params={"temperature": 0.5, "max_tokens": 7, "stop": ["x"]})
        server = sent(request)
        assert server.bodies[0] == {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.5,
            "max_tokens": 7,
            "stop": ["x"],
        }
        assert server.received[0].headers["authorization"] == "Bearer a-key"
        assert server.received[0].path == "/v1/chat/completions"

    def test_samples_are_told_apart_by_seed_on_free_endpoints_only(self) -> None:
        seeds = [
            sent(request, free=free).bodies[0].get("seed")
            for free in (True, False)
            for request in (ask(), ask(trial=1), ask(occurrence=1))
        ]
        first, second, third, *paid = seeds
        assert first is None
        assert len({second, third, None}) == 3
        assert paid == [None, None, None]

    def test_one_attempt_is_one_request(self) -> None:
        async def main() -> int:
            litellm = LiteLLMClient()
            async with model_server(fails(500)) as server:
                with pytest.raises(Retryable):
                    await litellm.call(ask(), server.endpoint(), 30.0)
                await litellm.aclose()
                return len(server.bodies)

        assert asyncio.run(main()) == 1

    def test_closing_in_the_middle_of_a_loop_leaves_it_usable(self) -> None:
        async def main() -> list[str]:
            texts, litellm = [], LiteLLMClient()
            async with model_server(replies("a"), replies("b")) as server:
                for _ in range(2):
                    texts.append((await litellm.call(ask(), server.endpoint(), 30.0)).text)
                    await litellm.aclose()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return texts

        assert asyncio.run(main()) == ["a", "b"]

    def test_one_gateway_after_another_works(self) -> None:
        assert [call(replies(text)).text for text in ("a", "b", "c")] == ["a", "b", "c"]


class TestErrors:
    @pytest.mark.parametrize("name", RETRYABLE)
    def test_what_passes_is_worth_a_retry(self, name: str) -> None:
        with pytest.raises(Retryable) as caught:
            call(RETRYABLE[name])
        assert not caught.value.rate_limited
        assert type(caught.value.error) is ProviderError

    @pytest.mark.parametrize("name", FINAL)
    def test_what_does_not_pass_is_attributed_to_its_owner(self, name: str) -> None:
        answer, kind, word = FINAL[name]
        with pytest.raises(kind) as caught:
            call(answer)
        assert type(caught.value) is kind
        assert getattr(caught.value, "kind", None) == word

    def test_a_rate_limit_says_how_long(self) -> None:
        with pytest.raises(Retryable) as caught:
            call(fails(429, "slow down", Retry_After="7"))
        assert caught.value.rate_limited
        assert caught.value.retry_after_s == 7.0

    def test_an_overload_may_say_how_long_too(self) -> None:
        with pytest.raises(Retryable) as caught:
            call(fails(503, Retry_After="3"))
        assert caught.value.retry_after_s == 3.0

    def test_no_reply_in_time_is_worth_a_retry(self) -> None:
        with pytest.raises(Retryable) as caught:
            call(never_answers, timeout_s=0.2)
        assert "0.2" in str(caught.value.error)

    def test_nobody_listening_is_worth_a_retry(self) -> None:
        async def main() -> None:
            litellm = LiteLLMClient()
            try:
                await litellm.call(ask(), Endpoint("openai/x", "http://127.0.0.1:9/v1", "k", "x"), 30.0)
            finally:
                await litellm.aclose()

        with pytest.raises(Retryable):
            asyncio.run(main())

    def test_a_refused_key_names_the_variable(self) -> None:
        with pytest.raises(CredentialsError, match="OPENAI_API_KEY"):
            call(fails(401))

    def test_a_message_is_one_short_line_without_secrets(self) -> None:
        long = "first line\nsecond line, Bearer sk-12345 and https://host/?key=sk-67890&x " + "x" * 1000
        with pytest.raises(PipelineError) as caught:
            call(fails(400, long))
        text = str(caught.value)
        assert text.startswith("openai/m: first line second line")
        assert "sk-" not in text
        assert "litellm" not in text
        assert len(text) < 400

    def test_every_exception_class_of_litellm_has_a_meaning(self) -> None:
        theirs = {
            name
            for name, found in vars(foreign).items()
            if inspect.isclass(found) and issubclass(found, Exception) and found.__module__.startswith("litellm")
        }
        assert theirs | {"OpenAIError"} == set(MEANINGS)


class TestModelStrings:
    def test_a_known_model_with_a_key_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "x")
        client.check_model("openai/gpt-4.1-mini")
        client.check_model("gpt-4.1-mini")

    @pytest.mark.parametrize("model", ["nobody/knows-it", "gpt-99", "", "hello world"])
    def test_a_string_without_a_provider_is_refused(self, model: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(UsageError, match=f"unknown model `{model}`: write provider/model"):
            client.check_model(model)
        assert capsys.readouterr() == ("", "")

    def test_a_provider_without_a_model_is_refused(self) -> None:
        with pytest.raises(UsageError, match="names a provider but no model"):
            client.check_model("openai/")

    @pytest.mark.parametrize(
        ("model", "key"), [("openai/gpt-4o", "OPENAI_API_KEY"), ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
                           ("gemini/gemini-2.5-flash", "GEMINI_API_KEY")],
    )  # fmt: skip
    def test_a_missing_key_is_named(self, model: str, key: str) -> None:
        with pytest.raises(CredentialsError, match=key):
            client.check_model(model)

    @pytest.mark.parametrize("model", ["bedrock/anthropic.claude-3-haiku-20240307-v1:0", "vertex_ai/gemini-2.5-pro",
                                       "ollama/llama3", "hosted_vllm/anything"])  # fmt: skip
    def test_where_keys_are_not_needed_or_come_from_elsewhere_none_is_asked_for(self, model: str) -> None:
        client.check_model(model)


class TestPrices:
    @pytest.mark.parametrize("model", ["openai/gpt-4.1-mini", "gpt-4o", "anthropic/claude-sonnet-4-5"])
    def test_listed_models_have_a_price(self, model: str) -> None:
        assert client.known_price(model)

    @pytest.mark.parametrize("model", ["openai/nobody-knows-it", "gpt-9", "claude-opus-9", "nobody/x", ""])
    def test_all_others_have_none_rather_than_zero(self, model: str) -> None:
        assert not client.known_price(model)
        assert client.estimate_cost(ask(), plain_endpoint(model)) is None

    def test_an_estimate_is_near_the_bill(self) -> None:
        request = replace(ask("word " * 800), params={"max_tokens": 100})
        estimate = client.estimate_cost(request, plain_endpoint("openai/gpt-4o-mini"))
        assert estimate == pytest.approx(1000 * 0.15e-6 + 100 * 0.6e-6, rel=0.1)


class TestThroughTheGateway:
    def test_a_call_that_is_dropped_leaves_nothing_open(self) -> None:
        async def main() -> list[BaseException | ModelReply]:
            async with model_server(never_answers) as server:
                patience = Patience(farewell_s=0.01)
                gateway = Gateway(
                    cache=None, budget=Budget(), endpoints={"openai/m": server.endpoint()}, patience=patience
                )
                tasks = [asyncio.create_task(gateway.complete(ask(str(n)))) for n in range(5)]
                for _ in tasks:
                    await server.arrived.acquire()
                await gateway.aclose()
                return await asyncio.gather(*tasks, return_exceptions=True)

        assert [type(outcome) for outcome in asyncio.run(main())] == [asyncio.CancelledError] * 5

    def test_it_recovers_from_limits_and_outages(self) -> None:
        async def main() -> tuple[ModelReply, int]:
            answers = [fails(429, Retry_After="0.01"), fails(500), hangs_up, says("{"), replies("at last")]
            async with model_server(*answers) as server:
                gateway = Gateway(
                    cache=None,
                    budget=Budget(usd=1.0),
                    endpoints={"openai/m": server.endpoint()},
                    patience=Patience(first_wait_s=0.001, chance=lambda: 0.0),
                    loopback_only=True,
                )
                reply = await gateway.complete(ask())
                await gateway.aclose()
                return reply, len(server.bodies)

        reply, requests = asyncio.run(main())
        assert (reply.text, requests) == ("at last", 5)
        assert reply.held_s > 0.0

    def test_many_calls_at_once_are_all_answered_and_charged(self) -> None:
        async def main() -> tuple[int, float | None]:
            async with model_server(replies()) as server:
                gateway = Gateway(cache=None, budget=Budget(usd=1.0), endpoints={"openai/m": server.endpoint()})
                await asyncio.gather(*(gateway.complete(ask(str(n))) for n in range(100)))
                await gateway.aclose()
                return len(server.bodies), gateway.usage("task").cost_usd

        calls, cost = asyncio.run(main())
        assert calls == 100
        assert cost == pytest.approx(100 * (1000 * 0.15e-6 + 100 * 0.6e-6))
