"""fapo's tools in whole searches by scripted agents: what a session can do, and what it is told when it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.command import builtin
from tests.support.scripted import CONTRACT, Hands, search, unsolvable

ROUTE = "prompts/route.md"
GIST = "prompts/gist.md"


def test_a_variant_that_was_submitted_before_costs_nothing_and_is_named(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def script(hands: Hands) -> None:
        for _ in range(2):
            hands.replace(GIST, "in one sentence", "in two sentences")
            told.append(await hands.submit("longer", "gist"))
        assert "one sentence" in hands.path(GIST).read_text()

    state = search(tmp_path, [script])
    assert told[0]["verdict"] == "rejected"
    assert told[1] == {"error": "this is variant 001, which was rejected; your workspace is the incumbent 000 again"}
    assert state.looks == len(state.attempts) == 1


def test_the_ledger_tells_what_was_learned(tmp_path: Path) -> None:
    async def script(hands: Hands) -> None:
        hands.replace(GIST, "in one sentence", "in two sentences")
        await hands.submit("longer", "gist")
        assert await hands.use("learned", variant="001", lesson="The gist is not read.") == {"noted": True}
        row = next(line for line in (hands.task.workspace / "ledger.md").read_text().splitlines() if "| 001 |" in line)
        assert "The gist is not read." in row
        assert (await hands.use("learned", variant="777", lesson="x"))["error"] == "there is no variant 777"

    assert search(tmp_path, [script]).attempts[0].lesson == "The gist is not read."


def test_a_rejected_change_can_be_merged_into_the_workspace(tmp_path: Path) -> None:
    async def script(hands: Hands) -> None:
        hands.replace(GIST, "in one sentence", "in two sentences")
        await hands.submit("longer", "gist")
        hands.replace(ROUTE, "should answer.", f"should answer. {CONTRACT}")
        merged = await hands.use("merge", variant="001")
        assert merged["conflicts"] == []
        assert merged["cases_won"] == merged["cases_lost"] == 0
        assert "two sentences" in hands.path(GIST).read_text()
        assert CONTRACT in hands.path(ROUTE).read_text()
        verdict = await hands.submit("both")
        assert verdict["verdict"] == "accepted"
        assert "the incumbent 002 has" in (await hands.use("merge", variant="002"))["error"]
        assert "no variant 009" in (await hands.use("merge", variant="009"))["error"]

    assert search(tmp_path, [script], pipeline=unsolvable(tmp_path)).incumbent == "002"


def test_a_merge_that_conflicts_leaves_the_other_version_aside(tmp_path: Path) -> None:
    async def script(hands: Hands) -> None:
        hands.replace(GIST, "in one sentence", "in two sentences")
        await hands.submit("longer", "gist")
        hands.replace(GIST, "in one sentence", "in three words")
        merged = await hands.use("merge", variant="001")
        assert merged["conflicts"] == ["conflicts/prompts/gist.md"]
        assert "three words" in hands.path(GIST).read_text()
        assert "two sentences" in (hands.task.workspace / "conflicts" / GIST).read_text()

    search(tmp_path, [script])


def test_a_sweep_needs_its_level_and_leaves_the_workspace_as_it_is(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def script(hands: Hands) -> None:
        told.append(await hands.use("sweep", settings={"route.temperature": [0.5]}))
        for technique, words in (("a", "in two words"), ("b", "as a question"), ("c", "politely, at some length")):
            hands.replace(GIST, "in one sentence", words)
            await hands.submit(technique, "gist")
        told.append(await hands.use("request_level", level="parameter", reason="plateau"))
        before = {path: path.read_bytes() for path in hands.path("").rglob("*") if path.is_file()}
        told.append(
            await hands.use("sweep", settings={"extract.temperature": [0.0, 0.5], "extract.max_tokens": [5, 300]})
        )
        told.append(await hands.use("sweep", settings={"route.temperature": [0.0, 0.5], "route.max_tokens": [1, 300]}))
        told.append(await hands.use("sweep", settings={"route.temperature": [0.3, 0.6]}, max_calls=1))
        told.append(await hands.use("sweep", settings={"params.k": [1]}))
        told.append(await hands.use("sweep", settings={"route.temperature": [i / 30 for i in range(30)]}))
        assert before == {path: path.read_bytes() for path in hands.path("").rglob("*") if path.is_file()}

    search(tmp_path, [script])
    closed, opened, unknown, swept, cut_short, no_param, too_many = told
    assert "parameter level is closed" in closed["error"]
    assert opened["granted"] is True
    assert unknown["error"] == "no such setting: `extract.temperature`; there are `params.NAME` and `STEP.PARAMETER`"
    assert "error" not in swept
    assert [row["n"] for row in swept["combinations"]] == [80, 40, 20, 20]
    assert not swept["ended_early"]
    assert swept["paid_calls"] > 0
    assert cut_short["ended_early"]
    assert len(cut_short["combinations"]) == 1
    assert "has no `k`" in no_param["error"]
    assert "24 combinations at most" in too_many["error"]


def test_status_names_the_settings_that_can_be_swept(tmp_path: Path) -> None:
    async def script(hands: Hands) -> None:
        status = await hands.use("status")
        assert status["settings"] == ["gist.temperature", "route.temperature"]
        assert (status["agent"], status["agents"]) == (1, 1)

    search(tmp_path, [script])


def test_guidance_of_the_owner_stands_in_the_playbook(tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline"
    source = builtin("pipelines", "quickstart")
    for path in source.rglob("*"):
        if path.is_file():
            target = pipeline / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (pipeline / "playbook.md").write_text("Never touch the tone.\n")

    async def script(hands: Hands) -> None:
        assert hands.task.system_prompt.endswith("## From the owner of this pipeline\n\nNever touch the tone.\n")
        assert "Several agents" not in hands.task.system_prompt

    search(tmp_path, [script], pipeline=pipeline)
