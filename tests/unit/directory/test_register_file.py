"""secure-domains.toml is changed where it should be, and nowhere else."""

from __future__ import annotations

import difflib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration import Findings
from gateway.directory.load import read_register
from gateway.directory.model import RegisterAssurance, RegisterEntry
from gateway.directory.register_file import RegisterFileError, rewritten

SAMPLE = (Path(__file__).parent.parent.parent.parent / "config" / "secure-domains.toml").read_bytes()


def entries(content: bytes) -> tuple[RegisterEntry, ...]:
    findings = Findings()
    found = read_register(Path("x.toml"), content, findings)
    assert findings.faults == []
    return found


def named(domain: str, content: bytes = SAMPLE) -> RegisterEntry:
    return next(entry for entry in entries(content) if entry.domain == domain)


def renewed(entry: RegisterEntry, **more: Any) -> RegisterEntry:
    return entry.model_copy(update=more)


def differing(old: bytes, new: bytes) -> list[str]:
    lines = difflib.unified_diff(old.decode().splitlines(), new.decode().splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def test_nothing_to_do_changes_no_octet() -> None:
    assert rewritten(SAMPLE, entries(SAMPLE), []) == SAMPLE


@pytest.mark.parametrize("old", [SAMPLE, SAMPLE.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + SAMPLE])
def test_a_renewal_changes_its_own_values_alone(old: bytes) -> None:
    before = named("solihull.example")
    after = renewed(before, valid_from=date(2026, 11, 23), evidence='a "quoted" \\ list', review=date(2027, 2, 1))
    new = rewritten(old, entries(old), [(before, after)])
    assert named("solihull.example", new) == after
    assert differing(old, new) == [
        '-evidence = "Self-assessment against the guidance, with MTA-STS in enforce mode"',
        '+evidence = "a \\"quoted\\" \\\\ list"',
        "-valid_from = 2026-09-01",
        "+valid_from = 2026-11-23",
        "-review = 2027-06-01",
        "+review = 2027-02-01",
    ]
    assert new.count(b"\r") == old.count(b"\r")
    assert new.startswith(b"\xef\xbb\xbf") == old.startswith(b"\xef\xbb\xbf")


def test_a_review_comes_below_the_last_day_and_goes_with_its_line() -> None:
    before = named("uhb.nhs.example")
    new = rewritten(SAMPLE, entries(SAMPLE), [(before, renewed(before, review=date(2027, 1, 1)))])
    assert differing(SAMPLE, new) == ["+review = 2027-01-01"]
    lines = new.decode().splitlines()
    place = lines.index("review = 2027-01-01")
    assert lines[place - 1].startswith("valid_until") and lines[place + 2].startswith("# The hospitals")
    before = named("solihull.example")
    assert differing(SAMPLE, rewritten(SAMPLE, entries(SAMPLE), [(before, renewed(before, review=None))])) == [
        "-review = 2027-06-01"
    ]


def test_a_comment_behind_a_changed_value_stays() -> None:
    old = SAMPLE.replace(b"valid_from = 2026-09-01", b"valid_from = 2026-09-01 # day of the audit", 1)
    before = entries(old)[0]
    new = rewritten(old, entries(old), [(before, renewed(before, valid_from=date(2026, 11, 23)))])
    assert b"valid_from = 2026-11-23 # day of the audit" in new


def test_a_removed_entry_takes_its_own_comment_along_and_no_other() -> None:
    def removing(*domains: str) -> list[str]:
        new = rewritten(SAMPLE, entries(SAMPLE), [(named(domain), None) for domain in domains])
        assert [entry.domain for entry in entries(new)] == [
            entry.domain for entry in entries(SAMPLE) if entry.domain not in domains
        ]
        assert b"\n\n\n" not in new and new.endswith(b"\n") and not new.endswith(b"\n\n")
        return [line[1:] for line in differing(SAMPLE, new) if line.startswith("-#")]

    assert removing("*.uhb.nhs.example") == ["# The hospitals of the trust, each with a name below the trust's."]
    assert removing("uhb.nhs.example") == []
    assert removing("swft.nhs.example", "solihull.example") == []
    assert len(removing(*(entry.domain for entry in entries(SAMPLE)))) == 3


def test_a_comment_that_begins_the_file_stays_when_the_first_entry_goes() -> None:
    old = SAMPLE[SAMPLE.index(b"\n[[domain]]") + 1 :]
    old = b"# About all of it.\n" + old
    new = rewritten(old, entries(old), [(entries(old)[0], None)])
    assert new.startswith(b"# About all of it.\n")


def test_new_entries_come_last_with_what_is_not_the_default() -> None:
    first = named("ukvi.example")
    dane = {"domain": "b.example", "evidence": "x\ty", "assurance": RegisterAssurance.DANE}
    more = [renewed(first, domain="a.example"), renewed(first, **dane)]
    new = rewritten(SAMPLE, entries(SAMPLE), [(None, entry) for entry in more])
    assert new.startswith(SAMPLE)
    assert entries(new)[-2:] == tuple(more)
    assert new.endswith(b'valid_until = 2027-08-31\nassurance = "dane"\n')


@pytest.mark.parametrize("old", [b"", b"# nothing yet", b"# nothing yet\n\n"])
def test_the_first_entry_of_an_empty_register(old: bytes) -> None:
    entry = named("ukvi.example")
    new = rewritten(old, (), [(None, entry)])
    assert entries(new) == (entry,)
    assert new.startswith(old.rstrip())


def test_everything_at_once() -> None:
    found = entries(SAMPLE)
    changes: list[tuple[RegisterEntry | None, RegisterEntry | None]] = [
        (found[0], renewed(found[0], valid_from=date(2026, 11, 23))),
        (found[1], None),
        (found[5], None),
        (found[9], renewed(found[9], review=date(2027, 1, 1))),
        (None, renewed(found[1], domain="new.example")),
    ]
    new = entries(rewritten(SAMPLE, found, changes))
    assert [entry.domain for entry in new] == [
        *(entry.domain for place, entry in enumerate(found) if place not in (1, 5)),
        "new.example",
    ]


def test_a_form_that_cannot_be_edited_is_refused_and_nothing_is_lost() -> None:
    inline = (
        b'domain = [{ domain = "a.example", partner = "x", basis = "other", evidence = "e", owner = "o", '
        b"valid_from = 2026-09-01, valid_until = 2027-08-31 }]\n"
    )
    (entry,) = entries(inline)
    with pytest.raises(RegisterFileError, match=r"no \[\[domain\]\] tables"):
        rewritten(inline, (entry,), [(entry, renewed(entry, owner="p"))])
    with pytest.raises(RegisterFileError, match="make these changes by hand"):
        rewritten(inline, (entry,), [(None, renewed(entry, domain="b.example"))])


TRICKY = b'''
[[domain]]
domain = "z.example"
partner = "x"
basis = "other"
evidence = """
# no comment
[[domain]]
# none"""
owner = "o"
valid_from = 2026-09-01
valid_until = 2027-08-31
# the end
'''


def test_text_that_looks_like_comments_and_headers_is_no_hindrance() -> None:
    old = SAMPLE + TRICKY
    found = entries(old)
    new = rewritten(old, found, [(found[-1], None), (found[-2], None)])
    assert entries(new) == found[:-2]
    assert new.endswith(b"# the end\n")
