"""A sealed file is there whole, or not at all."""

import errno
import os
from pathlib import Path

import pytest

from gateway.errors import StoreError, StoreFullError
from gateway.store import files


def test_a_written_file_is_read_back(tmp_path: Path) -> None:
    files.write(tmp_path, "a.0", iter([b"one", b"two"]))
    assert files.read(tmp_path, "a.0") == b"onetwo"
    assert [path.name for path in tmp_path.iterdir()] == ["a.0"]
    assert (tmp_path / "a.0").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, StoreFullError), (errno.EIO, StoreError)])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_failed_write_or_wait_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, kind: type[StoreError]
) -> None:
    def fails(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(StoreError) as raised:
        files.write(tmp_path, "a.0", iter([b"one"]))
        files.make_durable(tmp_path, ["a.0"])
    assert type(raised.value) is kind
    assert call == "fsync" or list(tmp_path.iterdir()) == []


def test_files_and_folder_are_on_the_disk_when_durable_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    for name in ("a.0", "b.0"):
        files.write(tmp_path, name, iter([b"one"]))
    files.make_durable(tmp_path, ["a.0", "b.0"])
    assert synced == ["a.0", "b.0", tmp_path.name]


def test_a_missing_file_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        files.read(tmp_path, "a.0")


def test_removing_what_is_gone_is_no_fault(tmp_path: Path) -> None:
    files.remove(tmp_path, ["a.0"])
    assert list(files.older_than(tmp_path, 0)) == []
