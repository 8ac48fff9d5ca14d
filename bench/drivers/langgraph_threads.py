"""A LangGraph graph of three nodes that call the openai client, one thread a case."""

# mypy: disable-error-code="import-not-found, call-overload"
# Its libraries live in an environment of their own.
from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypedDict

import openai
from langgraph.graph import END, START, StateGraph

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.work import KEY, MODEL, SAMPLING, STEPS, arguments, messages, report, score


class State(TypedDict):
    text: str


def node(client: openai.OpenAI, step: str) -> Callable[[State], State]:
    def call(state: State) -> State:
        reply = client.chat.completions.create(model=MODEL, messages=messages(step, state["text"]), **SAMPLING)
        return {"text": reply.choices[0].message.content}

    return call


def main() -> None:
    base_url, cases, concurrency = arguments()
    client = openai.OpenAI(base_url=base_url, api_key=KEY)
    graph = StateGraph(State)
    for step in STEPS:
        graph.add_node(step, node(client, step))
    for one, other in zip([START, *STEPS], [*STEPS, END], strict=True):
        graph.add_edge(one, other)
    chain = graph.compile()
    with ThreadPoolExecutor(concurrency) as pool:
        states = pool.map(lambda case: chain.invoke({"text": case.message}), cases)
        report([score(case, state["text"]) for case, state in zip(cases, states, strict=True)])


if __name__ == "__main__":
    main()
