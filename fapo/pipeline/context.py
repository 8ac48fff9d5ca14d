"""What pipeline code sees while it runs: `ctx`. Imported by the worker, so it stays light."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from fapo.errors import PipelineError
from fapo.pipeline.prompts import Prompt

MAX_TRACED_CHARACTERS = 200_000
MAX_TRACED_NESTING = 50


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One model call on its way out of the worker: the step that makes it, the role, and what is sent."""

    step: str
    role: str
    messages: list[dict[str, str]]
    sampling: dict[str, Any]
    variables: Any


@dataclass(frozen=True, slots=True)
class FunctionStep:
    """One finished function step, on its way to the trace. `start` is a moment of `time.monotonic`."""

    step: str
    inputs: Any
    output: Any
    start: float
    duration_s: float
    error: str | None


@dataclass(slots=True)
class Context:
    """The `ctx` of `async def run(inputs, ctx)`.

    `params` holds the parameters of `pipeline.yaml` as attributes. Every step has a name; a step that runs several
    times in one case keeps its name.
    """

    params: SimpleNamespace
    prompts: Mapping[str, Prompt]
    send: Callable[[ModelCall], Awaitable[str]]
    record: Callable[[FunctionStep], None]
    outputs: dict[str, list[Any]] = field(default_factory=dict)
    """What steps put out in place of running, the next in front: a replay."""

    async def llm(self, step: str, /, **variables: Any) -> Any:
        """Render `prompts/<step>.md` with `variables`, call the model of its role, return its reply.

        The reply is text, or the parsed value where the prompt's front matter says `output: json`.
        """
        prompt = self.prompts.get(step)
        if prompt is None:
            raise PipelineError(f"step {step}: there is no prompts/{step}.md", kind="no_prompt", step=step)
        messages = prompt.render(variables)
        reply = await self.send(ModelCall(step, prompt.model, messages, dict(prompt.sampling), traceable(variables)))
        return prompt.parse(reply)

    async def call(self, step: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run any function, sync or async, as a named step; its arguments and result go into the trace."""
        start = time.monotonic()
        inputs = traceable({"args": list(args), "kwargs": kwargs})
        output, error = None, None
        try:
            if self.outputs.get(step):
                output = self.outputs[step].pop(0)
                return output
            output = function(*args, **kwargs)
            if inspect.isawaitable(output):
                output = await output
            return output
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
            raise PipelineError(f"step {step} raised {error}", kind="raised", step=step) from raised
        finally:
            end = time.monotonic()
            self.record(FunctionStep(step, inputs, traceable(output), start, end - start, error))


def traceable(value: Any) -> Any:
    """`value` as JSON can hold it; what JSON cannot hold becomes its `repr`, what is huge or deep a text, cut."""
    text = json.dumps(value, default=repr, ensure_ascii=False)
    if len(text) > MAX_TRACED_CHARACTERS:
        return f"{text[:MAX_TRACED_CHARACTERS]}… ({len(text):,} characters)"
    plain = json.loads(text)
    deep = text.count("[") + text.count("{") > MAX_TRACED_NESTING and is_nested_deeper(plain, MAX_TRACED_NESTING)
    return text if deep else plain


def is_nested_deeper(value: Any, levels: int) -> bool:
    """Whether more than so many lists and objects are inside of each other."""
    inside = [value]
    for _ in range(levels + 1):
        inside = [child for item in inside for child in _children(item)]
    return bool(inside)


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
