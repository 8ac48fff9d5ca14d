"""From an order notice to its data: a model writes JSON, a parser reads it."""

import re

from fapo import Prediction

KNOWN = ("customer", "order_id", "quantity")


def parse_reply(reply):
    """The values of the known keys. Written when a notice had three of them."""
    found = {}
    for key in KNOWN:
        match = re.search(rf'"{key}":\s*("([^"]*)"|[\d.]+)', reply)
        if match:
            found[key] = match.group(2) or match.group(1)
    return found


async def run(inputs, ctx):
    reply = await ctx.llm("extract", notice=inputs["notice"])
    order = await ctx.call("parse_reply", parse_reply, reply)
    return Prediction(output=order)
