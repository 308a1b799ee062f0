"""Brings the store's tables to the version that this program knows.

Guarantees: `upgrade` is safe to run by several processes at once and changes nothing where nothing is to do.
Failures: `StartupError` where the store was made by a newer program or is corrupt.
"""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from gateway.errors import StartupError

_UPGRADE_LOCK = 0x67617465  # PostgreSQL advisory lock, so that two nodes do not migrate at once


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "gateway.store:migrations")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> None:
    """Runs the migrations that are missing, inside the caller's transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
    try:
        command.upgrade(_config(connection), "head")
    except CommandError as error:
        raise StartupError(f"the store was made by a newer program, run that one: {error}") from error


def check(connection: Connection) -> None:
    """Raises `StartupError` unless the tables are exactly at this program's version."""
    found = MigrationContext.configure(connection).get_current_revision()
    wanted = ScriptDirectory.from_config(_config(connection)).get_current_head()
    if found != wanted:
        raise StartupError(f"the store is at version {found}, this program needs {wanted}: start `gateway serve`")
