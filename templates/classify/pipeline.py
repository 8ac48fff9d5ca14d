"""From a support ticket to the team that takes it: one model call, and code that reads its reply."""

from fapo import Prediction

TEAMS = ("billing", "shipping", "accounts", "hardware")


def team_of(reply):
    """The team that a reply names; the reply as it is where it names none or several."""
    named = [team for team in TEAMS if team in reply.lower()]
    return named[0] if len(named) == 1 else reply.strip()


async def run(inputs, ctx):
    reply = await ctx.llm("classify", ticket=inputs["ticket"])
    return Prediction(output=await ctx.call("team_of", team_of, reply))
