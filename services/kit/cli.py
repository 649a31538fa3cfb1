"""The commands that belong to no service: migrations and the relay."""

from __future__ import annotations

import typer

from kit import log, migrate, relay
from kit.settings import DatabaseSettings, JobSettings, load_settings
from kit.webhooks import courier

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command("migrate")
def run_migrations() -> None:
    """Bring the database to the newest schema."""
    settings = load_settings(DatabaseSettings)
    log.configure(settings, "migrate")
    migrate.upgrade(settings.database_url.get_secret_value())


@app.command("relay")
def run_relay() -> None:
    """Ring the workers for accepted jobs; return jobs whose worker was lost."""
    settings = load_settings(JobSettings)
    log.configure(settings, "relay")
    relay.serve(settings)


@app.command("courier")
def run_courier() -> None:
    """Deliver webhooks."""
    settings = load_settings(JobSettings)
    log.configure(settings, "courier")
    courier.serve(settings)
