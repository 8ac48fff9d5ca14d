"""The search: baseline, then agent sessions until a limit, a target or the agents end them, then test, once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

import jinja2

from fapo.agent.cage import open_ends
from fapo.agent.credentials import kind_of
from fapo.agent.protocol import Agent, AgentCause, AgentEvent, AgentResult, AgentTask
from fapo.errors import AgentError, BudgetExceeded
from fapo.llm.budget import Kept
from fapo.optimize.estimate import estimate
from fapo.optimize.events import Decided, SearchEnded, SessionEnded, SessionStarted
from fapo.optimize.gate import Gate
from fapo.optimize.lanes import Lane, directions
from fapo.optimize.limits import dollars_to_search, test_reserve, why_stop
from fapo.optimize.opening import open_test
from fapo.optimize.run import Run
from fapo.optimize.start import begin
from fapo.optimize.tools import Toolbox
from fapo.optimize.validation import decide, noise_floor, noise_is_affordable, outlook, verify_target
from fapo.optimize.workspace import editable
from fapo.records import BASELINE, Usage

MAX_IDLE_SESSIONS = 2
"""Sessions in a row that end without a new submission or `finish` before the run gives up on the agent."""
MAX_TURNS = 400
STALL_S = 600.0
PAUSES_S = (60.0, 300.0, 900.0)
"""Waits before the next session where the agent's model was overloaded or limited; a submission starts them anew."""
FIRST_PROMPT = "Optimize the pipeline. Begin with the ledger, `status` and `attribution`."

_REMEDIES: dict[AgentCause | None, str] = {
    "credentials": "the optimizer's credentials were refused (renew ANTHROPIC_API_KEY, or log in with `claude`)",
    "billing": "the optimizer's account cannot pay (add credit, or use another one)",
}
_PASSING: dict[AgentCause | None, str] = {
    "rate_limit": "the optimizer's model is at its rate limit",
    "overload": "the optimizer's model is overloaded or out of order",
}
_PLAYBOOK = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True)


