"""The short way of LiteLLMClient sends what LiteLLM would send, and reads the answers as LiteLLM reads them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from fapo.llm.client import LiteLLMClient
from tests.llm.faults import FINAL, RETRYABLE
from tests.llm.model_server import (
    Answer,
    anthropic_replies,
    bedrock_replies,
    cohere_replies,
    echoes,
    fails,
    gemini_replies,
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
        plain = {"temperature": 0.5, "max_tokens": 77}
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
    "annotations": replies(choices=message("hello", annotations=[{"type": "url_citation"}], audio=None)),
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
    "an error beside the reply": json_body({**REPLY, "error": {"message": "boom", "code": "x"}}),
    "an error with a number": json_body({"error": {"message": "boom", "code": 502}}),
    "an error that is a text": json_body({"error": "boom"}),
    "a limit inside a 200": json_body({"error": {"message": "slow down", "code": 429, "type": "rate_limit"}}),
    "a filter inside a 200": json_body({"error": {"message": "no", "code": "content_filter"}}),
    "choices of null": json_body({**REPLY, "choices": None}),
    "a message of null": json_body({**REPLY, "choices": [{"index": 0, "finish_reason": "stop", "message": None}]}),
    "no message": json_body({**REPLY, "choices": [{"index": 0, "finish_reason": "stop"}]}),
    "a number": json_body(7),
    "null": json_body(None),
    "nothing": says(""),
    "half of it": says(json.dumps(REPLY)[:-20]),
    "a text as a page": says(json.dumps(REPLY), "text/html"),
}

# The words of OpenAI, Groq, Mistral, DeepSeek, Together, Cohere, Anthropic, Gemini, vLLM and others.
REASONS = """stop length content_filter tool_calls function_call eos eos_token end_turn max_tokens stop_sequence tool_use
model_length insufficient_system_resource COMPLETE MAX_TOKENS ERROR_TOXIC SAFETY STOP RECITATION abort error unknown
guardrail_intervened refusal pause_turn""".split()


class TestReplies:
    @pytest.mark.parametrize("name", OPENAI)
    def test_what_openai_might_say_is_read_alike(self, name: str) -> None:
        third(OPENAI[name])

    @pytest.mark.parametrize("reason", REASONS)
    def test_every_reason_to_finish_is_read_alike(self, reason: str) -> None:
        third(replies("hello", reason))

    @pytest.mark.parametrize("name", OPENAI)
    @pytest.mark.parametrize("model", ["mistral/mistral-small-latest", "deepseek/deepseek-chat", "xai/grok-4",
                                       "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo", "hosted_vllm/served",
                                       "fireworks_ai/accounts/fireworks/models/gpt-oss-20b",
                                       "perplexity/sonar"])  # fmt: skip
    def test_others_that_speak_openais_format_are_read_alike(self, model: str, name: str) -> None:
        third(OPENAI[name], model)
