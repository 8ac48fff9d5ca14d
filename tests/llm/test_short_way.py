"""The short way of LiteLLMClient sends what LiteLLM would send, and reads the answers as LiteLLM reads them."""

from __future__ import annotations

import asyncio
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
from tests.llm.two_ways import Refusal, agreed, both, chat, lessons, walk

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


class TestReplies:
    """The third call of a shape is on the short way; what it reads is what LiteLLM reads."""

    @staticmethod
    def third(answer: Answer, model: str = "openai/gpt-4o-mini") -> Any:
        short = agreed([*lessons(), *lessons()[:1]], LEARNED.get(model, replies()), LEARNED.get(model, replies()),
                       answer, model=model)  # fmt: skip
        assert short.short_calls == 1
        return short.outcomes[-1]
