"""Which credentials are found, what is passed on for them, and that none is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fapo.agent.credentials import find_credentials


def test_nothing_is_found_in_an_empty_environment(tmp_path: Path) -> None:
    assert find_credentials({"ANTHROPIC_API_KEY": "", "ANTHROPIC_BASE_URL": "http://x"}, tmp_path) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ANTHROPIC_API_KEY", "api_key"),
        ("ANTHROPIC_AUTH_TOKEN", "auth_token"),
        ("CLAUDE_CODE_OAUTH_TOKEN", "oauth_token"),
    ],
)
def test_a_key_is_passed_on_with_its_endpoint_and_nothing_else(tmp_path: Path, name: str, kind: str) -> None:
    given = {name: "k", "ANTHROPIC_BASE_URL": "http://gateway", "HTTPS_PROXY": "http://proxy"}
    found = find_credentials({**given, "ANTHROPIC_MODEL": "m", "AWS_REGION": "r", "OPENAI_API_KEY": "o"}, tmp_path)
    assert found is not None
    assert found.kind == kind
    assert found.environment == given


def test_only_the_kind_that_the_cli_would_choose_is_passed_on(tmp_path: Path) -> None:
    environ = {"ANTHROPIC_API_KEY": "a", "CLAUDE_CODE_OAUTH_TOKEN": "b"}
    found = find_credentials(environ, tmp_path)
    assert found is not None
    assert found.environment == {"ANTHROPIC_API_KEY": "a"}


def test_bedrock_comes_first_and_finds_the_users_files(tmp_path: Path) -> None:
    environ = {"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_PROFILE": "work", "ANTHROPIC_API_KEY": "a"}
    found = find_credentials(environ, tmp_path)
    assert found is not None
    assert found.kind == "bedrock"
    assert found.environment == {
        "CLAUDE_CODE_USE_BEDROCK": "1",
        "AWS_PROFILE": "work",
        "AWS_CONFIG_FILE": f"{tmp_path}/.aws/config",
        "AWS_SHARED_CREDENTIALS_FILE": f"{tmp_path}/.aws/credentials",
    }


def test_vertex_keeps_the_users_choice_of_a_file(tmp_path: Path) -> None:
    environ = {"CLAUDE_CODE_USE_VERTEX": "true", "GOOGLE_APPLICATION_CREDENTIALS": "/keys/v.json"}
    found = find_credentials(environ, tmp_path)
    assert found is not None
    assert found.kind == "vertex"
    assert found.environment == environ


def test_a_switch_that_is_off_is_off(tmp_path: Path) -> None:
    environ = {"CLAUDE_CODE_USE_BEDROCK": "0", "CLAUDE_CODE_USE_VERTEX": "false", "ANTHROPIC_API_KEY": "a"}
    found = find_credentials(environ, tmp_path)
    assert found is not None
    assert found.kind == "api_key"


def test_a_stored_login_is_pointed_back_to(tmp_path: Path) -> None:
    config = tmp_path / ".claude"
    config.mkdir()
    (config / ".credentials.json").write_text(json.dumps({"claudeAiOauth": {"accessToken": "t"}}))
    found = find_credentials({"HTTPS_PROXY": "http://proxy"}, tmp_path)
    assert found is not None
    assert found.kind == "login"
    assert found.environment == {"CLAUDE_SECURESTORAGE_CONFIG_DIR": str(config), "HTTPS_PROXY": "http://proxy"}


def test_a_login_in_a_configured_directory_is_found_there(tmp_path: Path) -> None:
    (tmp_path / ".credentials.json").write_text(json.dumps({"claudeAiOauth": {"accessToken": "t"}}))
    found = find_credentials({"CLAUDE_CONFIG_DIR": str(tmp_path)}, tmp_path / "elsewhere")
    assert found is not None
    assert found.environment == {"CLAUDE_SECURESTORAGE_CONFIG_DIR": str(tmp_path)}


def test_a_login_in_the_keychain_goes_by_the_configured_directory(tmp_path: Path) -> None:
    (tmp_path / ".claude.json").write_text(json.dumps({"oauthAccount": {"emailAddress": "a@b.c"}}))
    for environ, storage in (({}, ""), ({"CLAUDE_CONFIG_DIR": str(tmp_path)}, str(tmp_path))):
        found = find_credentials(environ, tmp_path)
        assert found is not None
        assert found.environment == {"CLAUDE_SECURESTORAGE_CONFIG_DIR": storage}


@pytest.mark.parametrize("stored", ["{", "[]", "{}", '{"mcpOAuth": {"x": 1}}'])
def test_a_file_without_a_login_is_none(tmp_path: Path, stored: str) -> None:
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / ".credentials.json").write_text(stored)
    assert find_credentials({}, tmp_path) is None


def test_no_secret_is_shown(tmp_path: Path) -> None:
    assert "s3cret" not in repr(find_credentials({"ANTHROPIC_API_KEY": "s3cret"}, tmp_path))
