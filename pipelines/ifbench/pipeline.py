"""Respond to a request, then go over the response once more."""

from fapo import Prediction


async def run(inputs, ctx):
    prompt = inputs["prompt"]
    response = await ctx.llm("generate", prompt=prompt)
    return Prediction(await ctx.llm("ensure", prompt=prompt, response=response))
