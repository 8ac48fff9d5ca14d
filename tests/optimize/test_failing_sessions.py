"""Agent sessions that fail: what passes is waited for, what does not ends the search with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from fapo.agent.protocol import AgentCause
from fapo.errors import AgentError
from tests.support.scripted import Hands, Script, SessionFailedError, search


def failing(cause: AgentCause) -> Script:
    async def script(hands: Hands) -> None:
        raise SessionFailedError(cause)

    return script


async def fine(hands: Hands) -> None:
    assert "Ledger" in (hands.task.workspace / "ledger.md").read_text()


@pytest.mark.parametrize("cause", ["rate_limit", "overload"])
def test_what_passes_is_waited_for(tmp_path: Path, cause: AgentCause) -> None:
    state = search(tmp_path, [failing(cause), failing(cause), fine], pauses_s=(0, 0))
    assert [session.status for session in state.sessions] == ["failed", "failed", "finished"]


def test_what_does_not_pass_ends_the_search_after_the_last_pause(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="at its rate limit, and has been for long: it failed: rate_limit"):
        search(tmp_path, [failing("rate_limit")] * 3, pauses_s=(0, 0))


@pytest.mark.parametrize(
    ("cause", "remedy"), [("credentials", "renew ANTHROPIC_API_KEY, or log in"), ("billing", "add credit")]
)
def test_what_needs_a_person_ends_the_search_at_once(tmp_path: Path, cause: AgentCause, remedy: str) -> None:
    with pytest.raises(AgentError, match=remedy):
        search(tmp_path, [failing(cause)], pauses_s=(0, 0))


@pytest.mark.parametrize("cause", ["no_result", "other"])
def test_a_session_that_breaks_off_is_begun_anew_once(tmp_path: Path, cause: AgentCause) -> None:
    assert search(tmp_path, [failing(cause), fine]).search_ended is not None
    with pytest.raises(AgentError, match="2 sessions without a submission: it failed"):
        search(tmp_path, [failing(cause)] * 2)
