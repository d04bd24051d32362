"""The command migrate: a database of an older genfilt, brought to the current schema."""

from __future__ import annotations

import typer

from genfilt.cli.options import DEFAULT_DB, Db
from genfilt.common import command
from genfilt.common.console import say
from genfilt.common.errors import UserError


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    command.register(app, migrate, "genfilt migrate --db shop.duckdb")


def migrate(db: Db = DEFAULT_DB) -> None:
    """Bring a database that an older genfilt wrote to the current schema.

    Every command that writes does so by itself; status, sql, report, export and the trainer do not.
    """
    from genfilt.store.store import Store

    if not db.exists():
        raise UserError(f"There is no database at {db}; name it with --db.")
    with Store(db) as store:
        say(f"{db} has schema version {store.meta('schema_version')}, the current one")
