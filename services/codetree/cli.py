"""``python -m codetree``: the API and its workers, evaluation, and simulated models."""

from __future__ import annotations

from functools import partial

import typer

from codetree.api import make_app
from codetree.evaluate.command import evaluate, simulate
from codetree.intake import SERVICE
from codetree.runtime import Runtime
from codetree.settings import CodetreeServiceSettings
from codetree.tasks import solve
from kit import log, web, worker
from kit.settings import load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(evaluate)
app.command()(simulate)


@app.command()
def serve() -> None:
    """Serve the API."""
    settings = load_settings(CodetreeServiceSettings)
    log.configure(settings, SERVICE)
    web.serve(make_app(settings), settings.codetree_host, settings.codetree_port)


@app.command("worker")
def run_worker() -> None:
    """Run episodes."""
    settings = load_settings(CodetreeServiceSettings)
    log.configure(settings, f"{SERVICE}-worker")
    runtime = Runtime(settings)
    worker.serve(
        SERVICE,
        settings,
        partial(solve, runtime, settings),
        threads=settings.episodes_per_worker,
        on_stop=runtime.stop,
    )
