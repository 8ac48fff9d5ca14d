"""From a CVE description to the CWE behind it, in one step."""

from fapo import Prediction


async def run(inputs, ctx):
    return Prediction(await ctx.llm("classify", description=inputs["description"]))
