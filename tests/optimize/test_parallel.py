"""Several agents at the same time: one gate judges them, and a change is brought to the incumbent of the moment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.support.scripted import CONTRACT, Hands, search, unsolvable

ROUTE = "prompts/route.md"
GIST = "prompts/gist.md"


def test_each_agent_has_a_workspace_and_a_direction_of_its_own(tmp_path: Path) -> None:
    seen: dict[str, str] = {}

    async def script(hands: Hands) -> None:
        direction = next(line for line in hands.task.system_prompt.splitlines() if "You are number" in line)
        seen[hands.task.workspace.name] = direction
        assert hands.path(ROUTE).is_file()

    search(tmp_path, [script] * 3, parallel=3)
    assert set(seen) == {"workspace", "workspace-2", "workspace-3"}
    assert len({direction.split("begin ")[1] for direction in seen.values()}) == 3


def test_a_change_of_other_lines_is_merged_with_a_new_incumbent(tmp_path: Path) -> None:
    accepted = asyncio.Event()
    told: list[dict[str, Any]] = []

    async def first(hands: Hands) -> None:
        hands.replace(ROUTE, "Choose the team that should answer.", f"Choose the team that should answer. {CONTRACT}")
        assert (await hands.submit("contract"))["verdict"] == "accepted"
        accepted.set()

    async def second(hands: Hands) -> None:
        hands.replace(GIST, "in one sentence", "in two sentences")
        await accepted.wait()
        told.append(await hands.submit("longer", "gist"))
        assert CONTRACT in hands.path(ROUTE).read_text(), "the workspace is the incumbent's, after the verdict"
        assert "contract helps" in (hands.task.workspace / "ledger.md").read_text()

    state = search(tmp_path, [first, second], parallel=2, accept="mean", target=1.0, pipeline=unsolvable(tmp_path))
    assert [(a.variant, a.parent, a.verdict) for a in state.attempts] == [
        ("001", "000", "accepted"), ("002", "001", "rejected"),
    ]  # fmt: skip
    variant = next((tmp_path / "runs").glob("*/variants/002"))
    assert CONTRACT in (variant / ROUTE).read_text()
    assert "two sentences" in (variant / GIST).read_text()


def test_a_change_of_the_same_lines_goes_back_to_its_agent(tmp_path: Path) -> None:
    accepted = asyncio.Event()

    async def first(hands: Hands) -> None:
        hands.replace(ROUTE, "Choose the team that should answer.", f"Choose the team that should answer. {CONTRACT}")
        await hands.submit("contract")
        accepted.set()

    async def second(hands: Hands) -> None:
        hands.replace(ROUTE, "Choose the team that should answer.", "Choose a team.")
        await accepted.wait()
        answer = await hands.submit("shorter")
        assert "001 became the incumbent meanwhile and changed the same lines of prompts/route.md" in answer["error"]
        assert CONTRACT in hands.path(ROUTE).read_text()
        assert "Choose a team." in (hands.task.workspace / "conflicts" / ROUTE).read_text()

    state = search(tmp_path, [first, second], parallel=2, pipeline=unsolvable(tmp_path))
    assert [a.variant for a in state.attempts] == ["001"]


def test_two_agents_cannot_ask_validation_more_often_than_was_allowed(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    both = asyncio.Barrier(2)

    def script(words: str) -> Any:
        async def play(hands: Hands) -> None:
            hands.replace(GIST, "in one sentence", words)
            await both.wait()
            told.append(await hands.submit(words, "gist"))

        return play

    state = search(tmp_path, [script("in two words"), script("as a question")], parallel=2, max_variants=1)
    assert state.looks == 1
    assert sum("the search is over" in answer.get("error", "") for answer in told) == 1


def test_what_one_agent_breaks_ends_the_others_too(tmp_path: Path) -> None:
    waiting = asyncio.Event()

    async def broken(hands: Hands) -> None:
        await waiting.wait()
        raise RuntimeError("a bug")

    async def patient(hands: Hands) -> None:
        waiting.set()
        await asyncio.Event().wait()

    try:
        search(tmp_path, [broken, patient], parallel=2)
    except RuntimeError as error:
        assert str(error) == "a bug"  # noqa: PT017 - the search raises inside of asyncio.run
    else:
        raise AssertionError("the search must not end well")
