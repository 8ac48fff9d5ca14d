"""The short way of LiteLLMClient sends what LiteLLM would send, and reads the answers as LiteLLM reads them."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from fapo.errors import ProviderError
from fapo.llm.client import LiteLLMClient
from fapo.llm.endpoints import Endpoint
from fapo.llm.translate import Retryable
from fapo.records import ModelReply, Usage
from tests.llm.faults import FINAL, RETRYABLE
from tests.llm.model_server import (
    Answer,
    anthropic_replies,
    bedrock_replies,
    cohere_replies,
    echoes,
    fails,
    gemini_replies,
    hangs_up,
    json_body,
    model_server,
    never_answers,
    ollama_replies,
    replies,
    says,
)
from tests.llm.two_ways import Refusal, Walk, agreed, both, chat, lessons, walk

# Pydantic remarks on types of LiteLLM's when it first imports a provider's module; see fapo/llm/client.py.
pytestmark = pytest.mark.filterwarnings(r"ignore::UserWarning:pydantic\._internal")

LEARNED: dict[str, Answer] = {
    "openai/gpt-4.1-mini": replies(model="gpt-4.1-mini-2025-04-14"),
    "openai/gpt-5-mini": replies(model="gpt-5-mini-2025-08-07"),
    "openai/o3-mini": replies(model="o3-mini-2025-01-31"),
    "anthropic/claude-sonnet-4-5": anthropic_replies(),
    "gemini/gemini-2.5-flash": gemini_replies(),
    "mistral/mistral-small-latest": replies(model="mistral-small-latest"),
    "groq/llama-3.3-70b-versatile": replies(model="llama-3.3-70b-versatile", service_tier="on_demand"),
    "deepseek/deepseek-chat": replies(model="deepseek-chat"),
    "xai/grok-4": replies(model="grok-4-0709"),
    "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo": replies(model="meta-llama/Llama-3.3-70B-Instruct-Turbo"),
    "hosted_vllm/served": replies(model="served"),
    "fireworks_ai/accounts/fireworks/models/gpt-oss-20b": replies(model="accounts/fireworks/models/gpt-oss-20b"),
    "perplexity/sonar": replies(model="sonar"),
    "cerebras/llama3.1-8b": replies(model="llama3.1-8b"),
    "nvidia_nim/meta/llama3-70b-instruct": replies(model="meta/llama3-70b-instruct"),
    "sambanova/Meta-Llama-3.1-8B-Instruct": replies(model="Meta-Llama-3.1-8B-Instruct"),
    "lm_studio/served": replies(model="served"),
    "llamafile/served": replies(model="served"),
    "moonshot/kimi-k2-0711-preview": replies(model="kimi-k2-0711-preview"),
    "dashscope/qwen-max": replies(model="qwen-max"),
    "zai/glm-4.6": replies(model="glm-4.6"),
    "minimax/MiniMax-M2": replies(model="MiniMax-M2"),
    "volcengine/doubao-pro": replies(model="doubao-pro"),
    "github/gpt-4o": replies(model="gpt-4o-2024-11-20"),
    "nebius/Qwen/Qwen3-14B": replies(model="Qwen/Qwen3-14B"),
    "novita/deepseek/deepseek-r1": replies(model="deepseek/deepseek-r1"),
    "deepinfra/Qwen/Qwen3-14B": replies(model="Qwen/Qwen3-14B"),
    "hyperbolic/Qwen/Qwen3-14B": replies(model="Qwen/Qwen3-14B"),
    "ai21/jamba-large": replies(model="jamba-large"),
    "vercel_ai_gateway/openai/gpt-4o": replies(model="openai/gpt-4o"),
    "cohere/command-a-03-2025": cohere_replies(),
    "ollama_chat/llama3": ollama_replies(),
    "azure_ai/served": replies(model="served"),
}

# Signed, sent by another library, priced by headers that only LiteLLM reads, or with the texts rendered into a prompt.
ORDINARY: dict[str, Answer] = {
    "azure/gpt-4o": replies(model="gpt-4o-2024-11-20"),
    "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0": bedrock_replies(),
    "litellm_proxy/served": replies(model="served"),
    "openrouter/openai/gpt-4o": replies(model="openai/gpt-4o"),
    "ollama/llama3": ollama_replies(),
}

REPLY = {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
         "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
         "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}}  # fmt: skip

ODD_TEXTS = {
    "empty JSON": "{}",
    "JSON": '{"role": "user", "content": "\\"x\\"", "n": [1, null]}',
    "a template's marks": "{text 0 of 2 of a template} {text 1 of 2 of a template}",
    "other templates' marks": "{{x}} {0} %s ${y} \\1 \\g<1>",
    "unicode": "Grüße, 你好, 🙂, \u2028, \ufeff, \x00, \x7f",
    "quotes and lines": "\"'`\\ \t two\nlines\r\nand \\n",
    "a role": "user",
    "a URL": "data:image/png;base64,AAAA",
    "thoughts": "<think>so</think>",
    "an instruction": "<s>[INST] go [/INST]",
    "a long text": "word ünd word " * 7_000,
    "blanks around": "  \n lead and trail \n ",
    "blank": " \n\t",
    "empty": "",
}


class TestRequests:
    @pytest.mark.parametrize("model", LEARNED)
    def test_what_is_sent_and_what_is_read_is_the_same_for_every_provider(self, model: str) -> None:
        plain: dict[str, Any] = {"temperature": 0.5, "max_tokens": 77}
        others = [chat("Be brief!", text, **plain) for text in ('{"a": [1]}', "Grüße 🙂 \"'\\", "long " * 20_000)]
        short = agreed([*lessons(**plain), *others], LEARNED[model], model=model)
        assert short.short_calls == 3
        assert short.reply.text == "hello"
        assert (short.reply.input_tokens, short.reply.output_tokens) == (1000, 100)

    @pytest.mark.parametrize("model", ORDINARY)
    def test_what_no_template_can_say_is_left_to_litellm(self, model: str) -> None:
        short = agreed([*lessons(), *lessons()], ORDINARY[model], model=model)
        assert short.short_calls == 0
        assert short.reply.text == "hello"

    @pytest.mark.parametrize("model", ["openai/gpt-4.1-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash",
                                       "mistral/mistral-small-latest", "cohere/command-a-03-2025"])  # fmt: skip
    @pytest.mark.parametrize(
        "roles", [("user",), ("system", "user"), ("system", "user", "assistant", "user"), ("user", "assistant"),
                  ("user", "user"), ("developer", "user"), ("system", "user", "system"), ("assistant", "user")],
        ids=" ".join,
    )  # fmt: skip
    def test_texts_arrive_as_they_are_in_every_role(self, model: str, roles: tuple[str, ...]) -> None:
        plain = [chat(*(f"part {i} of request {n}" for i in range(len(roles))), roles=roles) for n in range(2)]
        odd = []
        for number, text in enumerate(ODD_TEXTS.values()):
            texts = [f"part {i} of odd request {number}" for i in range(len(roles))]
            texts[number % len(roles)] = text
            texts[-1] = text if number % 2 else texts[-1]
            odd.append(chat(*texts, roles=roles))
        equal = chat(*["the same"] * len(roles), roles=roles)
        assert agreed([*plain, *odd, equal], LEARNED[model], model=model).short_calls >= len(ODD_TEXTS) - 3

    @pytest.mark.parametrize("model", ["openai/gpt-4.1-mini", "openai/gpt-5-mini", "openai/o3-mini",
                                       "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash", "xai/grok-4",
                                       "deepseek/deepseek-chat", "mistral/mistral-small-latest"])  # fmt: skip
    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"temperature": 1, "max_tokens": 5},
            {"temperature": 0.0, "top_p": 0.5, "stop": ["a", "b"]},
            {"max_completion_tokens": 4000, "seed": 7},
            {"presence_penalty": 0.5, "frequency_penalty": -0.5, "stop": "x"},
            {"reasoning_effort": "low"},
            {"response_format": {"type": "json_object"}},
            {"response_format": {"type": "json_schema", "json_schema": {
                "name": "answer", "strict": True, "schema": {
                    "type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"],
                    "additionalProperties": False}}}},
        ],
        ids=lambda params: "+".join(params) or "none",
    )  # fmt: skip
    def test_parameters_are_mapped_as_litellm_maps_them(self, model: str, params: dict[str, Any]) -> None:
        agreed([*lessons(**params), *lessons(**params)], LEARNED[model], model=model)

    def test_requests_that_differ_in_parameters_or_roles_are_learned_apart(self) -> None:
        hot, cold = lessons(temperature=1.0), lessons(temperature=0.0)
        turned = [chat("a", "b", roles=("user", "assistant")), chat("c", "d", roles=("user", "assistant"))]
        short = agreed([hot[0], cold[0], turned[0], hot[1], cold[1], turned[1], *hot, *cold, *turned], echoes)
        assert short.short_calls == 6

    @pytest.mark.parametrize("name", ODD_TEXTS)
    def test_a_template_learned_from_odd_texts_fits_plain_ones(self, name: str) -> None:
        odd = [chat("Be brief.", ODD_TEXTS[name]), chat("Be kind.", ODD_TEXTS[name])]
        agreed([*odd, *lessons(), *lessons()], echoes)

    def test_tools_and_images_go_the_ordinary_way(self) -> None:
        function = {"name": "look", "parameters": {"type": "object", "properties": {}}}
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        picture = replace(chat("x", roles=("user",)), messages=({"role": "user", "content": [image]},))
        named = replace(picture, messages=({"role": "user", "content": "x", "name": "me"},))
        tools = chat("Be brief.", "Look.", tools=[{"type": "function", "function": function}])
        assert agreed([picture, named, tools] * 4, replies()).short_calls == 0

    def test_a_parameter_that_differs_in_every_call_keeps_to_the_ordinary_way(self) -> None:
        requests = [chat("Be brief.", f"Question {seed}", seed=seed) for seed in range(6)]
        assert agreed(requests, echoes).short_calls == 0


def third(answer: Answer, model: str = "openai/gpt-4o-mini", short_calls: int = 1) -> Walk:
    """Three calls of one shape: the third is on the short way, and gets this answer."""
    usual = LEARNED.get(model, replies())
    walked = agreed([*lessons(), *lessons()[:1]], usual, usual, answer, model=model)
    assert walked.short_calls == short_calls
    return walked


def message(content: Any = "hello", **parts: Any) -> list[dict[str, Any]]:
    """The choices of a reply in OpenAI's format."""
    return [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content, **parts}}]