class Search:
    """Drives one run to its end. Call `go` again on a run that was interrupted: it continues."""

    def __init__(
        self,
        run: Run,
        gate: Gate,
        agent: Agent,
        *,
        model: str,
        environment: Mapping[str, str],
        free: bool,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._run = run
        self._gate = gate
        self._agent = agent
        self._model = model
        self._environment = dict(environment)
        self._free = free
        self._pauses_s = pauses_s
        self._open_ends = open_ends(kind_of(environment), agent.level)

    async def go(self) -> None:
        """Search, then open test.

        A limit that is reached while the baseline runs raises BudgetExceeded; later it ends the search, and test is
        opened with what was kept back for it. Raises ProviderError or AgentError; the run can be resumed after each.
        """
        run = self._run
        begin(run)
        if run.state.search_ended is None:
            await self._prepare()
            run.keep_back(test_reserve(run))
            try:
                summary = await self._search()
                stop = why_stop(run) or ("agent", summary)
            except BudgetExceeded as reached:
                stop = ("budget", str(reached))
            self._end(*stop)
        run.keep_back(Kept())
        if run.state.finished is None:
            await open_test(run)

    async def _prepare(self) -> None:
        """Say what validation can show and what all would take; then run the baseline, and its noise floor."""
        run = self._run
        if run.state.evaluated(BASELINE, "validation") is None:
            cases = len(run.project.cases("validation"))
            run.narrator.note(
                f"nothing is paid yet: on {cases} validation cases, if half of them succeed, {outlook(run)}"
            )
        await estimate(run)
        await run.evaluate(BASELINE, "validation")
        await run.evaluate(BASELINE, "train")
        if run.config.noise_floor and noise_is_affordable(run):
            await noise_floor(run)
        seen = ""
        if (noise := run.state.noise) is not None:
            seen = f"two runs of the same pipeline differ on {noise.discordant:.0%} of the cases, and by "
            seen += f"{100 * noise.difference:+.1f} points; "
        run.narrator.note(f"{seen}{outlook(run)}")

    async def _search(self) -> str:
        """Judge what was left open, then let the agents work; what they say in the end."""
        run = self._run
        if (open_question := run.state.undecided) is not None:
            await decide(run, open_question.variant)
        await verify_target(run)
        summaries: list[str] = []
        if why_stop(run) is None:
            lanes = directions(await run.attribution(), run.directory, run.config.parallel)
            tasks = [asyncio.create_task(self._work(lane)) for lane in lanes]
            try:
                summaries = [text for text in await asyncio.gather(*tasks) if text]
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return " ".join(summaries)

    def _end(self, status: str, reason: str) -> None:
        if (unjudged := self._run.state.undecided) is not None:
            why = f"not judged: {reason}"
            self._run.log(Decided(unjudged.variant, "rejected", why, why))
        self._run.log(SearchEnded(status, reason))

    async def _work(self, lane: Lane) -> str | None:
        """One session after the other in a lane, until the search is over, or the agent finishes: its summary."""
        run = self._run
        idle, pauses = 0, iter(self._pauses_s)
        while why_stop(run) is None:
            toolbox, result = await self._session(lane)
            if toolbox.fault is not None:
                raise toolbox.fault
            if toolbox.finished is not None:
                return toolbox.finished
            if toolbox.submitted:
                idle, pauses = 0, iter(self._pauses_s)
            if await self._waited(result, pauses):
                continue
            idle += not toolbox.submitted
            if idle >= MAX_IDLE_SESSIONS:
                raise AgentError(
                    f"the agent ended {idle} sessions without a submission: {result.error or result.status}"
                )
        return None

    async def _waited(self, result: AgentResult, pauses: Iterator[float]) -> bool:
        """Whether a failure passes with time, after which time. Raises AgentError for one that does not, or has not."""
        if result.cause in _REMEDIES:
            raise AgentError(f"{_REMEDIES[result.cause]}: {result.error}")
        if result.cause not in _PASSING:
            return False
        pause = next(pauses, None)
        if pause is None:
            raise AgentError(f"{_PASSING[result.cause]}, and has been for long: {result.error}; resume later")
        self._run.narrator.note(f"{_PASSING[result.cause]}: {result.error}; the next session begins in {pause:.0f} s")
        await asyncio.sleep(pause)
        return True

    async def _session(self, lane: Lane) -> tuple[Toolbox, AgentResult]:
        run, workspace = self._run, lane.workspace
        number = run.state.sessions_started + 1
        stop = asyncio.Event()
        toolbox = Toolbox(run, self._gate, lane, stop.set)
        incumbent = run.state.incumbent
        workspace.fill(incumbent, run.snapshot(incumbent), run.project.cases("train"), run.project.score.path)
        workspace.write_ledger(run.state)
        run.log(SessionStarted(number, self._agent.level, self._open_ends, lane.number))
        await toolbox.look()
        task = AgentTask(
            workspace=workspace.directory,
            home=lane.home,
            system_prompt=self._playbook(lane),
            prompt=f"Workspace: {workspace.directory}\n{FIRST_PROMPT}",
            tools=toolbox.tools(),
            editable=lambda: editable(run.state.open_levels),
            model=self._model,
            environment=self._environment,
            max_turns=MAX_TURNS,
            max_budget_usd=None if self._free else dollars_to_search(run),
            stall_s=STALL_S,
            stop=stop,
        )
        timer = self._end_in_time(stop)
        try:
            result = await self._agent.run(task, lambda event: self._tell(event, lane))
        finally:
            if timer is not None:
                timer.cancel()
        if toolbox.fault is None and (this := asyncio.current_task()) is not None and this.cancelling():
            raise asyncio.CancelledError  # an agent's libraries may swallow it, and the run would go on
        cost = 0.0 if self._free else result.cost_usd
        usage = Usage(result.turns, 0, result.input_tokens, result.output_tokens, cost)
        run.charge_optimizer(usage)
        run.log(SessionEnded(number, result.status, result.error, usage, result.sdk_version, result.cli_version or ""))
        return toolbox, result

    def _tell(self, event: AgentEvent, lane: Lane) -> None:
        self._run.narrator.agent(event, lane.number if self._run.config.parallel > 1 else 0)

    def _end_in_time(self, stop: asyncio.Event) -> asyncio.TimerHandle | None:
        minutes = self._run.config.max_minutes
        if minutes is None:
            return None
        left = self._run.state.started_at + 60 * minutes - time.time()
        return asyncio.get_running_loop().call_later(max(left, 0), stop.set)

    def _playbook(self, lane: Lane) -> str:
        spec = self._run.project.spec
        guidance = Path(self._run.source, "playbook.md")
        return _PLAYBOOK.from_string(
            resources.files(__package__).joinpath("playbook.md").read_text(encoding="utf-8")
        ).render(
            workspace=lane.workspace.directory,
            direction=lane.direction,
            pipeline=spec.name,
            task=spec.task,
            steps=self._run.project.steps,
            guidance=guidance.read_text(encoding="utf-8").strip() if guidance.is_file() else "",
        )
