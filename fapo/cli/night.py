"""One night of `fapo ci`: measure what is deployed, compare, search if that is called for, and leave a proposal."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fapo.ci.drift import Fall, baseline_of, compare, require_decided, score_of, what_changed
from fapo.ci.github import GitHub, PullRequest
from fapo.ci.ledger import Ledger
from fapo.ci.night import Night
from fapo.ci.pages import commit_message, proposal_title, pull_request_body
from fapo.ci.proposal import Proposal, propose
from fapo.config import CiConfig, Environment, EvalConfig, OptimizeConfig
from fapo.errors import AgentError, BudgetExceeded, GitError, ProviderError, UsageError
from fapo.evaluation.evaluate import Evaluation, EvaluationPlan, evaluate
from fapo.evaluation.plan import plan_evaluation
from fapo.evaluation.project import Project, find_pipeline, open_project
from fapo.evaluation.request import EvaluationRequest, write_cases, write_request
from fapo.records import Usage
from fapo.store.files import lock_directory, make_directory, write_atomic
from fapo.store.git import Repository, find_repository
from fapo.store.nightlock import close_check, find_check, open_check, record_baseline
from fapo.store.testlock import LOCK_FILE, Baseline, read_lock, require_look

if TYPE_CHECKING:
    from rich.console import Console

    from fapo.report.run_summary import RunSummary

KEPT_DAYS = 7
"""How long the replies of a night are kept, for another attempt of the same night."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a night takes place: all that can be refused before a call is paid for."""

    source: Path
    project: Project
    config: CiConfig
    environment: Environment
    repository: Repository
    night: str
    folder: Path
    github: GitHub | None
    base: str | None

    @property
    def path(self) -> str:
        return self.repository.path_of(self.source)

    @property
    def branch(self) -> str:
        return self.config.branch or f"fapo/{self.project.spec.name}"

    @property
    def ledger(self) -> Ledger | None:
        return Ledger(self.repository, self.config.remote, self.path) if self.config.push else None

    @property
    def lock(self) -> Path:
        return self.source / LOCK_FILE

    @property
    def test(self) -> str:
        from fapo.data import split_digest

        return split_digest(self.project.cases("test"))


def find_place(pipeline: str, config: CiConfig, environment: Environment) -> Place:
    """Raises UsageError or CredentialsError for whatever would stop the night later."""
    from fapo.cli.agents import agent_of

    source = find_pipeline(pipeline).resolve()
    repository = find_repository(source)
    if repository is None:
        raise UsageError("not in a git repository: fapo ci compares and proposes commits", path=source)
    path = repository.path_of(source)
    repository.commit_of("HEAD")
    if dirty := repository.uncommitted(path, leave_out=LOCK_FILE):
        named = ", ".join(dirty[:3]) + (" and more" if len(dirty) > 3 else "")
        raise UsageError(f"{named}: not committed; what is deployed is the last commit, so commit or stash first",
                         path=source)  # fmt: skip
    project = open_project(source, config)
    if config.optimize != "never":
        if not project.is_standin and not (config.budget_usd or config.max_calls or config.max_tokens):
            raise UsageError("a search that nobody watches needs a limit: --budget-usd, --max-calls or --max-tokens, "
                             "or --optimize never")  # fmt: skip
        named_model = config.optimizer_model or project.spec.optimizer_model
        agent_of(project.spec.models.values(), named_model).require_credentials(environment)
    variables = environment.variables
    run = variables.get("GITHUB_RUN_ID")
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    which = hashlib.sha256(f"{repository.top}\n{path}".encode()).hexdigest()[:8]
    place = Place(
        source, project, config, environment, repository, config.night or (f"github-{run}" if run else stamp),
        environment.cache_file.parent / "nights" / f"{project.spec.name}-{which}",
        GitHub.of(variables) if config.pull_request else None, _base(config, environment, repository),
    )  # fmt: skip
    if repository.branch == place.branch:
        raise UsageError(f"{place.branch} is checked out, which is where proposals go: check out what is deployed")
    if config.pull_request and place.base is None:
        raise UsageError("no branch is checked out: say by --base what the pull request is to be merged into")
    return place


def _base(config: CiConfig, environment: Environment, repository: Repository) -> str | None:
    variables = environment.variables
    named = variables.get("GITHUB_REF_NAME") if variables.get("GITHUB_REF_TYPE") == "branch" else None
    return config.base or named or repository.branch


