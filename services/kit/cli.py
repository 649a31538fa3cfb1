"""The commands that belong to no service: migrations, the relay, the courier, and pruning."""

from __future__ import annotations

from collections import Counter

import typer

from kit import log, migrate
from kit.commands import database_at_hand
from kit.settings import DatabaseSettings, JobSettings, RetentionSettings, load_settings
from kit.startup import loading

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command("migrate")
def run_migrations() -> None:
    """Bring the database to the newest schema."""
    settings = load_settings(DatabaseSettings)
    log.configure(settings, "migrate")
    with database_at_hand():
        migrate.upgrade(settings.database_url.get_secret_value())


@app.command("relay")
def run_relay() -> None:
    """Ring the workers for accepted jobs; return jobs whose worker was lost."""
    with loading():
        from kit import relay  # noqa: PLC0415 - no command loads what only another needs

    settings = load_settings(JobSettings)
    log.configure(settings, "relay")
    relay.serve(settings)


@app.command("prune")
def run_pruning() -> None:
    """Remove what is older than the settings keep; the relay does so from time to time."""
    from kit import retention  # noqa: PLC0415
    from kit.db import make_engine  # noqa: PLC0415

    settings = load_settings(RetentionSettings)
    engine = make_engine(settings.database_url.get_secret_value(), pool_size=1)
    removed: Counter[str] = Counter()
    with database_at_hand():
        for what, rows in retention.pass_over(engine, settings):
            removed[what] += rows
    engine.dispose()
    typer.echo(", ".join(f"{rows} {what}" for what, rows in removed.items()) + " removed")


@app.command("courier")
def run_courier() -> None:
    """Deliver webhooks."""
    with loading():
        from kit.webhooks import courier  # noqa: PLC0415

    settings = load_settings(JobSettings)
    log.configure(settings, "courier")
    courier.serve(settings)