def usage(**parts: Any) -> dict[str, Any]:
    return {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, **parts}


CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}

OPENAI: dict[str, Answer] = {
    "plain": replies(),
    "an empty text": replies(""),
    "no content": replies(None),
    "text of blanks": replies("  \n hello \n "),
    "a text that looks like JSON": replies('{"choices": []}'),
    "the word think": replies("I think so"),
    "thoughts in tags": replies("<think>two and two</think>four"),
    "thoughts without an end": replies("<think>two and two"),
    "reasoning content": replies(choices=message(reasoning_content="two and two")),
    "reasoning": replies(choices=message(reasoning="two and two")),
    "no text but reasoning": replies(choices=message(None, reasoning_content="two and two")),
    "a list of parts": replies(choices=message([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])),
    "a refusal": replies(choices=message(None, refusal="I will not")),
    "a refusal beside a text": replies(choices=message("hello", refusal="I will not")),
    "annotations": replies(choices=message("hello", annotations=[], audio=None)),
    "a tool call": replies(choices=message(None, tool_calls=[CALL]), finish_reason="tool_calls"),
    "a tool call and a text": replies(choices=message("hello", tool_calls=[CALL])),
    "no tool calls": replies(choices=message("hello", tool_calls=[])),
    "tool calls of null": replies(choices=message("hello", tool_calls=None)),
    "a function call": replies(choices=message(None, function_call={"name": "look", "arguments": "{}"})),
    "two choices": replies(choices=[*message("first"), *message("second")]),
    "no choices": replies(choices=[]),
    "log probabilities": replies(choices=[{**message()[0], "logprobs": {"content": []}}]),
    "another model": replies(model="gpt-4.1-2025-04-14"),
    "a model without a price": replies(model="nobody-knows-it"),
    "a model that sounds like another provider's": replies(model="deepseek/deepseek-chat"),
    "no model": replies(model=None),
    "no usage": replies(usage=None),
    "usage of zeros": replies(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
    "usage without totals": replies(usage={"prompt_tokens": 1000, "completion_tokens": 100}),
    "usage without completions": replies(usage={"prompt_tokens": 1000, "total_tokens": 1000}),
    "cached tokens": replies(usage=usage(prompt_tokens_details={"cached_tokens": 800, "audio_tokens": 0})),
    "details of null": replies(usage=usage(prompt_tokens_details=None, completion_tokens_details=None)),
    "details of zeros": replies(usage=usage(completion_tokens_details={"reasoning_tokens": 0, "audio_tokens": 0})),
    "reasoning tokens": replies(usage=usage(completion_tokens_details={"reasoning_tokens": 64})),
    "audio tokens": replies(usage=usage(prompt_tokens_details={"audio_tokens": 100, "text_tokens": 900})),
    "tokens written to a cache": replies(usage=usage(prompt_tokens_details={"cache_write_tokens": 500})),
    "DeepSeek's cache": replies(usage=usage(prompt_cache_hit_tokens=800, prompt_cache_miss_tokens=200)),
    "a long prompt": replies(usage=usage(prompt_tokens=300_000, total_tokens=300_100)),
    "other words on usage": replies(usage=usage(queue_time=0.1, total_time=1.5, num_search_queries=None)),
    "the default tier": replies(service_tier="default"),
    "the flex tier": replies(service_tier="flex"),
    "the priority tier": replies(service_tier="priority"),
    "an unknown tier": replies(service_tier="on_demand"),
    "words beside the reply": replies(system_fingerprint="fp", x_groq={"id": "r"}, citations=["https://x.example"]),
    "an error of null": json_body({**REPLY, "error": None}),
    "choices of null": json_body({**REPLY, "choices": None}),
    "a message of null": json_body({**REPLY, "choices": [{"index": 0, "finish_reason": "stop", "message": None}]}),
    "no message": json_body({**REPLY, "choices": [{"index": 0, "finish_reason": "stop"}]}),
    "a number": json_body(7),
    "null": json_body(None),
    "nothing": says(""),
    "half of it": says(json.dumps(REPLY)[:-20]),
    "a text as a page": says(json.dumps(REPLY), "text/html"),
}

ERRORS_INSIDE: dict[str, Answer] = {
    "an error beside the reply": json_body({**REPLY, "error": {"message": "boom", "code": "x"}}),
    "an error with a number": json_body({"error": {"message": "boom", "code": 502}}),
    "an error that is a text": json_body({"error": "boom"}),
    "a limit inside a 200": json_body({"error": {"message": "slow down", "code": 429, "type": "rate_limit"}}),
    "a filter inside a 200": json_body({"error": {"message": "no", "code": "content_filter"}}),
}

TEXT = {"type": "text", "text": "hello"}
THOUGHT = {"type": "thinking", "thinking": "two and two", "signature": "x"}
USED = {"input_tokens": 1000, "output_tokens": 100}

STOP_REASONS = """end_turn max_tokens stop_sequence tool_use refusal pause_turn model_context_window_exceeded
a_new_word""".split()

ANTHROPIC: dict[str, Answer] = {
    **{reason: anthropic_replies("hello", reason) for reason in STOP_REASONS},
    "no reason": anthropic_replies("hello", None),
    "an empty text": anthropic_replies(""),
    "no content": anthropic_replies(content=[]),
    "thoughts": anthropic_replies(content=[THOUGHT, TEXT]),
    "hidden thoughts": anthropic_replies(content=[{"type": "redacted_thinking", "data": "x"}, TEXT]),
    "two texts": anthropic_replies(content=[TEXT, TEXT]),
    "the word think": anthropic_replies("<think>so</think> I think"),
    "a tool call": anthropic_replies(content=[TEXT, {"type": "tool_use", "id": "t", "name": "look", "input": {}}]),
    "cached tokens": anthropic_replies(usage={**USED, "cache_read_input_tokens": 800}),
    "tokens written to a cache": anthropic_replies(usage={**USED, "cache_creation_input_tokens": 800}),
    "a long prompt": anthropic_replies(usage={"input_tokens": 250_000, "output_tokens": 10}),
    "a tier": anthropic_replies(usage={**USED, "service_tier": "priority"}),
    "no usage": anthropic_replies(usage=None),
    "an error": json_body({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
    "no reply": json_body({"hello": 1}),
    "half of it": says('{"id": "msg_1", "type": "mess'),
}


def candidate(finish_reason: str | None = "STOP", **content: Any) -> Answer:
    return gemini_replies(candidates=[{"content": {"role": "model", **content}, "finishReason": finish_reason}])


COUNTS = {"promptTokenCount": 1000, "candidatesTokenCount": 100, "totalTokenCount": 1100}

GEMINI: dict[str, Answer] = {
    **{reason: gemini_replies("hello", reason) for reason in
       "STOP MAX_TOKENS SAFETY RECITATION LANGUAGE OTHER BLOCKLIST PROHIBITED_CONTENT SPII MALFORMED_FUNCTION_CALL "
       "FINISH_REASON_UNSPECIFIED NEW_WORD".split()},
    "no reason": candidate(None, parts=[{"text": "hello"}]),
    "an empty text": gemini_replies(""),
    "no parts": candidate("MAX_TOKENS"),
    "two parts": candidate(parts=[{"text": "a"}, {"text": "b"}]),
    "thoughts": candidate(parts=[{"text": "two and two", "thought": True}, {"text": "four"}]),
    "a signature": candidate(parts=[{"text": "hello", "thoughtSignature": "x"}]),
    "no candidates": gemini_replies(candidates=None, promptFeedback={"blockReason": "SAFETY"}),
    "neither": gemini_replies(candidates=None),
    "thinking tokens": gemini_replies(usageMetadata={**COUNTS, "thoughtsTokenCount": 50, "totalTokenCount": 1150}),
    "cached tokens": gemini_replies(usageMetadata={**COUNTS, "cachedContentTokenCount": 800}),
    "a long prompt": gemini_replies(usageMetadata={**COUNTS, "promptTokenCount": 250_000, "totalTokenCount": 250_100}),
    "details": gemini_replies(usageMetadata={
        **COUNTS, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1000}], "trafficType": "ON_DEMAND"}),
    "no output": gemini_replies(usageMetadata={"promptTokenCount": 1000, "totalTokenCount": 1000}),
    "no usage": gemini_replies(usageMetadata=None),
    "an error": json_body({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}),
    "no reply": json_body({"hello": 1}),
    "half of it": says('{"candidates": [{"content"'),
}  # fmt: skip

# The words of OpenAI, Groq, Mistral, DeepSeek, Together, Cohere, Anthropic, Gemini, vLLM and others.
REASONS = """stop length content_filter tool_calls function_call eos eos_token end_turn max_tokens stop_sequence
tool_use model_length insufficient_system_resource COMPLETE MAX_TOKENS ERROR_TOXIC SAFETY STOP RECITATION abort error
unknown guardrail_intervened refusal pause_turn""".split()


class TestReplies:
    @pytest.mark.parametrize("name", OPENAI)
    def test_what_openai_might_say_is_read_alike(self, name: str) -> None:
        third(OPENAI[name])

    @pytest.mark.parametrize("reason", REASONS)
    def test_every_reason_to_finish_is_read_alike(self, reason: str) -> None:
        third(replies("hello", reason))

    @pytest.mark.parametrize("name", ERRORS_INSIDE)
    @pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "mistral/mistral-small-latest", "hosted_vllm/served"])
    def test_an_error_inside_a_reply_means_the_same(self, model: str, name: str) -> None:
        third(ERRORS_INSIDE[name], model)

    @pytest.mark.parametrize("model", ["mistral/mistral-small-latest", "deepseek/deepseek-chat", "xai/grok-4",
                                       "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo", "hosted_vllm/served",
                                       "fireworks_ai/accounts/fireworks/models/gpt-oss-20b", "perplexity/sonar",
                                       "azure_ai/served", "cerebras/llama3.1-8b"])  # fmt: skip
    def test_others_that_speak_openais_format_are_read_alike(self, model: str) -> None:
        # One shape of request for each reply: what cannot be read ends the short way of its shape.
        requests = [
            request for seed in range(len(OPENAI)) for request in [*lessons(seed=seed), *lessons(seed=seed)[:1]]
        ]
        answers = [answer for odd in OPENAI.values() for answer in (LEARNED[model], LEARNED[model], odd)]
        assert agreed(requests, *answers, model=model).short_calls == len(OPENAI)

    def test_a_reply_without_the_words_that_litellm_looks_for_at_groq_is_read_all_the_same(self) -> None:
        groq = "groq/llama-3.3-70b-versatile"
        walked = walk([*lessons(), *lessons()[:1]], LEARNED[groq], LEARNED[groq], replies(), model=groq)
        assert walked.reply.text == "hello"

    @pytest.mark.parametrize("name", ANTHROPIC)
    def test_what_anthropic_might_say_is_read_alike(self, name: str) -> None:
        third(ANTHROPIC[name], "anthropic/claude-sonnet-4-5")

    @pytest.mark.parametrize("name", GEMINI)
    def test_what_gemini_might_say_is_read_alike(self, name: str) -> None:
        third(GEMINI[name], "gemini/gemini-2.5-flash")


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


