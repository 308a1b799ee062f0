"""A full disk answers 452 and loses nothing; room made, mail flows again without a restart."""

from __future__ import annotations

import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import messages
from tests.support.ca import Authority
from tests.support.client import Mail, Reply, connect, transact
from tests.support.gateway import Directory, Gateway
from tests.support.ports import free_port
from tests.support.sink import Sink

SIZE = 300_000
BALLAST = 10 * 2**20


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """A file system of 24 MiB of which 10 MiB are taken by the file `ballast`."""
    disk = home / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "gateway-test", str(disk)], check=True)
    try:
        (disk / "ballast").write_bytes(b"\0" * BALLAST)
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def mail(number: int, size: int) -> Mail:
    """A message to a secure domain."""
    recipient = (f"d{number}@police.test",)
    top = messages.header(f"<{number}@disk.test>", "jo@council.test", recipient, f"Case {number}")
    return Mail(f"d{number}", "jo@council.test", recipient, messages.plain(top, messages.text(size, number)))


@pytest.mark.parametrize("size", [SIZE, 20_000], ids=["large bodies", "small bodies"])
def test_a_full_disk_answers_452_and_loses_nothing(
    size: int, small_disk: Path, home: Path, authority: Authority
) -> None:
    port = free_port()
    leaf = authority.issue(["mx.police.test"])
    with ExitStack() as stack:
        gateway = stack.enter_context(
            Gateway(home, Directory.partnership(port), authority=authority, state=small_disk / "state")
        )
        replies: dict[str, Reply] = {}
        connection = connect(gateway.port)
        full = 0
        for number in range(24 * 2**20 // size):
            item = mail(number, size)
            replies[item.key] = transact(connection, item)
            full += replies[item.key].code != 250
            if full == 20:
                break
        codes = Counter(reply.code for reply in replies.values())
        assert full == 20, f"the disk never filled: {codes}"
        assert set(codes) == {250, 452}, codes
        assert all("4.3.1" in reply.text for reply in replies.values() if reply.code == 452)
        accepted = {key for key, reply in replies.items() if reply.code == 250}
        assert {row.recipient.partition("@")[0] for row in gateway.shares()} == accepted

        (small_disk / "ballast").unlink()
        sink = stack.enter_context(Sink(tls=leaf, port=port))
        again = transact(connection, mail(9_999, size))
        assert again.code == 250, again
        connection.quit()
        gateway.wait_until_drained(60)
        arrived = Counter(t.recipients[0].partition("@")[0] for t in sink.transactions)
        assert arrived == Counter(accepted | {"d9999"})
        for transaction in sink.transactions:
            number = int(transaction.recipients[0].partition("@")[0][1:])
            assert transaction.content.endswith(mail(number, size).content), f"d{number} was cut short"
        assert gateway.stop() == 0
        with sqlite3.connect(gateway.state / "gateway.db") as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
