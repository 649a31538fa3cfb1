"""Alembic's environment: one history, one Postgres schema a service, short locks."""

from __future__ import annotations

import importlib

from alembic import context
from sqlalchemy import create_engine, pool, text

from kit.db import Base, database_url
from kit.settings import DatabaseSettings, load_settings

SCHEMAS = ("kit", "planner", "codetree")
MODEL_MODULES = (
    "kit.audit",
    "kit.auth",
    "kit.jobs.models",
    "kit.totals",
    "kit.usage",
    "kit.webhooks.models",
    "planner.models",
    "codetree.models",
)
for module in MODEL_MODULES:
    importlib.import_module(module)


def run() -> None:
    """Migrate online, each migration in its own transaction, one process at a time."""
    url = context.config.attributes.get("database_url")
    if url is None:
        url = load_settings(DatabaseSettings).database_url.get_secret_value()
    engine = create_engine(database_url(url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(hashtext('astrolabe.alembic'))"))
        for schema in SCHEMAS:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.execute(text("SET statement_timeout = '60s'"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_schemas=True,
            include_name=lambda name, kind, _: name in SCHEMAS if kind == "schema" else True,
            version_table_schema="kit",
            transaction_per_migration=True,
            compare_type=True,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
