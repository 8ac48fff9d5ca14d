"""The configuration of one command, and the only reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field

from fapo.records import LEVELS, Level, Split

Isolation = Literal["auto", "none"]
Acceptance = Literal["investing", "strict", "mean"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CallLimits(Frozen):
    """What model calls may use: on the wire at once, a minute, and in all."""

    concurrency: int = Field(32, ge=1, description="Model calls in flight at once.")
    budget_usd: float | None = Field(None, gt=0, description="Limit on all spending, dollars.")
    max_calls: int | None = Field(None, ge=1, description="Limit on paid model calls.")
    max_tokens: int | None = Field(None, ge=1, description="Limit on tokens of paid calls, prompt and reply.")
    rpm: int | None = Field(None, ge=1, description="Requests a minute to each provider.")
    tpm: int | None = Field(None, ge=1, description="Tokens a minute to each provider.")


class EvalConfig(CallLimits):
    """What `fapo eval` was asked to do."""

    split: Split = Field("validation", description="Which split to run.")
    limit: int | None = Field(None, ge=1, description="Only the first N cases of the split.")
    trials: int = Field(1, ge=1, description="Samples of each case.")
    model: str | None = Field(None, description="Replaces the `task` model, or as `ROLE=MODEL,...` others.")
    isolation: Isolation = Field("auto", description="How pipeline code is confined.")
    full: Path | None = Field(None, description="Folder of prepared benchmarks, where the whole one is to be run.")
    paper_rules: bool = Field(False, description="Whether the benchmark's guards are off, as in what was published.")


class OptimizeConfig(CallLimits):
    """What `fapo optimize` was asked to do; recorded in the run, so that a resumed run obeys the same limits."""

    max_variants: int = Field(12, ge=1, description="Variants that may be submitted for validation.")
    max_minutes: float | None = Field(None, gt=0, description="Wall-clock limit of the search.")
    patience: int | None = Field(
        None, ge=4, description="Rejected variants in a row after which the search ends; three open the next level."
    )
    trials: int = Field(1, ge=1, le=50, description="Samples of each validation and test case.")
    target: float | None = Field(None, gt=0, le=1, description="Stop when validation reaches this mean score.")
    scope: tuple[Level, ...] = Field(LEVELS, description="Levels that may be opened at all.")
    model: str | None = Field(None, description="Replaces the `task` model, or as `ROLE=MODEL,...` others.")
    optimizer_model: str | None = Field(None, description="The coding agent's model.")
    accept: Acceptance = Field("investing", description="What makes a gain on validation count: fapo/acceptance.py.")
    alpha: float | None = Field(None, gt=0, lt=0.5, description="The error that `accept` may make; its own default.")
    min_gain: float = Field(0, ge=0, lt=1, description="Gain on validation below which nothing is accepted.")
    tolerance: float = Field(0, ge=0, lt=0.5, description="Score that simpler variants may cost, all in all.")
    max_cost_growth: float | None = Field(None, ge=0, description="Growth of a case's cost that must be worth it.")
    worth: float = Field(0.05, ge=0, le=1, description="Gain that makes a larger growth of cost worth it.")
    teacher: str | None = Field(None, description="A stronger model, which shows what better prompts could reach.")
    noise_floor: bool = Field(True, description="Whether the baseline runs twice, to see how far equals differ.")
    optimizer: Literal["fapo", "gepa"] = Field("fapo", description="The coding agent, or GEPA's reflection.")
    seed: int = Field(0, ge=0, description="Draws other samples, and seeds GEPA.")
    search_calls: int | None = Field(None, ge=1, description="Task-model calls that a search may make, cached or not.")
    parallel: int = Field(1, ge=1, le=8, description="Agents at the same time, each in a workspace of its own.")
    review_agent: bool = Field(True, description="Whether a second agent reviews each variant.")
    isolation: Isolation = Field("auto", description="How pipeline code is confined.")
    full: Path | None = Field(None, description="Folder of prepared benchmarks, where the whole one is to be run.")
    paper_rules: bool = Field(False, description="Whether the benchmark's guards are off, as in what was published.")

    @property
    def error(self) -> float:
        """What `accept` may get wrong: `strict` any useless acceptance, `investing` the useless share of them."""
        return self.alpha if self.alpha is not None else DEFAULT_ERROR[self.accept]


class CiConfig(CallLimits):
    """What `fapo ci` was asked to do; the limits hold for check and search together."""

    optimize: Literal["on-fall", "always", "never"] = Field("on-fall", description="When to search for a better one.")
    trials: int = Field(1, ge=1, description="Samples of each validation case.")
    model: str | None = Field(None, description="Replaces the pipeline's `task` model.")
    optimizer_model: str | None = Field(None, description="The coding agent's model.")
    max_variants: int = Field(12, ge=1, description="Variants that may be submitted for validation.")
    max_minutes: float | None = Field(None, gt=0, description="Wall-clock limit of the search.")
    new_baseline: bool = Field(False, description="Whether today's score becomes the baseline, whatever it is.")
    night: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of this night.")
    push: bool = Field(False, description="Whether branch and lock go to the remote.")
    pull_request: bool = Field(False, description="Whether a pull request is opened or updated.")
    remote: str = Field("origin", description="The remote.")
    branch: str | None = Field(None, description="Branch for a better variant; fapo/NAME.")
    base: str | None = Field(None, description="Branch that the pull request is to be merged into.")
    isolation: Isolation = Field("auto", description="How pipeline code is confined.")
    full: Path | None = Field(None, description="Folder of prepared benchmarks, where the whole one is to be run.")
    paper_rules: Literal[False] = False


DEFAULT_ERROR: dict[Acceptance, float] = {"strict": 0.05, "investing": 0.2, "mean": 0.5}


class Environment(Frozen):
    """What fapo takes from the process environment."""

    runs_dir: Path
    cache_file: Path
    benchmarks_dir: Path
    home: Path
    variables: Mapping[str, str] = Field(repr=False)
    plain: bool


def read_environment() -> Environment:
    """Read `FAPO_RUNS_DIR` (default `./runs`), `FAPO_CACHE_DIR` (default: the user's cache folder) and `CI`."""
    variables = dict(os.environ)
    cache_dir = Path(variables.get("FAPO_CACHE_DIR") or platformdirs.user_cache_dir("fapo"))
    return Environment(
        runs_dir=Path(variables.get("FAPO_RUNS_DIR") or "runs").absolute(),
        cache_file=cache_dir / "replies.sqlite",
        benchmarks_dir=cache_dir / "benchmarks",
        home=Path.home(),
        variables=variables,
        plain=bool(variables.get("CI")) or variables.get("TERM") == "dumb",
    )
