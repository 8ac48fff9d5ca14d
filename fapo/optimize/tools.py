"""fapo's tools, as the agent sees them: each answers with one small JSON object; detail goes into workspace files."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

from fapo.agent.protocol import AgentTool
from fapo.attribution.blame import Attribution
from fapo.errors import FapoError, UsageError
from fapo.optimize.events import Decided
from fapo.optimize.gate import CONFLICTS, Gate
from fapo.optimize.lanes import Lane
from fapo.optimize.levels import closed_reasons
from fapo.optimize.limits import dollars_left, why_stop
from fapo.optimize.run import Run
from fapo.optimize.sweep import sweep
from fapo.optimize.validation import detectable_gain
from fapo.optimize.workspace import editable
from fapo.pipeline.settings import setting_names
from fapo.records import LEVELS, Level
from fapo.store.files import to_python

SHOWN_EXAMPLES = 5
SHOWN_FEEDBACK = 8
SHOWN_CLUSTERS = 8
SHOWN_COMBINATIONS = 12
_COSTLY = ("evaluate_train", "submit", "sweep", "merge")

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Toolbox:
    """The tools of one session in one lane. `finished` holds the agent's summary once it called `finish`.

    `fault` holds an error that must end the session, such as a provider outage: the agent cannot mend it.
    """

    def __init__(self, run: Run, gate: Gate, lane: Lane, end_session: Callable[[], None]) -> None:
        self._run = run
        self._gate = gate
        self._lane = lane
        self._workspace = lane.workspace
        self._end_session = end_session
        self.finished: str | None = None
        self.submitted = False
        self.fault: FapoError | None = None

    def tools(self) -> tuple[AgentTool, ...]:
        text = {"type": "string"}
        submit = {"hypothesis": text, "technique": text, "step": text}
        level = {"level": {"type": "string", "enum": ["parameter", "structure"]}, "reason": text}
        sweep_of = {
            "settings": {
                "type": "object",
                "description": "`params.NAME` or `STEP.PARAMETER`, such as `answer.temperature`, to its values",
                "additionalProperties": {"type": "array", "minItems": 1},
            },
            "max_calls": {"type": "integer", "minimum": 1, "description": "model calls that it may pay for"},
        }
        limit = {"limit": {"type": "integer", "minimum": 1, "description": "only the first N train cases"}}
        return (
            self._tool(
                "status",
                "Incumbent, open levels, files, scores, what was tried, what is left.",
                {},
                self._status,
            ),
            self._tool(
                "attribution",
                "Where the incumbent loses its score on train, by step and by level. With `replay`, blame is measured: "
                "failing cases run again with one step changed. That costs model calls; do it before a hard choice.",
                {"replay": {"type": "boolean"}},
                self._attribution,
                required=(),
            ),
            self._tool(
                "evaluate_train",
                "Run the workspace as it stands on train.",
                limit,
                self._evaluate_train,
                required=(),
            ),
            self._tool(
                "submit",
                "Freeze the workspace as a variant; it is reviewed, then validated against the incumbent. "
                "Give one hypothesis, the technique's short name, and the step that it concerns.",
                submit,
                self._submit,
            ),
            self._tool(
                "sweep",
                "Try all combinations of some settings on train, by successive halving; needs the parameter level. "
                "The workspace is not changed.",
                sweep_of,
                self._sweep,
                required=("settings",),
            ),
            self._tool(
                "merge",
                "Make the change of an earlier variant in your workspace, too, by a three-way merge, and learn how "
                "many train cases it wins and loses against the incumbent: for variants that win on different cases.",
                {"variant": text},
                self._merge,
            ),
            self._tool(
                "learned",
                "Write into the ledger what a variant taught you, for later sessions; one sentence.",
                {"variant": text, "lesson": text},
                self._learned,
            ),
            self._tool("request_level", "Ask fapo to open a level.", level, self._request_level),
            self._tool("finish", "End the optimization.", {"summary": text}, self._finish),
        )

    def _tool(self, name: str, description: str, properties: dict[str, Any], handler: Handler,
              *, required: tuple[str, ...] | None = None) -> AgentTool:  # fmt: skip
        async def answer(arguments: dict[str, Any]) -> str:
            if name in _COSTLY and (over := why_stop(self._run)) is not None:
                raise UsageError(f"the search is over: {over[1]}; call finish")
            try:
                answered = json.dumps(await handler(arguments), ensure_ascii=False)
                self._workspace.write_ledger(self._run.state)
                return answered
            except UsageError:
                raise
            except FapoError as error:
                self.fault = error
                self._end_session()
                raise

        needed = list(properties) if required is None else list(required)
        schema = {
            "type": "object",
            "properties": properties,
            "required": needed,
            "additionalProperties": False,
        }
        return AgentTool(name, description, schema, answer, read_only=False)

    async def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        run, state = self._run, self._run.state
        train = await run.evaluate(state.incumbent, "train")
        validation = state.evaluated(state.incumbent, "validation")
        assert validation is not None
        snapshot = run.snapshot(state.incumbent)
        return {
            "pipeline": run.project.spec.name,
            "task": run.project.spec.task,
            "incumbent": state.incumbent,
            "open_levels": list(state.open_levels),
            "closed_levels": closed_reasons(state, run.scope, await run.shares()),
            "editable": list(editable(state.open_levels)),
            "steps": [
                {"name": s.name, "kind": s.kind, "prompt": f"pipeline/prompts/{s.name}.md" if s.kind == "llm" else None}
                for s in run.project.steps
            ],
            "files": [{"path": f"pipeline/{path}", "bytes": len(content)} for path, content in snapshot.items()],
            "train": {"n": len(train.values), "mean": round(train.mean, 4), "failures": len(train.failed("pipeline"))},
            "validation": {"n": validation.n, "of": validation.of, "mean": round(validation.mean, 2)},
            "variants_left": self._variants_left(),
            "tried": [
                {"variant": a.variant, "level": a.level, "technique": a.technique, "step": a.step, "verdict": a.verdict,
                 "difference": None if a.difference is None else round(a.difference, 2)}
                for a in state.attempts
            ],
            "target": run.config.target,
            "detectable_gain": round(detectable_gain(run.state, run.config), 3),
            "looks": state.looks,
            "usd_left": dollars_left(run),
            "settings": list(setting_names(snapshot)),
            "agent": self._lane.number,
            "agents": run.config.parallel,
        }  # fmt: skip

    async def _attribution(self, arguments: dict[str, Any]) -> dict[str, Any]:
        run = self._run
        if arguments.get("replay"):
            if (over := why_stop(run)) is not None:
                raise UsageError(f"the search is over: {over[1]}; call finish")
            await run.replay()
        found = await self.look()
        return {
            "n": found.n,
            "mean": None if found.mean is None else round(found.mean, 4),
            "lost": round(found.lost, 4),
            "by_step": [
                {"step": blame.step, "category": blame.category, "levels": list(blame.levels), "cases": blame.cases,
                 "share": round(blame.share, 3), "confidence": blame.confidence, "evidence": blame.evidence,
                 "examples": list(blame.examples)[:SHOWN_EXAMPLES]}
                for blame in found.by_step
            ],
            "by_level": {level: round(share, 3) for level, share in found.by_level.items()},
            "recommended_level": found.recommended_level,
            "why": found.why,
            "ceilings": {level: round(mean, 3) for level, mean in found.ceilings.items()},
            "clusters": [
                {"step": each.step, "category": each.category, "what": each.what, "cases": each.cases,
                 "share": round(each.share, 3), "look_at": list(each.representatives)}
                for each in found.clusters[:SHOWN_CLUSTERS]
            ],
            "retrieval": None if found.retrieval is None else to_python(found.retrieval),
            "traces": f"train/traces/{run.state.incumbent}/",
            "measured": self._measured(),
        }  # fmt: skip

    def _measured(self) -> dict[str, Any] | None:
        """What replay found: by step, how many failures each change turned, and how far each level can reach."""
        found = self._run.measured()
        if found is None:
            return None
        return {
            "replayed": found.replayed,
            "turned": [
                {"step": each.step, "changed": each.kind, "turned": each.turned, "of": each.tried,
                 "regained": None if each.regained is None else round(each.regained, 3)}
                for each in found.headrooms if each.tried
            ],
            "can_reach": {c.level: {"mean": round(c.mean, 3), "interval": [round(c.low, 3), round(c.high, 3)]}
                          for c in found.ceilings},
            "cannot_be_replayed": list(found.unchanged),
        }  # fmt: skip

    async def _evaluate_train(self, arguments: dict[str, Any]) -> dict[str, Any]:
        limit = arguments.get("limit")
        total = len(self._run.project.cases("train"))
        limit = None if limit is None or int(limit) >= total else int(limit)
        evaluation, incumbent, traces = await self._gate.evaluate_workspace(self._workspace, limit)
        values = evaluation.values
        base = [incumbent.values[case] for case in values]
        incumbent_mean = sum(base) / len(base)
        feedback = [r.score.feedback for r in evaluation.records if r.score and r.score.value < 1 and r.score.feedback]
        return {
            "n": len(values),
            "mean": round(evaluation.mean, 4),
            "incumbent_mean": round(incumbent_mean, 4),
            "difference": round(evaluation.mean - incumbent_mean, 4),
            "failures": len(evaluation.failed("pipeline")),
            "feedback": feedback[:SHOWN_FEEDBACK],
            "traces": traces,
        }

    async def _submit(self, arguments: dict[str, Any]) -> dict[str, Any]:
        run = self._run
        self.submitted = True
        claim = (str(arguments[key])[:500] for key in ("hypothesis", "technique", "step"))
        verdict = await self._gate.submit(self._workspace, *claim)
        judged = isinstance(verdict, Decided)
        accepted = isinstance(verdict, Decided) and verdict.verdict == "accepted"
        if judged:
            self._workspace.restore(run.state.incumbent, run.snapshot(run.state.incumbent))
        if accepted:
            await self.look()
        over = why_stop(run)
        attempt = run.state.attempt(verdict.variant)
        return {
            "variant": verdict.variant,
            "level": attempt.level,
            "verdict": attempt.verdict,
            "reason": attempt.told,
            "difference": None if attempt.difference is None else round(attempt.difference, 2),
            "open_levels": list(run.state.open_levels),
            "variants_left": self._variants_left(),
            "workspace": f"incumbent {run.state.incumbent} restored" if judged and not accepted else "kept",
            "search_over": over[1] if over is not None else None,
        }

    async def _request_level(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments["level"] not in LEVELS:
            raise UsageError(f"no such level: {arguments['level']}")
        decision = await self._run.request_level(cast(Level, arguments["level"]))
        return {
            "granted": decision.granted,
            "why": decision.why,
            "open_levels": list(self._run.state.open_levels),
        }

    async def _learned(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._run.learn(str(arguments["variant"])[:20], str(arguments["lesson"])[:500])
        return {"noted": True}

    async def _sweep(self, arguments: dict[str, Any]) -> dict[str, Any]:
        values = {str(name): list(each) for name, each in arguments["settings"].items()}
        done = await sweep(self._run, self._gate, self._workspace, values, max_calls=arguments.get("max_calls"))
        return {
            "combinations": [
                {"settings": dict(each.settings), "n": each.n, "mean": round(each.mean, 4), "failures": each.failures,
                 "against_workspace": round(each.against.difference, 4), "p": round(each.against.p_greater, 3)}
                for each in done.combinations[:SHOWN_COMBINATIONS]
            ],
            "paid_calls": done.calls,
            "ended_early": done.ended_early,
        }  # fmt: skip

    async def _merge(self, arguments: dict[str, Any]) -> dict[str, Any]:
        run, variant = self._run, str(arguments["variant"])
        merged = self._gate.take_over(self._workspace, variant)
        ours = await run.evaluate(run.state.incumbent, "train")
        theirs = await run.evaluate(variant, "train")
        gains = [theirs.values[case] - value for case, value in ours.values.items()]
        return {
            "merged": variant,
            "conflicts": [f"{CONFLICTS}/{path}" for path in merged.conflicts],
            "cases_won": sum(gain > 0 for gain in gains),
            "cases_lost": sum(gain < 0 for gain in gains),
            "next": "resolve the conflicts, if any; then evaluate_train and submit",
        }

    async def look(self) -> Attribution:
        """Attribution of the incumbent, with its traces in the workspace."""
        run = self._run
        variant = run.state.incumbent
        found = await run.attribution()
        if not self._workspace.has_traces(variant):
            records = (await run.evaluate(variant, "train")).records
            self._workspace.write_traces(variant, records, run.case_map("train"))
        return found

    async def _finish(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.finished = str(arguments["summary"])[:2000]
        return {"finished": True}

    def _variants_left(self) -> int:
        return 0 if why_stop(self._run) is not None else self._run.config.max_variants - self._run.state.looks
