"""`fapo ui`: runs, variants, cases and traces in the browser, as they go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def ui_command(
    runs: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of runs; default: FAPO_RUNS_DIR, or ./runs.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open a browser, where this machine has a screen.")
    ] = True,
    include_test: Annotated[
        bool, typer.Option("--include-test", help="Show cases of test, too. Who decides on variants should not.")
    ] = False,
) -> None:
    """Show runs, variants and traces in the browser, as they go. Serves this machine only; Ctrl-C ends it."""
    import webbrowser

    from fapo.cli.console import stderr
    from fapo.cli.running import run_to_end
    from fapo.config import read_environment
    from fapo.ui.access import Access
    from fapo.ui.app import open_socket, serve
    from fapo.ui.library import Library, check_folder
    from fapo.ui.trace_index import TraceIndex

    environment = read_environment()
    folder = check_folder((runs or environment.runs_dir).absolute())
    index = TraceIndex(environment.cache_file.parent / "traces.sqlite")
    listening = open_socket(port)
    access = Access(listening.getsockname()[1])
    has_screen = any(environment.variables.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))

    def ready() -> None:
        print(access.url(access.token), flush=True)
        stderr(plain=environment.plain).print(f"[dim]serves {folder} on this machine only; Ctrl-C ends it[/]")
        if open_browser and has_screen and access.ticket is not None:
            webbrowser.open(access.url(access.ticket))

    async def work() -> int:
        await serve(Library(folder, index, include_test=include_test), listening, access, ready)
        return 0

    run_to_end(work())
