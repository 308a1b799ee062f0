"""Steps 3 and 4: whose key it is encrypted to, contact details in a covering note, files of signatures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.model import KeyFacts, Limb, PartFacts, Verdict
from tests.unit.policy.cases import ATTACHED, FINGERPRINT, WHOLE, ZIP, codes, decided, destination, snapshot

OWN_ID, OTHER_ID = "1111222233334444", "9999888877776666"
PINNED = KeyFacts(FINGERPRINT, True, key_ids=("AAAABBBBCCCCDDDD", OWN_ID))
TO_PINNED = destination(keys=(PINNED,))
LOGO = PartFacts("png", findings=("clear-text",), size=2000, sha256="e" * 64)


def _to(*keys: str) -> tuple[str, ...]:
    return tuple(f"openpgp:{key}" for key in keys)


@pytest.mark.parametrize(
    "named",
    [
        _to(OWN_ID),
        _to(OTHER_ID, OWN_ID),
        _to("0" * 24 + OWN_ID),  # a v4 fingerprint ends in the key id
        _to(OWN_ID + "0" * 48),  # a v6 one begins with it
        _to("anonymous"),
        (*_to(OTHER_ID), "openpgp:anonymous"),
        (),
        ("smime:serial=01",),
    ],
)
def test_a_whole_message_to_the_recipients_key_or_to_one_that_cannot_be_compared_is_allowed(
    named: tuple[str, ...],
) -> None:
    decision = decided(replace(WHOLE, whole_recipients=named), TO_PINNED)
    assert (decision.verdict, decision.limb) == (Verdict.ALLOW, Limb.ENCRYPTED_SERVICE)


def test_a_whole_message_to_somebody_elses_key_does_not_satisfy_the_limb() -> None:
    decision = decided(replace(WHOLE, whole_recipients=_to(OTHER_ID, OTHER_ID)), TO_PINNED)
    assert decision.verdict is Verdict.REFUSE
    assert "encrypted-to-others" in codes(decision)
    assert "key" in decision.advice


def test_an_expired_key_still_is_the_recipients() -> None:
    expired = destination(keys=(replace(PINNED, usable=False, problem="It expired."),))
    assert decided(replace(WHOLE, whole_recipients=_to(OWN_ID)), expired).verdict is Verdict.ALLOW


def test_without_a_known_key_nothing_is_compared_and_the_reason_says_so() -> None:
    decision = decided(replace(WHOLE, whole_recipients=_to(OTHER_ID)), destination())
    assert decision.verdict is Verdict.ALLOW
    assert "not compared" in decision.reasons[-1].text


def test_an_attachment_to_somebody_elses_key_does_not_satisfy_the_limb() -> None:
    part = replace(ZIP, kind="openpgp", recipients=_to(OTHER_ID))
    decision = decided(replace(ATTACHED, attachments=(ZIP, part)), TO_PINNED)
    assert decision.verdict is Verdict.REFUSE
    assert "encrypted-to-others" in codes(decision)
    own = replace(part, recipients=_to(OTHER_ID, OWN_ID))
    assert decided(replace(ATTACHED, attachments=(ZIP, own)), TO_PINNED).verdict is Verdict.ALLOW


def test_a_file_for_somebody_else_inside_an_archive_is_found() -> None:
    own, other = (replace(ZIP, kind="openpgp", recipients=_to(key)) for key in (OWN_ID, OTHER_ID))
    archive = replace(ZIP, kind="tar", parts=(own, other))
    assert "encrypted-to-others" in codes(decided(replace(ATTACHED, attachments=(archive,)), TO_PINNED))
    both = replace(archive, parts=(own, own))
    assert decided(replace(ATTACHED, attachments=(both,)), TO_PINNED).verdict is Verdict.ALLOW


def test_a_signature_block_is_no_list_of_people() -> None:
    block = replace(ATTACHED, body_identifiers=(("email", 2), ("phone", 4), ("postcode", 2)))
    assert decided(block).verdict is Verdict.ALLOW
    people = replace(ATTACHED, body_identifiers=(("email", 3), ("phone", 4), ("postcode", 2)))
    assert "many-contacts" in codes(decided(people))
    assert decided(people, under=snapshot(covering_note_contacts=9)).verdict is Verdict.ALLOW


def test_a_picture_of_a_signature_is_known_by_its_digest_and_by_nothing_else() -> None:
    facts = replace(ATTACHED, attachments=(ZIP, LOGO))
    assert "clear-attachment" in codes(decided(facts))
    known = snapshot(signature_files=["e" * 64])
    assert decided(facts, under=known).verdict is Verdict.ALLOW
    other = replace(ATTACHED, attachments=(ZIP, replace(LOGO, sha256="f" * 64)))
    assert "clear-attachment" in codes(decided(other, under=known))
    named = replace(ATTACHED, attachments=(ZIP, replace(LOGO, identifiers=(("nhs-number", 1),))))
    assert decided(named, under=known).verdict is Verdict.REFUSE


def test_files_of_signatures_alone_are_no_attachment() -> None:
    decision = decided(replace(ATTACHED, attachments=(LOGO,)), under=snapshot(signature_files=["e" * 64]))
    assert "no-attachment" in codes(decision)


def test_a_watch_word_in_the_visible_text_is_personal() -> None:
    decision = decided(replace(ATTACHED, body_identifiers=(("watch-word", 1),)))
    assert "clear-body" in codes(decision)
