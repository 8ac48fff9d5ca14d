"""A stored login as a key: renewed by a program in the CLI's place, outside of the sandbox."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from fapo.agent.credentials import OFFICIAL_ENDPOINT
from fapo.agent.login import StoredLogin
from fapo.agent.proxy import ApiProxy
from fapo.errors import CredentialsError
from tests.agent.loopback import TOKEN, ask, error_type


def store(directory: Path, token: str, valid_s: float | None, name: str = ".credentials.json") -> None:
    login: dict[str, object] = {"accessToken": token}
    if valid_s is not None:
        login["expiresAt"] = int((time.time() + valid_s) * 1000)
    (directory / name).write_text(json.dumps({"claudeAiOauth": login}), encoding="utf-8")


def fake_cli(directory: Path, *lines: str) -> Path:
    """A program in the CLI's place, which also notes how it was called."""
    script = directory / "claude"
    notes = f'echo "$@" >> {directory}/calls\nenv > {directory}/environment\n'
    script.write_text("\n".join(["#!/bin/sh", notes, *lines, ""]), encoding="utf-8")
    script.chmod(0o700)
    return script


def calls(directory: Path) -> list[str]:
    noted = directory / "calls"
    return noted.read_text().splitlines() if noted.exists() else []


RENEW = 'cp "$CLAUDE_SECURESTORAGE_CONFIG_DIR/renewed" "$CLAUDE_SECURESTORAGE_CONFIG_DIR/.credentials.json"'


@pytest.mark.parametrize("valid_s", [None, 3600.0])
def test_a_login_that_is_valid_is_used_as_it_is(tmp_path: Path, valid_s: float | None) -> None:
    store(tmp_path, "stored", valid_s)
    key = asyncio.run(StoredLogin(tmp_path, fake_cli(tmp_path), {}).current())
    assert (key.secret, key.base_url) == ("stored", OFFICIAL_ENDPOINT)
    assert key.header() == {"Authorization": "Bearer stored"}
    assert calls(tmp_path) == []


@pytest.mark.parametrize("valid_s", [-10.0, 60.0])
def test_a_login_is_renewed_once_for_all_who_ask_for_it(tmp_path: Path, valid_s: float) -> None:
    store(tmp_path, "old", valid_s)
    store(tmp_path, "new", 3600.0, "renewed")
    login = StoredLogin(tmp_path, fake_cli(tmp_path, RENEW), {})

    async def scene() -> list[str]:
        return [key.secret for key in await asyncio.gather(*(login.current() for _ in range(5)))]

    assert asyncio.run(scene()) == ["new"] * 5
    assert calls(tmp_path) == ["auth status"]


def test_whoever_renews_gets_what_it_takes_to_reach_the_endpoint_and_no_more(tmp_path: Path) -> None:
    store(tmp_path, "old", -10.0)
    store(tmp_path, "new", 3600.0, "renewed")
    given = {"HTTPS_PROXY": "http://p:1", "NODE_EXTRA_CA_CERTS": "/ca.pem", "OPENAI_API_KEY": "other"}
    asyncio.run(StoredLogin(tmp_path, fake_cli(tmp_path, RENEW), given).current())
    seen = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines())
    assert (seen["HTTPS_PROXY"], seen["NODE_EXTRA_CA_CERTS"]) == ("http://p:1", "/ca.pem")
    assert "OPENAI_API_KEY" not in seen
    assert seen["CLAUDE_SECURESTORAGE_CONFIG_DIR"] == str(tmp_path)
    assert not Path(seen["CLAUDE_CONFIG_DIR"]).exists()


def test_a_login_that_is_not_renewed_is_used_until_it_expires(tmp_path: Path) -> None:
    store(tmp_path, "old", 60.0)
    key = asyncio.run(StoredLogin(tmp_path, fake_cli(tmp_path, "exit 1"), {}).current())
    assert key.secret == "old"


def test_a_login_that_has_expired_is_told_in_one_line(tmp_path: Path) -> None:
    store(tmp_path, "old", -10.0)
    status, text = asyncio.run(ask(ApiProxy(StoredLogin(tmp_path, fake_cli(tmp_path), {}).current, TOKEN, {})))
    assert (status, error_type(text)) == (401, "authentication_error")
    told = json.loads(text)["error"]["message"]
    assert told == f"fapo: {tmp_path}/.credentials.json: the login has expired: log in again with `claude`"


@pytest.mark.parametrize("stored", ["", "{", "[]", "{}", '{"claudeAiOauth": 3}', '{"claudeAiOauth": {}}'])
def test_a_login_that_is_gone_is_told(tmp_path: Path, stored: str) -> None:
    (tmp_path / ".credentials.json").write_text(stored)
    with pytest.raises(CredentialsError, match="no login is stored there: log in with `claude`"):
        asyncio.run(StoredLogin(tmp_path, fake_cli(tmp_path), {}).current())
