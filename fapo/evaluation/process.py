"""The parent's side of a worker: start it, run cases in it, notice when it hangs or dies."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fapo.config import Isolation
from fapo.errors import IsolationError, PipelineError, UsageError
from fapo.evaluation.frames import FrameError, encode_frame, read_frame
from fapo.records import Prediction

MEMORY_BYTES = 4 * 2**30
START_TIMEOUT_S = 120.0
CANCEL_GRACE_S = 2.0
_TAIL_BYTES = 8192


class WorkerDied(Exception):
    """The worker ended (`died`), hung past a time limit (`timeout`), or broke the protocol, with cases in it."""

    def __init__(self, reason: str, kind: str = "died") -> None:
        super().__init__(reason)
        self.kind = kind


class CaseHandler(Protocol):
    """What a case that runs in the worker may ask of the parent.

    `held_s` is how long its model calls waited for rate limits so far.
    """

    held_s: float

    async def call_model(self, message: dict[str, Any]) -> str:
        """Make the model call. A PipelineError goes back into the pipeline; anything else ends the case."""

    def record_step(self, message: dict[str, Any]) -> None:
        """Take down a finished function step."""


@dataclass(slots=True)
class _Running:
    handler: CaseHandler
    outcome: asyncio.Future[Prediction]
    calls: set[asyncio.Task[None]] = field(default_factory=set)


class WorkerProcess:
    """One confined worker with many cases in it at once."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader,
                 writer: asyncio.StreamWriter, scratch: Path) -> None:  # fmt: skip
        self._process = process
        self._reader = reader
        self._writer = writer
        self._scratch = scratch
        self._running: dict[int, _Running] = {}
        self._next = 0
        self._tail = b""
        self._dead: WorkerDied | None = None
        self._tasks: list[asyncio.Task[None]] = [asyncio.create_task(self._drain_output())]
        self.level = "none"

    @classmethod
    async def start(cls, directory: Path, *, params: dict[str, Any], isolation: Isolation) -> WorkerProcess:
        """Start a worker on a variant directory.

        Raises UsageError where the pipeline cannot be imported, IsolationError where the worker cannot be confined.
        """
        ours, theirs = socket.socketpair()
        scratch = Path(tempfile.mkdtemp(prefix="fapo-worker-"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-B", "-m", "fapo.evaluation.worker", str(theirs.fileno()),
            str(os.getpid()),
            pass_fds=[theirs.fileno()], env=_clean_environment(scratch), cwd=scratch,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = cls(process, reader, writer, scratch)
        try:
            await worker._begin(directory, params, isolation)
        except BaseException:
            await worker.close()
            raise
        return worker

    async def _begin(self, directory: Path, params: dict[str, Any], isolation: Isolation) -> None:
        self._send({"op": "start", "directory": str(directory.resolve()), "scratch": str(self._scratch),
                    "params": params, "isolation": isolation, "memory_bytes": MEMORY_BYTES})  # fmt: skip
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                answer = await read_frame(self._reader)
        except TimeoutError:
            raise UsageError(f"importing pipeline.py took more than {START_TIMEOUT_S:.0f} s", path=directory) from None
        if answer is None:
            await self._process.wait()
            await self._tasks[0]
            raise UsageError(f"the worker ended while it imported pipeline.py: {self._last_words()}", path=directory)
        if answer.get("op") == "broken":
            raise (
                IsolationError(str(answer["message"])) if answer["isolation"] else UsageError(str(answer["message"]))
            )
        self.level = str(answer["level"])
        self._tasks.append(asyncio.create_task(self._listen()))

    @property
    def dead(self) -> bool:
        return self._dead is not None

    async def run_case(self, inputs: dict[str, Any], handler: CaseHandler, *, timeout_s: float) -> Prediction:
        """Run one case. Raises PipelineError for its own fault, WorkerDied if the worker went down with it.

        `handler.held_s` is not counted: waiting for a rate limit is no fault of the pipeline.
        """
        if self._dead is not None:
            raise self._dead
        self._next += 1
        ident = self._next
        running = self._running[ident] = _Running(handler, asyncio.get_running_loop().create_future())
        self._send({"op": "run", "id": ident, "inputs": inputs})
        try:
            return await self._await_outcome(ident, running, timeout_s)
        finally:
            self._running.pop(ident, None)
            for call in running.calls:
                call.cancel()

    async def _await_outcome(self, ident: int, running: _Running, timeout_s: float) -> Prediction:
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            held = running.handler.held_s
            left = started + timeout_s + held - loop.time()
            done, _ = await asyncio.wait({running.outcome}, timeout=max(left, 0))
            if done:
                return running.outcome.result()
            if running.handler.held_s > held:
                continue
            self._send({"op": "cancel", "id": ident})
            done, _ = await asyncio.wait({running.outcome}, timeout=CANCEL_GRACE_S)
            if not done:
                self._die(f"did not yield for {CANCEL_GRACE_S:.0f} s after its limit of {timeout_s:g} s", "timeout")
            if isinstance(death := running.outcome.exception(), WorkerDied):
                raise death
            raise PipelineError(f"took longer than its limit of {timeout_s:g} s", kind="timeout")

    async def _listen(self) -> None:
        try:
            while (message := await read_frame(self._reader)) is not None:
                self._handle(message)
            self._die(f"the worker ended: {self._last_words()}")
        except (FrameError, KeyError, TypeError, ValueError) as error:
            self._die(f"the worker broke the protocol: {type(error).__name__}: {error}")

    def _handle(self, message: dict[str, Any]) -> None:
        running = self._running.get(message["id"])
        if running is None or running.outcome.done():
            return
        match message["op"]:
            case "llm":
                task = asyncio.create_task(self._call_model(running, message))
                running.calls.add(task)
                task.add_done_callback(running.calls.discard)
            case "step":
                running.handler.record_step(message)
            case "done":
                evidence = tuple(str(item) for item in message["evidence"])
                running.outcome.set_result(Prediction(message["output"], evidence))
            case "failed":
                step = message["step"]
                error = PipelineError(str(message["message"]), kind=str(message["kind"]), step=step and str(step))
                running.outcome.set_exception(error)
            case other:
                raise ValueError(f"unknown message {other!r}")

    async def _call_model(self, running: _Running, message: dict[str, Any]) -> None:
        try:
            text = await running.handler.call_model(message)
            self._send({"op": "reply", "call": message["call"], "text": text})
        except PipelineError as error:
            self._send(
                {
                    "op": "reply",
                    "call": message["call"],
                    "kind": error.kind,
                    "message": str(error),
                    "step": error.step,
                }
            )
        except Exception as error:  # noqa: BLE001 - carried to the case that waits for it, which raises it
            if not running.outcome.done():
                running.outcome.set_exception(error)

    def _send(self, message: dict[str, Any]) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode_frame(message))

    def _die(self, reason: str, kind: str = "died") -> None:
        self._dead = self._dead or WorkerDied(reason, kind)
        if self._process.returncode is None:
            self._process.kill()
        for running in self._running.values():
            if not running.outcome.done():
                running.outcome.set_exception(self._dead)

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
        self._writer.close()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self._scratch, ignore_errors=True)


def _clean_environment(scratch: Path) -> dict[str, str]:
    """All that pipeline code finds in its environment."""
    return {
        "PATH": os.defpath,
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
