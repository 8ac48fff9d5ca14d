"""The worker: the confined process in which pipeline code runs.

Started as `python -I -B -m fapo.evaluation.worker FD PARENT`. It confines itself before it imports pipeline code. It
gets a variant directory and the inputs of cases, never a label, a case id, a key or a score function; model calls go
through the pipe to the parent.

Two event loops may be at work: the pipe's, and that of pipeline code. They are one and the same, unless the pipeline
uses the OpenAI endpoint: code that was written for a client of its own may block, and the pipe must go on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import importlib.util
import inspect
import os
import secrets
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from fapo.errors import FapoError, PipelineError, UsageError
from fapo.evaluation.frames import FrameError, FrameProtocol, open_pipe
from fapo.evaluation.worker_policy import WorkerSetup
from fapo.pipeline.context import Context, FunctionStep, ModelCall, traceable
from fapo.pipeline.corpus import set_corpus
from fapo.pipeline.prompts import Prompt, load_prompts
from fapo.pipeline.tracing import current_case
from fapo.records import Prediction
from fapo.sandbox.confine import confine
from fapo.sandbox.syscalls import die_with_parent

CODE_FILE = "pipeline.py"
THREADS = 64
"""Cases of a synchronous `run` that one worker works on at once."""

RunFunction = Callable[[dict[str, Any], Context], Any]


class Pipeline:
    """Pipeline code and what it is given."""

    def __init__(self, setup: WorkerSetup) -> None:
        set_corpus(setup.corpus)
        self.prompts: dict[str, Prompt] = load_prompts(Path(setup.directory))
        self.run: RunFunction = load_code(Path(setup.directory))
        self.params = setup.params
        self._threads = concurrent.futures.ThreadPoolExecutor(THREADS, "case")

    async def __call__(self, inputs: dict[str, Any], context: Context) -> Any:
        if inspect.iscoroutinefunction(self.run):
            return await self.run(inputs, context)
        here = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, here.run, self.run, inputs, context)


class Worker:
    """The child's side of the pipe."""

    def __init__(self) -> None:
        self._pipe_loop = asyncio.get_running_loop()
        self._code_loop = self._pipe_loop
        self._pipe: FrameProtocol | None = None
        self._pipeline: Pipeline | None = None
        self._cases: dict[int, asyncio.Task[None]] = {}
        self._calls: dict[int, tuple[int, concurrent.futures.Future[Any] | asyncio.Future[Any]]] = {}
        self._live: set[int] = set()
        self._next_call = 0
        self.setup: asyncio.Future[WorkerSetup] = self._pipe_loop.create_future()
        self.over = asyncio.Event()

    async def open(self, descriptor: int) -> None:
        self._pipe = await open_pipe(socket.socket(fileno=descriptor), self._take, lambda _: self.over.set())

    def start(self, pipeline: Pipeline, *, own_loop: bool) -> None:
        """Be ready for cases; with `own_loop`, pipeline code runs in an event loop and a thread of its own."""
        self._pipeline = pipeline
        if own_loop:
            self._code_loop = asyncio.new_event_loop()
            threading.Thread(target=self._code_loop.run_forever, daemon=True).start()

    def send(self, message: dict[str, Any]) -> None:
        """Send from any thread."""
        assert self._pipe is not None
        if self._code_loop is self._pipe_loop:
            self._pipe.send(message)
        else:
            self._pipe_loop.call_soon_threadsafe(self._pipe.send, message)

    def _take(self, message: dict[str, Any], _: int) -> None:
        match message["op"]:
            case "start":
                self.setup.set_result(WorkerSetup(**message["setup"]))
            case "run":
                self._live.add(message["id"])
                self._in_code_loop(self._begin, message["id"], message["inputs"], message["outputs"])
            case "reply":
                self._resolve(message)
            case "cancel":
                self._abandon(message["id"])
                self._in_code_loop(self._cancel, message["id"])

    def _in_code_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._code_loop is self._pipe_loop:
            function(*arguments)
        else:
            self._code_loop.call_soon_threadsafe(function, *arguments)

    def _begin(self, ident: int, inputs: dict[str, Any], outputs: dict[str, list[Any]]) -> None:
        self._cases[ident] = self._code_loop.create_task(self._run(ident, inputs, outputs))

    def _cancel(self, ident: int) -> None:
        if task := self._cases.get(ident):
            task.cancel()

    def _abandon(self, ident: int) -> None:
        """Nobody waits for this case any more: its calls fail, those under way and those to come."""
        self._live.discard(ident)
        for number, (case, call) in list(self._calls.items()):
            if case == ident:
                del self._calls[number]
                if not call.done():
                    call.set_exception(_over())

    def _resolve(self, message: dict[str, Any]) -> None:
        _, call = self._calls.pop(message["call"], (0, None))
        if call is None or call.done():
            return
        if "kind" in message:
            call.set_exception(PipelineError(message["message"], kind=message["kind"], step=message["step"]))
        else:
            call.set_result(message)

    def running(self) -> list[int]:
        """The cases that run now."""
        return list(self._live)

    def submit(self, ident: int, call: dict[str, Any]) -> concurrent.futures.Future[dict[str, Any]]:
        """Make a model call for case `ident` from any thread; the future holds the reply, or raises PipelineError."""
        future: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self._pipe_loop.call_soon_threadsafe(self._ask, ident, call, future)
        return future

    def _ask(self, ident: int, call: dict[str, Any], future: Any) -> None:
        assert self._pipe is not None
        if ident not in self._live:
            future.set_exception(_over())
            return
        self._next_call += 1
        self._calls[self._next_call] = ident, future
        try:
            self._pipe.send({"op": "llm", "id": ident, "call": self._next_call, **call})
        except FrameError as error:
            del self._calls[self._next_call]
            future.set_exception(PipelineError(f"step {call['step']}: {error}", kind="limit", step=call["step"]))

    async def _call_model(self, ident: int, call: ModelCall) -> str:
        fields = {"step": call.step, "role": call.role, "messages": call.messages, "sampling": call.sampling,
                  "variables": call.variables}  # fmt: skip
        if self._code_loop is self._pipe_loop:
            future = self._pipe_loop.create_future()
            self._ask(ident, fields, future)
            reply = await future
        else:
            reply = await asyncio.wrap_future(self.submit(ident, fields))
        return str(reply["text"])

    async def _run(self, ident: int, inputs: dict[str, Any], outputs: dict[str, list[Any]]) -> None:
        assert self._pipeline is not None

        async def call_model(call: ModelCall) -> str:
            return await self._call_model(ident, call)

        def record(step: FunctionStep) -> None:
            self.send({"op": "step", "id": ident, "step": step.step, "inputs": step.inputs, "output": step.output,
                       "start": step.start, "duration_s": step.duration_s, "error": step.error})  # fmt: skip

        current_case.set(ident)
        context = Context(SimpleNamespace(**self._pipeline.params), self._pipeline.prompts, call_model, record, outputs)
        try:
            prediction = _as_prediction(await self._pipeline(inputs, context))
            output = {"output": prediction.output, "evidence": list(prediction.evidence)}
            self.send({"op": "done", "id": ident, **output})
        except asyncio.CancelledError:
            self.send({"op": "failed", "id": ident, "kind": "timeout", "message": "cancelled", "step": None})
        except BaseException as error:  # noqa: BLE001 - the boundary: whatever pipeline code raises is its case's failure
            self.send({"op": "failed", "id": ident, **_describe(error)})
        finally:
            self._cases.pop(ident, None)
            self._live.discard(ident)


