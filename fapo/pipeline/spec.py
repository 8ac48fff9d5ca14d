"""`pipeline.yaml`: what a pipeline directory declares, read and checked before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fapo.errors import UsageError, did_you_mean
from fapo.records import LEVELS, Level

SPEC_FILE = "pipeline.yaml"
CODE_FILE = "pipeline.py"


class Limits(BaseModel):
    """What one case may use. A case that exceeds one is a pipeline failure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_s: float = Field(120, gt=0, description="Seconds a case may take, waiting for rate limits not counted.")
    llm_calls: int = Field(20, ge=1, description="Model calls a case may make.")
    memory_mb: int = Field(4096, ge=256, description="Memory that a worker may allocate, for the cases in it together.")


class InlineData(BaseModel):
    """Case files of a pipeline without a benchmark, relative to its directory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: str
    validation: str
    test: str


class PipelineSpec(BaseModel):
    """The contents of `pipeline.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    task: str = Field("", description="One sentence for the agent: what the pipeline is for.")
    benchmark: str | None = Field(None, description="Name of a built-in benchmark, or a path to a benchmark directory.")
    data: InlineData | None = None
    score: str | None = Field(None, description="Name of a built-in score function, or a path to a Python file.")
    closed_labels: bool = Field(False, description="Expected answers are a closed public set, such as class names.")
    guards: dict[str, Any] = Field(default_factory=dict, description="Guards of `data:`, as in benchmark.yaml.")
    models: dict[str, str] = Field(
        min_length=1, description="Role to LiteLLM model string; prompts that name no role have the role `task`."
    )
    params: dict[str, Any] = Field(default_factory=dict, description="The parameter level: `ctx.params` in code.")
    scope: tuple[Level, ...] = Field(LEVELS, description="Levels that an optimization may open.")
    limits: Limits = Limits()
    judge: str | None = Field(None, description="Model string of the judge that the score asks; the benchmark's own.")
    openai_endpoint: bool = Field(
        False, description="Code calls models through an OpenAI client of its own (LangGraph, DSPy, openai, litellm)."
    )
    optimizer_model: str | None = Field(None, description="Model string of the coding agent.")

    @model_validator(mode="after")
    def _has_data(self) -> Self:
        if (self.benchmark is None) == (self.data is None):
            raise ValueError("give either `benchmark:` or `data:` with `score:`")
        if self.data is not None and self.score is None:
            raise ValueError("`data:` needs `score:`")
        return self


def load_spec(directory: Path) -> PipelineSpec:
    """Read and check `directory/pipeline.yaml`. Raises UsageError with file, line where known, and remedy."""
    path = directory / SPEC_FILE
    if not directory.is_dir():
        raise UsageError("no such pipeline directory", path=directory)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"not a pipeline: {SPEC_FILE} is missing", path=directory) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read: {error}", path=path) from None
    return parse_spec(text, path)


def parse_spec(text: str, path: Path) -> PipelineSpec:
    """Check the text of a `pipeline.yaml`; `path` is for messages only."""
    try:
        raw = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise UsageError(f"broken YAML: {error.problem}", path=path, line=line) from None
    if not isinstance(raw, dict):
        raise UsageError("must hold a mapping with `name:`, `models:` and `benchmark:` or `data:`", path=path)
    try:
        return PipelineSpec.model_validate(raw)
    except ValidationError as error:
        first = min(
            error.errors(), key=lambda each: each["type"] != "extra_forbidden"
        )  # a typo explains what is missing
        keys = [str(part) for part in first["loc"]]
        message = _in_words(first["type"], first["msg"], keys)
        where = f"`{'.'.join(keys)}`: " if keys else ""
        raise UsageError(f"{where}{message}", path=path, line=_line_of(text, keys)) from None


def _in_words(kind: str, told: str, keys: list[str]) -> str:
    """What is wrong with the value of a key, and which key was probably meant."""
    if kind == "extra_forbidden":
        inner: dict[str, type[BaseModel]] = {"limits": Limits, "data": InlineData}
        model = inner.get(keys[0], PipelineSpec) if len(keys) > 1 else PipelineSpec
        return f"unknown key{did_you_mean(keys[-1], model.model_fields)}"
    if kind == "missing":
        return "is missing: a pipeline needs all three splits" if keys[0] == "data" else "is missing"
    if kind == "string_pattern_mismatch":
        return "must be a letter, then letters, digits, _ and -"
    return told.removeprefix("Value error, ")


def _line_of(text: str, keys: list[str]) -> int | None:
    """The line on which the innermost known key of a path is set."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line: int | None = None
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            break
        found = next(((k, v) for k, v in node.value if k.value == key), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
