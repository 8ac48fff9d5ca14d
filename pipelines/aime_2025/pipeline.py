"""Solve a problem, and take the answer from the end of the solution."""

from fapo import Prediction


def read_answer(solution):
    """What stands behind the last `Answer:`, or else the whole text."""
    return solution.rpartition("Answer:")[2].strip()


async def run(inputs, ctx):
    solution = await ctx.llm("solve", problem=inputs["problem"])
    return Prediction(await ctx.call("read_answer", read_answer, solution))
