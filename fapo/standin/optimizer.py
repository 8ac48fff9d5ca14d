"""A rule-driven optimizer that follows the playbook by reading tool results, in place of a model.

`decide` keeps no state between calls: the session is written as one generator from begin to end, and each call plays it
again with the results that the conversation holds, up to the first call that has no result yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from fapo.standin.conversation import (
    MCP_PREFIX,
    Call,
    Exchange,
    Findings,
    Status,
    Verdict,
    exchanges,
    file_view,
    workspace,
)
from fapo.standin.ideas import Idea, ideas
from fapo.standin.structure import Files

MAX_CALLS = 300
"""Tool calls in one conversation after which the session is brought to its end."""
MAX_ERRORS = 10
"""Ideas in a row that tool errors cut short before the session is brought to its end."""
PLATEAU = 3
"""Rejections in a row, with different techniques, after which another level is asked for."""
LARGER_PART = 0.5
CLEARLY_WORSE = -0.04
LOOK_CASES = 40

Block = dict[str, Any]
Moves = Generator[Call, Exchange, str]


class _EnoughError(Exception):
    """The session has to end now; its text says why."""


def decide(system: str, messages: Sequence[Mapping[str, Any]]) -> list[Block]:
    """The next content blocks of the assistant in a Messages conversation: text and one tool call, or text to end.

    Tool calls carry no id. Every conversation comes to its end: at most MAX_CALLS tool calls, then `finish`.
    """
    root = workspace(system, messages)
    if root is None:
        return [_text("I see no `Workspace:` line, so there is nothing that I can work on.")]
    record = exchanges(messages)
    if len(record) > 2 * MAX_CALLS:
        return [_text("This conversation has grown too long; I end it here.")]
    step = _replayed(_Session(root).play(), record)
    if isinstance(step, str):
        return [_text(step)]
    use = {"type": "tool_use", "name": step.name, "input": step.arguments}
    return [_text(step.why), use] if step.why else [use]


def _replayed(moves: Moves, record: Iterable[Exchange]) -> Call | str:
    """The first call of `moves` that `record` does not answer, or the text with which they end.

    What is not an answer is passed over, so that a conversation whose beginning is gone starts anew.
    """
    try:
        call = next(moves)
        for exchange in record:
            if exchange.answers(call):
                call = moves.send(exchange)
    except StopIteration as end:
        return str(end.value)
    return call


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


@dataclass(slots=True)
class _Session:
    """One session in the workspace, and what it has learned so far."""

    root: PurePosixPath
    status: Status = field(default_factory=Status)
    findings: Findings = field(default_factory=Findings)
    calls: int = 0
    errors: int = 0
    done: set[tuple[str, str]] = field(default_factory=set)
    unfit: set[tuple[str, str]] = field(default_factory=set)
    """Ideas that do not fit the incumbent; the next one may be another matter."""
    retried: set[tuple[str, str]] = field(default_factory=set)
    """Ideas that a tool error cut short once; each gets one more chance."""
    rejected: list[str] = field(default_factory=list)
    """Techniques that were rejected in a row, the latest last."""
    in_vain: Counter[str] = field(default_factory=Counter)
    """By step, what was rejected there since the last acceptance."""
    accepted: int = 0
    accepted_before: int = 0
    """In earlier sessions."""
    verdicts: int = 0
    refused_at: dict[str, int] = field(default_factory=dict)
    """For each level that was refused, how many verdicts there were by then."""
    seen: dict[str, str] = field(default_factory=dict)

    def play(self) -> Moves:
        """The whole session; its value is the closing text."""
        try:
            yield from self._look()
            yield from self._search()
            why = "Nothing promising is left to try."
        except _EnoughError as enough:
            why = str(enough)
        summary = f"{why} {self.verdicts} verdicts in this session, {self.accepted} of them accepted."
        yield Call(f"{MCP_PREFIX}finish", {"summary": summary}, "I am done.")
        return summary

    # -- tools

    def _use(self, name: str, arguments: Mapping[str, Any], why: str = "") -> Generator[Call, Exchange, Exchange]:
        if self.calls >= MAX_CALLS:
            raise _EnoughError(f"{MAX_CALLS} tool calls are used up.")
        self.calls += 1
        return (yield Call(name, dict(arguments), why))

    def _ask(
        self, tool: str, arguments: Mapping[str, Any], why: str = ""
    ) -> Generator[Call, Exchange, dict[str, Any] | None]:
        exchange = yield from self._use(f"{MCP_PREFIX}{tool}", arguments, why)
        return exchange.payload

    def _read(self, path: str, why: str = "") -> Generator[Call, Exchange, str | None]:
        """A workspace file's text, or None where it cannot be read, or not as a whole."""
        arguments: dict[str, Any] = {"file_path": str(self.root / path)}
        sample = "/resources/" in path
        if sample:
            arguments["limit"] = 20
        exchange = yield from self._use("Read", arguments, why)
        if exchange.failed:
            return None
        view = file_view(exchange.text)
        if view is None:
            return self.seen.get(path) if "unchanged since last read" in exchange.text else None
        if not view.whole and not sample:
            return None
        self.seen[path] = view.text
        return view.text

    def _change(self, path: str, old: str, new: str) -> Generator[Call, Exchange, bool]:
        """Turn a file that was read from `old` into `new`: by Edit where one place changes, else by Write."""
        target = {"file_path": str(self.root / path)}
        if (place := _one_change(old, new)) is not None:
            arguments = {**target, "old_string": place[0], "new_string": place[1]}
            exchange = yield from self._use("Edit", arguments)
        else:
            exchange = yield from self._use("Write", {**target, "content": new})
        return not exchange.failed

    # -- the method

    def _look(self) -> Generator[Call, Exchange, None]:
        yield from self._read_status("I begin with where things stand.")
        self.rejected = list(self.status.rejected_last)
        self.accepted_before = self.status.accepted
        yield from self._read_findings("Where does the pipeline lose its score?")

    def _read_status(self, why: str) -> Generator[Call, Exchange, None]:
        for _ in range(2):
            payload = yield from self._ask("status", {}, why)
            if payload is not None:
                self.status = Status.parse(payload)
                return
        raise _EnoughError("The status cannot be read.")

    def _read_findings(self, why: str) -> Generator[Call, Exchange, None]:
        payload = yield from self._ask("attribution", {}, why)
        self.findings = Findings.parse(payload) if payload is not None else Findings()

    def _search(self) -> Generator[Call, Exchange, None]:
        while self.status.variants_left > 0 and self.errors < MAX_ERRORS:
            if self.status.agents > 1 and self.verdicts + self.errors:
                yield from self._read_status("What did the others try?")
            idea = self._next_idea()
            asked = self._levels_to_ask(exhausted=idea is None)
            for level in asked:
                if (yield from self._request(level)):
                    break
            if asked:
                continue
            if idea is None:
                return
            errors = self.errors
            self.done.add(idea.key)
            yield from self._try(idea)
            if self.errors > errors and idea.key not in self.retried:
                self.retried.add(idea.key)
                self.done.discard(idea.key)
        raise _EnoughError("No variants are left." if self.errors < MAX_ERRORS else "The tools keep failing.")

    def _try(self, idea: Idea) -> Generator[Call, Exchange, None]:
        """One idea from reading the files to the verdict; whatever is not accepted is taken back."""
        plan = idea.plan
        texts: dict[str, str] = {}
        why = f"Next idea for `{plan.step}`: {plan.technique}. {plan.hypothesis[:1].upper()}{plan.hypothesis[1:]}."
        for path in plan.paths:
            text = yield from self._read(path, why if not texts else "")
            if text is None and "/resources/" not in path:
                self.errors += 1
                return
            texts[path] = text or ""
        changed = plan.apply(texts)
        if not changed:
            self.done.discard(idea.key)
            self.unfit.add(idea.key)
            return
        written: dict[str, str] = {}
        for path, new in changed.items():
            if not (yield from self._change(path, texts[path], new)):
                self.errors += 1
                yield from self._restore(texts, written)
                return
            written[path] = new
        if not (yield from self._promising(idea)):
            yield from self._restore(texts, written)
            return
        arguments = {"hypothesis": plan.hypothesis, "technique": plan.technique, "step": plan.step}
        answer = yield from self._use(f"{MCP_PREFIX}submit", arguments)
        payload = answer.payload
        if payload is None or "verdict" not in payload:
            self.errors += 1
            if "your workspace" not in answer.text:
                yield from self._restore(texts, written)
            return
        self.errors = 0
        yield from self._adapt(idea, Verdict.parse(payload), texts, written)

    def _promising(self, idea: Idea) -> Generator[Call, Exchange, bool]:
        """A first look on train, for every other idea and all changes of code; False where it is clearly worse."""
        if idea.level != "structure" and len(self.done) % 2 == 1:
            return True
        limit = min(LOOK_CASES, max(self.status.train_cases // 2, 1))
        payload = yield from self._ask("evaluate_train", {"limit": limit}, "A first look on some train cases.")
        if payload is None:
            self.errors += 1
            return False
        self.errors = 0
        difference, failures = payload.get("difference"), payload.get("failures")
        worse = isinstance(difference, (int, float)) and difference < CLEARLY_WORSE
        broken = isinstance(failures, int) and idea.level == "structure" and failures > limit // 4
        return not (worse or broken)

    def _adapt(self, idea: Idea, verdict: Verdict, old: Files, new: Files) -> Generator[Call, Exchange, None]:
        left = self.status.variants_left - verdict.looked if verdict.variants_left is None else verdict.variants_left
        self.status = replace(
            self.status, open_levels=verdict.open_levels or self.status.open_levels, variants_left=left
        )
        self.verdicts += verdict.looked or verdict.accepted
        if verdict.accepted:
            self.accepted += 1
            self.rejected.clear()
            self.in_vain.clear()
            self.unfit.clear()
            if left > 0:
                yield from self._read_findings("Accepted. What is lost now?")
            if left > 0 and idea.level == "structure":
                yield from self._read_status("The code has changed; which files and steps are there now?")
            return
        if verdict.looked:
            self.rejected.append(idea.plan.technique)
            self.in_vain[idea.plan.step] += 1
        if not verdict.restored:
            yield from self._restore(old, new)

    def _restore(self, old: Files, new: Files) -> Generator[Call, Exchange, None]:
        for path, text in new.items():
            yield from self._change(path, text, old[path])

    # -- levels

    def _levels_to_ask(self, *, exhausted: bool) -> list[str]:
        """The closed levels to ask for now: on a plateau, when ideas run out, or when most is lost elsewhere."""
        latest = self.rejected[-PLATEAU:]
        plateau = len(set(latest)) == PLATEAU
        elsewhere = self.accepted + self.accepted_before > 0 and self._outside() > LARGER_PART
        if not (plateau or exhausted or elsewhere):
            return []
        wanted = [self.findings.recommended]
        wanted += [level for level, share in self.findings.by_level.items() if share > 1 - LARGER_PART]
        if plateau or exhausted:
            wanted.append("parameter")
            if self._in_vain() > LARGER_PART:
                wanted.append("structure")
        patience = 1 if exhausted else PLATEAU - 1
        return [
            level
            for level in dict.fromkeys(wanted)
            if level in ("parameter", "structure")
            and level not in self.status.open_levels
            and "scope" not in self.status.closed_levels.get(level, "")
            and (level not in self.refused_at or self.verdicts >= self.refused_at[level] + patience)
        ]

    def _stuck(self) -> set[str]:
        """Steps that PLATEAU ideas in a row did not help."""
        return {step for step, times in self.in_vain.items() if times >= PLATEAU}

    def _in_vain(self) -> float:
        """The share of the loss at steps that are stuck, and of what nobody knows where it lies."""
        stuck = self._stuck()
        return sum(
            blame.share for blame in self.findings.by_step if blame.step in stuck or blame.category == "unidentified"
        )

    def _outside(self) -> float:
        closed = {"prompt", "parameter", "structure"} - self.status.open_levels
        return sum(share for level, share in self.findings.by_level.items() if level in closed)

    def _request(self, level: str) -> Generator[Call, Exchange, bool]:
        share = self.findings.by_level.get(level, 0.0)
        reason = (
            f"attribution places {share:.0%} of the lost score at {level}; {len(self.rejected)} rejections in a row"
        )
        payload = yield from self._ask("request_level", {"level": level, "reason": reason}, f"I ask for {level}.")
        if payload is None or not payload.get("granted"):
            self.refused_at[level] = self.verdicts
            return False
        names = payload.get("open_levels")
        opened = {str(name) for name in names} if isinstance(names, list) else set()
        self.status = replace(self.status, open_levels=self.status.open_levels | opened | {level})
        self.rejected.clear()
        return True

    # -- ideas

    def _next_idea(self) -> Idea | None:
        """The first that was not tried; of several agents, each takes another one."""
        found = list(islice(self._untried(), self.status.agent))
        return found[-1] if found else None

    def _untried(self) -> Iterator[Idea]:
        known = self.done | self.unfit | self.status.tried
        for idea in ideas(self.status, self.findings, every_edit=bool(self.refused_at), stuck=self._stuck()):
            if idea.key not in known and (idea.key[0], "") not in known:
                yield idea


def _one_change(old: str, new: str) -> tuple[str, str] | None:
    """The strings for an Edit where `old` and `new` differ in one place only: whole lines, unique in `old`."""
    before, after = old.split("\n"), new.split("\n")
    changes = [op for op in SequenceMatcher(None, before, after, autojunk=False).get_opcodes() if op[0] != "equal"]
    if len(changes) != 1:
        return None
    _, i1, i2, j1, j2 = changes[0]
    while i1 > 0 or i2 < len(before):
        if i1 > 0:
            i1, j1 = i1 - 1, j1 - 1
        if i2 < len(before):
            i2, j2 = i2 + 1, j2 + 1
        found = "\n".join(before[i1:i2])
        if found.strip() and old.count(found) == 1:
            return found, "\n".join(after[j1:j2])
    return None
