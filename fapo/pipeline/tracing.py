"""Which case and which step the running code belongs to, also in threads that it starts."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

current_case: ContextVar[int | None] = ContextVar("current_case", default=None)
"""The running number of the case that this code runs for; None outside of one."""

_current_step: ContextVar[str | None] = ContextVar("current_step", default=None)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Name the model calls that are made inside through an OpenAI client: `with fapo.step("rewrite"): ...`."""
    token = _current_step.set(name)
    try:
        yield
    finally:
        _current_step.reset(token)


def step_name() -> str | None:
    """The name of the step that is running: as `step` gave it, else a LangGraph node's, else a DSPy predictor's."""
    return _current_step.get() or _langgraph_node() or _dspy_predictor()


def _langgraph_node() -> str | None:
    config = sys.modules.get("langchain_core.runnables.config")
    running = config.var_child_runnable_config.get() if config else None
    node = ((running or {}).get("metadata") or {}).get("langgraph_node")
    return node if isinstance(node, str) else None


def _dspy_predictor() -> str | None:
    """The innermost predictor's name in the outermost module, as `named_predictors` gives it."""
    dspy = sys.modules.get("dspy")
    callers = getattr(dspy.settings, "caller_modules", None) if dspy else None
    if not callers:
        return None
    outer, inner = callers[0], callers[-1]
    for name, predictor in outer.named_predictors():
        if predictor is inner and name != "self":
            return str(name).removesuffix(".predict")
    signature = getattr(inner, "signature", None)
    return getattr(signature, "__name__", None)


def carry_context_into_threads() -> None:
    """Have threads and thread pools started from now on run in the context of the code that starts them.

    Python leaves that to each library; without it a client that works in threads would not know its case.
    """
    submit, start, run = ThreadPoolExecutor.submit, threading.Thread.start, threading.Thread.run

    def submit_here(pool: ThreadPoolExecutor, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return submit(pool, contextvars.copy_context().run, function, *args, **kwargs)

    def start_here(thread: threading.Thread) -> None:
        thread.fapo_context = contextvars.copy_context()  # type: ignore[attr-defined]
        start(thread)

    def run_here(thread: threading.Thread) -> None:
        context: contextvars.Context | None = getattr(thread, "fapo_context", None)
        if context is None:
            run(thread)
        else:
            context.run(run, thread)

    ThreadPoolExecutor.submit = submit_here  # type: ignore[method-assign, assignment]
    threading.Thread.start = start_here  # type: ignore[method-assign, assignment]
    threading.Thread.run = run_here  # type: ignore[method-assign, assignment]
