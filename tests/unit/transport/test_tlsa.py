"""TLSA records: what RFC 7672 lets a client use, and what they prove about a chain."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transport.tlsa import MOST_USED, Matched, Tlsa, match, parse, usable
from tests.support.ca import Authority, Issuer, Leaf

NAME = "mx.school.test"
NAMES = (NAME, "school.test")
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    yield Authority(tmp_path_factory.mktemp("ca"))


def of(usage: int, selector: int, matching: int, source: Leaf | Issuer) -> Tlsa:
    """The record that the owner of the certificate would publish."""
    data = source.spki if selector else source.der
    digests = {0: lambda octets: octets, 1: hash_with("sha256"), 2: hash_with("sha512")}
    return Tlsa(usage, selector, matching, digests[matching](data))


def hash_with(name: str) -> Callable[[bytes], bytes]:
    return lambda octets: hashlib.new(name, octets).digest()


def proves(records: list[Tlsa], chain: tuple[bytes, ...], names: tuple[str, ...] = NAMES) -> Matched:
    found = match(records, chain, names, NOW)
    assert isinstance(found, Matched), found
    return found


def refuses(records: list[Tlsa], chain: tuple[bytes, ...], words: str, names: tuple[str, ...] = NAMES) -> None:
    found = match(records, chain, names, NOW)
    assert isinstance(found, str) and words in found, found
    assert not found.endswith(".") and found.isprintable()


# ---------------------------------------------------------------- reading


def test_presentation_form_is_read_and_written() -> None:
    digest = "9f" * 32
    assert parse([f"3 1 1 {digest}"]) == (Tlsa(3, 1, 1, bytes.fromhex(digest)),)
    assert parse([f"3 1 1 {digest.upper()}"])[0].text == f"3 1 1 {digest}"
    assert parse([f"  3   1 1 {digest[:20]} {digest[20:50]}\t{digest[50:]} "])[0].data == bytes.fromhex(digest)
    assert parse(["255 255 255 00"]) == (Tlsa(255, 255, 255, b"\0"),)


@pytest.mark.parametrize(
    "record",
    ["", "3 1 1", "3 1 1 xyz", "3 1 1 abc", "3 1 256 ab", "-3 1 1 ab", "3 1 x ab", "٣ 1 1 ab", "3 1 1 ａｂ",
     "+3 1 1 ab", "\\# 4 030101ab", "3.0 1 1 ab", "9" * 10000 + " 1 1 ab", "3 1 1 0x"],
)  # fmt: skip
def test_what_cannot_be_read_is_left_out(record: str) -> None:
    assert parse([record]) == ()
    assert len(parse([record, "3 1 1 ab"])) == 1


@given(st.text())
def test_reading_never_fails(text: str) -> None:
    for record in parse([text, f"3 1 1 {text}", f"3 0 0 {text}"]):
        assert parse([record.text]) == (record,)
        usable([record])


# ---------------------------------------------------------------- which may be used


def test_usages_0_and_1_are_unusable(authority: Authority) -> None:
    leaf = authority.issue([NAME])
    assert usable([of(0, 0, 1, authority), of(1, 1, 1, leaf)]) == ()
    refuses([of(1, 1, 1, leaf)], leaf.presented, "no TLSA record is usable")


def test_the_length_of_a_digest_must_be_right() -> None:
    right = [Tlsa(3, 1, 1, b"x" * 32), Tlsa(2, 0, 2, b"x" * 64)]
    wrong = [Tlsa(3, 1, 1, b"x" * size) for size in (0, 31, 33, 64)] + [Tlsa(3, 1, 2, b"x" * size) for size in (32, 63)]
    assert usable(right + wrong) == tuple(right)
    assert usable([Tlsa(3, 2, 1, b"x" * 32), Tlsa(3, 1, 3, b"x" * 48), Tlsa(4, 1, 1, b"x" * 32)]) == ()


def test_full_data_must_be_one_certificate_or_key(authority: Authority) -> None:
    leaf = authority.issue([NAME])
    sound = [of(3, 0, 0, leaf), of(3, 1, 0, leaf), of(2, 0, 0, authority), of(2, 1, 0, authority)]
    assert set(usable(sound)) == set(sound)
    swapped = [Tlsa(3, 1, 0, leaf.der), Tlsa(3, 0, 0, leaf.spki)]
    damaged = [Tlsa(3, 0, 0, leaf.der + b"\0"), Tlsa(3, 0, 0, leaf.der[:-1]), Tlsa(3, 1, 0, leaf.spki + b"\0"),
               Tlsa(3, 1, 0, b""), Tlsa(2, 0, 0, b"\x30\x00")]  # fmt: skip
    assert usable(swapped + damaged) == ()


def test_the_strongest_digest_of_a_usage_and_selector_counts(authority: Authority) -> None:
    leaf, other = authority.issue([NAME]), authority.issue([NAME])
    weak, strong = of(3, 1, 1, leaf), of(3, 1, 2, other)
    assert usable([weak, strong]) == (strong,)
    refuses([weak, strong], leaf.presented, "no TLSA record matches")
    assert proves([of(3, 0, 1, leaf), strong], leaf.presented).record.startswith("3 0 1 ")  # another selector
    assert proves([of(3, 1, 0, leaf), strong], leaf.presented).record.startswith("3 1 0 ")  # full data always counts
    broken = Tlsa(3, 1, 2, b"short")  # one that cannot be used does not push the others out
    assert proves([weak, broken], leaf.presented).record == weak.text


def test_of_very_many_records_some_are_used() -> None:
    many = [Tlsa(usage, 1, 1, number.to_bytes(32)) for number in range(1000) for usage in (2, 3)]
    assert {record.usage for record in usable(many)} == {3} and len(usable(many)) == MOST_USED


def test_each_record_counts_once(authority: Authority) -> None:
    record = of(3, 1, 1, authority.issue([NAME]))
    assert usable([record, record]) == (record,)


# ---------------------------------------------------------------- usage 3


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_usage_3_matches_the_leaf_whatever_else_is_wrong_with_it(
    authority: Authority, selector: int, matching: int
) -> None:
    for fault in ("", "expired", "not_yet", "self_signed", "client", "cn_only"):
        leaf = authority.issue(["mx.elsewhere.test"], **({fault: True} if fault else {}))  # type: ignore[arg-type]
        record = of(3, selector, matching, leaf)
        assert proves([record], leaf.presented, ()) == Matched(record.text, 3, "")
        refuses([record], authority.issue([NAME]).presented, "no TLSA record matches the certificate (SHA-256 ")


@pytest.mark.parametrize("key", ["rsa1024", "ec192"])
def test_usage_3_vouches_for_no_weak_key(authority: Authority, key: str) -> None:
    leaf = authority.issue([NAME], key=key)
    refuses([of(3, 1, 1, leaf)], leaf.presented, "the certificate that its TLSA record names has a key")


@pytest.mark.parametrize("key", ["rsa2048", "ec384", "ed25519"])
def test_usage_3_takes_keys_of_any_kind(authority: Authority, key: str) -> None:
    leaf = authority.issue([NAME], key=key)
    assert proves([of(3, 1, 1, leaf)], leaf.presented).usage == 3


def test_usage_3_looks_at_the_leaf_alone(authority: Authority) -> None:
    below = authority.intermediate()
    leaf = below.issue([NAME])
    refuses([of(3, 1, 1, below), of(3, 0, 1, below)], leaf.presented, "no TLSA record matches")


def test_any_one_record_is_enough(authority: Authority) -> None:
    old, new = authority.issue([NAME]), authority.issue([NAME])
    records = [of(3, 1, 1, old), of(3, 1, 1, new), of(2, 0, 1, authority.intermediate())]
    assert proves(records, new.presented).record == records[1].text


# ---------------------------------------------------------------- usage 2


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_usage_2_matches_an_authority_of_the_chain(authority: Authority, selector: int, matching: int) -> None:
    top = authority.intermediate()
    below = top.intermediate()
    chain = below.issue([NAME]).presented
    for issuer in (top, below):
        record = of(2, selector, matching, issuer)
        assert proves([record], chain) == Matched(record.text, 2, NAME)
    stranger = of(2, selector, matching, authority.intermediate())
    words = "the chain to the authority" if (selector, matching) == (0, 0) else "no TLSA record matches"
    refuses([stranger], chain, words)


def test_a_digest_of_an_authority_that_is_not_presented_proves_nothing(authority: Authority) -> None:
    leaf = authority.issue([NAME])
    refuses([of(2, 0, 1, authority), of(2, 1, 1, authority)], leaf.presented, "no TLSA record matches")
    served = authority.issue([NAME], with_root=authority.certificate)
    assert proves([of(2, 0, 1, authority)], served.presented).name == NAME


def test_full_data_of_an_authority_need_not_be_presented(authority: Authority) -> None:
    leaf = authority.issue([NAME])
    assert proves([of(2, 0, 0, authority)], leaf.presented).usage == 2
    assert proves([of(2, 1, 0, authority)], leaf.presented).usage == 2  # a bare key
    below = authority.intermediate().issue([NAME])
    assert proves([of(2, 1, 0, authority)], below.presented).usage == 2
    refuses([of(2, 1, 0, authority)], below.presented[:1], "no TLSA record matches")  # what lies between is missing


@pytest.mark.parametrize("key", ["rsa2048", "ec384", "ed25519"])
def test_a_bare_key_of_any_kind(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    root = Authority(tmp_path_factory.mktemp("other"), key=key)
    assert proves([of(2, 1, 0, root)], root.issue([NAME]).presented).name == NAME
    refuses([of(2, 1, 0, root)], root.issue([NAME], self_signed=True).presented, "no TLSA record matches")


def test_a_bare_key_vouches_for_no_weak_signature(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = Authority(tmp_path_factory.mktemp("weak"), key="rsa2048")
    refuses([of(2, 1, 0, root)], root.issue([NAME], digest="md5").presented, "no TLSA record matches")
    refuses([of(2, 1, 0, root)], root.issue([NAME], digest="sha1").presented, "no TLSA record matches")
    short = Authority(tmp_path_factory.mktemp("short"), key="rsa1024")
    refuses([of(2, 1, 0, short)], short.issue([NAME]).presented, "no TLSA record matches")


@pytest.mark.parametrize(
    ("faults", "words"),
    [({"expired": True}, "expired"), ({"not_yet": True}, "not yet valid"), ({"client": True}, "not for servers"),
     ({"cn_only": True}, "carries no name"), ({"digest": "sha1"}, "SHA1"), ({"key": "rsa1024"}, "1024 bits")],
)  # fmt: skip
def test_usage_2_asks_for_a_sound_path_and_a_name(
    authority: Authority, faults: dict[str, object], words: str
) -> None:
    below = authority.intermediate()
    chain = below.issue([NAME], **faults).presented  # type: ignore[arg-type]
    for selector in (0, 1):
        refuses([of(2, selector, 1, below)], chain, words)
        refuses([of(2, selector, 0, below)], chain, words)


@pytest.mark.parametrize(
    ("faults", "words"),
    [({"expired": True}, "expired"), ({"authority": False}, "invalid CA"), ({"usages": ["client"]}, "not for")],
)
def test_usage_2_asks_that_the_authority_is_sound(
    authority: Authority, faults: dict[str, object], words: str
) -> None:
    below = authority.intermediate(**faults)  # type: ignore[arg-type]
    refuses([of(2, 0, 1, below)], below.issue([NAME]).presented, words)


def test_usage_2_asks_for_one_of_the_names(authority: Authority) -> None:
    below = authority.intermediate()
    record = of(2, 0, 1, below)
    assert proves([record], below.issue(["school.test"]).presented).name == "school.test"
    assert proves([record], below.issue(["*.school.test"]).presented).name == "*.school.test"
    refuses([record], below.issue(["mx.elsewhere.test"]).presented, "carries mx.elsewhere.test, not mx.school.test")
    refuses([record], below.issue([NAME]).presented, "carries", names=())


def test_the_leaf_is_no_authority_of_itself(authority: Authority) -> None:
    """Usage 2 is for authorities: a digest of the leaf matches by usage 3 alone (RFC 7671 section 5.2)."""
    leaf = authority.issue([NAME], self_signed=True)
    for selector, matching in ((0, 0), (0, 1), (1, 1), (1, 2)):
        refuses([of(2, selector, matching, leaf)], leaf.presented, "no TLSA record matches")
        refuses([of(2, selector, matching, leaf)], leaf.presented * 2, "no TLSA record matches")


def test_an_authority_that_is_only_shown_proves_nothing(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Somebody in the middle presents the partner's own authority behind a leaf that it did not sign."""
    middle = Authority(tmp_path_factory.mktemp("middle")).issue([NAME], with_root=authority.certificate)
    refuses([of(2, 0, 1, authority), of(2, 1, 1, authority)], middle.presented, "the chain to the authority")
    refuses([of(2, 1, 0, authority)], middle.presented, "the chain to the authority")


def test_usage_2_does_not_hide_a_match_of_usage_3(authority: Authority) -> None:
    below = authority.intermediate()
    leaf = below.issue(["mx.elsewhere.test"], expired=True)
    assert proves([of(2, 0, 1, below), of(3, 1, 1, leaf)], leaf.presented).usage == 3


# ---------------------------------------------------------------- hostile peers


@pytest.mark.parametrize("chain", [(), (b"",), (b"junk",), (b"\x30\x80" * 1000,), (b"\x30\x00", b"\x30\x00")])
def test_a_chain_that_is_none_matches_nothing(authority: Authority, chain: tuple[bytes, ...]) -> None:
    below = authority.intermediate()
    records = [of(u, s, m, below) for u in (2, 3) for s in (0, 1) for m in (0, 1, 2)]
    found = match(records, chain, NAMES, NOW)
    assert isinstance(found, str)


def test_junk_behind_the_leaf_does_not_spoil_usage_3(authority: Authority) -> None:
    leaf = authority.issue([NAME])
    assert proves([of(3, 1, 1, leaf)], (leaf.der, b"junk")).usage == 3
    refuses([of(2, 0, 0, authority)], (leaf.der, b"junk"), "cannot be read")
