"""A DSPy program of two predictors. Their instructions lie in prompts/, so that fapo can change them without code."""

from pathlib import Path

import dspy

TEAMS = (Path(__file__).parent / "resources" / "teams.md").read_text()


class Summarize(dspy.Signature):
    ticket: str = dspy.InputField()
    gist: str = dspy.OutputField()


class Route(dspy.Signature):
    teams: str = dspy.InputField()
    ticket: str = dspy.InputField()
    gist: str = dspy.InputField()
    team: str = dspy.OutputField()


class Triage(dspy.Module):
    def __init__(self, instructions):
        super().__init__()
        self.summarize = dspy.Predict(Summarize.with_instructions(instructions("summarize")))
        self.route = dspy.Predict(Route.with_instructions(instructions("route")))

    async def aforward(self, ticket):
        gist = (await self.summarize.acall(ticket=ticket)).gist
        return await self.route.acall(teams=TEAMS, ticket=ticket, gist=gist)


dspy.configure(lm=dspy.LM("openai/task", temperature=0.0, max_tokens=300))


async def run(inputs, ctx):
    program = Triage(lambda step: ctx.prompts[step].render({})[0]["content"])
    return (await program.acall(ticket=inputs["ticket"])).team
