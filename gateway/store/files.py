"""Sealed body files, and files replaced whole: the one module that may fsync and rename.

Guarantees: when `make_durable` returns, the files and their folder entries are on the disk; a half-written file
never has its final name. The row that names a file is committed only after that, so that many files share the wait.
Failures: `StoreFullError` where there is no room, `StoreError` otherwise; a failed write leaves nothing behind.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from gateway.errors import StoreError, StoreFullError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FLUSH = 8 * 1024 * 1024  # octets: what is left for `make_durable` to wait for, and other mail's commits with it


def write(folder: Path, name: str, chunks: Iterable[bytes]) -> None:
    """Writes `chunks` as file `name`; not durable before `make_durable`, but large ones nearly."""
    temporary = folder / f".{name}.new"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            waiting = 0
            for chunk in chunks:
                if waiting >= _FLUSH:
                    os.fdatasync(file.fileno())
                    waiting = 0
                _write_all(file.fileno(), chunk)
                waiting += len(chunk)
        temporary.rename(folder / name)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _store_error(folder, error) from error


def make_durable(folder: Path, names: Sequence[str]) -> None:
    """Waits until the named files and the folder's entries are on the disk."""
    if not names:
        return
    try:
        for name in names:
            _sync(folder / name)
        _sync(folder)
    except OSError as error:
        raise _store_error(folder, error) from error


def replace(path: Path, content: bytes) -> None:
    """Puts `content` in the place of the file's, at once and durably; owner, group and mode stay.

    Whoever reads the file sees all of the old or all of the new content. Raises StoreError; the file is as it was then.
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        kept = path.stat()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            made = os.fstat(file.fileno())
            if (made.st_uid, made.st_gid) != (kept.st_uid, kept.st_gid):
                os.fchown(file.fileno(), kept.st_uid, kept.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(kept.st_mode))
            _write_all(file.fileno(), content)
            os.fsync(file.fileno())
        temporary.rename(path)
        _sync(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        kind = StoreFullError if error.errno in _NO_ROOM else StoreError
        raise kind(f"{path} could not be replaced, and is as it was: {error.strerror}") from error


def _store_error(folder: Path, error: OSError) -> StoreError:
    kind = StoreFullError if error.errno in _NO_ROOM else StoreError
    return kind(f"a sealed body could not be written to {folder}: {error.strerror}")


def _write_all(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(folder: Path, name: str) -> bytes:
    """The file's bytes; `StoreError` where it is not there."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise StoreError(f"the sealed body {name} cannot be read: {error.strerror}") from error


def remove(folder: Path, names: Iterable[str]) -> None:
    """Removes files that no row names any more; a missing one is as good as removed."""
    for name in names:
        (folder / name).unlink(missing_ok=True)


def older_than(folder: Path, seconds: float) -> Iterator[str]:
    """The names of files last changed more than `seconds` ago, half-written ones included."""
    limit = time.time() - seconds
    for entry in os.scandir(folder):
        if entry.is_file() and entry.stat().st_mtime < limit:
            yield entry.name
