"""TLSA records are judged as OpenSSL's own DANE judges them, but for the few cases that are named here."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from gateway.transport.tlsa import Matched, Tlsa, match
from tests.support.ca import Authority, Issuer, Leaf
from tests.support.ports import folder
from tests.support.tls_pairs import server_side

NAME = "mx.school.test"


@pytest.fixture(scope="module")
def root() -> Iterator[Authority]:
    with folder("gw-tlsa") as path:
        yield Authority(path)


def of(fields: str, source: Leaf | Issuer) -> Tlsa:
    """The record, by its first three fields, that the owner of the certificate would publish."""
    usage, selector, matching = map(int, fields.split())
    data = source.spki if selector else source.der
    return Tlsa(usage, selector, matching, data if not matching else hashlib.new(f"sha{256 * matching}", data).digest())


def openssl(leaf: Leaf, records: list[Tlsa]) -> bool:
    """True where `openssl s_client` authenticates a server with this certificate by these records."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            line, _ = listener.accept()
            try:
                with line, server_side(leaf).wrap_socket(line, server_side=True) as secure:
                    secure.recv(1)
            except OSError:  # the client broke off, as it should where it refuses
                line.close()

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        arguments = ["-connect", f"127.0.0.1:{listener.getsockname()[1]}", "-cipher", "ALL:@SECLEVEL=2"]
        arguments += ["-dane_tlsa_domain", NAME, "-dane_ee_no_namechecks", "-verify_return_error"]
        for record in records:
            arguments += ["-dane_tlsa_rrdata", record.text]
        done = subprocess.run(
            ["openssl", "s_client", *arguments], input=b"Q\n", capture_output=True, timeout=20, check=False
        )
        server.join(5)
    return b"Verification: OK" in done.stdout


def judged_alike(leaf: Leaf, *records: Tlsa) -> bool:
    ours = isinstance(match(records, leaf.presented, (NAME,), datetime.now(UTC)), Matched)
    assert openssl(leaf, list(records)) == ours, [record.text[:40] for record in records]
    return ours


@pytest.mark.parametrize(
    "fields", ["3 0 0", "3 0 1", "3 1 0", "3 1 1", "3 1 2", "2 0 0", "2 0 1", "2 0 2", "2 1 0", "2 1 1"]
)
def test_each_kind_of_record_of_each_certificate(root: Authority, fields: str) -> None:
    above = root.intermediate()
    below = above.intermediate()
    leaf, alone = below.issue([NAME]), root.issue([NAME], self_signed=True)
    usage, matching = fields[0], fields[-1]
    assert judged_alike(leaf, of(fields, leaf)) is (usage == "3")
    assert judged_alike(leaf, of(fields, below)) is (usage == "2")
    assert judged_alike(leaf, of(fields, above)) is (usage == "2")
    assert judged_alike(leaf, of(fields, root)) is (usage == "2" and matching == "0")
    assert judged_alike(alone, of(fields, alone)) is (usage == "3" or fields == "2 1 0")


@pytest.mark.parametrize(
    ("faults", "by_leaf", "by_authority"),
    [
        ({"expired": True}, True, False),
        ({"not_yet": True}, True, False),
        ({"client": True}, True, False),
        ({"usages": ["any"]}, True, False),
        ({"key_usage": "certificates"}, True, False),
        ({"digest": "sha1"}, True, False),
        ({"key": "rsa1024"}, False, False),
        ({"key": "ed25519"}, True, True),
    ],
)
def test_faults_of_the_leaf(root: Authority, faults: dict[str, object], by_leaf: bool, by_authority: bool) -> None:
    below = root.intermediate()
    leaf = below.issue([NAME], **faults)  # type: ignore[arg-type]
    assert judged_alike(leaf, of("3 1 1", leaf)) is by_leaf
    assert judged_alike(leaf, of("2 0 1", below)) is by_authority
    assert judged_alike(leaf, of("2 1 0", root)) is by_authority


@pytest.mark.parametrize("faults", [{"authority": False}, {"signs": False}, {"usages": ["client"]}, {"key": "rsa1024"}])
def test_faults_of_the_authority(root: Authority, faults: dict[str, object]) -> None:
    below = root.intermediate(**faults)  # type: ignore[arg-type]
    leaf = below.issue([NAME])
    assert judged_alike(leaf, of("3 1 1", leaf))
    assert not judged_alike(leaf, of("2 0 1", below)) and not judged_alike(leaf, of("2 0 0", root))


def test_names_and_agility(root: Authority) -> None:
    below = root.intermediate()
    leaf, other = below.issue([NAME]), below.issue([NAME])
    assert not judged_alike(below.issue(["mx.elsewhere.test"]), of("2 0 1", below))
    assert judged_alike(below.issue(["*.school.test"]), of("2 0 1", below))
    assert not judged_alike(leaf, of("3 1 1", leaf), of("3 1 2", other))
    assert judged_alike(leaf, of("3 1 1", leaf), of("2 1 2", other))
    assert judged_alike(leaf, of("3 1 0", leaf), of("3 1 2", other))
    assert judged_alike(leaf, of("3 1 1", leaf), of("3 0 2", other))


def test_where_the_gateway_is_stricter_than_openssl(root: Authority) -> None:
    """The CN is never read; an authority that has expired, or a weak signature by a bare key, proves nothing."""
    below, late, weak = root.intermediate(), root.intermediate(expired=True), root.intermediate(digest="sha1")
    for leaf, record in (
        (below.issue([NAME], cn_only=True), of("2 0 1", below)),
        (late.issue([NAME]), of("2 0 1", late)),
        (weak.issue([NAME]), of("2 1 0", root)),
    ):
        assert openssl(leaf, [record])
        assert isinstance(match([record], leaf.presented, (NAME,), datetime.now(UTC)), str)
