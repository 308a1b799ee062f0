"""SPF, DMARC, TLS-RPT, MTA-STS and MX as their records say: every outcome by name."""

from __future__ import annotations

import pytest

from gateway.posture import dmarc, mta_sts, mx, spf, tls_rpt
from gateway.posture.model import Outcome, Provable
from gateway.posture.questions import texts, unanswered
from gateway.transport.resolver import Answer, Failure, LookupFailed
from gateway.transport.sts import parse_policy
from gateway.transport.sts_policies import StsFinding, StsState


@pytest.mark.parametrize(
    ("records", "outcome", "result", "wrong"),
    [
        ((), "absent", None, "there is no SPF record"),
        (("v=spf10 -all", "google-site-verification=x", "spf2.0/pra"), "absent", None, "there is no SPF record"),
        (("v=spf1 mx -all",), "found", "fail", ""),
        (("V=SPF1 a ~ALL",), "found", "softfail", ""),
        (("v=spf1 ?all",), "found", "neutral", "ends in ?all"),
        (("v=spf1 all",), "found", "pass", "ends in all"),
        (("v=spf1 +all",), "found", "pass", "ends in +all"),
        (("v=spf1",), "found", "", "says nothing of servers"),
        (("v=spf1 redirect=_spf.school.test",), "found", "", ""),
        (("v=spf1 -all", "v=spf1 ~all"), "found", None, "2 SPF records"),
    ],
)
def test_spf(records: tuple[str, ...], outcome: str, result: str | None, wrong: str) -> None:
    found = spf.judge(records)
    assert found.outcome.value == outcome and found.facts.get("all") == result
    assert (wrong in "".join(found.wrong)) if wrong else not found.wrong


def test_spf_counts_its_own_look_ups() -> None:
    record = "v=spf1 a a:x.test a/24 mx ptr exists:%{i}.x.test include:y.test ip4:192.0.2.1 ip6:::1 -all"
    assert spf.judge((record,)).facts["lookups"] == 7
    many = spf.judge((f"v=spf1 {' '.join(f'include:{n}.test' for n in range(11))} -all",))
    assert "11 look-ups, 10 are allowed" in "".join(many.wrong)


@pytest.mark.parametrize(
    ("record", "inherited", "policy", "wrong"),
    [
        ("v=DMARC1; p=reject; sp=none", False, "reject", ""),
        ("v=DMARC1; p=reject; sp=none", True, "none", "p=none"),
        ("v=DMARC1;p=QUARANTINE", True, "quarantine", ""),
        ("v=DMARC1; p=none; rua=mailto:d@school.test", False, "none", "p=none"),
        ("v=DMARC1; rua=mailto:d@school.test", False, "", "no policy that is known"),
        ("v=DMARC1; p=maybe", False, "maybe", "no policy that is known"),
    ],
)
def test_dmarc(record: str, inherited: bool, policy: str, wrong: str) -> None:
    found = dmarc.judge(record, "school.test", inherited=inherited)
    assert found.outcome is Outcome.FOUND and found.facts["policy"] == policy
    assert (wrong in "".join(found.wrong)) if wrong else not found.wrong


@pytest.mark.parametrize(
    ("text", "is_record"),
    [("v=DMARC1; p=none", True), ("v = DMARC1 ; p=none", True), ("v=DMARC10; p=none", False),
     ("p=none; v=DMARC1", False), ("v=dmarc1; p=none", False), ("", False)],
)  # fmt: skip
def test_what_is_a_dmarc_record(text: str, is_record: bool) -> None:
    assert dmarc.is_record(text) is is_record


def test_the_organisational_domain_is_by_the_public_suffix_list() -> None:
    assert dmarc.organisational("mail.north.school.sch.uk") == "north.school.sch.uk"
    assert dmarc.organisational("a.b.council.gov.uk") == "council.gov.uk"
    assert dmarc.organisational("gov.uk") == "gov.uk"


@pytest.mark.parametrize(
    ("records", "outcome", "wrong"),
    [
        ((), "absent", ""),
        (("v=TLSRPTv1; rua=mailto:t@school.test,https://r.test/x",), "found", ""),
        (("v=TLSRPTv1;rua=mailto:a@b.test", "v=TLSRPTv1;rua=mailto:c@d.test"), "found", "2 TLS-RPT records"),
        (("v=TLSRPTv1; ruf=mailto:t@school.test",), "found", "malformed"),
        (("v=TLSRPTv1; rua=ftp://school.test",), "found", "no mailto or https"),
        (("v=TLSRPTv2; rua=mailto:t@school.test",), "absent", ""),
    ],
)
def test_tls_rpt(records: tuple[str, ...], outcome: str, wrong: str) -> None:
    found = tls_rpt.judge(records)
    assert found.outcome.value == outcome
    assert (wrong in "".join(found.wrong)) if wrong else not found.wrong


