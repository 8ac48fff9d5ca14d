"""The parent's side of a worker: start it, run cases in it, notice when it hangs or dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fapo.errors import IsolationError, PipelineError, UsageError
from fapo.evaluation.frames import FrameError, FrameProtocol, open_pipe
from fapo.evaluation.scratch import Scratch
from fapo.evaluation.worker_policy import WorkerSetup
from fapo.pipeline.spec import PipelineSpec
from fapo.records import Prediction
from fapo.sandbox.launch import outer_command
from fapo.sandbox.policy import Level

START_TIMEOUT_S = 120.0
CANCEL_GRACE_S = 2.0
MAX_CASE_BYTES = 64 * 2**20
"""What one case may send over the pipe: steps, prompts and output together."""
_TAIL_BYTES = 8192


class WorkerDied(Exception):
    """The worker ended (`died`), hung past a time limit (`timeout`), filled its folder (`limit`), or broke the
    protocol, with cases in it."""

    def __init__(self, reason: str, kind: str = "died") -> None:
        super().__init__(reason)
        self.kind = kind


class CaseHandler(Protocol):
    """What a case that runs in the worker may ask of the parent.

    `held_s` is how long its model calls waited for rate limits so far.
    """

    held_s: float

    async def call_model(self, message: dict[str, Any]) -> dict[str, Any]:
        """Make the model call: what goes back into the pipeline. So does a PipelineError; others end the case."""

    def record_step(self, message: dict[str, Any]) -> None:
        """Take down a finished function step."""


@dataclass(slots=True)
class _Running:
    handler: CaseHandler
    outcome: asyncio.Future[Prediction]
    timeout_s: float
    deadline: float
    timer: asyncio.TimerHandle | None = None
    timed_out: bool = False
    reported: bool = False
    over: bool = False
    bytes: int = 0
    calls: set[asyncio.Task[None]] = field(default_factory=set)


class WorkerProcess:
    """One confined worker with many cases in it at once."""

    def __init__(self, process: asyncio.subprocess.Process, scratch: Scratch, level: Level) -> None:
        self.level = level
        self._process = process
        self._scratch = scratch
        self._pipe: FrameProtocol | None = None
        self._running: dict[int, _Running] = {}
        self._next = 0
        self._tail = b""
        self._dead: WorkerDied | None = None
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[dict[str, Any] | None] = self._loop.create_future()
        self._draining = asyncio.create_task(self._drain_output())
        self._watching: asyncio.Task[None] | None = None
        self._reaper: asyncio.Task[None] | None = None
        self.computing = 0
        """Cases that wait for no model call: those that use this worker's CPU, or are about to."""
        self.on_room: Callable[[], None] = lambda: None
        """Told whenever a case stops computing."""

    @classmethod
    async def start(
        cls, directory: Path, spec: PipelineSpec, level: Level, corpus: Path | None = None
    ) -> WorkerProcess:
        """Start a worker on a variant directory, and a corpus that it may read, confined at `level`.

        Raises UsageError where the pipeline cannot be imported, IsolationError where the worker cannot be confined.
        """
        scratch = Scratch(level)
        setup = WorkerSetup(
            str(directory.resolve()), str(scratch.path), level, spec.params, spec.models, spec.limits.memory_mb * 2**20,
            spec.openai_endpoint, str(corpus.resolve()) if corpus else None,
        )  # fmt: skip
        ours, theirs = socket.socketpair()
        try:
            process = await _spawn(setup, theirs)
        except BaseException:
            ours.close()
            scratch.remove()
            raise
        finally:
            theirs.close()
        worker = cls(process, scratch, level)
        try:
            await worker._begin(ours, setup)
        except BaseException:
            await worker.close()
            raise
        return worker

    async def _begin(self, ours: socket.socket, setup: WorkerSetup) -> None:
        self._pipe = await open_pipe(ours, self._take, self._ended)
        self._pipe.send({"op": "start", "setup": setup.as_message()})
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                answer = await self._answer
        except TimeoutError:
            text = f"importing pipeline.py took more than {START_TIMEOUT_S:.0f} s"
            raise UsageError(text, path=setup.directory) from None
        if answer is None:
            # Pipeline code may have closed the pipe, or spoiled it, and go on.
            await asyncio.wait([self._draining], timeout=1.0)
            self._kill()
            await self._process.wait()
            text = f"the worker ended while it imported pipeline.py: {self._last_words()}"
            raise UsageError(text, path=setup.directory)
        self._watching = asyncio.create_task(self._watch_scratch(setup.policy.file_bytes))
        if answer.get("op") == "broken":
            message = str(answer.get("message"))
            raise IsolationError(message) if answer.get("isolation") else UsageError(message)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def dead(self) -> bool:
        return self._dead is not None

    @property
    def in_flight(self) -> int:
        return len(self._running)

    async def run_case(
        self,
        inputs: dict[str, Any],
        handler: CaseHandler,
        *,
        timeout_s: float,
        outputs: Mapping[str, Sequence[Any]] | None = None,
    ) -> Prediction:
        """Run one case, with `outputs` in place of what function steps of these names put out.

        Raises PipelineError for its own fault, WorkerDied if the worker went down with it. `handler.held_s` is not
        counted: waiting for a rate limit is no fault of the pipeline.
        """
        if self._dead is not None:
            raise self._dead
        assert self._pipe is not None
        self._next += 1
        ident = self._next
        deadline = self._loop.time() + timeout_s
        running = self._running[ident] = _Running(handler, self._loop.create_future(), timeout_s, deadline)
        running.timer = self._loop.call_at(deadline, self._expire, ident, running)
        self.computing += 1
        try:
            try:
                self._pipe.send({"op": "run", "id": ident, "inputs": inputs, "outputs": outputs or {}})
            except FrameError as error:
                raise UsageError(f"a case's inputs are too large for the worker: {error}") from None
            return await running.outcome
        finally:
            running.timer.cancel()
            del self._running[ident]
            running.over = True
            if not running.calls:
                self._rest()
            if not running.reported:
                self._pipe.send({"op": "cancel", "id": ident})
            for call in running.calls:
                call.cancel()

    def _expire(self, ident: int, running: _Running) -> None:
        """The time of a case is up, unless it was held up: then its time is longer."""
        until = running.deadline + running.handler.held_s
        if until > self._loop.time():
            running.timer = self._loop.call_at(until, self._expire, ident, running)
            return
        running.timed_out = True
        assert self._pipe is not None
        self._pipe.send({"op": "cancel", "id": ident})
        reason = f"did not yield for {CANCEL_GRACE_S:.0f} s after its limit of {running.timeout_s:g} s"
        running.timer = self._loop.call_later(CANCEL_GRACE_S, self._die, reason, "timeout")

    def _ended(self, error: FrameError | None) -> None:
        if not self._answer.done():
            self._answer.set_result(None)
        elif error is not None:
            self._die(f"the worker broke the protocol: {error}")
        elif self._dead is None:
            self._reaper = asyncio.create_task(self._report_end())

    async def _report_end(self) -> None:
        """Wait for the worker's last words before its cases hear of its end."""
        await asyncio.wait([self._draining], timeout=1.0)
        self._die(f"the worker ended: {self._last_words()}")

    def _take(self, message: dict[str, Any], size: int) -> None:
        if not self._answer.done():
            self._answer.set_result(message)
            return
        try:
            self._handle(message, size)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise FrameError(f"{type(error).__name__}: {error}") from None

    def _handle(self, message: dict[str, Any], size: int) -> None:
        running = self._running.get(message["id"])
        if running is None or running.outcome.done():
            return
        running.bytes += size
        if running.bytes > MAX_CASE_BYTES:
            limit = f"its steps, prompts and output come to more than {MAX_CASE_BYTES // 2**20} MiB"
            running.outcome.set_exception(PipelineError(limit, kind="limit"))
            return
        match message["op"]:
            case "llm":
                work = self._call_model(running, message["call"], message)
                if not running.calls:
                    self._rest()
                task = self._loop.create_task(work)
                running.calls.add(task)
            case "step":
                running.handler.record_step(message)
            case "done":
                evidence = tuple(str(item) for item in message["evidence"])
                self._settle(running, Prediction(message["output"], evidence))
            case "failed":
                step = message["step"]
                error = PipelineError(str(message["message"]), kind=str(message["kind"]), step=step and str(step))
                self._settle(running, error)
            case other:
                raise ValueError(f"unknown message {other!r}")

    async def _watch_scratch(self, limit: int) -> None:
        await self._scratch.overflow(limit)
        self._die(f"its files take more than {limit // 2**20} MiB", "limit")

    def _settle(self, running: _Running, outcome: Prediction | Exception) -> None:
        running.reported = True
        if running.timed_out:
            outcome = PipelineError(f"took longer than its limit of {running.timeout_s:g} s", kind="timeout")
        if isinstance(outcome, Exception):
            running.outcome.set_exception(outcome)
        else:
            running.outcome.set_result(outcome)

    def _rest(self) -> None:
        self.computing -= 1
        self.on_room()

    async def _call_model(self, running: _Running, call: Any, message: dict[str, Any]) -> None:
        try:
            await self._answer_call(running, call, message)
        finally:
            task = asyncio.current_task()
            assert task is not None
            running.calls.discard(task)
            if not running.calls and not running.over:
                self.computing += 1

    async def _answer_call(self, running: _Running, call: Any, message: dict[str, Any]) -> None:
        assert self._pipe is not None
        try:
            reply = await running.handler.call_model(message)
        except PipelineError as error:
            reply = {"kind": error.kind, "message": str(error), "step": error.step}
        except Exception as error:  # noqa: BLE001 - carried to the case that waits for it, which raises it
            if not running.outcome.done():
                running.outcome.set_exception(error)
            return
        try:
            self._pipe.send({"op": "reply", "call": call, **reply})
        except FrameError as error:
            refusal = {"kind": "limit", "message": f"the reply is too long: {error}", "step": None}
            self._pipe.send({"op": "reply", "call": call, **refusal})

    def _die(self, reason: str, kind: str = "died") -> None:
        self._dead = self._dead or WorkerDied(reason, kind)
        self._kill()
        for running in self._running.values():
            if not running.outcome.done():
                running.outcome.set_exception(self._dead)

    def _kill(self) -> None:
        # Not Process.kill, which may reap the process in place of asyncio; that then warns of it.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def _drain_output(self) -> None:
        assert self._process.stdout is not None
        while chunk := await self._process.stdout.read(65536):
            self._tail = (self._tail + chunk)[-_TAIL_BYTES:]

    def _last_words(self) -> str:
        lines = self._tail.decode(errors="replace").strip().splitlines()
        code = self._process.returncode
        return lines[-1] if lines else f"exit code {code}" if code is not None else "no output"

    async def close(self) -> None:
        """End the worker and remove its private folder."""
        self._dead = self._dead or WorkerDied("the worker was closed")
        if self._pipe is not None:
            self._pipe.close()
        self._kill()
        await self._process.wait()
        tasks = [self._draining] if self._watching is None else [self._draining, self._watching]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._scratch.remove()


async def _spawn(setup: WorkerSetup, theirs: socket.socket) -> asyncio.subprocess.Process:
    # In a process namespace of its own the worker cannot see its parent; there bubblewrap ends it.
    parent = 0 if setup.level == "full" else os.getpid()
    worker = [sys.executable, "-I", "-B", "-m", "fapo.evaluation.worker", str(theirs.fileno()), str(parent)]
    return await asyncio.create_subprocess_exec(
        *outer_command(setup.policy, setup.level), *worker,
        pass_fds=[theirs.fileno()], env=_clean_environment(setup.scratch), cwd=setup.scratch,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def _clean_environment(scratch: str) -> dict[str, str]:
    """All that pipeline code finds in its environment."""
    return {
        "PATH": os.defpath,
        "HOME": scratch,
        "TMPDIR": scratch,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
