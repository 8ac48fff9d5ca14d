"""The `fapo` command. Each subcommand lives in a module of its own; only fapo.cli prints."""

from __future__ import annotations

import errno
import sys

import typer

from fapo import __version__
from fapo.cli.attribute import attribute_command
from fapo.cli.benchmark import benchmark_app
from fapo.cli.cache import cache_app
from fapo.cli.ci import ci_command
from fapo.cli.compare import compare_command
from fapo.cli.doctor import doctor_command
from fapo.cli.eval import eval_command
from fapo.cli.export import export_command
from fapo.cli.init import init_command
from fapo.cli.interchange import cases_app, prompts_app
from fapo.cli.optimize import optimize_command
from fapo.cli.report import report_command
from fapo.cli.review import review_command
from fapo.cli.runs import apply_command, diff_command, runs_command
from fapo.cli.show import show_command
from fapo.cli.trace import trace_command
from fapo.cli.ui import ui_command
from fapo.cli.watch import watch_command
from fapo.errors import FapoError, StorageError

_OF_A_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)

app = typer.Typer(
    name="fapo",
    help="Optimize a multi-step LLM pipeline with a coding agent, and prove the gain on data that the agent never saw.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's help takes longer to import than all the rest takes to run
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init", short_help="Make a pipeline from a template.")(init_command)
app.command("eval", short_help="Score a pipeline on a split.")(eval_command)
app.command("optimize", short_help="Improve a pipeline with the coding agent.")(optimize_command)
app.command("trace", short_help="Show every step of one case.")(trace_command)
app.command("attribute", short_help="Say where an evaluation loses its score.")(attribute_command)
app.command("review", short_help="Look for leaks and the like in a changed pipeline.")(review_command)
app.command("runs", short_help="List runs and evaluations.")(runs_command)
app.command("report", short_help="Write a run's report, as a page and as Markdown.")(report_command)
app.command("show", short_help="Show what a run or an evaluation found.")(show_command)
app.command("watch", short_help="Follow a run that another process makes.")(watch_command)
app.command("diff", short_help="Print what a run's best variant changes.")(diff_command)
app.command("apply", short_help="Write a run's best variant into the pipeline.")(apply_command)
app.command("compare", short_help="Say whether one evaluation is better than another.")(compare_command)
app.command("ui", short_help="Show runs and traces in the browser.")(ui_command)
app.command("ci", short_help="Check a deployed pipeline on a schedule; repair it.")(ci_command)
app.add_typer(benchmark_app, name="benchmark", short_help="List, fetch and show benchmarks.")
app.command("export", short_help="Write a run to MLflow, W&B or OpenTelemetry.")(export_command)
app.add_typer(cases_app, name="cases", short_help="Take cases over from other tools.")
app.add_typer(prompts_app, name="prompts", short_help="Exchange prompts with other tools.")
app.add_typer(cache_app, name="cache", short_help="Show or clear the replies that were paid for.")
app.command("doctor", short_help="Check this machine and its sandbox.")(doctor_command)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    if version:
        print(f"fapo {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Expected errors are one line on stderr; only a bug shows a traceback."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        app(args=arguments, prog_name="fapo")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except FapoError as error:
        _say(error)
        return error.exit_code
    except OSError as error:
        if error.errno not in _OF_A_DISK:
            raise
        _say(StorageError.of(error.filename or "a file", error))
        return StorageError.exit_code
    return 0


def _say(error: FapoError) -> None:
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error[/] {escape(str(error))}")
