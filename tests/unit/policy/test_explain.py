"""What a sender and an auditor read, for every way a share can end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.directory.model import Contact
from gateway.model import Decision, Enforcement, Envelope, KeyFacts, Reason, Recipient, Strength, Verdict
from gateway.policy.advice import GUIDANCE, advise, codes
from gateway.policy.explain import LINE_OCTETS, for_auditor, for_sender, refused, reply_lines, status
from tests.unit.policy.cases import (
    ATTACHED,
    CLEAR,
    CLEAR_DOCUMENT,
    CLIENT,
    EXPIRED,
    OPENPGP_PARTNER,
    SECURE,
    SERVICE,
    USABLE,
    WEAK_ZIP,
    WHOLE,
    ZIP,
    decided,
    destination,
    headed,
    partner,
    snapshot,
)

STRANGER = Envelope("sam@stranger.example", (Recipient("jo@health.example"),))
LONG = partner(
    name="The Very Long Name of a National Health Service Foundation Trust",
    spoc=Contact(role="Head of Information Governance and Data Protection", email="dpo@health.example",
                 telephone="+44 121 496 0000 extension 12345"),
)  # fmt: skip
WELSH = partner(name="Bwrdd Iechyd Ll\u0177n", spoc=Contact(role="R\u00f4l", email="dpo@health.example"))

FOREIGN = (KeyFacts("A" * 40, False, "It expired.", key_ids=("5678567856785678",)),)

ENDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sender-domain": (ATTACHED, {"envelope": STRANGER}),
    "header-from": (headed(from_domains=("stranger.example",)), {}),
    "unknown-recipient": (ATTACHED, {"to": destination(None)}),
    "country": (ATTACHED, {"under": snapshot(countries=("FR",))}),
    "no-purpose": (headed(purpose=""), {}),
    "unknown-purpose": (headed(purpose="x"), {}),
    "conflicting-purpose": (headed(conflict=True), {}),
    "unknown-basis": (headed(basis="x"), {}),
    "unknown-condition": (headed(condition="x"), {}),
    "encrypted-weak": (replace(WHOLE, whole=Strength.WEAK), {}),
    "encrypted-subject": (replace(WHOLE, subject_identifiers=(("nino", 1),)), {}),
    "encrypted-malformed": (replace(WHOLE, malformed=True), {}),
    "encrypted-to-others": (replace(WHOLE, whole_recipients=("openpgp:12341234",)), {"to": destination(keys=FOREIGN)}),
    "encrypted-name": (replace(WHOLE, attachments=(replace(ZIP, identifiers=(("nino", 1),)),)), {}),
    "clear-attachment": (replace(ATTACHED, attachments=(CLEAR_DOCUMENT,)), {}),
    "weak-attachment": (replace(ATTACHED, attachments=(WEAK_ZIP,)), {}),
    "password-in-clear": (replace(ATTACHED, password_in_clear=True), {}),
    "clear-subject": (replace(ATTACHED, subject_identifiers=(("nino", 1),)), {}),
    "clear-name": (replace(ATTACHED, attachments=(replace(ZIP, identifiers=(("nino", 1),)),)), {}),
    "clear-body": (replace(ATTACHED, body_identifiers=(("nino", 1),)), {}),
    "long-body": (replace(ATTACHED, body_characters=9999), {}),
    "many-contacts": (replace(ATTACHED, body_identifiers=(("phone", 20),)), {}),
    "malformed": (replace(ATTACHED, malformed=True), {}),
    "no-attachment": (CLEAR, {}),
    "unproven": (CLEAR, {"to": SECURE, "without": frozenset({"secure-domains"})}),
    "suspended": (CLEAR, {"to": replace(SECURE, suspended="its certificate has expired")}),
}


def test_every_guidance_has_a_case_here() -> None:
    assert set(ENDS) == set(GUIDANCE)


@pytest.mark.parametrize("code", list(ENDS))
def test_the_sender_learns_what_is_wrong_which_clause_what_to_do_and_whom_to_ring(code: str) -> None:
    facts, changes = ENDS[code]
    decision = decided(facts, **changes)
    sentence = for_sender(decision)
    assert GUIDANCE[code].problem in sentence
    assert f"(clause {decision.reasons[-1].clause})" in sentence
    assert "if a child is at risk now, ring" in sentence
    assert sentence.count(".") - sentence.count(". ") >= 1 and sentence.endswith(".")
    if decision.partner:
        assert "0121 496 0000" in sentence


@pytest.mark.parametrize("code", list(ENDS))
@pytest.mark.parametrize("to", [LONG, WELSH])
@pytest.mark.parametrize("choice", ["hold", "refuse"])
def test_every_sentence_is_short_ascii_without_line_ends(code: str, to: Any, choice: str) -> None:
    facts, changes = ENDS[code]
    changes = {"to": destination(to), "under": snapshot(otherwise=choice), **changes}
    sentence = for_sender(decided(facts, **changes))
    assert len(sentence) < 400
    assert sentence.isascii() and sentence.isprintable()
    assert "{" not in sentence


def test_a_long_name_loses_its_end_but_the_telephone_number_is_there() -> None:
    assert "+44 121 496 0000" in for_sender(decided(CLEAR, destination(LONG)))


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (decided(WHOLE), "an encrypted e-mail service meets clause 5.3.4"),
        (decided(ATTACHED), "an encrypted attachment meets clause 5.3.4"),
        (decided(CLEAR, SECURE), "secure e-mail domains meets clause 5.3.4"),
        (decided(CLEAR, destination(partner(service=SERVICE))), "an encrypted e-mail service meets clause 5.3.4"),
        (decided(CLEAR, destination(OPENPGP_PARTNER, keys=(USABLE,))), "encrypts it for the recipient with OpenPGP"),
        (decided(CLEAR, client=replace(CLIENT, enforcement=Enforcement.OBSERVE)), "else it would be refused"),
        (replace(decided(CLEAR), verdict=Verdict.ALLOW), "released outside the ways of clause 5.3.4"),
    ],
)
def test_the_sender_of_what_is_sent_learns_why_it_is_in_order(decision: Decision, words: str) -> None:
    assert words in for_sender(decision)
    assert len(for_sender(decision)) < 400


def test_the_auditor_reads_step_limb_evidence_and_purpose() -> None:
    sentence = for_auditor(decided(ATTACHED))
    for words in ("Step 4", "allow", "encrypted-attachment", "5.3.4", "acceptable (AES-256, WinZip AE-2)", "3.5.1"):
        assert words in sentence
    assert "observed only" in for_auditor(decided(CLEAR, client=replace(CLIENT, enforcement=Enforcement.OBSERVE)))


def test_the_auditor_reads_the_last_reason_where_none_is_of_the_deciding_step() -> None:
    decision = replace(decided(ATTACHED), step=8, reasons=(Reason(7, "protection-failed", "It failed.", "5.3.4"),))
    assert "it failed" in for_auditor(decision)


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (decided(CLEAR), "5.7.1"),
        (decided(CLEAR, destination(OPENPGP_PARTNER, keys=(EXPIRED,))), "5.7.5"),
        (decided(CLEAR, destination(OPENPGP_PARTNER)), "5.7.5"),
        (decided(replace(ATTACHED, attachments=(WEAK_ZIP,))), "5.7.6"),
        (decided(CLEAR, destination(None)), "5.7.1"),
    ],
)
def test_the_enhanced_status_says_what_kind_of_refusal_it_is(decision: Decision, expected: str) -> None:
    assert status(decision) == expected


def addressed(decision: Decision, recipient: str) -> Decision:
    return replace(decision, recipient=recipient)


def test_one_reply_names_every_refused_recipient_under_one_status_code() -> None:
    no_key = decided(CLEAR, destination(OPENPGP_PARTNER))
    lines = reply_lines(
        [addressed(decided(CLEAR), "a@health.example"), decided(ATTACHED), addressed(no_key, "b@x.test")]
    )
    assert all(line.startswith("550-5.7.1 ") for line in lines[:-1])
    assert lines[-1].startswith("550 5.7.1 ")
    text = " ".join(line[10:] for line in lines)
    assert "<a@health.example>: Not sent" in text and "<b@x.test>: Not sent" in text
    assert "Nothing was sent to the other recipient" in lines[-1]


def test_a_reply_for_one_recipient_has_its_own_status() -> None:
    lines = reply_lines([decided(replace(ATTACHED, attachments=(WEAK_ZIP,)))])
    assert lines[0].startswith(("550-5.7.6 <jo@health.example>", "550 5.7.6 <jo@health.example>"))


@pytest.mark.parametrize(
    "recipient", ["a" * 300 + "@health.example", "j\u00f6@health.example", "a\r\n250 ok@x.example"]
)
def test_reply_lines_are_short_ascii_and_lose_no_word(recipient: str) -> None:
    decision = addressed(decided(CLEAR, destination(LONG)), recipient)
    lines = reply_lines([decision])
    assert all(len(line) <= LINE_OCTETS and line.isascii() and line.isprintable() for line in lines)
    assert " ".join(line[10:] for line in lines).endswith(for_sender(decision))


def test_nothing_refused_is_no_reply() -> None:
    observed = decided(CLEAR, client=replace(CLIENT, enforcement=Enforcement.OBSERVE))
    assert reply_lines([decided(ATTACHED), decided(headed(purpose="")), observed]) == ()
    assert not refused(observed)


def test_codes_of_a_long_catalogue_are_cut_between_codes() -> None:
    text = codes([f"3.5.{number}" for number in range(100)])
    assert len(text) <= 52 and text.endswith(" ...")


def test_advice_for_an_unknown_code_is_still_a_next_step() -> None:
    assert "encrypted" in advise("a-code-of-tomorrow", None)
