"""A LangGraph graph as it was before fapo; only `run` is new."""

from pathlib import Path
from typing import TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

TEAMS = (Path(__file__).parent / "resources" / "teams.md").read_text()
model = ChatOpenAI(model="task", temperature=0)


class State(TypedDict, total=False):
    ticket: str
    gist: str
    team: str


def summarize(state: State) -> State:
    prompt = f"Summarize the ticket in one sentence.\n\nTicket: {state['ticket']}"
    return {"gist": str(model.invoke(prompt).content)}


def route(state: State) -> State:
    prompt = (
        "Which team takes this ticket? Answer with the team's name and nothing else.\n\n"
        f"Teams:\n{TEAMS}\nTicket: {state['ticket']}\nSummary: {state['gist']}\n\nTeam:"
    )
    return {"team": str(model.invoke(prompt).content).strip()}


builder = StateGraph(State)
builder.add_node("summarize", summarize)
builder.add_node("route", route)
builder.add_edge(START, "summarize")
builder.add_edge("summarize", "route")
builder.add_edge("route", END)
graph = builder.compile()


def run(inputs, ctx):
    return graph.invoke({"ticket": inputs["ticket"]})["team"]
