"""``astrolabe-admin``: API keys, webhook secrets and the audit log, where the database is."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from kit.audit import Actor, entries, record
from kit.auth import SCOPES, ApiKey, KeyLimits, Quota, create_key, prefix_of
from kit.commands import database_at_hand
from kit.db import make_engine, transaction
from kit.settings import DatabaseSettings, load_settings, valid_rate
from kit.webhooks import store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
keys = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")
app.add_typer(keys, name="keys")
webhooks = typer.Typer(no_args_is_help=True, help="The secrets that sign webhook deliveries.")
app.add_typer(webhooks, name="webhooks")
audit = typer.Typer(no_args_is_help=True, help="Who did what.")
app.add_typer(audit, name="audit")
console = Console()


@keys.command()
def create(
    owner: Annotated[str, typer.Option(help="Whose jobs the key sees.")],
    scope: Annotated[list[str], typer.Option(help=f"One of: {', '.join(SCOPES)}. May be repeated.")],
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; never by default.")] = None,
    rate: Annotated[
        str | None, typer.Option(help="Requests it may send, such as 100/second; else the setting.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Jobs queued and running at once.")] = None,
    money_usd_per_day: Annotated[float | None, typer.Option(min=0, help="What its jobs may spend on models.")] = None,
    tokens_per_day: Annotated[int | None, typer.Option(min=0, help="Tokens of models its jobs may use.")] = None,
) -> None:
    """Make a key and print it once."""
    if unknown := sorted(set(scope) - set(SCOPES)):
        raise typer.BadParameter(f"unknown scope {unknown[0]!r}; choose from {', '.join(SCOPES)}")
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    limits = KeyLimits(_rate(rate), Quota(concurrency, money_usd_per_day, tokens_per_day))
    with _transaction() as session:
        key = create_key(session, owner, scope, expires_at, limits)
        record(session, Actor(owner), "key.create", f"key {prefix_of(key)}", " ".join(scope))
        console.print(key, soft_wrap=True)


def _rate(rate: str | None) -> str | None:
    try:
        return None if rate is None else valid_rate(rate)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--rate") from error


@keys.command("list")
def list_keys() -> None:
    """Show every key's prefix, owner, scopes, limits and state."""
    table = Table("prefix", "owner", "scopes", "limits", "created", "expires", "revoked")
    with _transaction() as session:
        for key in session.scalars(select(ApiKey).order_by(ApiKey.created_at)):
            moments = (f"{moment:%Y-%m-%d %H:%M}" if moment else "" for moment in _moments(key))
            table.add_row(key.prefix, key.owner, " ".join(key.scopes), _limits(key), *moments)
    console.print(table)


def _limits(key: ApiKey) -> str:
    shown = {
        "rate": key.rate,
        "concurrency": key.concurrent_jobs,
        "usd/day": key.money_usd_per_day,
        "tokens/day": key.tokens_per_day,
    }
    return " ".join(f"{name}={value}" for name, value in shown.items() if value is not None)


def _moments(key: ApiKey) -> tuple[datetime | None, ...]:
    return key.created_at, key.expires_at, key.revoked_at


@keys.command()
def revoke(prefix: Annotated[str, typer.Argument(help="The key's prefix, as `list` shows it.")]) -> None:
    """Make a key invalid at once."""
    with _transaction() as session:
        key = session.get(ApiKey, prefix)
        if key is None:
            raise typer.BadParameter(f"no key has the prefix {prefix!r}")
        key.revoked_at = key.revoked_at or datetime.now(UTC)
        record(session, Actor(key.owner), "key.revoke", f"key {prefix}")


@webhooks.command("secret")
def webhook_secret(
    owner: Annotated[str, typer.Option(help="Whose deliveries it signs.")],
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new one; the old one signs too for a day.")] = False,
) -> None:
    """Print the secret that an owner's webhook deliveries are signed with."""
    with _transaction() as session:
        secret = store.rotate_secret(session, owner) if rotate else store.secrets_of(session, owner)[0]
        record(session, Actor(owner), "webhook.rotate-secret" if rotate else "webhook.show-secret", "webhook secret")
        console.print(secret, soft_wrap=True)


@audit.command("list")
def list_audit(
    owner: Annotated[str | None, typer.Option(help="Only this owner's.")] = None,
    action: Annotated[str | None, typer.Option(help="Only these, such as job.submit, or a family such as key.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 100,
) -> None:
    """Show who did what and when, oldest first, a line each."""
    with _transaction() as session:
        for entry in entries(session, owner=owner, action=action, limit=limit):
            who = f"{entry.owner or '-'} key={entry.api_key or '-'} request={entry.request_id or '-'}"
            typer.echo(f"{entry.at:%Y-%m-%dT%H:%M:%S%z} {entry.action} [{entry.target}] {entry.outcome} {who}")


@contextmanager
def _transaction() -> Iterator[Session]:
    engine = make_engine(load_settings(DatabaseSettings).database_url.get_secret_value(), pool_size=1)
    try:
        with database_at_hand(), transaction(engine) as session:
            yield session
    finally:
        engine.dispose()


def main() -> None:
    """Run the command line."""
    app()
