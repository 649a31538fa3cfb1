"""``python -m codetree``: the API and its workers, evaluation, and simulated models."""

from __future__ import annotations

from functools import partial

import typer

from codetree.evaluate.command import evaluate, simulate
from codetree.settings import SERVICE, CodetreeServiceSettings
from kit import log
from kit.settings import load_settings
from kit.startup import loading

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(evaluate)
app.command()(simulate)


@app.command()
def serve() -> None:
    """Serve the API."""
    with loading():
        from codetree.api import make_app  # noqa: PLC0415 - no command loads what only another needs
        from kit import web  # noqa: PLC0415

    settings = load_settings(CodetreeServiceSettings)
    log.configure(settings, SERVICE)
    web.serve(make_app(settings), settings.codetree_host, settings.codetree_port)


@app.command("worker")
def run_worker() -> None:
    """Run episodes."""
    with loading():
        from codetree.runtime import Runtime  # noqa: PLC0415
        from codetree.tasks import solve  # noqa: PLC0415
        from kit import worker  # noqa: PLC0415

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