NATIVE_ERRORS: dict[str, tuple[str, Answer]] = {
    "anthropic, overloaded": ("anthropic/claude-sonnet-4-5", json_body(_error("overloaded_error", "busy"), 529)),
    "anthropic, limit": ("anthropic/claude-sonnet-4-5",
                         json_body(_error("rate_limit_error", "slow"), 429, Retry_After="12")),
    "anthropic, key": ("anthropic/claude-sonnet-4-5", json_body(_error("authentication_error", "no"), 401)),
    "anthropic, too long": ("anthropic/claude-sonnet-4-5", json_body(
        _error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), 400)),
    "anthropic, no credit": ("anthropic/claude-sonnet-4-5", json_body(
        _error("invalid_request_error", "Your credit balance is too low to access the Anthropic API"), 400)),
    "anthropic, outage": ("anthropic/claude-sonnet-4-5", json_body(_error("api_error", "oops"), 500)),
    "gemini, limit": ("gemini/gemini-2.5-flash", json_body(
        {"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}}, 429)),
    "gemini, overloaded": ("gemini/gemini-2.5-flash", json_body(
        {"error": {"code": 503, "message": "The model is overloaded", "status": "UNAVAILABLE"}}, 503)),
    "gemini, key": ("gemini/gemini-2.5-flash", json_body(
        {"error": {"code": 400, "message": "API key not valid", "status": "INVALID_ARGUMENT"}}, 400)),
    "mistral, limit": ("mistral/mistral-small-latest", json_body(
        {"object": "error", "message": "Requests rate limit exceeded", "type": "rate_limited", "code": "1300"}, 429)),
    "deepseek, no balance": ("deepseek/deepseek-chat", json_body(
        {"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}}, 402)),
    "vLLM, too long": ("hosted_vllm/served", json_body(
        {"object": "error", "message": "This model's maximum context length is 8192 tokens.", "code": 400}, 400)),
    "vLLM, going down": ("hosted_vllm/served", says("Service Unavailable", "text/plain", 503)),
}  # fmt: skip

LIMITS: dict[str, Answer] = {
    "in seconds": fails(429, "slow down", Retry_After="7"),
    "in parts of a second": fails(429, "slow down", Retry_After="0.25"),
    "in the past": fails(429, "slow down", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    "in words": fails(429, "slow down", Retry_After="soon"),
    "without a word": fails(429, "slow down"),
    "as a page": says("<html>Too many requests</html>", "text/html", 429),
    "of an overload": fails(503, Retry_After="3"),
    "of a conflict": fails(409),
    "too early": fails(425),
}


class TestErrors:
    @pytest.mark.parametrize("name", RETRYABLE)
    def test_what_passes_is_worth_a_retry_on_both_ways(self, name: str) -> None:
        walked = third(RETRYABLE[name])
        assert (walked.refusal.error, walked.refusal.rate_limited) == (ProviderError, False)
        assert len(walked.received) == 3

    @pytest.mark.parametrize("name", FINAL)
    def test_what_does_not_pass_means_the_same_on_both_ways(self, name: str) -> None:
        answer, error, kind = FINAL[name]
        short, ordinary = both([*lessons(), *lessons()[:1]], replies(), replies(), answer)
        assert short.refusal == ordinary.refusal == Refusal(error, kind)
        assert short.short_calls == 1

    @pytest.mark.parametrize("name", NATIVE_ERRORS)
    def test_other_providers_errors_mean_the_same_on_both_ways(self, name: str) -> None:
        model, answer = NATIVE_ERRORS[name]
        usual = LEARNED[model]
        short, ordinary = both([*lessons(), *lessons()[:1]], usual, usual, answer, model=model)
        assert short.refusal == ordinary.refusal
        assert short.short_calls == 1

    @pytest.mark.parametrize("name", LIMITS)
    def test_the_wait_that_a_provider_asks_for_is_the_same_on_both_ways(self, name: str) -> None:
        third(LIMITS[name])

    def test_no_reply_in_time_is_worth_a_retry_on_both_ways(self) -> None:
        requests = [*lessons(), *lessons()[:1]]
        assert agreed(requests, replies(), replies(), never_answers, timeout_s=0.3).refusal == Refusal(ProviderError)

    def test_an_answer_that_cannot_be_used_may_have_been_charged(self) -> None:
        async def main() -> Usage:
            client = LiteLLMClient()
            async with model_server(replies(), replies(), says("{")) as server:
                for request in lessons():
                    await client.call(request, server.endpoint(), 30.0)
                with pytest.raises(Retryable) as caught:
                    await client.call(lessons()[0], server.endpoint(), 30.0)
                await client.aclose()
                return caught.value.charged

        assert asyncio.run(main()) == Usage(0, 0, None, None, None)


class TestLearning:
    def test_many_first_calls_at_once_are_all_answered(self) -> None:
        async def main() -> tuple[list[str], int, int]:
            client = LiteLLMClient()
            async with model_server(echoes) as server:
                where = server.endpoint()
                calls = [client.call(chat("Be brief.", f"Question {n}"), where, 30.0) for n in range(256)]
                texts = [reply.text for reply in await asyncio.gather(*calls)]
                for request in lessons():
                    await client.call(request, where, 30.0)
                learned = client.short_calls
                calls = [client.call(chat("Be brief.", f"Question {n}"), where, 30.0) for n in range(256)]
                texts += [reply.text for reply in await asyncio.gather(*calls)]
                await client.aclose()
                return texts, client.short_calls - learned, len(server.received)

        texts, short_calls, received = asyncio.run(main())
        assert texts == [f"Question {n}" for n in range(256)] * 2
        assert short_calls == 256
        assert received == 514

    @pytest.mark.parametrize("failure", [fails(500), fails(429), hangs_up, says("{"), fails(400)])
    def test_a_first_call_that_fails_does_not_condemn_the_shape(self, failure: Answer) -> None:
        walked = agreed([*lessons(), *lessons(), *lessons()], failure, replies())
        assert walked.short_calls >= 3
        assert walked.reply.text == "hello"

    def test_a_first_call_that_is_given_up_does_not_condemn_the_shape(self) -> None:
        async def main() -> int:
            client = LiteLLMClient()
            async with model_server(never_answers, replies()) as server:
                task = asyncio.create_task(client.call(lessons()[0], server.endpoint(), 30.0))
                await server.arrived.acquire()
                task.cancel()
                for request in [*lessons(), *lessons()]:
                    await client.call(request, server.endpoint(), 30.0)
                await client.aclose()
                return client.short_calls

        assert asyncio.run(main()) >= 2

    def test_a_key_that_expires_is_learned_anew_as_often_as_it_does(self) -> None:
        rounds = 5
        answers = [replies(), replies(), replies(), fails(401), replies()] * rounds
        walked = walk([*lessons(), *lessons()] * rounds, *answers)
        assert [outcome.text for outcome in walked.outcomes if isinstance(outcome, ModelReply)] == ["hello"] * 20
        assert walked.short_calls == 2 * rounds

    def test_a_refusal_that_litellm_mends_ends_the_short_way(self) -> None:
        async def picky(request: web.Request) -> web.Response:
            detail = {"detail": [{"loc": ["body", "temperature"], "msg": "extra fields not permitted"}]}
            refused = {"error": {"message": json.dumps(detail)}}
            body = await request.json()
            return web.json_response(refused, status=422) if "temperature" in body else await replies()(request)

        requests = lessons(temperature=0.5) * 8
        short, ordinary = both(requests, picky)
        assert short.outcomes == ordinary.outcomes
        assert {type(outcome) for outcome in short.outcomes} == {ModelReply}
        assert short.short_calls == 3

    def test_an_endpoint_that_has_moved_is_left_to_litellm(self) -> None:
        async def moved(request: web.Request) -> web.Response:
            if request.path.startswith("/new"):
                return await replies()(request)
            return web.Response(status=307, headers={"Location": f"/new{request.path}"})

        short, ordinary = both(lessons() * 8, moved)
        assert short.outcomes == ordinary.outcomes
        assert {type(outcome) for outcome in short.outcomes} == {ModelReply}
        assert short.short_calls == 3

    def test_a_reply_that_only_litellm_can_read_ends_the_short_way(self) -> None:
        walked = walk(lessons() * 4, replies(), replies(), json_body({"choices": 7}), replies())
        assert walked.short_calls == 1
        assert walked.refusal_of(2) == Refusal(ProviderError)
        assert walked.reply.text == "hello"

    def test_keys_are_never_mixed_up(self) -> None:
        async def main() -> list[str]:
            client = LiteLLMClient()
            async with model_server(replies()) as server:
                for request in lessons() * 3:
                    for key in ("key-a", "key-b"):
                        await client.call(request, replace(server.endpoint(), api_key=key), 30.0)
                await client.aclose()
                assert client.short_calls == 8
                return [request.headers["authorization"] for request in server.received]

        assert asyncio.run(main()) == ["Bearer key-a", "Bearer key-b"] * 6

    def test_samples_of_free_endpoints_keep_their_seeds(self) -> None:
        samples = [replace(request, trial=trial) for request in [*lessons(), *lessons()] for trial in range(3)]
        walked = agreed(samples, replies(), free=True)
        assert walked.short_calls == 6
        assert walked.reply.cost_usd == 0.0
        assert len({request.body.get("seed") for request in walked.received}) == 3

    def test_a_client_that_was_closed_learns_anew(self) -> None:
        async def main() -> tuple[int, int]:
            client = LiteLLMClient()
            async with model_server(replies()) as server:
                for _ in range(2):
                    for request in [*lessons(), *lessons()]:
                        await client.call(request, server.endpoint(), 30.0)
                    await client.aclose()
                return client.short_calls, len(server.received)

        assert asyncio.run(main()) == (4, 8)


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": lambda data: importlib.import_module("zstandard").compress(data),
    "br": lambda data: importlib.import_module("brotli").compress(data),
}


class TestTheConnection:
    def test_a_reply_is_compressed_in_any_way_that_was_offered(self) -> None:
        used: list[str] = []

        async def compressed(request: web.Request) -> web.Response:
            plain = await replies()(request)
            assert isinstance(plain.body, bytes)
            name = request.headers["Accept-Encoding"].split(", ")[len(used) % 2 - 2]
            used.append(name)
            headers = {"Content-Encoding": name}
            return web.Response(body=CODECS[name](plain.body), headers=headers, content_type="application/json")

        assert agreed(lessons() * 3, compressed).short_calls == 4
        assert set(used) >= {"gzip", "deflate"}

    @pytest.mark.parametrize("way", [True, False], ids=["short", "ordinary"])
    def test_the_proxy_of_the_environment_is_used(self, way: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        host = "models.short.example" if way else "models.ordinary.example"

        async def main() -> tuple[int, list[str]]:
            client = LiteLLMClient(short_way=way)
            async with model_server(replies()) as server:
                monkeypatch.setenv("http_proxy", f"127.0.0.1:{server.port}")
                where = Endpoint("openai/gpt-4o-mini", f"http://{host}/v1", "a-key", "x")
                for request in [*lessons(), *lessons()]:
                    await client.call(request, where, 30.0)
                await client.aclose()
                return client.short_calls, [request.headers["host"] for request in server.received]

        assert asyncio.run(main()) == (2 * way, [host] * 4)

    @pytest.mark.parametrize("way", [True, False], ids=["short", "ordinary"])
    def test_hosts_that_the_environment_excepts_are_asked_without(
        self, way: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert walk([*lessons(), *lessons()], replies(), short_way=way).reply.text == "hello"
