"""When a key of the ring can be used, and how its state is told."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ProtectionRefusedError, ProtectionUnavailableError, StartupError
from gateway.protection.keyring import KeyPart, Keyring, RingKey, prepare_home

NOW = datetime(2026, 6, 1, tzinfo=UTC)
AT = NOW.timestamp()
DAY = 86400.0
FINGERPRINT = "A" * 40

PRIMARY = KeyPart("1" * 16, "-", False, 255, "22", AT - 9 * DAY, 0)
SUBKEY = KeyPart("2" * 16, "-", True, 255, "18", AT - 9 * DAY, 0)
KEY = RingKey(FINGERPRINT, ("Office <office@partner.test>",), "-", False, AT - 9 * DAY, 0, (PRIMARY, SUBKEY))


def test_a_valid_key_with_an_encryption_subkey_is_usable() -> None:
    assert KEY.problem(AT) == ""
    assert KEY.usable_parts(AT) == (SUBKEY,)


@pytest.mark.parametrize(
    ("key", "word"),
    [
        (replace(KEY, validity="r"), "revoked"),
        (replace(KEY, validity="e"), "expired"),
        (replace(KEY, expires=AT), "expired on 2026-06-01"),
        (replace(KEY, validity="d"), "disabled"),
        (replace(KEY, disabled=True), "disabled"),
        (replace(KEY, validity="i"), "not valid"),
        (replace(KEY, created=AT + 1), "future"),
        (replace(KEY, parts=(PRIMARY,)), "only sign"),
        (replace(KEY, parts=()), "only sign"),
        (replace(KEY, parts=(replace(SUBKEY, validity="r"),)), "revoked"),
        (replace(KEY, parts=(replace(SUBKEY, validity="e"),)), "expired"),
        (replace(KEY, parts=(replace(SUBKEY, validity="i"),)), "not valid"),
        (replace(KEY, parts=(replace(SUBKEY, expires=AT - 1),)), "expired"),
        (replace(KEY, parts=(replace(SUBKEY, created=AT + 1),)), "future"),
        (replace(KEY, parts=(replace(SUBKEY, algorithm="1", bits=1024),)), "shorter than 2048"),
        (replace(KEY, parts=(replace(SUBKEY, algorithm="16", bits=1024),)), "shorter than 2048"),
    ],
)
def test_an_unusable_key_says_why_in_one_sentence(key: RingKey, word: str) -> None:
    problem = key.problem(AT)
    assert word in problem
    assert problem.endswith(".")


def test_a_key_ends_with_its_last_usable_part_or_its_primary_key() -> None:
    parts = (replace(SUBKEY, expires=AT + DAY), replace(SUBKEY, expires=AT + 3 * DAY))
    assert replace(KEY, parts=parts).end(AT) == AT + 3 * DAY
    assert replace(KEY, parts=parts, expires=AT + 2 * DAY).end(AT) == AT + 2 * DAY
    assert replace(KEY, parts=(*parts, SUBKEY)).end(AT) == 0


def record(**changes: Any) -> dict[str, Any]:
    """A key as python-gnupg lists it."""
    subkey = {"trust": "-", "length": "255", "algo": "18", "date": "1700000000", "expires": "", "cap": "e"}
    base = {
        "type": "pub",
        "trust": "-",
        "length": "255",
        "algo": "22",
        "keyid": "1" * 16,
        "date": "1700000000",
        "expires": "",
        "cap": "scESC",
        "fingerprint": FINGERPRINT,
        "uids": ["Office <office@partner.test>"],
        "subkey_info": {"2" * 16: subkey},
    }
    return base | changes


class Listing(list[dict[str, Any]]):
    returncode = 0


@dataclass
class RingOnPaper:
    """Answers as the gpg program would, from a list."""

    home: Path
    records: Listing = field(default_factory=Listing)
    listed: int = 0

    def list_keys(self) -> Listing:
        self.listed += 1
        return self.records

    def on_copy(self, ring: bytes) -> RingOnPaper:
        assert ring == (self.home / "pubring.kbx").read_bytes()
        return self

    def change(self, *records: dict[str, Any]) -> None:
        self.records = Listing(records)
        (self.home / "pubring.new").write_bytes(b"\0\0\0\x20\1\1\0\2KBXf" + os.urandom(20))
        (self.home / "pubring.new").rename(self.home / "pubring.kbx")


@pytest.fixture
def paper(tmp_path: Path) -> RingOnPaper:
    ring = RingOnPaper(tmp_path)
    ring.change(record())
    return ring


def keyring(paper: RingOnPaper) -> Keyring:
    return Keyring(paper, paper.home)  # type: ignore[arg-type]


def test_facts_are_read_once_while_the_ring_stays_as_it_is(paper: RingOnPaper) -> None:
    ring = keyring(paper)
    for _ in range(100):
        assert ring.key_facts(FINGERPRINT, NOW).usable
    assert paper.listed == 1


def test_a_changed_ring_is_read_again(paper: RingOnPaper) -> None:
    ring = keyring(paper)
    assert ring.key_facts(FINGERPRINT, NOW).usable
    paper.change(record(trust="r"))
    assert ring.key_facts(FINGERPRINT, NOW).problem == "The key is revoked."
    paper.change()
    assert "not in the key ring" in ring.key_facts(FINGERPRINT, NOW).problem


def test_an_unchanged_ring_is_read_again_after_a_minute(paper: RingOnPaper, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = keyring(paper)
    ring.key_facts(FINGERPRINT, NOW)
    monkeypatch.setattr("gateway.protection.keyring.REFRESH_SECONDS", 0.0)
    ring.key_facts(FINGERPRINT, NOW)
    assert paper.listed == 2


def test_expiry_is_judged_at_the_moment_asked_for(paper: RingOnPaper) -> None:
    paper.change(record(expires=str(int(AT))))
    ring = keyring(paper)
    before = ring.key_facts(FINGERPRINT, NOW - timedelta(seconds=1))
    assert (before.usable, before.expires) == (True, "2026-06-01")
    assert not ring.key_facts(FINGERPRINT, NOW).usable
    assert ring.key_facts(FINGERPRINT, NOW - timedelta(seconds=1)).usable
    assert paper.listed == 1


def test_fingerprints_of_64_digits_pass_through(paper: RingOnPaper) -> None:
    paper.change(record(fingerprint="B" * 64))
    assert keyring(paper).key_facts("B" * 64, NOW).usable


def test_a_key_is_found_by_its_whole_primary_fingerprint_only(paper: RingOnPaper) -> None:
    ring = keyring(paper)
    for name in (FINGERPRINT.lower(), FINGERPRINT[-16:], "1" * 16, "2" * 16, "", "office@partner.test"):
        assert not ring.key_facts(name, NOW).usable


def test_a_disabled_key_is_not_usable(paper: RingOnPaper) -> None:
    paper.change(record(cap="scESCD"))
    assert "disabled" in keyring(paper).key_facts(FINGERPRINT, NOW).problem


def test_a_date_that_is_not_understood_counts_as_expired(paper: RingOnPaper) -> None:
    paper.change(record(expires="some day"))
    assert "expired" in keyring(paper).key_facts(FINGERPRINT, NOW).problem


def test_a_date_beyond_the_calendar_is_told_as_its_last_day(paper: RingOnPaper) -> None:
    paper.change(record(expires="99999999999999"))
    assert keyring(paper).key_facts(FINGERPRINT, NOW).expires == "9999-12-31"


def test_a_ring_that_cannot_be_read_is_unavailable_and_not_asked_at_once_again(paper: RingOnPaper) -> None:
    paper.records.returncode = 2
    ring = keyring(paper)
    for _ in range(3):
        with pytest.raises(ProtectionUnavailableError):
            ring.key_facts(FINGERPRINT, NOW)
    assert paper.listed == 1


def test_an_unchanged_ring_is_trusted_on_while_it_cannot_be_listed(
    paper: RingOnPaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = keyring(paper)
    ring.key_facts(FINGERPRINT, NOW)
    monkeypatch.setattr("gateway.protection.keyring.REFRESH_SECONDS", 0.0)
    paper.records.returncode = 2
    assert ring.key_facts(FINGERPRINT, NOW).usable
    paper.change()
    paper.records.returncode = 2
    with pytest.raises(ProtectionUnavailableError):
        ring.key_facts(FINGERPRINT, NOW)


def test_only_usable_parts_are_allowed_for_encryption(paper: RingOnPaper) -> None:
    ring = keyring(paper)
    assert ring.for_encryption((FINGERPRINT,), NOW)[1] == ({"2" * 16},)
    with pytest.raises(ProtectionRefusedError, match="not in the key ring"):
        ring.for_encryption((FINGERPRINT, "C" * 40), NOW)
    paper.change(record(trust="r"))
    with pytest.raises(ProtectionRefusedError, match="revoked"):
        ring.for_encryption((FINGERPRINT,), NOW)


@pytest.mark.parametrize("cut", [1, 4, 11, 31])
def test_a_damaged_ring_is_unavailable_and_not_empty(paper: RingOnPaper, cut: int) -> None:
    path = paper.home / "pubring.kbx"
    whole = path.read_bytes()
    for broken in (whole[:cut], whole + whole[:cut], b"x" * cut):
        path.write_bytes(broken)
        with pytest.raises(ProtectionUnavailableError):
            keyring(paper).key_facts(FINGERPRINT, NOW)


def test_the_home_folder_is_made_for_the_gateway_alone(tmp_path: Path) -> None:
    home = tmp_path / "state" / "gnupg"
    prepare_home(home)
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_home_that_others_can_write_stops_the_start(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    with pytest.raises(StartupError, match="written by others"):
        prepare_home(tmp_path)


def test_a_home_that_is_a_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "gnupg").write_text("")
    with pytest.raises(StartupError, match="cannot be made"):
        prepare_home(tmp_path / "gnupg")
    with pytest.raises(StartupError, match="cannot be made"):
        prepare_home(tmp_path / "gnupg" / "below")
