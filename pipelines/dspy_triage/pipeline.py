"""A DSPy program as it was before fapo; only `run` is new."""

from pathlib import Path

import dspy

TEAMS = (Path(__file__).parent / "resources" / "teams.md").read_text()


class Summarize(dspy.Signature):
    """Summarize the ticket in one sentence."""

    ticket: str = dspy.InputField()
    gist: str = dspy.OutputField()


class Route(dspy.Signature):
    """Which team takes this ticket? Answer with the team's name and nothing else."""

    teams: str = dspy.InputField()
    ticket: str = dspy.InputField()
    gist: str = dspy.InputField()
    team: str = dspy.OutputField()


class Triage(dspy.Module):
    def __init__(self):
        super().__init__()
        self.summarize = dspy.Predict(Summarize)
        self.route = dspy.Predict(Route)

    def forward(self, ticket):
        gist = self.summarize(ticket=ticket).gist
        return self.route(teams=TEAMS, ticket=ticket, gist=gist)


dspy.configure(lm=dspy.LM("openai/task", temperature=0.0, max_tokens=300))
program = Triage()


def run(inputs, ctx):
    return program(ticket=inputs["ticket"]).team
