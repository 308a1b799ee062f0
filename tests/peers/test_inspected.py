"""What inspection finds decides real mail: passwords beside files, foreign keys, watch-words, a broken examiner."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil
import pytest
import sqlalchemy

from gateway.store import tables
from tests.support import messages
from tests.support.ca import Authority
from tests.support.client import Mail, Reply, send
from tests.support.gateway import Directory, Gateway
from tests.support.openpgp import KeyRing
from tests.support.ports import wait_for
from tests.support.sink import Sink

SENDER, CHARITY, SCHOOL = "dpo@council.test", "jo@charity.test", "jo@school.test"
LOGO = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
NOTE = b"Please find the report attached.\r\n"


@dataclass(frozen=True)
class Scene:
    gateway: Gateway
    sink: Sink
    ring: KeyRing
    foreign_key: str
    school_key: str

    def hand_over(self, key: str, content: bytes, recipient: str = CHARITY) -> Reply:
        return send(self.gateway.port, Mail(key, SENDER, (recipient,), content))

    def arrived(self, key: str) -> bytes:
        wanted = f"<{key}@council.test>".encode()
        found: list[bytes] = []

        def there() -> bool:
            found[:] = [content for content in self.sink.contents if wanted in content]
            return bool(found)

        wait_for(there, 15, "the message arrived")
        return found[0]

    def examiners(self) -> list[psutil.Process]:
        return [child for worker in self.gateway.workers() for child in worker.children()]


@pytest.fixture(scope="module")
def scene(
    authority: Authority, ring: KeyRing, school_key: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    names = [f"mx.{name}.test" for name in ("council", "police", "school", "probation", "charity")]
    foreign_key = ring.generate("somebody@elsewhere.test")
    with ExitStack() as stack:
        sink = stack.enter_context(Sink(tls=authority.issue(names)))
        directory = Directory.partnership(sink.port, key=school_key)
        directory.entry("school")["protection"] = []
        directory.policy = {
            "common_passwords": ["Safeguarding1", "{partner}{year}"],
            "watch_words": ["Operation Heron"],
            "signature_files": [hashlib.sha256(LOGO).hexdigest()],
        }
        home = tmp_path_factory.mktemp("inspected")
        gateway = Gateway(home, directory, authority=authority, workers=1, public_keys=(ring.public(school_key),))
        yield Scene(stack.enter_context(gateway), sink, ring, foreign_key, school_key)


def with_zip(key: str, password: str, note: bytes = NOTE, subject: str = "Report", size: int = 2000) -> bytes:
    top = messages.header(f"<{key}@council.test>", SENDER, (CHARITY,), subject)
    archive = messages.encrypted_zip(os.urandom(size), password.encode())
    return messages.with_attachment(top, note, "report.zip", "application/zip", archive)


def test_a_covering_note_with_an_encrypted_file_arrives_unchanged(scene: Scene) -> None:
    content = with_zip("good", "told by telephone 77")
    assert scene.hand_over("good", content).code == 250
    assert scene.arrived("good").endswith(content)


@pytest.mark.parametrize(
    ("key", "password", "note", "subject"),
    [
        ("in-body", "Tulip4711x", b"The report is attached. It opens with Tulip4711x, as agreed.\r\n", "Report"),
        ("in-subject", "Tulip4711x", NOTE, "Report Tulip4711x"),
        ("common", "Safeguarding1", NOTE, "Report"),
        ("of-partner", "CharityYEAR", NOTE, "Report"),
        ("of-file", "report", NOTE, "Report"),
    ],
)
def test_a_password_at_hand_is_refused_with_what_to_do(
    scene: Scene, key: str, password: str, note: bytes, subject: str
) -> None:
    password = password.replace("YEAR", str(datetime.now(UTC).year))
    reply = scene.hand_over(key, with_zip(key, password, note, subject))
    assert reply.code == 550
    assert "encrypt" in reply.text
    assert "password" in reply.text or "not encrypted" in reply.text


def test_a_message_to_somebody_elses_key_does_not_pass_as_encrypted(scene: Scene) -> None:
    def to(key: str, name: str) -> bytes:
        top = messages.header(f"<{name}@council.test>", SENDER, (SCHOOL,), "Report")
        return messages.encrypted_message(scene.ring, key, top, b"The visit is on Monday.\r\n")

    reply = scene.hand_over("foreign", to(scene.foreign_key, "foreign"), SCHOOL)
    assert reply.code == 550
    assert "key" in reply.text
    content = to(scene.school_key, "own")
    assert scene.hand_over("own", content, SCHOOL).code == 250
    assert scene.arrived("own").endswith(content)


def test_a_watch_word_in_the_note_is_refused(scene: Scene) -> None:
    reply = scene.hand_over("watched", with_zip("watched", "told by telephone 77", b"About operation  heron.\r\n"))
    assert reply.code == 550


def test_the_logo_of_a_signature_does_not_stop_mail_and_another_picture_does(scene: Scene) -> None:
    def with_picture(key: str, picture: bytes) -> bytes:
        content = with_zip(key, "told by telephone 77")
        boundary = b"--=_mixed_5f2a--"
        part = messages.with_attachment(b"", b"", "image001.png", "image/png", picture)
        return content.replace(boundary, part[part.index(b"--=_mixed_5f2a\r\nContent-Type: image") :].rstrip())

    assert scene.hand_over("logo", with_picture("logo", LOGO)).code == 250
    assert scene.hand_over("scan", with_picture("scan", LOGO + b"x")).code == 550


def test_a_large_message_is_examined_and_arrives(scene: Scene) -> None:
    content = with_zip("large", "told by telephone 77", size=4_000_000)
    assert scene.hand_over("large", content).code == 250
    assert scene.arrived("large").endswith(content)


def test_a_killed_examiner_loses_no_mail(scene: Scene) -> None:
    for examiner in scene.examiners():
        examiner.send_signal(signal.SIGKILL)
    content = with_zip("after", "told by telephone 77")
    assert scene.hand_over("after", content).code == 250
    assert scene.arrived("after").endswith(content)
    assert scene.examiners()


def test_the_record_names_keys_and_findings_and_no_password(scene: Scene) -> None:
    rows = scene.gateway.query(sqlalchemy.select(tables.record.c.content, tables.record.c.decision))
    text = "\n".join(str(row.content) for row in rows)
    assert "password-opens-it" in text
    assert "openpgp:" in text
    for secret in ("Tulip4711x", "telephone 77"):
        assert secret not in text
        assert secret not in scene.gateway.log


def test_an_examiner_ends_with_its_worker(scene: Scene) -> None:
    (worker,) = scene.gateway.workers()
    examiners = worker.children()
    worker.kill()
    gone, alive = psutil.wait_procs(examiners, timeout=10)
    assert gone and not alive
    wait_for(lambda: bool(scene.gateway.workers()), 15, "another worker runs")
