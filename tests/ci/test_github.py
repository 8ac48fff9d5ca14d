"""Pull requests through the API: one for each branch, updated when there is one, and refusals say what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from fapo.ci.github import LONGEST_BODY, GitHub, PullRequest
from fapo.errors import GitError, UsageError
from tests.support.github_api import FakeGitHub, fake_github


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with fake_github() as started:
        yield started


def propose(github: FakeGitHub, title: str = "t", body: str = "b", **changed: str) -> PullRequest:
    found = GitHub.of(github.variables | changed)
    here = GitHub(found.api_url, found.token, found.repository, pauses_s=(0.0, 0.0))
    return asyncio.run(here.open_pull_request(head="fapo/pipe", base="main", title=title, body=body))


def test_an_open_one_is_updated_and_a_closed_one_is_not(github: FakeGitHub) -> None:
    assert propose(github).created
    assert propose(github, "t2", "b2") == PullRequest(1, github.pulls[0]["html_url"], created=False)
    assert [(pull["title"], pull["body"]) for pull in github.pulls] == [("t2", "b2")]
    github.pulls[0]["state"] = "closed"
    assert propose(github).number == 2


def test_a_server_that_is_out_of_order_is_asked_again(github: FakeGitHub) -> None:
    github.faults = [502, 503]
    assert propose(github).created
    github.faults = [500, 500, 500]
    with pytest.raises(GitError, match="500: as asked for"):
        propose(github)


def test_one_that_was_opened_meanwhile_is_updated(github: FakeGitHub) -> None:
    propose(github)
    github.faults = []
    answer = github.answer
    lists = iter([[], github.pulls])

    def late(method: str, url: str, token: str, content: dict[str, object]) -> tuple[int, object]:
        return (200, next(lists)) if method == "GET" else answer(method, url, token, content)

    github.answer = late  # type: ignore[method-assign]
    assert not propose(github, "mine").created
    assert [pull["title"] for pull in github.pulls] == ["mine"]


def test_refusals_say_what_to_do(github: FakeGitHub) -> None:
    with pytest.raises(GitError, match=r"401: Bad credentials.*not valid"):
        propose(github, GITHUB_TOKEN="another")
    github.faults = [403]
    with pytest.raises(GitError, match="allow GitHub Actions to create pull requests"):
        propose(github)
    with pytest.raises(UsageError, match="needs GITHUB_REPOSITORY"):
        propose(github, GITHUB_REPOSITORY="")
    with pytest.raises(GitError, match="does not answer"):
        propose(github, GITHUB_API_URL="http://127.0.0.1:9")


def test_a_body_that_github_would_refuse_is_cut(github: FakeGitHub) -> None:
    propose(github, body="x" * (LONGEST_BODY + 10_000))
    assert LONGEST_BODY < len(github.pulls[0]["body"]) < LONGEST_BODY + 100
