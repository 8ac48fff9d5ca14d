"""A stored login of `claude` as a key, which the CLI itself renews: outside of the agent's sandbox, and with no agent.

The sandbox could not let it through whole: to renew a login, the CLI writes beside the user's own settings.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from fapo.agent.credentials import LOGIN_FILE, NETWORK, Key, oauth_key
from fapo.errors import CredentialsError

_RENEWED_BEFORE_S = 300.0
_RENEWAL_S = 60.0


class StoredLogin:
    """The login in `directory`. `cli` renews it; `environment` holds what it takes to reach the endpoint."""

    def __init__(self, directory: Path, cli: Path, environment: Mapping[str, str]) -> None:
        self._file = directory / LOGIN_FILE
        self._cli = cli
        self._environment = environment
        self._renewing = asyncio.Lock()

    async def current(self) -> Key:
        """The key that is valid now. Raises CredentialsError."""
        async with self._renewing:
            if self._expires_at() < time.time() + _RENEWED_BEFORE_S:
                await self._renew()
            if self._expires_at() < time.time():
                raise CredentialsError(f"{self._file}: the login has expired: log in again with `claude`")
            return oauth_key(str(self._stored().get("accessToken")))

    def _expires_at(self) -> float:
        milliseconds = self._stored().get("expiresAt")
        return milliseconds / 1000 if isinstance(milliseconds, int | float) else float("inf")

    def _stored(self) -> Mapping[str, object]:
        try:
            login = json.loads(self._file.read_text(encoding="utf-8"))["claudeAiOauth"]
        except (OSError, ValueError, KeyError, TypeError):
            login = None
        if not isinstance(login, dict) or not login.get("accessToken"):
            raise CredentialsError(f"{self._file}: no login is stored there: log in with `claude`")
        return login

    async def _renew(self) -> None:
        """`claude auth status` renews what is about to expire. It gets none of the agent's files, and says nothing."""
        with tempfile.TemporaryDirectory(prefix="fapo-") as private:
            environment = {name: value for name, value in self._environment.items() if name in NETWORK} | {
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": private,
                "CLAUDE_CONFIG_DIR": private,
                "CLAUDE_SECURESTORAGE_CONFIG_DIR": str(self._file.parent),
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            }
            process = await asyncio.create_subprocess_exec(
                self._cli, "auth", "status", env=environment, cwd=private,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            try:
                async with asyncio.timeout(_RENEWAL_S):
                    await process.wait()
            except TimeoutError:
                pass  # then the old one shows that it has expired
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
