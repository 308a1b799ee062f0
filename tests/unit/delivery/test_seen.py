"""What is counted for TLS reports: the destination's own policy, not what a share requires beyond it."""

from __future__ import annotations

import pytest

from gateway.delivery.destination import MailHost, Route, Target
from gateway.delivery.expectation import Expectation, Published
from gateway.delivery.faults import HandshakeFailed, HostFault, NotAsRequired, RequireTlsRefused, Unproven, Unreachable
from gateway.delivery.seen import Seen
from gateway.model import Job, JobShare, Recipient, Requirement
from gateway.transport.sts import StsPolicy
from gateway.transport.tlsa import Tlsa
from gateway.transport.tlsrpt import ResultType, SessionSeen

HOST = "mx.school.test"
OPEN = Requirement()
ROUTE = Route((MailHost(HOST),))
STS = Published(sts=StsPolicy("enforce", (HOST,), 86400, "1", "version: STSv1\r\nmode: enforce\r\n"))
DANE = Published("secure", (Tlsa(3, 1, 1, bytes(32)),), (HOST,), HOST)


class Counted:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.sessions: list[SessionSeen] = []

    def seen(self, session: SessionSeen) -> None:
        self.sessions.append(session)


def counted(published: Published, fault: HostFault, requirement: Requirement = OPEN) -> list[object]:
    counts = Counted()
    job = Job("M", "a@council.test", (JobShare("M-1", Recipient("b@school.test")),), "school.test", requirement)
    target = Target(HOST, "192.0.2.1", 25)
    Seen(counts, None).failed(job, ROUTE, target, Expectation(requirement, HOST, (), published), fault)
    return [(each.policy_type, each.result) for each in counts.sessions]


@pytest.mark.parametrize(("published", "kind"), [(STS, "sts"), (DANE, "tlsa"), (Published(), "no-policy-found")])
def test_a_failure_of_our_own_demand_is_a_success_of_the_policy(published: Published, kind: str) -> None:
    for fault in (NotAsRequired("4.7.5", "", HOST), RequireTlsRefused("4.7.30", "", HOST)):
        assert counted(published, fault) == [(kind, None)]


@pytest.mark.parametrize(("published", "kind"), [(STS, "sts"), (DANE, "tlsa")])
def test_a_policy_that_did_not_hold_is_counted(published: Published, kind: str) -> None:
    expired = HandshakeFailed("4.7.5", "", HOST, ResultType.CERTIFICATE_EXPIRED)
    assert counted(published, expired) == [(kind, ResultType.CERTIFICATE_EXPIRED)]
    mismatch = Unproven("4.7.5", "", HOST, ResultType.VALIDATION_FAILURE)
    assert counted(published, mismatch) == [(kind, ResultType.VALIDATION_FAILURE)]


def test_without_a_policy_only_the_lack_of_tls_is_counted() -> None:
    untrusted = HandshakeFailed("4.7.5", "", HOST, ResultType.CERTIFICATE_NOT_TRUSTED)
    assert counted(Published(), untrusted) == []
    missing = Unproven("4.7.10", "", HOST, ResultType.STARTTLS_NOT_SUPPORTED)
    assert counted(Published(), missing) == [("no-policy-found", ResultType.STARTTLS_NOT_SUPPORTED)]


def test_trouble_that_is_not_about_tls_and_our_own_reports_are_not_counted() -> None:
    assert counted(STS, Unreachable("4.4.1", "", HOST)) == []
    assert counted(STS, Unproven("4.7.5", "", HOST), Requirement(published=False)) == []
