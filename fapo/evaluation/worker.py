"""The worker: the confined process in which pipeline code runs.

Started as `python -I -B -m fapo.evaluation.worker FD PARENT`. It confines itself before it imports pipeline code. It
gets a variant directory and the inputs of cases, never a label, a case id, a key or a score function; model calls go
through the pipe to the parent.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from fapo.errors import FapoError, PipelineError, UsageError
from fapo.evaluation.frames import encode_frame, read_frame
from fapo.pipeline.context import Context, FunctionStep, ModelCall, traceable
from fapo.pipeline.prompts import Prompt, load_prompts
from fapo.records import Prediction
from fapo.sandbox.confine import confine
from fapo.sandbox.policy import Policy, runtime_paths
from fapo.sandbox.syscalls import die_with_parent

CODE_FILE = "pipeline.py"


class Worker:
    """The child's side of the pipe."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._calls: dict[int, asyncio.Future[str]] = {}
        self._next_call = 0

    def send(self, message: dict[str, Any]) -> None:
        self._writer.write(encode_frame(message))

    async def serve(self, run: Callable[..., Any], prompts: dict[str, Prompt], params: dict[str, Any]) -> None:
        """Run cases as they arrive until the parent closes the pipe."""
        while (message := await read_frame(self._reader)) is not None:
            match message["op"]:
                case "run":
                    ident = message["id"]
                    case = self._run(ident, message["inputs"], run, prompts, params)
                    self._tasks[ident] = asyncio.create_task(case)
                case "reply":
                    self._resolve(message)
                case "cancel":
                    if task := self._tasks.get(message["id"]):
                        task.cancel()

    def _resolve(self, message: dict[str, Any]) -> None:
        call = self._calls.pop(message["call"], None)
        if call is None or call.done():
            return
        if "text" in message:
            call.set_result(message["text"])
        else:
            call.set_exception(PipelineError(message["message"], kind=message["kind"], step=message["step"]))

    async def _run(
        self,
        ident: int,
        inputs: dict[str, Any],
        run: Callable[..., Any],
        prompts: dict[str, Prompt],
        params: dict[str, Any],
    ) -> None:
        async def call_model(call: ModelCall) -> str:
            self._next_call += 1
            number = self._next_call
            future = self._calls[number] = asyncio.get_running_loop().create_future()
            self.send({"op": "llm", "id": ident, "call": number, "step": call.step, "role": call.role,
                       "messages": call.messages, "sampling": call.sampling, "variables": call.variables})  # fmt: skip
            text: str = await future
            return text

        def record(step: FunctionStep) -> None:
            self.send({"op": "step", "id": ident, "step": step.step, "inputs": step.inputs, "output": step.output,
                       "start_s": step.start_s, "duration_s": step.duration_s, "error": step.error})  # fmt: skip

        context = Context(SimpleNamespace(**params), prompts, call_model, record)
        try:
            prediction = _as_prediction(await run(inputs, context))
            self.send(
                {
                    "op": "done",
                    "id": ident,
                    "output": prediction.output,
                    "evidence": list(prediction.evidence),
                }
            )
        except asyncio.CancelledError:
            self.send({"op": "failed", "id": ident, "kind": "timeout", "message": "cancelled", "step": None})
        except BaseException as error:  # noqa: BLE001 - the boundary: whatever pipeline code raises is its case's failure
            self.send({"op": "failed", "id": ident, **_describe(error)})
        finally:
            self._tasks.pop(ident, None)


def _as_prediction(value: Any) -> Prediction:
    prediction = value if isinstance(value, Prediction) else Prediction(value)
    return Prediction(traceable(prediction.output), tuple(str(item) for item in prediction.evidence))


def _describe(error: BaseException) -> dict[str, Any]:
    if isinstance(error, PipelineError):
        return {"kind": error.kind, "message": str(error), "step": error.step}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".py")]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return {"kind": "raised", "message": f"{type(error).__name__}: {error}{where}", "step": None}


def load_code(directory: Path) -> Callable[..., Any]:
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
    if not inspect.iscoroutinefunction(run) or not _takes_two(run):
        raise UsageError("must define `async def run(inputs, ctx)`", path=shown)
    return run


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind({}, None)
    except TypeError:
        return False
    return True


async def _main(descriptor: int) -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor))
    start = await read_frame(reader)
    if start is None:
        return
    worker = Worker(reader, writer)
    directory, scratch = Path(start["directory"]), Path(start["scratch"])
    try:
        confinement = None
        if start["isolation"] != "none":
            policy = Policy(read=(directory, *runtime_paths()), write=(scratch,), memory_bytes=start["memory_bytes"])
            confinement = confine(policy)
        prompts = load_prompts(directory)
        run = load_code(directory)
    except FapoError as error:
        worker.send({"op": "broken", "message": str(error), "isolation": type(error).__name__ == "IsolationError"})
        await writer.drain()
        return
    level = confinement.level if confinement else "none"
    worker.send({"op": "ready", "level": level})
    await worker.serve(run, prompts, start["params"])


def main() -> None:
    die_with_parent(int(sys.argv[2]))
    asyncio.run(_main(int(sys.argv[1])))


if __name__ == "__main__":
    main()
