"""A pipeline with what it is measured on: read and checked as a whole, before a call is paid for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fapo.config import CiConfig, EvalConfig, OptimizeConfig
from fapo.data import BENCHMARK_FILE, Benchmark, Guards, builtin_names, find_builtin, inline_benchmark, load_benchmark
from fapo.errors import UsageError, did_you_mean
from fapo.evaluation.scoring import ScoreFunction, load_score
from fapo.pipeline.check import StepCall, check_pipeline
from fapo.pipeline.spec import SPEC_FILE, PipelineSpec, load_spec
from fapo.records import SPLITS, Case, Split

STANDIN_PREFIX = "standin/"


@dataclass(frozen=True, slots=True)
class Project:
    """One pipeline directory, checked, with its benchmark and score function."""

    directory: Path
    spec: PipelineSpec
    steps: tuple[StepCall, ...]
    benchmark: Benchmark
    score: ScoreFunction
    guarded: bool = True

    def cases(self, split: Split) -> tuple[Case, ...]:
        return self.benchmark.cases(split)

    def clusters(self, split: Split) -> dict[str, str] | None:
        """Case id to cluster, where the benchmark names a metadata key for it."""
        key = self.benchmark.cluster
        return {case.id: str(case.metadata[key]) for case in self.cases(split)} if key else None

    @property
    def judge(self) -> str | None:
        """The model that the score function asks, if it asks one."""
        return (self.spec.judge or self.benchmark.judge) if self.score.asks_judge else None

    @property
    def model_names(self) -> tuple[str, ...]:
        """All models that an evaluation calls."""
        return (*self.spec.models.values(), *([self.judge] if self.judge else []))

    @property
    def sample_note(self) -> str | None:
        """What every output says of figures that are not the benchmark's: stand-ins, a sample, rules that are off."""
        notes = []
        names = sorted({model for model in self.model_names if model.startswith(STANDIN_PREFIX)})
        if names:
            notes.append(
                f"{', '.join(names)} is an offline stand-in, not a language model: "
                "these figures show the machinery, not model quality"
            )
        if self.benchmark.sample:
            notes.append(f"the cases are {self.benchmark.sample}")
        if not self.guarded:
            notes.append("the benchmark's guards are off, as in what was published")
        return "; ".join(notes) or None

    @property
    def is_standin(self) -> bool:
        """Whether a stand-in answers in place of a model."""
        return any(model.startswith(STANDIN_PREFIX) for model in self.model_names)


def find_pipeline(name: str) -> Path:
    """The directory that `name` means: a path, or the name of a built-in pipeline."""
    path = Path(name)
    if path.is_dir():
        return path
    builtin = find_builtin("pipelines", path.name) if path.parts[:-1] in ((), ("pipelines",)) else None
    if builtin is None:
        if path.is_file():
            raise UsageError(f"is a file: give the directory that it is in, {path.parent}", path=name)
        here = [found.parent for found in path.parent.glob(f"*/{SPEC_FILE}")]
        known = [*map(str, here), *builtin_names("pipelines", SPEC_FILE)]
        near = did_you_mean(name, known) or "; `fapo init NAME` makes one"
        raise UsageError(f"no such pipeline directory, and no built-in pipeline of this name{near}", path=name)
    return builtin


def load_project(
    directory: Path,
    *,
    model: str | None = None,
    data_from: Path | None = None,
    prepared: Path | None = None,
    guarded: bool = True,
) -> Project:
    """Read and check a pipeline, its benchmark and its score.

    `model` replaces the `task` model, or as `ROLE=MODEL,...` those of other roles and the judge.

    `data_from` is the directory that inline `data:` and `score:` paths are relative to, if it is not `directory`;
    `prepared` the folder of prepared benchmarks, where the whole of one is wanted. Not `guarded`: as it was published.
    """
    spec = load_spec(directory)
    if model is not None:
        spec = _with_models(spec, model, directory / SPEC_FILE)
    steps = check_pipeline(directory, spec)
    home = data_from or directory
    benchmark = _benchmark(spec, home, prepared)
    if not guarded:
        benchmark = replace(benchmark, guards=Guards())
    near = benchmark.directory if spec.data is None else home
    score = load_score(spec.score or benchmark.score, near)
    if score.asks_judge and not (spec.judge or benchmark.judge):
        raise UsageError("its score asks a model: name it by `judge:`", path=home / SPEC_FILE)
    return Project(directory, spec, steps, benchmark, score, guarded)


def _with_models(spec: PipelineSpec, given: str, path: Path) -> PipelineSpec:
    roles = [*spec.models, "judge"]
    if "=" not in given and "task" in spec.models:
        return spec.model_copy(update={"models": spec.models | {"task": given}})
    named = dict(part.strip().partition("=")[::2] for part in given.split(","))
    if unknown := [role for role, name in named.items() if role not in roles or not name]:
        wanted = ",".join(f"{role}=MODEL" for role in spec.models)
        raise UsageError(f"--model: `{unknown[0]}` is no role of it; say {wanted}", path=path)
    models = {role: named.get(role, name) for role, name in spec.models.items()}
    return spec.model_copy(update={"models": models, "judge": named.get("judge", spec.judge)})


def open_project(
    directory: Path, config: CiConfig | EvalConfig | OptimizeConfig, *, data_from: Path | None = None
) -> Project:
    """`load_project`, as a command was asked to."""
    return load_project(directory, model=config.model, data_from=data_from, prepared=config.full,
                        guarded=not config.paper_rules)  # fmt: skip


def _benchmark(spec: PipelineSpec, home: Path, prepared: Path | None) -> Benchmark:
    if spec.data is not None:
        if prepared is not None:
            raise UsageError("it has data of its own, and no benchmark that could be prepared", path=home / SPEC_FILE)
        files = spec.data.model_dump()
        splits: dict[Split, Path] = {split: home / files[split] for split in SPLITS}
        return inline_benchmark(spec.name, home, splits, score=str(spec.score), closed_labels=spec.closed_labels,
                                guards=spec.guards)  # fmt: skip
    assert spec.benchmark is not None
    path = home / spec.benchmark if "/" in spec.benchmark else find_builtin("benchmarks", spec.benchmark)
    if path is None or not path.is_dir():
        known = builtin_names("benchmarks", BENCHMARK_FILE)
        near = did_you_mean(spec.benchmark, known) or f"; there are {', '.join(known)}"
        raise UsageError(f"unknown benchmark `{spec.benchmark}`{near}", path=home / SPEC_FILE)
    if prepared is None:
        return load_benchmark(path)
    whole = prepared / path.name
    if not (whole / "train.jsonl").is_file():
        raise UsageError(f"is not prepared yet: fapo benchmark prepare {path.name}", path=whole)
    return load_benchmark(path, prepared=whole)
