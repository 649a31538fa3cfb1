"""The root command: addresses, exit codes, and the commands below it."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from astrolabe.cli import batches, calibrations, catalog, estimates, exports, jobs, plans, solve
from astrolabe.cli.failures import ExitCode, report
from astrolabe.cli.session import Session
from astrolabe.config import Service
from astrolabe.errors import AstrolabeError

_HELP = """Ask Astrolabe's planner and codetree services.

Exit codes: 0 done; 1 the job failed or was cancelled, or there is no feasible plan or no answer; \
2 the command or the request is wrong; 3 the time is up, the job goes on; 4 the service does not answer; \
130 interrupted, the job goes on.

Complete commands with the Tab key: `astrolabe --install-completion`, once, in bash, zsh or fish.
"""


class _Group(TyperGroup):
    """Reports what is expected to go wrong in short lines, with an exit code, wherever below it is raised."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AstrolabeError as error:
            raise typer.Exit(report(error)) from None
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None


app = typer.Typer(cls=_Group, help=_HELP, no_args_is_help=True, pretty_exceptions_enable=False)
app.command("plan")(plans.plan)
app.command("solve")(solve.solve)
app.command("estimate")(estimates.estimate)
app.command("export")(exports.export)
app.add_typer(jobs.app, name="jobs")
app.add_typer(batches.app, name="batch")
app.add_typer(calibrations.app, name="calibrations")
app.add_typer(catalog.app, name="catalog")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("astrolabe"))
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    planner_url: Annotated[
        str | None,
        typer.Option(envvar=Service.PLANNER.variable, help="Address of the planner.", show_default="port 8001"),
    ] = None,
    codetree_url: Annotated[
        str | None,
        typer.Option(envvar=Service.CODETREE.variable, help="Address of codetree.", show_default="port 8002"),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Keep the addresses for the command that follows. The API key comes from ASTROLABE_API_KEY only."""
    context.obj = Session(planner_url, codetree_url)


def main() -> None:
    """Run the command line; text that the terminal's encoding lacks is replaced rather than fatal."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    app(prog_name="astrolabe")
