"""Finds the credentials with which the agent's CLI can reach its model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

CredentialsKind = Literal["api_key", "auth_token", "oauth_token", "bedrock", "vertex", "login", "openai_key"]

LOGIN_FILE = ".credentials.json"
OFFICIAL_ENDPOINT = "https://api.anthropic.com"
OPENAI_ENDPOINT = "https://api.openai.com/v1"
_OPENAI = ("OPENAI_API_KEY", "OPENAI_BASE_URL")
PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy")
_AUTHORITIES = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR")
NETWORK = (*PROXIES, *_AUTHORITIES)
"""Behind a company's proxy the endpoint is out of reach without these."""
FILES = (
    *_AUTHORITIES, "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "GOOGLE_APPLICATION_CREDENTIALS",
)  # fmt: skip
"""Variables that name a file or folder which whoever signs and sends requests has to read."""

# In the CLI's own order of preference.
_KEYS: dict[CredentialsKind, str] = {
    "auth_token": "ANTHROPIC_AUTH_TOKEN",
    "api_key": "ANTHROPIC_API_KEY",
    "oauth_token": "CLAUDE_CODE_OAUTH_TOKEN",
}
_ENDPOINT = ("ANTHROPIC_BASE_URL",)
_BEDROCK = (
    "CLAUDE_CODE_USE_BEDROCK", "ANTHROPIC_BEDROCK_BASE_URL", "AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION",
    "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_CA_BUNDLE",
)  # fmt: skip
_VERTEX = (
    "CLAUDE_CODE_USE_VERTEX", "ANTHROPIC_VERTEX_BASE_URL", "ANTHROPIC_VERTEX_PROJECT_ID", "CLOUD_ML_REGION",
    "GOOGLE_CLOUD_PROJECT",
)  # fmt: skip
_BASE_URLS = ("ANTHROPIC_BEDROCK_BASE_URL", "ANTHROPIC_VERTEX_BASE_URL")
_FALSE = ("", "0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Which kind was found, and the variables to pass on, that kind's alone. Only `kind` may be shown."""

    kind: CredentialsKind
    environment: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Key:
    """A credential that is one text, the variable in which the CLI looks for it, and the endpoint that it is for."""

    variable: str
    secret: str = field(repr=False)
    base_url: str

    async def current(self) -> Key:
        """The key itself: it holds for good."""
        return self

    def header(self) -> dict[str, str]:
        """How the endpoint wants it."""
        if self.variable == _KEYS["api_key"]:
            return {"x-api-key": self.secret}
        return {"Authorization": f"Bearer {self.secret}"}


def oauth_key(secret: str) -> Key:
    """The access token of a login with the provider."""
    return Key(_KEYS["oauth_token"], secret, OFFICIAL_ENDPOINT)


def key_in(environment: Mapping[str, str]) -> Key | None:
    """The key in a credentials' environment; None for kinds with which the CLI itself has to sign in."""
    if kind_of(environment) not in _KEYS:
        return None
    variable = _KEYS[kind_of(environment)]
    return Key(variable, environment[variable], environment.get("ANTHROPIC_BASE_URL") or OFFICIAL_ENDPOINT)


def key_variable(environment: Mapping[str, str]) -> str | None:
    """Where the CLI looks for its key, or for a token in the place of one; None where it has to sign in itself."""
    kind = kind_of(environment)
    return _KEYS.get("oauth_token" if kind == "login" else kind)


def kind_of(environment: Mapping[str, str]) -> CredentialsKind:
    """Which kind the CLI chooses in `environment`, in the order of `find_credentials`, with a login at the end."""
    if _is_on(environment, "CLAUDE_CODE_USE_BEDROCK"):
        return "bedrock"
    if _is_on(environment, "CLAUDE_CODE_USE_VERTEX"):
        return "vertex"
    return next((kind for kind, name in _KEYS.items() if environment.get(name)), "login")


def reachable(environment: Mapping[str, str]) -> frozenset[tuple[str, int]]:
    """Hosts and ports that the CLI needs for Bedrock or Vertex, where it signs in itself."""
    if kind_of(environment) == "bedrock":
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
        services = ("bedrock-runtime", "bedrock", "sts", "oidc", "portal.sso")
        names = [*(f"{service}.{region}.amazonaws.com" for service in services), "sts.amazonaws.com"]
    else:
        region = environment.get("CLOUD_ML_REGION") or "us-east5"
        service = "aiplatform.googleapis.com"
        names = [
            service if region == "global" else f"{region}-{service}",
            "oauth2.googleapis.com",
            "sts.googleapis.com",
        ]
    hosts = {(name, 443) for name in names}
    for name in _BASE_URLS:
        if url := environment.get(name):
            parts = urlsplit(url)
            hosts.add((parts.hostname or "", parts.port or 443))
    return frozenset(hosts)


def _is_on(environment: Mapping[str, str], switch: str) -> bool:
    return environment.get(switch, "").lower() not in _FALSE


def find_credentials(environ: Mapping[str, str], home: Path) -> Credentials | None:
    """The credentials that the CLI itself would choose in `environ`, for the user whose home directory is `home`.

    In this order: Bedrock, Vertex, ANTHROPIC_AUTH_TOKEN, ANTHROPIC_API_KEY, CLAUDE_CODE_OAUTH_TOKEN, a stored
    login of `claude`.
    """
    kind = kind_of(environ)
    if kind == "bedrock":
        files = {
            "AWS_CONFIG_FILE": str(home / ".aws" / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(home / ".aws" / "credentials"),
        }
        return _credentials(kind, environ, _BEDROCK, files)
    if kind == "vertex":
        default = home / ".config" / "gcloud" / "application_default_credentials.json"
        return _credentials(kind, environ, _VERTEX, {"GOOGLE_APPLICATION_CREDENTIALS": str(default)})
    if kind in _KEYS:
        return _credentials(kind, environ, (_KEYS[kind], *_ENDPOINT), {})
    storage = _login(environ.get("CLAUDE_CONFIG_DIR") or "", home)
    if storage is not None:
        # The CLI gets a private configuration directory, and would look for the login there.
        return _credentials("login", environ, (), {"CLAUDE_SECURESTORAGE_CONFIG_DIR": storage})
    return None


def find_openai_key(environ: Mapping[str, str]) -> Credentials | None:
    """What Codex is given: OPENAI_API_KEY. A login with ChatGPT is for another API, and is not looked for."""
    return _credentials("openai_key", environ, _OPENAI, {}) if environ.get(_OPENAI[0]) else None


def openai_key(environment: Mapping[str, str]) -> Key:
    variable, endpoint = _OPENAI
    return Key(variable, environment[variable], environment.get(endpoint) or OPENAI_ENDPOINT)


def _credentials(
    kind: CredentialsKind, environ: Mapping[str, str], names: tuple[str, ...], defaults: Mapping[str, str]
) -> Credentials:
    given = {name: environ[name] for name in (*names, *NETWORK, *defaults) if environ.get(name)}
    return Credentials(kind, {**defaults, **given})


def _login(configured: str, home: Path) -> str | None:
    """Where the CLI has to look for its login: a directory, or "" for the plain entry of the macOS keychain.

    Only the account tells of a login in the keychain; its entry is named after the configured directory, if any.
    """
    config = Path(configured or home / ".claude")
    if _holds(config / LOGIN_FILE, "claudeAiOauth"):
        return str(config)
    return configured if _holds(Path(configured or home) / ".claude.json", "oauthAccount") else None


def _holds(path: Path, key: str) -> bool:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(stored, dict) and bool(stored.get(key))
