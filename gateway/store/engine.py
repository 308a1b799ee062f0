"""The database connection: SQLite or PostgreSQL behind one SQLAlchemy engine.

Guarantees: on SQLite every commit is on the disk when it returns (WAL, synchronous=FULL) and write transactions
of several processes queue fairly for one file lock instead of polling; on both engines an error is a
`StoreError`, or a `StoreFullError` where there is no room. Failures: `StartupError` with one sentence.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway.errors import StoreError, StoreFullError

_WRITE = "gateway_write"
_FULL = ("database or disk is full", "no space left", "disk full", "could not extend file")


_PRAGMAS = (
    "page_size=8192",  # bodies are a few pages each; it must come before the first table
    "journal_mode=WAL",
    "wal_autocheckpoint=4000",  # pages: most bodies are gone again before they would be copied into the database
    "synchronous=FULL",
    "busy_timeout=20000",
    "foreign_keys=ON",
)


def connect(url: str) -> Engine:
    """An engine for `url`; connections are made when first used."""
    if url.startswith("postgresql:"):
        url = url.replace("postgresql:", "postgresql+psycopg:", 1)
    engine = create_engine(url, pool_size=4, max_overflow=4, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


class WriteLock:
    """An flock on a file beside the SQLite database; nothing on PostgreSQL. The kernel frees it when a process dies."""

    def __init__(self, engine: Engine) -> None:
        database = engine.url.database
        self._path = Path(f"{database}.lock") if engine.dialect.name == "sqlite" and database else None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Blocks until this thread may write; on leaving, the next one may."""
        if self._path is None:
            yield
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def transaction(engine: Engine, lock: WriteLock) -> Iterator[Connection]:
    """A write transaction: committed and durable on leaving, rolled back on any error."""
    try:
        with lock.held(), engine.connect().execution_options(**{_WRITE: True}) as connection, connection.begin():
            yield connection
    except (SQLAlchemyError, OSError) as error:
        raise translated(error) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection to read with."""
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise translated(error) from error


def translated(error: Exception) -> StoreError:
    """The error in the gateway's own words, without the statement or its values."""
    text = str(error.orig if isinstance(error, DBAPIError) else error)
    if any(words in text.lower() for words in _FULL):
        return StoreFullError(f"the store is full: {text.splitlines()[0]}")
    return StoreError(f"the store could not do it: {text.splitlines()[0] if text else type(error).__name__}")
