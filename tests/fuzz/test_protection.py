"""Whatever the message, nothing of it is lost and nothing of it shows."""

from __future__ import annotations

import email
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import settings as configuration
from gateway.protection import mime
from gateway.protection.openpgp import OpenPgp
from gateway.protection.packets import NotEncryptedError, recipients_of
from tests.support.openpgp import KeyRing, key_ring

RUN = 20
VISIBLE = ("received", "from", "to", "cc", "date", "message-id", "reply-to", "in-reply-to", "references", "subject")

# A body of its own alphabet: whatever of it is found in the visible part has come from it.
secret = st.text(alphabet="abcdefgh ßü", min_size=RUN, max_size=300)
field_names = st.sampled_from(
    ["Subject", "X-Note", "Keywords", "Comments", "Thread-Topic", "Sharing-Purpose", "Content-Description", "Date",
     "In-Reply-To", "References", "Message-ID", "Auto-Submitted", "List-Secret", "subject", "SUBJECT "]
)  # fmt: skip
breaks = st.sampled_from(["\r\n", "\r\n ", "\r\n\t", "\n", "\r", "\r\n\r\n", ""])
types = st.sampled_from(
    ["", "Content-Type: text/plain\r\n", "Content-Type: multipart/mixed; boundary=x\r\n", "Content-Type: nonsense\r\n",
     "Content-Type: multipart/signed; boundary=x\r\n", "Content-Type: text/html; hp=clear\r\n"]
)  # fmt: skip
messages = st.builds(
    lambda fields, kind, gap, body: "".join(f"{name}:{text}{end}" for name, text, end in fields) + kind + gap + body,
    st.lists(st.tuples(field_names, secret, breaks), max_size=5),
    types,
    breaks,
    secret,
).map(str.encode)
anything = st.one_of(messages, st.binary(max_size=600), st.builds(bytes.__add__, messages, st.binary(max_size=100)))


def runs(text: bytes) -> set[bytes]:
    return {text[start : start + RUN] for start in range(len(text) - RUN + 1)}


def secrets_of(content: bytes) -> set[bytes]:
    """Every run of the letters that only hidden text is made of."""
    letters = set("abcdefgh ßü".encode())
    return {run for run in runs(content) if set(run) <= letters and run.strip()}


def assert_nothing_shows(content: bytes, shown: bytes) -> None:
    assert not any(run in shown for run in secrets_of(content))


@given(messages)
@settings(max_examples=400, deadline=None)
def test_no_hidden_text_is_in_the_visible_fields(content: bytes) -> None:
    assert_nothing_shows(content, mime.draft(content).outer)


@given(anything)
@settings(max_examples=400, deadline=None)
def test_every_message_has_a_draft_of_allowed_fields_only(content: bytes) -> None:
    outer = mime.draft(content).outer
    assert outer == b"" or outer.endswith(b"\r\n")
    assert b"\r\n\r\n" not in outer
    assert outer.count(b"\r\n") == outer.count(b"\r") == outer.count(b"\n")
    for name in email.message_from_bytes(outer + b"\r\n"):
        assert name.lower().strip() in VISIBLE or name.lower().startswith(("list-", "auto-submitted"))


@given(anything)
@settings(max_examples=400, deadline=None)
def test_the_body_is_in_the_payload_byte_for_byte(content: bytes) -> None:
    inner = mime.draft(content).inner
    body = content[2:] if content.startswith(b"\r\n") else content.partition(b"\r\n\r\n")[2]
    assert body in inner
    entity = email.message_from_bytes(inner)
    assert entity.get_param("hp") == "cipher"
    assert len(entity.get_all("Content-Type", [])) == 1


@given(st.binary(max_size=400))
@settings(max_examples=400, deadline=None)
def test_the_check_of_the_result_takes_any_bytes(data: bytes) -> None:
    for text in (data, b"-----BEGIN PGP MESSAGE-----\n\n" + data + b"\n=abcd\n-----END PGP MESSAGE-----\n"):
        with pytest.raises(NotEncryptedError):
            recipients_of(text)


@pytest.fixture(scope="module")
def correspondent() -> Iterator[KeyRing]:
    with key_ring() as ring:
        yield ring


@pytest.fixture(scope="module")
def gateway(correspondent: KeyRing, tmp_path_factory: pytest.TempPathFactory) -> tuple[OpenPgp, str]:
    openpgp = OpenPgp(configuration.OpenPgp(timeout=20), Path(tmp_path_factory.mktemp("state")) / "gnupg")
    fingerprint = correspondent.generate("office@partner.test")
    openpgp.keyring.import_keys(correspondent.public(fingerprint))
    assert openpgp.key_facts(fingerprint, datetime.now(UTC)).usable
    return openpgp, fingerprint


@given(content=messages)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_protected_hides_everything_and_can_be_opened(
    gateway: tuple[OpenPgp, str], correspondent: KeyRing, content: bytes
) -> None:
    openpgp, fingerprint = gateway
    message = openpgp.protect(content, (fingerprint,))
    assert_nothing_shows(content, message)
    data = cast(Message, email.message_from_bytes(message).get_payload(1)).get_payload(decode=True)
    inner = correspondent.decrypt(cast(bytes, data))
    body = content[2:] if content.startswith(b"\r\n") else content.partition(b"\r\n\r\n")[2]
    assert body in inner
