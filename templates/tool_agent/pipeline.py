"""An agent with two tools, by OpenAI's client: it calls tools until it answers."""

import json
from pathlib import Path

from openai import AsyncOpenAI

import fapo

RESOURCES = Path(__file__).parent / "resources"
ORDERS = json.loads((RESOURCES / "orders.json").read_text())
CUSTOMERS = json.loads((RESOURCES / "customers.json").read_text())
client = AsyncOpenAI()


def find_order(order_id):
    return ORDERS.get(order_id, {"error": f"there is no order {order_id}"})


def find_customer(customer):
    return CUSTOMERS.get(customer, {"error": f"there is no customer {customer}"})


TOOLS = {"find_order": find_order, "find_customer": find_customer}


def described(name, description, argument, meaning):
    """A tool with one text argument, as OpenAI's API takes it."""
    schema = {"type": "object", "properties": {argument: {"type": "string", "description": meaning}},
              "required": [argument]}  # fmt: skip
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


DESCRIBED = [
    described("find_order", "Look up an order: customer, goods, quantity, status.", "order_id", "id of the order"),
    described("find_customer", "Look up a customer: email, phone, city.", "customer", "full name of the customer"),
]


async def use(call, ctx):
    """Run the tool that a reply asks for; what goes wrong is told to the model, which may try again."""
    name, tool = call.function.name, TOOLS.get(call.function.name)
    try:
        arguments = json.loads(call.function.arguments)
        found = await ctx.call(name, tool, **arguments)
    except Exception as error:
        found = {"error": str(error)}
    return {"role": "tool", "tool_call_id": call.id, "content": json.dumps(found)}


async def run(inputs, ctx):
    messages = ctx.prompts["agent"].render({"question": inputs["question"]})
    for _ in range(ctx.params.max_turns):
        with fapo.step("agent"):
            reply = await client.chat.completions.create(
                model="task", messages=messages, tools=DESCRIBED, temperature=0
            )
        message = reply.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
        messages += [await use(call, ctx) for call in message.tool_calls]
    return "no answer"
