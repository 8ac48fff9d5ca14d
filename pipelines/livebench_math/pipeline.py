"""Solve a task of mathematics in one step."""

from fapo import Prediction


async def run(inputs, ctx):
    return Prediction(await ctx.llm("solve", question=inputs["question"]))
