"""`fapo cache info` and `fapo cache clear`: the replies that were paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fapo.llm.cache import ReplyCache

LOCK_TIMEOUT_S = 3.0

cache_app = typer.Typer(
    no_args_is_help=True, help="The replies that were paid for: how many are kept, and forget them."
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@cache_app.command("info")
def info_command(as_json: AsJson = False) -> None:
    """Show where replies are kept, how many they are, and what they fill."""
    from rich.filesize import decimal

    from fapo.cli.console import print_json, stdout

    found = _read()
    if as_json:
        print_json(found)
        return
    console = stdout()
    console.print(found["path"], markup=False)
    console.print(f"{found['entries']:,} replies, {decimal(found['bytes'])} of at most {decimal(found['limit_bytes'])}")


@cache_app.command("clear")
def clear_command(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False, as_json: AsJson = False
) -> None:
    """Forget every reply. What is evaluated again is paid for again."""
    import sys

    from rich.filesize import decimal

    from fapo.cli.console import print_json, stdout
    from fapo.errors import UsageError

    found = _read()
    if found["entries"] and not yes:
        if not sys.stdin.isatty():
            raise UsageError("forgets what was paid for: confirm with --yes", path=found["path"])
        size = decimal(found["bytes"])
        typer.confirm(f"Forget {found['entries']:,} replies ({size}) in {found['path']}?", abort=True, err=True)
    if found["entries"]:
        cache = _open()
        try:
            cache.clear()
        finally:
            cache.close()
    if as_json:
        print_json({"path": found["path"], "cleared": found["entries"]})
    else:
        stdout().print(f"{found['entries']:,} replies forgotten")


def _read() -> dict[str, Any]:
    """Path, entries, bytes and limit; a file that is not there yet is not made for it."""
    from fapo.config import read_environment
    from fapo.llm.cache import MAX_BYTES

    path = read_environment().cache_file
    entries = size = 0
    if path.exists():
        cache = _open()
        try:
            info = cache.info()
        finally:
            cache.close()
        entries, size = info.entries, info.bytes
    return {"path": str(path), "entries": entries, "bytes": size, "limit_bytes": MAX_BYTES}


def _open() -> ReplyCache:
    from fapo.config import read_environment
    from fapo.llm.cache import ReplyCache

    return ReplyCache(read_environment().cache_file, lock_timeout_s=LOCK_TIMEOUT_S)
