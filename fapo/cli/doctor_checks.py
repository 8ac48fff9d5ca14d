"""What `fapo doctor` looks at besides the sandbox: programs, folders, disk, extras, keys, and a model if asked to."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from fapo.config import Environment

Status = Literal["ok", "missing", "bad"]
EXTRAS = {
    "frameworks": ("langgraph", "LangGraph and DSPy pipelines"),
    "codex": ("codex_cli_bin", "--optimizer-model codex/MODEL"),
    "gepa": ("gepa", "--optimizer gepa"),
    "mlflow": ("mlflow", "runs in MLflow"),
    "otel": ("opentelemetry.sdk", "OpenTelemetry spans"),
    "wandb": ("wandb", "runs in Weights & Biases"),
}
LITTLE_DISK = 2 * 10**9
"""Bytes: a long run with its traces may fill more."""
PROBE_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Check:
    """One line. `missing` is needed for some uses only, with `bad` nothing works; either comes with a remedy."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def checks(environment: Environment) -> Iterator[Check]:
    """All that needs no model and no sandbox, in order."""
    yield Check("Python", "ok", f"{sys.version.split()[0]} in {sys.prefix}")
    yield _agent_sdk()
    yield _agent_cli()
    yield _git()
    yield _folder("runs", environment.runs_dir, "FAPO_RUNS_DIR")
    yield _folder("cache", environment.cache_file.parent, "FAPO_CACHE_DIR")
    yield _model_keys(environment.variables)
    yield from (_extra(name, module, use) for name, (module, use) in EXTRAS.items())


def _agent_sdk() -> Check:
    name, package = "Agent SDK", "claude-agent-sdk"
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        return Check(name, "bad", "not installed", "pip install --force-reinstall fapo")
    wanted = [each.partition("==")[2] for each in metadata.requires("fapo") or () if each.startswith(f"{package}==")]
    if wanted and wanted[0] != found:
        return Check(name, "missing", f"{found}, and fapo's guard was tried on {wanted[0]}",
                     f"pip install {package}=={wanted[0]}")  # fmt: skip
    return Check(name, "ok", found)


def _agent_cli() -> Check:
    from fapo.agent.claude import find_cli

    sdk = find_spec("claude_agent_sdk")
    cli = find_cli(Path(sdk.origin).parent) if sdk is not None and sdk.origin else None
    if cli is None:
        return Check("Claude Code CLI", "missing", "not found", "reinstall claude-agent-sdk, or put `claude` on PATH")
    return Check("Claude Code CLI", "ok", _version(cli) or "does not say its version")


def _git() -> Check:
    found = shutil.which("git")
    if found is None:
        return Check(
            "git", "missing", "not found", "apt install git; fapo apply cannot see uncommitted changes without"
        )
    return Check("git", "ok", (_version(Path(found)) or "").removeprefix("git version "))


def _version(program: Path) -> str | None:
    """The first line of `program --version`."""
    try:
        done = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().partition("\n")[0]


def _folder(what: str, path: Path, variable: str) -> Check:
    name = f"folder of {what}"
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Check(name, "bad", f"{path} cannot be written", f"set {variable} to a folder that can be")
    free = shutil.disk_usage(existing).free
    if free < LITTLE_DISK:
        return Check(name, "missing", f"{path}: {free / 1e9:.1f} GB free", f"free space, or set {variable}")
    return Check(name, "ok", f"{path}: {free / 1e9:.1f} GB free")


def _model_keys(variables: Mapping[str, str]) -> Check:
    """The names of variables that look like keys of model providers; what they hold is never shown."""
    found = sorted(name for name, value in variables.items() if name.endswith("_API_KEY") and value)
    if found:
        return Check("model keys", "ok", ", ".join(found))
    return Check("model keys", "missing", "none in the environment: stand-ins only",
                 "set your provider's, such as OPENAI_API_KEY; then --probe openai/gpt-4.1-mini")  # fmt: skip


def _extra(name: str, module: str, use: str) -> Check:
    try:
        installed = find_spec(module) is not None
    except ModuleNotFoundError:
        installed = False
    if installed:
        return Check(f"extra {name}", "ok", f"installed, for {use}")
    return Check(f"extra {name}", "missing", f"not installed: for {use}", f'pip install "fapo[{name}]"')


async def probe(model: str, environment: Environment) -> Check:
    """One tiny call to a model, past the reply cache."""
    import tempfile

    from fapo.config import CallLimits
    from fapo.errors import FapoError
    from fapo.evaluation.connect import connect
    from fapo.records import ModelRequest

    name = f"probe {model}"
    request = ModelRequest(model, ({"role": "user", "content": "Reply with the word OK."},), {"max_tokens": 64})
    try:
        with tempfile.TemporaryDirectory(prefix="fapo-probe-") as scratch:
            apart = environment.model_copy(update={"cache_file": Path(scratch, "replies.sqlite")})
            async with asyncio.timeout(PROBE_TIMEOUT_S), connect([model], apart, limits=CallLimits(max_calls=1)) as way:
                reply = await way.gateway.complete(request)
    except TimeoutError:
        return Check(name, "bad", f"no answer within {PROBE_TIMEOUT_S} s", "check the network, the proxy and the key")
    except FapoError as error:
        return Check(
            name, "bad", " ".join(str(error).split()), "see the message; `fapo doctor` shows which keys are set"
        )
    cost = "cost unknown" if reply.cost_usd is None else f"${reply.cost_usd:.6f}"
    return Check(name, "ok", f"answers in {reply.latency_s:.1f} s, {cost}")
