"""A LangGraph graph of two nodes. Its prompts lie in prompts/, so that fapo can change them without touching code."""

from pathlib import Path
from typing import TypedDict

from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

TEAMS = (Path(__file__).parent / "resources" / "teams.md").read_text()
model = ChatOpenAI(model="task", temperature=0)


class State(TypedDict, total=False):
    ticket: str
    gist: str
    team: str


def ask(config: RunnableConfig, name: str, **variables: str) -> str:
    """Fill prompts/NAME.md and call the model; the step in traces has the node's name."""
    prompt = config["configurable"]["prompts"][name]
    return str(model.invoke(prompt.render(variables)).content).strip()


def summarize(state: State, config: RunnableConfig) -> State:
    return {"gist": ask(config, "summarize", ticket=state["ticket"])}


def route(state: State, config: RunnableConfig) -> State:
    return {"team": ask(config, "route", teams=TEAMS, ticket=state["ticket"], gist=state["gist"])}


builder = StateGraph(State)
builder.add_node("summarize", summarize)
builder.add_node("route", route)
builder.add_edge(START, "summarize")
builder.add_edge("summarize", "route")
builder.add_edge("route", END)
graph = builder.compile()


async def run(inputs, ctx):
    state = await graph.ainvoke({"ticket": inputs["ticket"]}, {"configurable": {"prompts": ctx.prompts}})
    return state["team"]