async def run_night(place: Place, console: Console) -> Night:
    """The night, with its looks brought to the remote however it ends."""
    make_directory(place.folder)
    with lock_directory(place.folder):
        _forget_old_nights(place.folder)
        if place.ledger is None:
            return await _night(place, console)
        place.ledger.pull(place.source)
        try:
            return await _night(place, console)
        finally:
            place.ledger.push(place.source)


def _forget_old_nights(folder: Path) -> None:
    for path in folder.glob("*.sqlite*"):
        if time.time() - path.stat().st_mtime > KEPT_DAYS * 86_400:
            path.unlink()


async def _night(place: Place, console: Console) -> Night:
    started = time.monotonic()
    plan = plan_evaluation(place.project, _eval_config(place.config), place.environment.runs_dir)
    before = read_lock(place.source).baseline
    renewed = _why_renew(before, plan, asked=place.config.new_baseline)
    opened = None
    if before is not None and not renewed:
        opened = open_check(place.source, night=place.night, baseline=before, standin=place.project.is_standin)
    if place.ledger is not None:
        place.ledger.push(place.source)  # a night that is cut off has looked, too; and whether it may push is known now
    evaluation, spent = await _measure(place, plan, console)
    require_decided(evaluation, night=place.night)
    clusters = place.project.clusters("validation")
    fall = None
    if before is not None and opened is not None:
        look, level = opened
        nights = read_lock(place.source).nights
        fall = compare(before, evaluation, clusters=clusters, look=look, level=level, nights=nights)
        _take_down(place, before, evaluation, fall)
        baseline = before
    else:
        baseline = baseline_of(evaluation, night=place.night, clusters=clusters)
        record_baseline(place.source, baseline)
    found = Night(
        place.night, place.project.spec.name, place.path, place.project.sample_note, score_of(evaluation, clusters),
        baseline, before, renewed, fall, None, "", None, None, evaluation.usage + evaluation.judge_usage,
        str(evaluation.directory), 0.0,
    )  # fmt: skip
    search, no_search = await _search(place, found, spent)
    found = replace(found, search=search, no_search=no_search)
    proposal = pull_request = None
    if found.status == "improved":
        proposal, body = _propose(place, found)
    if search is not None:
        _take_down_search(place, baseline, Path(search.run_dir).name)
    if proposal is not None:
        pull_request = await _open_pull_request(place, proposal, found, body)
    return replace(found, proposal=proposal, pull_request=pull_request, wall_s=time.monotonic() - started)


def _eval_config(config: CiConfig) -> EvalConfig:
    names = ("concurrency", "budget_usd", "max_calls", "max_tokens", "rpm", "tpm", "trials", "model", "isolation",
             "full")  # fmt: skip
    return EvalConfig.model_validate({"split": "validation"} | {name: getattr(config, name) for name in names})


def _why_renew(before: Baseline | None, plan: EvaluationPlan, *, asked: bool) -> str:
    """Why today's score becomes the baseline; empty where it is compared with the one that there is."""
    if before is None:
        return "No baseline was recorded yet"
    if changed := what_changed(before, plan.manifest):
        text = " and ".join([", ".join(changed[:-1]), changed[-1]] if len(changed) > 1 else changed)
        return f"Since the baseline of {before.recorded[:10]}, {text} changed"
    return "A new baseline was asked for" if asked else ""


async def _measure(place: Place, plan: EvaluationPlan, console: Console) -> tuple[Evaluation, Usage]:
    """What is deployed, on validation, with the models as they answer today: no reply is older than this night."""
    from fapo.cli.console import CaseProgress, say_unpriced
    from fapo.evaluation.connect import connect

    write_request(plan.directory, EvaluationRequest(place.source, _eval_config(place.config)))
    write_cases(plan.directory, plan.cases, place.project.clusters("validation"))
    total = len(plan.cases) * plan.manifest.trials
    async with connect(place.project.model_names, _tonight(place), limits=place.config) as connection:
        say_unpriced(console, connection.unpriced)
        progress = CaseProgress(console, f"{plan.spec.name} on validation", total, plain=place.environment.plain)
        try:
            evaluation = await evaluate(plan, connection.gateway, progress)
        finally:
            progress.stop()
        return evaluation, connection.gateway.usage()


def _tonight(place: Place) -> Environment:
    """The environment with the night's own replies in place of the cache that all runs share."""
    return place.environment.model_copy(update={"cache_file": place.folder / f"{place.night}.sqlite"})


