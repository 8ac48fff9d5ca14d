"""Pull requests through GitHub's REST API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from fapo.errors import GitError, UsageError

PAUSES_S = (1.0, 5.0)
"""Waits before the next try where GitHub is out of order."""
LONGEST_BODY = 65_000
_TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True, slots=True)
class PullRequest:
    number: int
    url: str
    created: bool
    """False where an open one was updated."""


@dataclass(frozen=True, slots=True)
class GitHub:
    """One repository, `owner/name`, behind the API at `api_url`."""

    api_url: str
    token: str
    repository: str
    pauses_s: tuple[float, ...] = PAUSES_S

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> GitHub:
        """By `GITHUB_TOKEN`, `GITHUB_REPOSITORY` and `GITHUB_API_URL`. Raises UsageError for what is missing."""
        for name in ("GITHUB_TOKEN", "GITHUB_REPOSITORY"):
            if not variables.get(name):
                what = (
                    "owner/name" if name == "GITHUB_REPOSITORY" else "a token that may write contents and pull requests"
                )
                raise UsageError(f"--pull-request needs {name} in the environment: {what}")
        url = variables.get("GITHUB_API_URL") or "https://api.github.com"
        return cls(url.rstrip("/"), variables["GITHUB_TOKEN"], variables["GITHUB_REPOSITORY"])

    async def open_pull_request(self, *, head: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request of the branch `head` into `base`, or update the one that is open. Raises GitError."""
        text = body if len(body) <= LONGEST_BODY else body[:LONGEST_BODY] + "\n\n(cut: it was too long)\n"
        async with aiohttp.ClientSession(timeout=_TIMEOUT, headers=self._headers()) as session:
            found = await self._find(session, head)
            if found is None:
                content = {"head": head, "base": base, "title": title, "body": text}
                status, made = await self._ask(session, "POST", "pulls", content)
                if status == 201:
                    return PullRequest(made["number"], made["html_url"], created=True)
                if status != 422 or (found := await self._find(session, head)) is None:
                    raise GitError(_refusal(status, made))
            content = {"title": title, "body": text, "base": base}
            status, changed = await self._ask(session, "PATCH", f"pulls/{found}", content)
            if status != 200:
                raise GitError(_refusal(status, changed))
            return PullRequest(changed["number"], changed["html_url"], created=False)

    async def _find(self, session: aiohttp.ClientSession, head: str) -> int | None:
        owner = self.repository.split("/")[0]
        asked = {"head": f"{owner}:{head}", "state": "open", "per_page": "10"}
        status, found = await self._ask(session, "GET", "pulls", query=asked)
        if status != 200:
            raise GitError(_refusal(status, found))
        return next((int(each["number"]) for each in found if each["head"]["ref"] == head), None)

    async def _ask(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        content: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        url = f"{self.api_url}/repos/{self.repository}/{path}"
        for pause in (*self.pauses_s, None):
            try:
                async with session.request(method, url, json=content, params=query) as reply:
                    if reply.status < 500 or pause is None:
                        is_json = "json" in reply.headers.get("Content-Type", "")
                        return reply.status, await reply.json() if is_json else {"message": await reply.text()}
            except (aiohttp.ClientError, TimeoutError) as error:
                if pause is None:
                    raise GitError(f"{self.api_url} does not answer: {error or type(error).__name__}") from None
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "fapo"}  # fmt: skip


def _refusal(status: int, answer: Any) -> str:
    said = " ".join(str(answer.get("message", "") if isinstance(answer, dict) else answer).split())[:300]
    hints = {
        401: "GITHUB_TOKEN is not valid",
        403: "the job needs `permissions: pull-requests: write`, and the repository's settings (Actions, General) must "
             "allow GitHub Actions to create pull requests",
        404: "GITHUB_REPOSITORY does not exist, or the token cannot see it",
    }  # fmt: skip
    return f"GitHub refused the pull request ({status}: {said})" + (f"; {hints[status]}" if status in hints else "")
