"""The lexical reader calls a tool where one fits, with arguments that stand in the text, and reads what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fapo.standin.reader import Reply, read


def tool(name: str, description: str, argument: str, meaning: str, **schema: Any) -> dict[str, Any]:
    properties = {argument: {"type": "string", "description": meaning, **schema}}
    parameters = {"type": "object", "properties": properties, "required": [argument]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


ORDER = tool("find_order", "Look up an order: customer and status.", "order_id", "id of the order")
CUSTOMER = tool("find_customer", "Look up a customer: email and phone.", "customer", "full name of the customer")
SYSTEM = "You answer questions. Answer with the value and nothing else."
CAREFUL = f"{SYSTEM} Work step by step."
TWO_HOPS = "What is the email of the customer who placed order K-1204?"
RECORDS = {
    "find_order": {"order_id": "K-1204", "customer": "Nora Berg", "status": "packed"},
    "find_customer": {"name": "Nora Berg", "email": "nora.berg@example.org"},
}


def ask(messages: list[dict[str, Any]], choice: Any = None) -> Reply:
    return read(messages, 0.0, None, None, tools=[CUSTOMER, ORDER], tool_choice=choice)


def talk(system: str, question: str) -> tuple[list[str], str]:
    """The calls of a whole conversation, and how it ends."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    made: list[str] = []
    for _ in range(5):
        reply = ask(messages)
        if not reply.calls:
            return made, reply.text
        made += [call.text for call in reply.calls]
        messages.append(
            {"role": "assistant", "content": None, "tool_calls": [c.as_message_part() for c in reply.calls]}
        )
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": json.dumps(RECORDS[call.name])} for call in reply.calls
        ]
    raise AssertionError("it calls tools without an end")


def test_one_lookup_is_made_and_its_value_is_the_answer() -> None:
    calls, answer = talk(SYSTEM, "What is the status of order K-1204?")
    assert calls == ['find_order({"order_id": "K-1204"})']
    assert answer == "packed"


def test_care_makes_it_go_on_with_what_a_lookup_brought() -> None:
    hasty, _ = talk(SYSTEM, TWO_HOPS)
    assert len(hasty) == 1
    calls, answer = talk(CAREFUL, TWO_HOPS)
    assert calls == ['find_order({"order_id": "K-1204"})', 'find_customer({"customer": "Nora Berg"})']
    assert answer == "nora.berg@example.org"


@pytest.mark.parametrize("question", ["How are you today?", "What is the status of my order?"])
def test_no_tool_is_called_that_does_not_fit_or_whose_argument_is_not_there(question: str) -> None:
    assert talk(SYSTEM, question)[0] == []


def test_the_choice_of_a_tool_is_obeyed() -> None:
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "Who is Nora Berg, of order K-1204?"},
    ]
    assert ask(messages, "none").calls == ()
    forced = ask(messages, {"type": "function", "function": {"name": "find_customer"}})
    assert [call.name for call in forced.calls] == ["find_customer"]
    assert forced.finish_reason == "tool_calls"


def test_an_argument_with_choices_takes_one_of_them() -> None:
    unit = tool("read_weather", "Read the weather of a day.", "unit", "unit", enum=["celsius", "fahrenheit"])
    messages = [{"role": "user", "content": "What is the weather today, in fahrenheit?"}]
    reply = read(messages, 0.0, None, None, tools=[unit])
    assert [call.arguments for call in reply.calls] == [{"unit": "fahrenheit"}]
