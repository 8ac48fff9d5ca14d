"""Conditions on an evaluation, for pull requests: a least score, and not to be worse than what it would replace."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fapo.ci.outputs import Check, junit_xml, write_fault, write_junit, write_outputs, write_step_summary
from fapo.errors import FapoError, ProviderError, UsageError
from fapo.evaluation.compare import Arm, compare_arms, read_arm
from fapo.evaluation.evaluate import MANIFEST_FILE, TRACES_FILE
from fapo.evaluation.project import Project
from fapo.pipeline.check import check_pipeline
from fapo.pipeline.spec import load_spec
from fapo.stats import PairedComparison, lower_bound
from fapo.store.git import find_repository
from fapo.store.variants import snapshot_digest, take_snapshot, write_snapshot

if TYPE_CHECKING:
    from fapo.config import Environment, EvalConfig
    from fapo.evaluation.evaluate import Evaluation

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Gates:
    """What is asked of an evaluation; `margin` is in points."""

    fail_under: float | None
    not_worse_than: str | None
    margin: float
    junit: Path | None

    @property
    def any(self) -> bool:
        return self.fail_under is not None or self.not_worse_than is not None


@dataclass(frozen=True, slots=True)
class Base:
    """What the evaluation is compared with: one that is there (`arm`), or a pipeline that is to be evaluated.

    `same` says that the pipeline is the very one that is evaluated anyway.
    """

    name: str
    arm: Arm | None = None
    project: Project | None = None
    same: bool = False

    @property
    def models(self) -> tuple[str, ...]:
        return () if self.project is None or self.same else self.project.model_names


@dataclass(frozen=True, slots=True)
class NotWorse:
    """Candidate minus base. It is not worse by more than `margin` where the one-sided 95 % bound `lower` is above
    minus that."""

    base: str
    paired: PairedComparison
    lower: float
    margin: float


@contextmanager
def open_base(gates: Gates, source: Path, project: Project, config: EvalConfig) -> Iterator[Base | None]:
    """What `--not-worse-than` names: an evaluation, or else a commit. Raises UsageError before anything is paid."""
    named = gates.not_worse_than
    if named is None:
        yield None
        return
    place = Path(named)
    if (place / MANIFEST_FILE).is_file() or (place.name == TRACES_FILE and place.is_file()):
        yield Base(str(place), arm=read_arm(place))
        return
    repository = find_repository(source)
    if repository is None:
        raise UsageError(f"--not-worse-than: `{named}` is no evaluation, and {source} is in no git repository")
    commit = repository.commit_of(named)
    snapshot = repository.snapshot(commit, repository.path_of(source))
    if "pipeline.yaml" not in snapshot:
        raise UsageError(f"--not-worse-than: commit {named} has no pipeline in {repository.path_of(source)}; "
                         "for a new pipeline, use --fail-under")  # fmt: skip
    name = f"{named} ({commit[:12]})"
    with tempfile.TemporaryDirectory(prefix="fapo-base-") as folder:
        directory = Path(folder, source.resolve().name)
        directory.mkdir()
        write_snapshot(snapshot, directory)
        base = _same_measure(project, directory, config)
        same = base.spec == project.spec and snapshot_digest(snapshot) == snapshot_digest(
            take_snapshot(project.directory, hard_links=True)
        )
        yield Base(name, project=base, same=same)


def _same_measure(project: Project, directory: Path, config: EvalConfig) -> Project:
    """The pipeline in `directory`, on the cases and with the score of `project`."""
    spec = load_spec(directory)
    if config.model is not None:
        spec = spec.model_copy(update={"models": spec.models | {"task": config.model}})
    spec = spec.model_copy(update={"judge": project.spec.judge})
    return replace(project, directory=directory, spec=spec, steps=check_pipeline(directory, spec))


def compare_with(base: Base, other: Arm, evaluation: Evaluation, project: Project, margin: float) -> NotWorse:
    """Whether the evaluation is not worse than `other`, paired by case.

    Raises ProviderError while cases are undecided, and UsageError where the two cannot be compared.
    """
    candidate = read_arm(evaluation.directory)
    found = compare_arms(other, candidate)
    if found.left_out:
        raise ProviderError(
            f"{len(found.left_out)} cases are not decided in both, which leaves open how they would end; "
            "finish them first: fapo eval --resume DIR"
        )
    clusters = project.clusters(evaluation.manifest.split)
    lower = lower_bound(candidate.means, other.means, clusters=clusters, confidence=CONFIDENCE)
    return NotWorse(base.name, found.paired, lower, margin)


def gate_checks(gates: Gates, mean: float, base: Base | None, found: NotWorse | None) -> list[Check]:
    """The conditions with what became of them."""
    checks = []
    if gates.fail_under is not None:
        passed = mean >= gates.fail_under
        relation = "is not" if passed else "is"
        checks.append(Check("score is high enough", passed, f"mean score {mean:.3f} {relation} under "
                                                            f"{gates.fail_under:g}"))  # fmt: skip
    if base is not None and base.same:
        checks.append(Check("not worse than the base", True, f"the pipeline is the same as in {base.name}"))
    elif found is not None:
        paired = found.paired
        passed = 100 * found.lower > -found.margin
        bound = f"at worst {100 * found.lower:+.1f} (one-sided 95 % bound, n = {paired.n})"
        within = "within" if passed else "not shown to be within"
        text = (
            f"{100 * paired.difference:+.1f} points against {found.base}, {bound}; "
            f"{within} the margin of {found.margin:g}"
        )
        if not passed and paired.difference >= 0:
            text += f"; {paired.n} cases show no smaller margin: take more cases or trials, or a larger margin"
        checks.append(Check("not worse than the base", passed, text))
    return checks


async def tell_faults(work: Coroutine[None, None, int], name: str, gates: Gates, environment: Environment) -> int:
    """Do the work and return its exit code; where it comes to no result, and one was asked for, tell machines so."""
    started = time.monotonic()

    def tell(message: str, code: int) -> None:
        if gates.any:
            seconds = time.monotonic() - started
            write_fault(environment.variables, gates.junit, name, message, code=code, seconds=seconds)

    try:
        code = await work
    except FapoError as error:
        tell(str(error), error.exit_code)
        raise
    if code == ProviderError.exit_code:
        tell("cases are undecided, since the provider failed", code)
    return code


def leave_gates(checks: list[Check], pipeline: str, gates: Gates, environment: Environment, *, seconds: float) -> None:
    """What machines read of the gates: JUnit XML, outputs and the page of the job."""
    write_junit(gates.junit, junit_xml(pipeline, checks, seconds=seconds))
    passed = all(check.passed for check in checks)
    message = "; ".join(check.message for check in checks)
    write_outputs(environment.variables, {"status": "passed" if passed else "failed", "exit-code": int(not passed),
                                          "message": message})  # fmt: skip
    lines = [f"## fapo: {pipeline}: gate {'passed' if passed else 'failed'}", "", "| | | |", "|---|---|---|"]
    lines += [f"| {'✅' if check.passed else '❌'} | {check.name} | {check.message} |" for check in checks]
    write_step_summary(environment.variables, "\n".join(lines))
