"""Plain text is never at rest: a marker in queued, held and delivered mail is in no file of the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import messages
from tests.support.ca import Authority, Leaf
from tests.support.client import Mail, connect, transact
from tests.support.gateway import Directory, Gateway
from tests.support.openpgp import KeyRing
from tests.support.ports import folder, free_port, wait_for
from tests.support.postgres import Postgres
from tests.support.scan import files_with
from tests.support.sink import Sink

MARKER = b"hedgehog-marker-90417"


@dataclass(frozen=True)
class Scene:
    """A gateway whose destination is down, and where it may have written."""

    gateway: Gateway
    port: int  # of the destination
    leaf: Leaf
    folders: tuple[Path, ...]


@pytest.fixture(params=["sqlite", "postgresql"])
def scene(
    request: pytest.FixtureRequest, authority: Authority, ring: KeyRing, school_key: str, postgres_server: Postgres
) -> Iterator[Scene]:
    """A gateway with nothing behind it, on either engine."""
    names = [f"mx.{name}.test" for name in ("council", "police", "school", "probation", "charity")]
    port = free_port()
    on_postgres = request.param == "postgresql"
    with ExitStack() as stack:
        home = stack.enter_context(folder("gw-rest"))
        gateway = stack.enter_context(
            Gateway(
                home,
                Directory.partnership(port, key=school_key),
                authority=authority,
                database_url=postgres_server.create_database("at_rest") if on_postgres else "",
                public_keys=(ring.public(school_key),),
            )
        )
        folders = (home, postgres_server.data) if on_postgres else (home,)
        yield Scene(gateway, port, authority.issue(names), folders)


def mails() -> Iterator[Mail]:
    """100 messages with the marker in subject, body, base64 attachment or file name, small and large."""
    for number in range(100):
        sender = "jo@nopurpose.test" if number % 10 == 0 else "jo@council.test"
        domain = ("police.test", "school.test", "probation.test")[number % 3]
        recipient = (f"p{number}@{domain}",)
        top = messages.header(f"<{number}@rest.test>", sender, recipient, f"About {MARKER.decode()} today")
        note = b"The family of " + MARKER + b" moved.\r\n"
        if number % 4 == 0:
            data = (b"x" * (number % 3) + MARKER + b"\n") * (8000 if number % 8 == 0 else 20)
            content = messages.with_attachment(top, note, f"{MARKER.decode()}.txt", "text/plain", data)
        else:
            content = messages.plain(top, note * (3000 if number % 7 == 0 else 5))
        yield Mail(f"{number}", sender, recipient, content)


def test_the_scan_itself_finds_the_marker_in_every_form(tmp_path: Path) -> None:
    top = messages.header("<1@rest.test>", "a@council.test", ("b@police.test",), "none")
    for shift in range(3):
        data = messages.with_attachment(top, b"", "a.txt", "text/plain", b"x" * shift + MARKER + b"\n" * 3)
        (tmp_path / f"{shift}.eml").write_bytes(data)
        assert MARKER not in data
    (tmp_path / "clear").write_bytes(b"..." + MARKER)
    assert len(files_with(MARKER, tmp_path)) == 4


def test_the_marker_is_nowhere_on_disk(scene: Scene) -> None:
    gateway = scene.gateway
    connection = connect(gateway.port)
    for mail in mails():
        reply = transact(connection, mail)
        assert reply.code == 250, reply
    connection.quit()
    assert gateway.states() == {"queued": 90, "held": 10}
    assert files_with(MARKER, *scene.folders) == [], "while queued and held"

    wait_for(lambda: all(row.attempts for row in gateway.shares() if row.state == "queued"), 30, "an attempt on each")
    assert files_with(MARKER, *scene.folders) == [], "after failed attempts"

    gateway.kill()
    assert files_with(MARKER, *scene.folders) == [], "after a kill"

    gateway.start()
    with Sink(tls=scene.leaf, port=scene.port) as sink:
        gateway.wait_until_drained(60)
        assert {row.state for row in gateway.shares()} == {"delivered", "held"}
        assert len({t.recipients for t in sink.transactions}) == 90
    assert files_with(MARKER, *scene.folders) == [], "after delivery"

    gateway.stop()
    assert files_with(MARKER, *scene.folders) == [], "after an orderly stop"
