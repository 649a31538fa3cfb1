"""``python -m codetree``: the API and its workers, evaluation, and simulated models."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import typer

from codetree.evaluate.command import evaluate, simulate
from codetree.llm.pool import PoolError
from codetree.settings import SERVICE, CodetreeServiceSettings
from kit import log
from kit.settings import load_settings, stop
from kit.startup import loading

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    with _models_at_hand():
        app_of_settings = make_app(settings)
    web.serve(app_of_settings, settings.codetree_host, settings.codetree_port)


@app.command("worker")
def run_worker() -> None:
    """Run episodes."""
    with loading():
        from codetree.runtime import Runtime  # noqa: PLC0415
        from codetree.tasks import solve  # noqa: PLC0415
        from kit import worker  # noqa: PLC0415

    settings = load_settings(CodetreeServiceSettings)
    log.configure(settings, f"{SERVICE}-worker")
    with _models_at_hand():
        runtime = Runtime(settings)
    worker.serve(
        SERVICE,
        settings,
        partial(solve, runtime, settings),
        threads=settings.episodes_per_worker,
        on_stop=runtime.stop,
    )


@contextmanager
def _models_at_hand() -> Iterator[None]:
    """Stops start-up where the file of models cannot be read."""
    try:
        yield
    except PoolError as error:
        stop(str(error))
