"""A whole search with agents that are scripts: they edit files and call fapo's tools as a session would."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fapo.agent.protocol import AgentCause, AgentEvent, AgentResult, AgentTask
from fapo.config import Environment, OptimizeConfig
from fapo.errors import FapoError
from fapo.evaluation.connect import connect
from fapo.evaluation.evaluate import Observer
from fapo.evaluation.project import load_project
from fapo.optimize.events import Event, State
from fapo.optimize.gate import Gate
from fapo.optimize.reviewer import Reviewer
from fapo.optimize.run import Run
from fapo.optimize.search import Search
from fapo.optimize.start import create_run
from fapo.sandbox.policy import Level
from fapo.sandbox.probe import choose_level
from tests.support.evaluations import Watcher

PIPELINE = Path(__file__).parent.parent / "pipelines" / "prompt_suffices"
CONTRACT = "Answer with only the name of the team."


@dataclass
class Hands:
    """What a script works with: its workspace, and the tools by name. A tool's error comes back as {"error": ...}."""

    task: AgentTask

    def path(self, name: str) -> Path:
        return self.task.workspace / "pipeline" / name

    def replace(self, name: str, old: str, new: str) -> None:
        text = self.path(name).read_text()
        assert old in text, text
        self.path(name).write_text(text.replace(old, new))

    async def use(self, name: str, **arguments: Any) -> dict[str, Any]:
        tool = next(tool for tool in self.task.tools if tool.name == name)
        try:
            found = json.loads(await tool.handler(arguments))
        except FapoError as error:
            return {"error": str(error)}
        assert isinstance(found, dict)
        return found

    async def submit(self, technique: str, step: str = "route") -> dict[str, Any]:
        return await self.use("submit", hypothesis=f"{technique} helps", technique=technique, step=step)


class SessionFailedError(Exception):
    """Ends a scripted session as one that failed for `cause`."""

    def __init__(self, cause: AgentCause) -> None:
        super().__init__(f"it failed: {cause}")
        self.cause = cause


Script = Callable[[Hands], Awaitable[None]]


@dataclass
class ScriptedReviewer:
    """Gives the same verdict on each change, and counts how many it was shown."""

    verdict: dict[str, str]
    asked: int = 0
    level: Level = field(default_factory=lambda: choose_level("auto").level)

    async def run(self, task: AgentTask, on_event: Callable[[AgentEvent], None]) -> AgentResult:
        self.asked += 1
        await Hands(task).use("verdict", **self.verdict)
        return AgentResult("finished", None, 1, 0.0, 0, 0, "s", "0", "0", self.level)


@dataclass
class ScriptedAgent:
    """Plays one script for each session, in the order in which sessions begin."""

    scripts: list[Script]
    level: Level = field(default_factory=lambda: choose_level("auto").level)

    async def run(self, task: AgentTask, on_event: Callable[[AgentEvent], None]) -> AgentResult:
        hands = Hands(task)
        try:
            await self.scripts.pop(0)(hands)
        except SessionFailedError as failed:
            return AgentResult("failed", str(failed), 1, 0.0, 0, 0, "s", "0", "0", self.level, failed.cause)
        await hands.use("finish", summary="played")
        return AgentResult("finished", None, 1, 0.0, 0, 0, "s", "0", "0", self.level)


class Silent:
    """A narrator that keeps events and notes, in the order in which they came."""

    def __init__(self) -> None:
        self.told: list[Event | str] = []

    def event(self, event: Event, state: State) -> None:
        self.told.append(event)

    def agent(self, event: AgentEvent, lane: int) -> None: ...

    def note(self, text: str) -> None:
        self.told.append(text)

    def evaluating(self, title: str, total: int) -> Observer:
        return Watcher()

    def evaluated(self) -> None: ...


def search(
    tmp_path: Path,
    scripts: Sequence[Script],
    *,
    pipeline: Path = PIPELINE,
    pauses_s: Sequence[float] = (),
    narrator: Silent | None = None,
    reviewer: ScriptedReviewer | None = None,
    **options: Any,
) -> State:
    """Search `pipeline` with one script for each session; the state in which the run ends."""

    async def go() -> State:
        config = OptimizeConfig.model_validate({"noise_floor": False, "review_agent": False, **options})
        environment = Environment(runs_dir=tmp_path / "runs", cache_file=tmp_path / "cache" / "replies.sqlite",
                                  benchmarks_dir=tmp_path / "cache" / "benchmarks",
                                  home=tmp_path, variables={}, plain=True)  # fmt: skip
        project = load_project(pipeline)
        async with connect(project.spec.models.values(), environment, limits=config) as connection:
            directory = create_run(pipeline, project, config, environment.runs_dir)
            run = Run(directory, pipeline, project, config, gateway=connection.gateway, budget=connection.budget,
                      narrator=narrator or Silent())  # fmt: skip
            agent = ScriptedAgent(list(scripts))
            try:
                asked = None if reviewer is None else Reviewer(reviewer, "m", {}, lambda _: None, free=True)
                await Search(run, Gate(run, asked), agent, model="m", environment={}, free=True,
                             pauses_s=pauses_s).go()  # fmt: skip
            finally:
                run.journal.close()
            assert not agent.scripts, "not every script was played"
            return run.state

    return asyncio.run(go())


def unsolvable(tmp_path: Path) -> Path:
    """The control pipeline with a label in each split that no prompt reaches, so that a search does not end at 1.0."""
    target = tmp_path / "unsolvable"
    shutil.copytree(PIPELINE, target, ignore=shutil.ignore_patterns("fapo.lock"))
    for path in (target / "data").glob("*.jsonl"):
        path.write_text(path.read_text().replace('"team": "', '"team": "un', 1))
    return target
