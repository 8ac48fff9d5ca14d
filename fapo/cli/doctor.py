"""`fapo doctor`: what this machine can do for fapo, found by trying."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from fapo.config import Environment


def doctor_command(
    probe: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="Ask this model for one word; may be given several times. Costs a call."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Check this machine: attack each level of isolation from inside, look for programs, credentials, disk, extras.

    No model is called without --probe, and no key is shown. Exit code 1 where something keeps fapo from working.
    """
    import asyncio

    from fapo.cli.console import print_json
    from fapo.cli.doctor_checks import checks
    from fapo.cli.doctor_checks import probe as ask
    from fapo.config import read_environment
    from fapo.store.files import to_python

    environment = read_environment()
    found = _examine(environment)
    seen = [*checks(environment), *(asyncio.run(ask(model, environment)) for model in probe or ())]
    found["checks"] = [to_python(check) for check in seen]
    if as_json:
        print_json(found)
    else:
        _show(found)
    if found["auto"] is None or any(check.status == "bad" for check in seen):
        raise typer.Exit(1)


def _examine(environment: Environment) -> dict[str, Any]:
    import platform

    from fapo import __version__
    from fapo.sandbox.features import find_features
    from fapo.sandbox.probe import CONFINING, probe_level
    from fapo.store.files import to_python

    reports = [probe_level(level) for level in CONFINING]
    return {
        "fapo": __version__,
        "python": platform.python_version(),
        "machine": to_python(find_features()),
        "levels": [to_python(report) for report in (*reports, probe_level("none"))],
        "auto": next((report.level for report in reports if report.works), None),
        "agent": _agent(environment),
        "free_bytes": {
            "runs": _free(environment.runs_dir),
            "cache": _free(environment.cache_file.parent),
        },
    }


def _agent(environment: Environment) -> dict[str, str | None]:
    from importlib.util import find_spec
    from pathlib import Path

    from fapo.agent import codex
    from fapo.agent.claude import find_cli
    from fapo.agent.credentials import find_credentials, find_openai_key

    sdk = find_spec("claude_agent_sdk")
    cli = find_cli(Path(sdk.origin).parent) if sdk is not None and sdk.origin else None
    credentials = find_credentials(environment.variables, environment.home)
    openai, codex_cli = find_openai_key(environment.variables), codex.find_cli()
    return {
        "cli": str(cli) if cli else None,
        "credentials": credentials.kind if credentials else None,
        "codex": str(codex_cli) if codex_cli else None,
        "codex_credentials": openai.kind if openai else None,
    }


def _free(path: Any) -> int:
    """Bytes that are free where `path` is, or would be made."""
    import shutil

    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(existing).free


def _show(found: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from fapo.cli.console import stdout

    console = stdout()
    rows = [*_facts(found).items(), *((check["name"], _in_colour(check)) for check in found["checks"])]
    if console.is_terminal:
        grid = Table.grid(padding=(0, 2))
        for name, text in rows:
            grid.add_row(name, text)
        console.print(grid)
    else:
        for name, text in rows:
            console.print(f"{name:18} {text}")
    console.print()
    console.print(_claims(found["levels"]))
    console.print()
    for level in found["levels"]:
        if level["reason"] and level["level"] != "none":
            console.print(f"[red]level {level['level']} does not work[/]: {escape(level['reason'])}")
        for claim in level["claims"]:
            if level["works"] and claim["holds"] is False:
                console.print(f"[yellow]level {level['level']}[/] lets through: {claim['name']} ({claim['detail']})")
    if found["auto"]:
        console.print(f"`--isolation auto` takes level [bold]{found['auto']}[/]")
    else:
        console.print("[red]Code cannot be confined here, so none is run[/], unless you trust it: --isolation none")


def _in_colour(check: dict[str, str]) -> str:
    """What a check found, with what to do about it."""
    from rich.markup import escape

    colour = {"ok": "default", "missing": "yellow", "bad": "red"}[check["status"]]
    return f"[{colour}]{escape(check['found'])}[/]" + (f": {escape(check['remedy'])}" if check["remedy"] else "")


def _facts(found: dict[str, Any]) -> dict[str, str]:
    """What was found, a line each, with what to do where something is missing."""
    from rich.markup import escape

    machine, agent = found["machine"], found["agent"]
    missing = {
        "cli": "[red]not found[/]: reinstall claude-agent-sdk, or put `claude` on PATH",
        "credentials": "[red]not found[/]: set ANTHROPIC_API_KEY, or log in with `claude`",
        "codex": 'not found; for --optimizer-model codex/MODEL: pip install "fapo\\[codex]"',
        "codex_credentials": "not found; for --optimizer-model codex/MODEL: set OPENAI_API_KEY",
    }
    bubblewrap = f"{machine['bubblewrap']} {machine['bubblewrap_version']}"
    return {
        "fapo": f"{found['fapo']} on Python {found['python']}",
        "kernel": f"{machine['kernel']} {machine['machine']}",
        "Landlock": f"ABI {machine['landlock_abi']}" if machine["landlock_abi"] else "[red]no[/]",
        "seccomp": _yes(machine["seccomp"]),
        "user namespaces": _yes(machine["user_namespaces"]),
        "bubblewrap": escape(bubblewrap) if machine["bubblewrap"] else "[red]not found[/]: apt install bubblewrap",
        "Claude Code": escape(agent["cli"]) if agent["cli"] else missing["cli"],
        "its credentials": agent["credentials"] or missing["credentials"],
        "Codex": escape(agent["codex"]) if agent["codex"] else missing["codex"],
        "Codex's key": agent["codex_credentials"] or missing["codex_credentials"],
    }


def _yes(holds: bool) -> str:
    return "yes" if holds else "[red]no[/]"


def _claims(levels: list[dict[str, Any]]) -> Table:
    """A row for each thing that is attacked, a column for each level."""
    from fapo.cli.console import table
    from fapo.sandbox.probe import REQUIRED, WANTED

    words = {True: "[green]holds[/]", False: "[red]breached[/]", None: "not applicable"}
    claims = table("attack on", "", *(level["level"] for level in levels))
    for name in (*REQUIRED, *WANTED):
        cells = []
        for level in levels:
            holds = [claim["holds"] for claim in level["claims"] if claim["name"] == name]
            cells.append(words[holds[0]] if holds else "does not start")
        claims.add_row(name, "required" if name in REQUIRED else "wanted", *cells)
    return claims
