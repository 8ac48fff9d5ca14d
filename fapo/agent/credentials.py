"""Finds the credentials with which the agent's CLI can reach its model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

CredentialsKind = Literal["api_key", "auth_token", "oauth_token", "bedrock", "vertex", "login"]

_ENDPOINT = ("ANTHROPIC_BASE_URL",)
# Behind a company's proxy the endpoint is out of reach without these.
_NETWORK = (
    "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy",
    "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
_BEDROCK = (
    "CLAUDE_CODE_USE_BEDROCK", "ANTHROPIC_BEDROCK_BASE_URL", "AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION",
    "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_CA_BUNDLE",
)  # fmt: skip
_VERTEX = (
    "CLAUDE_CODE_USE_VERTEX", "ANTHROPIC_VERTEX_BASE_URL", "ANTHROPIC_VERTEX_PROJECT_ID", "CLOUD_ML_REGION",
    "GOOGLE_CLOUD_PROJECT",
)  # fmt: skip
_FALSE = ("", "0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Which kind was found, and the variables to pass on, that kind's alone. Only `kind` may be shown."""

    kind: CredentialsKind
    environment: Mapping[str, str] = field(repr=False)


def find_credentials(environ: Mapping[str, str], home: Path) -> Credentials | None:
    """The credentials that the CLI itself would choose in `environ`, for the user whose home directory is `home`.

    In this order: Bedrock, Vertex, ANTHROPIC_AUTH_TOKEN, ANTHROPIC_API_KEY, CLAUDE_CODE_OAUTH_TOKEN, a stored
    login of `claude`.
    """
    if environ.get("CLAUDE_CODE_USE_BEDROCK", "").lower() not in _FALSE:
        files = {
            "AWS_CONFIG_FILE": str(home / ".aws" / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(home / ".aws" / "credentials"),
        }
        return _credentials("bedrock", environ, _BEDROCK, files)
    if environ.get("CLAUDE_CODE_USE_VERTEX", "").lower() not in _FALSE:
        default = home / ".config" / "gcloud" / "application_default_credentials.json"
        return _credentials("vertex", environ, _VERTEX, {"GOOGLE_APPLICATION_CREDENTIALS": str(default)})
    direct: tuple[tuple[CredentialsKind, str], ...] = (
        ("auth_token", "ANTHROPIC_AUTH_TOKEN"),
        ("api_key", "ANTHROPIC_API_KEY"),
        ("oauth_token", "CLAUDE_CODE_OAUTH_TOKEN"),
    )
    for kind, name in direct:
        if environ.get(name):
            return _credentials(kind, environ, (name, *_ENDPOINT), {})
    storage = _login(environ.get("CLAUDE_CONFIG_DIR") or "", home)
    if storage is not None:
        # The CLI gets a private configuration directory, and would look for the login there.
        return _credentials("login", environ, (), {"CLAUDE_SECURESTORAGE_CONFIG_DIR": storage})
    return None


def _credentials(
    kind: CredentialsKind, environ: Mapping[str, str], names: tuple[str, ...], defaults: Mapping[str, str]
) -> Credentials:
    given = {name: environ[name] for name in (*names, *_NETWORK, *defaults) if environ.get(name)}
    return Credentials(kind, {**defaults, **given})


def _login(configured: str, home: Path) -> str | None:
    """Where the CLI has to look for its login: a directory, or "" for the plain entry of the macOS keychain.

    Only the account tells of a login in the keychain; its entry is named after the configured directory, if any.
    """
    config = Path(configured or home / ".claude")
    if _holds(config / ".credentials.json", "claudeAiOauth"):
        return str(config)
    return configured if _holds(Path(configured or home) / ".claude.json", "oauthAccount") else None


def _holds(path: Path, key: str) -> bool:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(stored, dict) and bool(stored.get(key))
