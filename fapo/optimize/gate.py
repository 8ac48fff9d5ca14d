"""The gate that every submission goes through: review, then an independent reviewer, then validation.

Several workspaces may submit; one submission is judged at a time. A workspace that began from an earlier incumbent is
brought to the present one first, by a three-way merge.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fapo.errors import UsageError
from fapo.evaluation.evaluate import Evaluation
from fapo.optimize.events import Decided, Refused, Reviewed, Submitted
from fapo.optimize.judge import change_words, novelty
from fapo.optimize.levels import NOVEL
from fapo.optimize.limits import dollars_to_search, why_stop
from fapo.optimize.reviewer import Claim, Reviewer, review_by_agent
from fapo.optimize.run import Run
from fapo.optimize.validation import decide
from fapo.optimize.workspace import Workspace
from fapo.pipeline.check import check_pipeline
from fapo.pipeline.spec import load_spec
from fapo.records import BASELINE
from fapo.review.address import addressed
from fapo.review.changes import changed_level
from fapo.review.gate import Finding, Review, ReviewContext, review
from fapo.review.leaks import LeakIndex
from fapo.store.merging import Merged, merge
from fapo.store.variants import Snapshot, snapshot_digest

CONFLICTS = "conflicts"
REVISIONS = 1
"""How often an idea that the reviewer blocked may come back."""
SHOWN_FINDINGS = 5


class Gate:
    """Reviews and judges what workspaces propose. Without a reviewer, the deterministic review alone."""

    def __init__(self, run: Run, reviewer: Reviewer | None) -> None:
        self._run = run
        self._reviewer = reviewer
        self._leaks = LeakIndex.build([case for split in ("train", "validation", "test")
                                       for case in run.project.cases(split)])  # fmt: skip
        self._judging = asyncio.Lock()

    async def submit(self, workspace: Workspace, hypothesis: str, technique: str, step: str) -> Decided | Refused:
        """Freeze the workspace, review it, and compare it with the incumbent on validation.

        Raises UsageError where the search is over by now, where the workspace and a new incumbent conflict, and for
        what was submitted before.
        """
        async with self._judging:
            run = self._run
            if (over := why_stop(run)) is not None:
                raise UsageError(f"the search is over: {over[1]}; call finish")
            snapshot = self.bring_up_to_date(workspace)
            incumbent = run.state.incumbent
            self._require_new(workspace, snapshot)
            variant = f"{len(run.state.attempts) + 1:03d}"
            found = self.review(snapshot)
            claimed = Claimed(hypothesis, technique, step)
            if (
                reason := self._spoken(claimed)
                or self._used_up(claimed, snapshot)
                or await self._fault(found, snapshot)
            ):
                refused = Refused(variant, incumbent, found.level, hypothesis, technique, step, reason)
                run.log(refused)
                return refused
            assert found.level is not None
            claim = Claim(variant, hypothesis, technique, step, found.level)
            reviewed = await self._ask_reviewer(claim, incumbent, snapshot)
            if reviewed is not None and reviewed.status == "block":
                why = f"the reviewer blocks it ({reviewed.check}): {reviewed.path}: {reviewed.reason}"
                again = self._blocked_before(claimed, snapshot)
                advice = "it was blocked before: leave this idea" if again else "you may revise it once"
                refused = Refused(variant, incumbent, found.level, hypothesis, technique, step, f"{why}; {advice}",
                                  snapshot_digest(snapshot))  # fmt: skip
                run.log(refused)
                run.log(reviewed)
                return refused
            run.freeze(variant, snapshot)
            run.log(self._submitted(claim, incumbent, snapshot))
            if reviewed is not None:
                run.log(reviewed)
            return await decide(run, variant)

    def bring_up_to_date(self, workspace: Workspace) -> Snapshot:
        """The workspace's pipeline, as a change of the present incumbent.

        Raises UsageError where both changed the same lines: then the workspace holds the incumbent there, and its own
        files lie aside, under `conflicts/`.
        """
        run, mine = self._run, workspace.snapshot()
        incumbent = run.state.incumbent
        if workspace.base == incumbent:
            return mine
        merged = merge(run.snapshot(workspace.base), run.snapshot(incumbent), mine)
        workspace.restore(incumbent, merged.snapshot)
        for path in merged.conflicts:
            workspace.set_aside(f"{CONFLICTS}/{path}", mine.get(path, b""))
        if merged.conflicts:
            raise UsageError(
                f"{incumbent} became the incumbent meanwhile and changed the same lines of "
                f"{', '.join(merged.conflicts)}: your workspace has its version now, and yours lies under "
                f"`{CONFLICTS}/`; redo your change, or drop it"
            )
        return merged.snapshot

    def take_over(self, workspace: Workspace, variant: str) -> Merged:
        """Make the change of an earlier variant in the workspace, too; where lines conflict, its file lies aside.

        Raises UsageError for a variant that was not judged, or that the incumbent already holds.
        """
        run = self._run
        attempt = next((each for each in run.state.attempts if each.variant == variant and each.looked), None)
        if attempt is None:
            raise UsageError(f"there is no variant {variant} that was judged")
        if variant in run.state.line:
            raise UsageError(f"the incumbent {run.state.incumbent} has the change of {variant} already")
        theirs = run.snapshot(variant)
        merged = merge(run.snapshot(attempt.parent), self.bring_up_to_date(workspace), theirs)
        workspace.restore(run.state.incumbent, merged.snapshot)
        for path in merged.conflicts:
            workspace.set_aside(f"{CONFLICTS}/{path}", theirs.get(path, b""))
        return merged

    def review(self, snapshot: Snapshot) -> Review:
        """The deterministic review of a snapshot against the incumbent, at the levels that are open now."""
        run = self._run
        context = ReviewContext(
            open_levels=frozenset(run.state.open_levels),
            baseline=run.snapshot(BASELINE),
            leaks=self._leaks,
            closed_labels=run.project.benchmark.closed_labels,
            scorer=run.project.score.source,
        )
        return review(run.snapshot(run.state.incumbent), snapshot, context)

    async def evaluate_workspace(self, workspace: Workspace, limit: int | None) -> tuple[Evaluation, Evaluation, str]:
        """The workspace as it stands, on train: its evaluation, the incumbent's, and the traces' folder.

        Raises UsageError where review finds fault with it.
        """
        run = self._run
        snapshot = self.bring_up_to_date(workspace)
        incumbent = run.state.incumbent
        draft = self.draft(snapshot)
        evaluation = await run.evaluate(draft, "train", limit=limit)
        compared = await run.evaluate(incumbent, "train")
        traces = workspace.write_traces(draft, evaluation.records, run.case_map("train"))
        return evaluation, compared, traces

    def draft(self, snapshot: Snapshot) -> str:
        """Freeze a snapshot that is no submission; its name. Raises UsageError where review turns it down."""
        found = self.review(snapshot)
        if any(finding.check != "nothing changed" for finding in found.findings):
            raise UsageError(_told(found))
        return self._draft(snapshot)

    def _draft(self, snapshot: Snapshot) -> str:
        run = self._run
        draft = draft_name(snapshot_digest(snapshot))
        run.freeze(draft, snapshot)
        check_pipeline(run.variant_dir(draft), load_spec(run.variant_dir(draft)))
        return draft

    async def _fault(self, found: Review, snapshot: Snapshot) -> str:
        """Why a snapshot is no variant, or an empty text."""
        if found.findings:
            return _told(found)
        if found.level is None:
            return "nothing changed"
        return await self._smoke(snapshot)

    def _require_new(self, workspace: Workspace, snapshot: Snapshot) -> None:
        """Raise UsageError for the same as an earlier variant, with the workspace set back to the incumbent."""
        run, digest = self._run, snapshot_digest(snapshot)
        for attempt in run.state.attempts:
            if attempt.looked and snapshot_digest(run.snapshot(attempt.variant)) == digest:
                workspace.restore(run.state.incumbent, run.snapshot(run.state.incumbent))
                raise UsageError(
                    f"this is variant {attempt.variant}, which was {attempt.verdict}; "
                    f"your workspace is the incumbent {run.state.incumbent} again"
                )

    async def _smoke(self, snapshot: Snapshot) -> str:
        """Why it does not even run on one train case, or an empty text."""
        try:
            draft = self._draft(snapshot)
            evaluation = await self._run.evaluate(draft, "train", limit=1)
        except UsageError as error:
            directory = self._run.variant_dir(draft_name(snapshot_digest(snapshot)))
            return f"does not run: {error}".replace(str(directory), "pipeline")
        failures = evaluation.failed("pipeline")
        if failures and failures[0].failure is not None:
            return f"fails on a smoke case: {failures[0].failure.message}"
        return ""

    def _submitted(self, claim: Claim, incumbent: str, snapshot: Snapshot) -> Submitted:
        run = self._run
        before = run.snapshot(incumbent)
        lines = sum(file.added_lines + file.removed_lines for file in changed_level(before, snapshot).files)
        earlier = [
            change_words(run.snapshot(a.parent), run.snapshot(a.variant)) for a in run.state.attempts if a.looked
        ]
        new = round(novelty(change_words(before, snapshot), earlier), 3)
        return Submitted(claim.variant, incumbent, snapshot_digest(snapshot), claim.level, claim.hypothesis,
                         claim.technique, claim.step, run.state.looks + 1, lines, new)  # fmt: skip

    async def _ask_reviewer(self, claim: Claim, incumbent: str, snapshot: Snapshot) -> Reviewed | None:
        """What the independent reviewer says, if there is one."""
        if self._reviewer is None:
            return None
        run = self._run
        left = None if self._reviewer.free else dollars_to_search(run)
        reviewed = await review_by_agent(
            self._reviewer, claim, run.snapshot(incumbent), snapshot, run.project.score.path,
            run.directory / "review", max_budget_usd=left,
        )  # fmt: skip
        run.charge_optimizer(reviewed.usage)
        return reviewed

    def _spoken(self, claimed: Claimed) -> str:
        """What of a claim speaks to whoever judges it, since reviewer and other agents read it; or an empty text."""
        spoken = next((passage.text for text in claimed.texts for passage in addressed(text)), None)
        return (
            "" if spoken is None else f"“{spoken}” in the claim speaks to whoever judges it; say what the change does"
        )

    def _used_up(self, claimed: Claimed, snapshot: Snapshot) -> str:
        """Why an idea may not come back: it was blocked, revised, and blocked again. Or an empty text."""
        if len(self._blocked_before(claimed, snapshot)) <= REVISIONS:
            return ""
        return "the reviewer blocked this idea and its revision; another idea is needed"

    def _blocked_before(self, claimed: Claimed, snapshot: Snapshot) -> list[str]:
        """Blocked variants of the same idea: by the name of the technique at the step, or by what they changed."""
        run, found = self._run, []
        for a in run.state.attempts:
            if a.review is None or a.review.status != "block":
                continue
            theirs = change_words(run.snapshot(a.parent), run.snapshot(draft_name(a.digest)))
            ours = change_words(run.snapshot(run.state.incumbent), snapshot)
            if claimed.is_idea(a.technique, a.step) or novelty(ours, [theirs]) < NOVEL:
                found.append(a.variant)
        return found


@dataclass(frozen=True, slots=True)
class Claimed:
    """What an agent says of a submission."""

    hypothesis: str
    technique: str
    step: str

    @property
    def texts(self) -> tuple[str, ...]:
        return self.hypothesis, self.technique, self.step

    def is_idea(self, technique: str, step: str) -> bool:
        ours, theirs = ((t.strip().casefold(), s.strip()) for t, s in ((self.technique, self.step), (technique, step)))
        return ours == theirs


def draft_name(digest: str) -> str:
    """The folder of a snapshot that is no submission."""
    return f"draft-{digest[:12]}"


def _told(found: Review) -> str:
    return "; ".join(map(_line, found.findings[:SHOWN_FINDINGS]))


def _line(finding: Finding) -> str:
    where = f"{finding.path}:{finding.line}" if finding.line else finding.path
    return f"{where}: {finding.message}" if where else finding.message
