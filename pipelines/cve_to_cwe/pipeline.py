"""From a CVE description to the CWE behind it, in two steps: what went wrong, then which weakness that is."""

from fapo import Prediction


async def run(inputs, ctx):
    facts = await ctx.llm("key_facts", description=inputs["description"])
    answer = await ctx.llm("classify", description=inputs["description"], facts=facts)
    return Prediction(output=answer)
