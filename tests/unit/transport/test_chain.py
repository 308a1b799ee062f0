"""Chains are judged offline exactly as a TLS client judges them in a handshake."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import uvloop
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.errors import StartupError
from gateway.transport.chain import MOST_PRESENTED, Anchors, FaultKind, presented, problem
from tests.support.ca import Authority, Leaf
from tests.support.tls_pairs import connect_under, handshake

NAME = ["mx.school.test"]
NOW = datetime.now(UTC)

LEAF_CASES: dict[str, tuple[dict[str, object], FaultKind | None]] = {
    "sound": ({}, None),
    "expired": ({"expired": True}, FaultKind.EXPIRED),
    "not yet valid": ({"not_yet": True}, FaultKind.NOT_YET_VALID),
    "self-signed": ({"self_signed": True}, FaultKind.NOT_TRUSTED),
    "for clients": ({"client": True}, FaultKind.NOT_FOR_SERVERS),
    "for anything": ({"usages": ["any"]}, FaultKind.NOT_FOR_SERVERS),
    "for mail": ({"usages": ["email"]}, FaultKind.NOT_FOR_SERVERS),
    "for both": ({"usages": ["server", "client"]}, None),
    "server gated cryptography": ({"usages": ["sgc"]}, None),
    "no extended key usage": ({"usages": []}, None),
    "key for certificates": ({"key_usage": "certificates"}, FaultKind.NOT_FOR_SERVERS),
    "no key usage": ({"key_usage": ""}, None),
    "common name only": ({"cn_only": True}, None),
    "P-384": ({"key": "ec384"}, None),
    "P-192": ({"key": "ec192"}, FaultKind.WEAK),
    "RSA 1024": ({"key": "rsa1024"}, FaultKind.WEAK),
    "RSA 1962": ({"key": "rsa1962"}, FaultKind.WEAK),
    "RSA 1963": ({"key": "rsa1963"}, None),
    "RSA 2048": ({"key": "rsa2048"}, None),
    "Ed25519": ({"key": "ed25519"}, None),
    "signed with SHA-384": ({"digest": "sha384"}, None),
    "signed with SHA-1": ({"digest": "sha1"}, FaultKind.WEAK),
}
ABOVE_CASES: dict[str, tuple[dict[str, object], FaultKind | None]] = {
    "sound": ({}, None),
    "expired": ({"expired": True}, FaultKind.EXPIRED),
    "not yet valid": ({"not_yet": True}, FaultKind.NOT_YET_VALID),
    "no authority": ({"authority": False}, FaultKind.NOT_TRUSTED),
    "may not sign": ({"signs": False}, FaultKind.NOT_TRUSTED),
    "for clients": ({"usages": ["client"]}, FaultKind.NOT_FOR_SERVERS),
    "for servers": ({"usages": ["server"]}, None),
    "RSA 1024": ({"key": "rsa1024"}, FaultKind.WEAK),
    "P-192": ({"key": "ec192"}, FaultKind.WEAK),
    "Ed25519": ({"key": "ed25519"}, None),
    "signed with SHA-1": ({"digest": "sha1"}, FaultKind.WEAK),
}


pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")  # of certificates broken on purpose


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    yield Authority(tmp_path_factory.mktemp("ca"))


def judged_alike(leaf: Leaf, root: Path) -> FaultKind | None:
    """What `problem` finds, once a real handshake with the same certificates has come to the same conclusion."""
    fault = problem(leaf.presented, Anchors(root), datetime.now(UTC))
    refused, seen = handshake(leaf, root)
    assert bool(refused) == bool(fault), (refused, fault)
    if not refused:
        assert seen == leaf.presented
    return fault.kind if fault else None


@pytest.mark.parametrize("case", LEAF_CASES)
def test_a_leaf_is_judged_as_a_handshake_judges_it(authority: Authority, case: str) -> None:
    options, expected = LEAF_CASES[case]
    assert judged_alike(authority.issue(NAME, **options), authority.root) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("case", ABOVE_CASES)
def test_an_authority_below_the_root_is_judged_as_a_handshake_judges_it(authority: Authority, case: str) -> None:
    options, expected = ABOVE_CASES[case]
    below = authority.intermediate(**options)  # type: ignore[arg-type]
    assert judged_alike(below.issue(NAME), authority.root) == expected


@settings(max_examples=25, deadline=None)
@given(leaf=st.sampled_from(sorted(LEAF_CASES)), above=st.sampled_from([*sorted(ABOVE_CASES), ""]))
def test_faults_at_both_levels_are_judged_as_a_handshake_judges_them(
    authority: Authority, leaf: str, above: str
) -> None:
    assume(not (above == "Ed25519" and leaf.startswith("signed with")))  # Ed25519 has a digest of its own
    issuer = authority.intermediate(**ABOVE_CASES[above][0]) if above else authority  # type: ignore[arg-type]
    made = issuer.issue(NAME, **LEAF_CASES[leaf][0])  # type: ignore[arg-type]
    faults = {LEAF_CASES[leaf][1], ABOVE_CASES[above][1] if above and leaf != "self-signed" else None}
    assert judged_alike(made, authority.root) in (faults - {None} or {None})


def test_an_rsa_root_and_its_weak_digests(tmp_path: Path) -> None:
    root = Authority(tmp_path, key="rsa2048", digest="sha1")  # a root's own signature proves nothing and may be weak
    assert judged_alike(root.issue(NAME), root.root) is None
    assert judged_alike(root.issue(NAME, digest="md5"), root.root) is FaultKind.WEAK
    assert judged_alike(root.intermediate(digest="md5").issue(NAME), root.root) is FaultKind.WEAK


def test_a_root_with_a_short_key(tmp_path: Path) -> None:
    root = Authority(tmp_path, key="rsa1024")
    assert judged_alike(root.issue(NAME), root.root) is FaultKind.WEAK


def test_the_shape_of_a_chain(authority: Authority, tmp_path: Path) -> None:
    second = authority.intermediate().intermediate()
    leaf = second.issue(NAME)
    assert judged_alike(leaf, authority.root) is None
    assert judged_alike(second.issue(NAME, with_root=authority.certificate), authority.root) is None
    assert judged_alike(Leaf(leaf.certificate, leaf.key), authority.root) is FaultKind.NOT_TRUSTED
    assert judged_alike(second.intermediate().issue(NAME), authority.root) is FaultKind.NOT_TRUSTED  # too long
    short = authority.intermediate(path_length=0).intermediate().issue(NAME)
    assert judged_alike(short, authority.root) is FaultKind.NOT_TRUSTED
    assert judged_alike(leaf, Authority(tmp_path).root) is FaultKind.NOT_TRUSTED
    alone = authority.issue(NAME, self_signed=True)
    assert judged_alike(alone, alone.certificate) is None
    mine = authority.issue(NAME)
    assert judged_alike(mine, mine.certificate) is FaultKind.NOT_TRUSTED  # not self-signed: no anchor in a file


def test_the_order_of_what_is_behind_the_leaf_does_not_matter(authority: Authority) -> None:
    leaf, *above = authority.intermediate().intermediate().issue(NAME).presented
    anchors = Anchors(authority.root)
    assert problem((leaf, *reversed(above)), anchors, NOW) is None
    stranger = authority.issue(["mx.other.test"]).der
    assert problem((leaf, stranger, *above, leaf), anchors, NOW) is None


def test_an_anchor_given_as_a_certificate_ends_the_path_wherever_it_stands(authority: Authority) -> None:
    below = authority.intermediate()
    leaf = below.intermediate().issue(NAME).presented
    for anchor in (leaf[0], leaf[1], below.der, authority.der):
        assert problem(leaf, (anchor,), NOW) is None
    other = authority.intermediate().der
    fault = problem(leaf, (other,), NOW)
    assert fault is not None and fault.kind is FaultKind.NOT_TRUSTED
    fault = problem(leaf[:1], (below.der,), NOW)  # what lies between is missing
    assert fault is not None and fault.kind is FaultKind.NOT_TRUSTED
    fault = problem(leaf, (), NOW)
    assert fault is not None and fault.kind is FaultKind.NOT_TRUSTED


def test_a_key_of_the_same_name_is_no_anchor(tmp_path: Path) -> None:
    """An authority that takes the name of the anchor, with a key of its own, gets nowhere."""
    true, false = Authority(tmp_path / "true", name="Partner root"), Authority(tmp_path / "false", name="Partner root")
    forged = false.issue(NAME, with_root=false.certificate)
    assert judged_alike(forged, true.root) is FaultKind.NOT_TRUSTED
    assert problem(forged.presented, (true.der,), NOW) is not None


def test_the_time_is_the_one_given_whatever_was_asked_before(authority: Authority) -> None:
    leaf, anchors = authority.issue(NAME), Anchors(authority.root)
    kinds = []
    for days in (0, 95, 0, -25, 0, 200):
        fault = problem(leaf.presented, anchors, NOW + timedelta(days=days))
        kinds.append(fault.kind if fault else None)
    late, early = FaultKind.EXPIRED, FaultKind.NOT_YET_VALID
    assert kinds == [None, late, None, early, None, late]
    for hours in (-12, 14):  # a time is the same in every zone
        zone = timezone(timedelta(hours=hours))
        for days, kind in ((89.9, None), (90.1, late), (-19.9, None), (-20.1, early)):
            fault = problem(leaf.presented, anchors, (NOW + timedelta(days=days)).astimezone(zone))
            assert (fault.kind if fault else None) is kind, (hours, days)


@pytest.mark.parametrize(
    "chain", [(), (b"",), (b"\x30\x00",), (b"\x30\x82\xff\xff" + b"\x00" * 10,), (b"not a certificate",)]
)
def test_what_is_no_chain_is_malformed(authority: Authority, chain: tuple[bytes, ...]) -> None:
    fault = problem(chain, Anchors(authority.root), NOW)
    assert fault is not None and fault.kind is FaultKind.MALFORMED and not fault.text.endswith(".")
    fault = problem(chain, (authority.der,), NOW)
    assert fault is not None and fault.kind is FaultKind.MALFORMED


def test_junk_behind_the_leaf_is_malformed(authority: Authority) -> None:
    fault = problem((authority.issue(NAME).der, b"\x30\x03\x02\x01"), Anchors(authority.root), NOW)
    assert fault is not None and fault.kind is FaultKind.MALFORMED


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_certificate_with_a_changed_octet_never_passes(authority: Authority, data: st.DataObject) -> None:
    der = bytearray(_sound(authority))
    place = data.draw(st.integers(0, len(der) - 1))
    der[place] ^= data.draw(st.integers(1, 255))
    assert problem((bytes(der),), Anchors(authority.root), NOW) is not None


def _sound(authority: Authority, made: dict[Authority, bytes] = {}) -> bytes:  # noqa: B006 - kept between examples
    if authority not in made:
        made[authority] = authority.issue(NAME).der
    return made[authority]


def test_the_subject_of_a_bad_certificate_cannot_garble_the_reason(authority: Authority) -> None:
    leaf = authority.issue(["x\r\n550 \x1b[31m" + "é" * 10], expired=True, cn_only=True)
    fault = problem(leaf.presented, Anchors(authority.root), NOW)
    assert fault is not None and fault.kind is FaultKind.EXPIRED
    assert fault.text.isprintable() and len(fault.text) < 250


def test_anchors_that_cannot_be_read_stop_the_start(tmp_path: Path, authority: Authority) -> None:
    empty, broken = tmp_path / "empty.pem", tmp_path / "broken.pem"
    empty.write_text("nothing here\n")
    broken.write_bytes(authority.root.read_bytes() + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for path in (empty, broken, tmp_path / "missing.pem", tmp_path):
        with pytest.raises(StartupError, match="trust anchors"):
            Anchors(path)


def test_the_systems_anchors_are_read(authority: Authority) -> None:
    system = Anchors()
    assert len(system.certificates) > 50
    fault = problem(authority.issue(NAME).presented, system, NOW)
    assert fault is not None and fault.kind is FaultKind.NOT_TRUSTED


# ---------------------------------------------------------------- what was presented


def test_nothing_is_presented_before_the_handshake() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError):
        presented(context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO()))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_after_resumption_the_leaf_at_least_is_known(authority: Authority, version: ssl.TLSVersion) -> None:
    leaf = authority.intermediate().issue(NAME)
    refused, chain, reused = handshake(leaf, authority.root, version=version, resume=True)
    assert not refused and reused
    assert chain in (leaf.presented, (leaf.der,))  # what OpenSSL kept of the chain with the session


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_the_chain_is_seen_under_either_event_loop(authority: Authority, run: object) -> None:
    leaf = authority.intermediate().intermediate().issue(NAME)
    assert run(connect_under(leaf, authority.root)) == leaf.presented  # type: ignore[operator]
    assert len(leaf.presented) == 3


def test_of_hundreds_of_certificates_a_bounded_number_is_looked_at(authority: Authority) -> None:
    leaf = authority.issue(NAME)
    with leaf.certificate.open("ab") as file:
        for _ in range(4 * MOST_PRESENTED):
            file.write(authority.root.read_bytes())
    refused, found = handshake(leaf, authority.root)
    assert refused == "" and len(found) == MOST_PRESENTED
    assert found[0] == leaf.der and problem(found, Anchors(authority.root), NOW) is None
