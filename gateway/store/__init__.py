"""The store: queue, sealed bodies, snapshots and audit records in one database (SQLite or PostgreSQL).

Guarantees: what `Writer.submit` reports done is durable; no clear text is in it. Failures: `StartupError` with one
sentence when it cannot be opened, `StoreError` or `StoreFullError` afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, delete, desc, insert, select, text

from gateway.directory.model import Snapshot
from gateway.errors import PermanentError, StartupError, StoreError
from gateway.log import get_logger
from gateway.settings import Settings
from gateway.store import files, schema
from gateway.store.engine import WriteLock, connect, reading, transaction
from gateway.store.seal import KEY_BYTES, Sealer, SealError
from gateway.store.tables import activation, body, meta, share, snapshot
from gateway.store.units import Row, Unit
from gateway.store.writer import Writer, apply

__all__ = ["ChangedMeanwhileError", "SealError", "Store", "Unit", "Writer"]

_log = get_logger("store")
_SEAL_CHECK = "seal-check"
_MAKE_KEY = "Make one with gateway seal-key"
_LOCK_ACTIVATIONS = text("LOCK TABLE activation IN EXCLUSIVE MODE")


class ChangedMeanwhileError(PermanentError):
    """Somebody else was quicker: nothing was changed."""


class Store:
    """An open store. Use `open`; safe to share between threads."""

    def __init__(self, engine: Engine, sealer: Sealer, bodies: Path, inline_limit: int) -> None:
        self.engine = engine
        self.lock = WriteLock(engine)
        self.bodies = bodies
        self._sealer = sealer
        # Nodes on PostgreSQL share no disk: there every body is in the database.
        self._inline_limit = inline_limit if engine.dialect.name == "sqlite" else None

    @classmethod
    def open(cls, settings: Settings, *, create: bool = False) -> Self:
        """Opens the store of `settings`; with `create`, makes or upgrades the tables first."""
        sealer = Sealer(_seal_key(settings.store.seal_key))
        try:
            settings.bodies.mkdir(mode=0o700, parents=True, exist_ok=True)
            store = cls(connect(settings.database_url), sealer, settings.bodies, settings.store.inline_limit)
            with store.writing() as connection:
                if create:
                    schema.upgrade(connection)
                schema.check(connection)
                store._check_seal(connection)
        except (StoreError, OSError) as error:
            raise StartupError(f"the store cannot be opened: {error}") from error
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A write transaction, durable on leaving."""
        with transaction(self.engine, self.lock) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with."""
        with reading(self.engine) as connection:
            yield connection

    def writer(
        self,
        committed: Callable[[int], None] = lambda units: None,
        call: Callable[[Callable[[], None]], object] = lambda answers: answers(),
    ) -> Writer:
        """A group-committing writer with a thread of its own (see `Writer`); the caller closes it."""
        return Writer(self.commit, committed, call)

    def commit(self, unit: Unit, also: Callable[[Connection], None] | None = None) -> None:
        """Commits one unit now: files first, then the rows that name them, then away with files no row names.

        `also` makes a change of its own in the same transaction; what it raises undoes all of it.
        """
        files.make_durable(self.bodies, unit.files)
        with self.writing() as connection:
            apply(connection, unit)
            if also is not None:
                also(connection)
        if unit.spent_files:
            self._sweep(unit.spent_files)

    # ---- bodies

    def is_large(self, size: int) -> bool:
        """True where a body of `size` bytes becomes a file."""
        return self._inline_limit is not None and size > self._inline_limit

    def body_row(self, message_id: str, number: int, variant: str, *content: bytes) -> Row:
        """The sealed row of a body. A large one is written to its file; `commit` of the row makes that durable."""
        name = f"{message_id}.{number}"
        whole = content[0] if len(content) == 1 else b"".join(content)
        row: Row = {"id": name, "message": message_id, "variant": variant, "size": len(whole)}
        if self.is_large(len(whole)):
            files.write(self.bodies, name, self._sealer.chunks(name, whole))
            return row | {"sealed": None}
        return row | {"sealed": self._sealer.seal(name, whole)}

    def read_body(self, name: str) -> bytes:
        """The clear body. `StoreError` where it is gone, `SealError` where it was changed."""
        with self.reading() as connection:
            row = connection.execute(select(body.c.sealed).where(body.c.id == name)).first()
        if row is None:
            raise StoreError(f"there is no body {name}")
        return self._sealer.unseal(name, files.read(self.bodies, name) if row.sealed is None else row.sealed)

    def _sweep(self, names: Sequence[str]) -> None:
        """Removes the files among `names` that no row names any more. A failure leaves orphans for later, no more."""
        try:
            files.remove(self.bodies, self._orphans(names))
        except (StoreError, OSError) as error:
            _log.warning("spent bodies left for later", reason=str(error))

    def remove_orphans(self, older_than: float) -> int:
        """Removes files that no row names and that are older than so many seconds; says how many."""
        orphans = self._orphans(list(files.older_than(self.bodies, older_than)))
        files.remove(self.bodies, orphans)
        return len(orphans)

    def remove_spent_bodies(self) -> int:
        """Removes bodies that no share names: two nodes that finish the last two shares at once may each leave one."""
        spent = delete(body).where(~select(share.c.id).where(share.c.body == body.c.id).exists())
        with self.writing() as connection:
            return connection.execute(spent).rowcount

    def _orphans(self, names: Sequence[str]) -> list[str]:
        if not names:
            return []
        with self.reading() as connection:
            known = set(connection.execute(select(body.c.id).where(body.c.id.in_(names))).scalars())
        return [name for name in names if name not in known]

    # ---- snapshots

    def in_force_id(self) -> str:
        """The id of the snapshot in force, "" where none is."""
        with self.reading() as connection:
            return _in_force(connection)

    def in_force(self) -> Snapshot | None:
        """The snapshot in force."""
        return self.snapshot(self.in_force_id())

    def snapshot(self, snapshot_id: str) -> Snapshot | None:
        """A snapshot by its id, whether in force or past."""
        with self.reading() as connection:
            content = connection.execute(select(snapshot.c.content).where(snapshot.c.id == snapshot_id)).scalar()
        if content is None:
            return None
        try:
            return Snapshot.restored(snapshot_id, content)
        except ValidationError as error:
            raise StoreError(f"the snapshot {snapshot_id[:12]} was made by another version: {error}") from error

    def activate(
        self, new: Snapshot, who: str, why: str, *, replacing: str | None = None, records: Sequence[Row] = ()
    ) -> None:
        """Puts a snapshot in force, and with it says who did it and why; `records` are its audit records.

        With `replacing`, only while the snapshot of that id ("" for none) is in force: else `ChangedMeanwhileError`.
        """
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(_LOCK_ACTIVATIONS)
            if replacing is not None and _in_force(connection) != replacing:
                raise ChangedMeanwhileError("another directory came into force meanwhile: look at the difference again")
            if connection.execute(select(snapshot.c.id).where(snapshot.c.id == new.id)).first() is None:
                connection.execute(insert(snapshot), {"id": new.id, "content": new.canonical.decode()})
            connection.execute(insert(activation), {"snapshot": new.id, "at": time.time(), "who": who, "why": why})
            apply(connection, Unit(records=tuple(records)))

    # ---- the seal key

    def _check_seal(self, connection: Connection) -> None:
        sealed = connection.execute(select(meta.c.value).where(meta.c.name == _SEAL_CHECK)).scalar()
        if sealed is None:
            proof = self._sealer.seal(_SEAL_CHECK, b"partner-mail-gateway")
            connection.execute(insert(meta), {"name": _SEAL_CHECK, "value": proof})
            return
        try:
            self._sealer.unseal(_SEAL_CHECK, sealed)
        except SealError:
            raise StartupError(
                "the seal key is not the one that this store was sealed with: put the right key file in place"
            ) from None


def _in_force(connection: Connection) -> str:
    query = select(activation.c.snapshot).order_by(desc(activation.c.seq)).limit(1)
    return connection.execute(query).scalar() or ""


def _seal_key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise StartupError(f"the seal key {path} cannot be read: {error.strerror}. {_MAKE_KEY}") from None
    if len(key) != KEY_BYTES:
        raise StartupError(f"the seal key {path} has {len(key)} bytes instead of {KEY_BYTES}. {_MAKE_KEY}")
    return key