@pytest.mark.parametrize(
    ("answer", "outcome", "facts", "wrong"),
    [
        (Answer(exists=False), "absent", {"exists": False}, "does not exist"),
        (Answer(), "absent", {"implicit": True}, ""),
        (Answer(("0 .",)), "found", {"null": True}, "null MX"),
        (Answer(("0 .", "10 mx.school.test.")), "found", {"null": True}, "stands beside"),
        (Answer(("20 b.test.", "10 A.test.")), "found", {"records": ["10 a.test", "20 b.test"]}, ""),
        (Answer(("10 192.0.2.1.",)), "found", {"null": False}, "is an address"),
        (Answer(("10 mx\\032x.test.",)), "found", {"null": False}, "no host name"),
    ],
)
def test_mx(answer: Answer, outcome: str, facts: dict[str, object], wrong: str) -> None:
    found = mx.judge("school.test", answer)
    assert found.outcome.value == outcome and facts.items() <= dict(found.facts).items()
    assert (wrong in "".join(found.wrong)) if wrong else not found.wrong


def test_dnssec_is_there_or_not_or_cannot_be_known() -> None:
    cases = ((True, True), (False, True), (True, False))
    told = [mx.secured("x", "it", secure, trusted).outcome for secure, trusted in cases]
    assert told == [Outcome.FOUND, Outcome.ABSENT, Outcome.FAILED]


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [(Failure.BOGUS, "bogus"), (Failure.SERVFAIL, "failed"), (Failure.TIMEOUT, "failed"), (Failure.REFUSED, "failed"),
     (Failure.MALFORMED, "failed")],
)  # fmt: skip
def test_a_look_up_without_an_answer_is_never_an_absence(failure: Failure, outcome: str) -> None:
    check = unanswered("mx", LookupFailed("school.test", "MX", failure))
    assert check.outcome.value == outcome and check.facts["failure"] == failure.value


def test_strings_of_a_txt_record_are_joined_and_rubbish_is_passed_over() -> None:
    answer = Answer(('"v=spf1 " "-all"', '"a\\255b"', "not a record \" at all", '""'))
    assert texts(answer) == ("v=spf1 -all", "a\\xffb", "")


@pytest.mark.parametrize(
    ("records", "outcome", "wrong"),
    [
        (('"v=STSv1; id=20260101;"',), "found", ""),
        ((), "absent", ""),
        (('"v=STSv1; id=a-b;"',), "absent", "malformed"),
        (('"v=STSv1; id=1;"', '"v=STSv1; id=2;"'), "absent", "several"),
        (('"some other text"',), "absent", ""),
    ],
)
def test_mta_sts_record(records: tuple[str, ...], outcome: str, wrong: str) -> None:
    check, identity = mta_sts.judge_record(Answer(records))
    assert check.outcome.value == outcome and (identity is not None) == (outcome == "found")
    assert (wrong in "".join(check.wrong)) if wrong else not check.wrong


def test_mta_sts_policy_says_which_hosts_it_leaves_out_and_that_testing_protects_nothing() -> None:
    content = b"version: STSv1\nmode: testing\nmx: *.school.test\nmax_age: 86400\n"
    check = mta_sts.judge_policy(parse_policy(content, "1"), ("mx.school.test", "a.b.school.test"))
    assert check.facts["unnamed"] == ["a.b.school.test"]
    assert len(check.wrong) == 2 and "testing" in check.wrong[1]


@pytest.mark.parametrize(
    ("finding", "record", "provable"),
    [
        (None, "absent", "no"),
        (StsFinding(None, StsState.NONE), "absent", "no"),
        (StsFinding(None, StsState.INVALID), "found", "no"),
        (StsFinding(None, StsState.LOOKUP_FAILED), "failed", "unknown"),
        (StsFinding(None, StsState.LOOKUP_FAILED), "bogus", "no"),
        (StsFinding(None, StsState.FETCH_FAILED, fault="timeout"), "found", "unknown"),
        (StsFinding(None, StsState.FETCH_FAILED, fault="connect"), "found", "unknown"),
        (StsFinding(None, StsState.FETCH_FAILED, fault="dns"), "found", "unknown"),
        (StsFinding(None, StsState.FETCH_FAILED, fault="status"), "found", "no"),
        (StsFinding(None, StsState.FETCH_FAILED, fault="tls-certificate"), "found", "no"),
    ],
)
def test_a_missing_policy_is_known_to_be_missing_or_not(
    finding: StsFinding | None, record: str, provable: str
) -> None:
    assert mta_sts.without_policy(finding, Outcome(record)) is Provable(provable)