def _take_down(place: Place, baseline: Baseline, evaluation: Evaluation, fall: Fall) -> None:
    opened = find_check(read_lock(place.source), night=place.night, cases=baseline.cases)
    assert opened is not None
    close_check(place.source, replace(opened, mean=evaluation.mean, difference=fall.paired.difference, p=fall.p_fall,
                                      fell=fall.significant))  # fmt: skip


async def _search(place: Place, found: Night, spent: Usage) -> tuple[RunSummary | None, str]:
    """The optimization, if one is called for; else why not."""
    from fapo.cli.optimize import run_optimization

    config = place.config
    if config.optimize == "never" or (config.optimize == "on-fall" and not found.fell):
        return None, "" if not found.fell else "No search was asked for (--optimize never)."
    if config.optimize == "on-fall" and (earlier := _searched_before(place, found.baseline)):
        return None, (f"It was searched for something better already ({earlier}); --optimize always searches again, "
                      "--new-baseline accepts the score of today.")  # fmt: skip
    if not place.project.is_standin:
        try:
            require_look(place.source, test=place.test)
        except UsageError as used_up:
            if not found.fell:
                raise
            return None, f"Nothing was searched, since test could confirm nothing: {used_up}."
    limits = config.model_dump(include={"model", "optimizer_model", "max_variants", "max_minutes", "isolation", "full",
                                        "concurrency", "rpm", "tpm"}) | _left(config, spent)  # fmt: skip
    asked = OptimizeConfig.model_validate(limits)
    try:
        return await run_optimization(place.source, place.project, asked, _tonight(place)), ""
    except (BudgetExceeded, ProviderError, AgentError) as ended:
        if not found.fell:
            raise
        return None, f"The search ended without a result: {ended}."


def _take_down_search(place: Place, baseline: Baseline, run: str) -> None:
    check = find_check(read_lock(place.source), night=place.night, cases=baseline.cases)
    if check is not None:
        close_check(place.source, replace(check, searched=run))


def _searched_before(place: Place, baseline: Baseline) -> str | None:
    checks = read_lock(place.source).checks
    same = (check for check in checks if (check.cases, check.pipeline) == (baseline.cases, baseline.pipeline))
    return next((check.searched for check in same if check.searched and check.opened >= baseline.recorded), None)


def _left(config: CiConfig, spent: Usage) -> dict[str, float | int | None]:
    """What the limits leave for the search. Raises BudgetExceeded where that is nothing."""
    counts = spent.input_tokens, spent.output_tokens
    tokens = None if counts[0] is None or counts[1] is None else counts[0] + counts[1]
    used = {"budget_usd": spent.cost_usd, "max_calls": spent.llm_calls, "max_tokens": tokens}
    left: dict[str, float | int | None] = {}
    for name, limit in ((name, getattr(config, name)) for name in used):
        taken = used[name]
        if limit is not None and (taken is None or limit - taken <= 0):
            option = "--" + name.replace("_", "-")
            raise BudgetExceeded(f"the check used all that {option} {limit:g} allows; nothing is left for a search")
        left[name] = None if limit is None or taken is None else limit - taken
    return left


def _propose(place: Place, found: Night) -> tuple[Proposal, str]:
    """Branch and commit, and the text of a pull request, which lies in the run in any case."""
    from fapo.optimize.apply import best_variant

    assert found.search is not None
    best = best_variant(Path(found.search.run_dir))
    prefix = "" if place.path == "." else f"{place.path}/"
    files: dict[str, bytes | None] = {prefix + path: best.files.get(path) for path in best.changed}
    if place.ledger is not None:
        place.ledger.pull(place.source)
    if not place.repository.ignores(prefix + LOCK_FILE):
        files[prefix + LOCK_FILE] = place.lock.read_bytes()
    body = pull_request_body(found, tuple(sorted(files)))
    write_atomic(Path(found.search.run_dir, "pull_request.md"), body)
    remote = place.config.remote if place.config.push else None
    return propose(place.repository, files, commit_message(found), branch=place.branch, remote=remote), body


async def _open_pull_request(place: Place, proposal: Proposal, found: Night, body: str) -> PullRequest | None:
    if place.github is None or place.base is None:
        return None
    assert found.search is not None
    try:
        return await place.github.open_pull_request(
            head=proposal.branch, base=place.base, title=proposal_title(found.search), body=body
        )
    except GitError as error:
        text = f"{found.search.run_dir}/pull_request.md"
        raise GitError(f"{error}; branch {proposal.branch} is pushed, and what to say of it is in {text}") from None