def _over() -> PipelineError:
    return PipelineError("the case is over", kind="timeout")


def _as_prediction(value: Any) -> Prediction:
    prediction = value if isinstance(value, Prediction) else Prediction(value)
    return Prediction(traceable(prediction.output), tuple(str(item) for item in prediction.evidence))


def _describe(error: BaseException) -> dict[str, Any]:
    if isinstance(error, PipelineError) and not isinstance(error.__cause__, MemoryError):
        return {"kind": error.kind, "message": str(error), "step": error.step}
    if isinstance(error, FrameError):
        return {"kind": "limit", "message": str(error), "step": None}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".py")]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    kind = "memory" if isinstance(error, MemoryError | PipelineError) else "raised"
    return {"kind": kind, "message": f"{type(error).__name__}: {error}{where}", "step": None}


def load_code(directory: Path) -> RunFunction:
    """Import `pipeline.py` and return its `run`. Raises UsageError with file and line."""
    path, shown = directory / CODE_FILE, Path(CODE_FILE)
    sys.path.insert(0, str(directory))
    spec = importlib.util.spec_from_file_location("pipeline", path)
    if spec is None or spec.loader is None:
        raise UsageError("cannot be imported", path=shown)
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules["pipeline"] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UsageError(f"syntax error: {error.msg}", path=shown, line=error.lineno) from None
    except BaseException as error:  # noqa: BLE001 - user code may raise anything on import, SystemExit included
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        raise UsageError(
            f"raises on import: {type(error).__name__}: {error}", path=shown, line=lines[-1] if lines else None
        ) from None
    run = getattr(module, "run", None)
    if not inspect.isfunction(run) or not _takes_two(run):
        raise UsageError("must define `async def run(inputs, ctx)`, or `def run(inputs, ctx)`", path=shown)
    return run


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind({}, None)
    except TypeError:
        return False
    return True


async def _main(descriptor: int) -> None:
    worker = Worker()
    await worker.open(descriptor)
    setup = await worker.setup
    try:
        confine(setup.policy, setup.level)
        os.chdir(setup.scratch)
        pipeline = _load_with_endpoint(worker, setup) if setup.openai_endpoint else Pipeline(setup)
        worker.start(pipeline, own_loop=setup.openai_endpoint)
    except FapoError as error:
        worker.send({"op": "broken", "message": str(error), "isolation": type(error).__name__ == "IsolationError"})
        await worker.over.wait()
        return
    worker.send({"op": "ready"})
    await worker.over.wait()


def _load_with_endpoint(worker: Worker, setup: WorkerSetup) -> Pipeline:
    """The endpoint first: clients are often made while pipeline code is imported."""
    # It brings an HTTP server with it, which other pipelines need not wait for.
    from fapo.evaluation.endpoint import forget_client_caches, instrument, start_endpoint  # noqa: PLC0415

    endpoint = start_endpoint(worker.submit, setup.models, secrets.token_urlsafe(16), worker.running)
    os.environ.update(endpoint.environment)
    instrument(endpoint.port)
    pipeline = Pipeline(setup)
    forget_client_caches()
    return pipeline


def main() -> None:
    if parent := int(sys.argv[2]):
        die_with_parent(parent)
    asyncio.run(_main(int(sys.argv[1])))
    # Threads of pipeline code may never end.
    os._exit(0)


if __name__ == "__main__":
    main()
