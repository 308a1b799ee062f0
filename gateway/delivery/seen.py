"""What was seen of a destination's TLS, for the reports of RFC 8460.

Guarantees: one fact for each connection to an MX host, and for each host that a policy kept from being connected to;
none for configured next hops, and none for trouble that has nothing to do with TLS (no route, no answer). Costs nothing
where nobody counts. Failures: none; reporting never changes what is delivered.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from gateway.delivery.destination import MailHost, Route, Target
from gateway.delivery.expectation import Expectation, Published
from gateway.delivery.faults import HostFault, NotAsRequired, RequireTlsRefused, Unproven
from gateway.delivery.session import Session
from gateway.model import Job
from gateway.transport import chain
from gateway.transport.certificate import matched_name
from gateway.transport.sts_policies import StsFinding
from gateway.transport.tlsrpt import PolicyType, ResultType, SessionSeen

_POLICY_FAULTS = {"tls-certificate": ResultType.STS_WEBPKI_INVALID, "invalid": ResultType.STS_POLICY_INVALID}


class Sessions(Protocol):
    """Who counts: `gateway.reports.collect.Sessions`."""

    def seen(self, session: SessionSeen) -> None: ...


class Seen:
    """Turns sessions and faults into facts."""

    def __init__(self, sessions: Sessions | None, ca_file: Path | None) -> None:
        self._sessions = sessions
        self._anchors = chain.Anchors(ca_file) if sessions is not None else None

    def policy(self, job: Job, finding: StsFinding | None) -> None:
        """An announced MTA-STS policy that could not be had (RFC 8460 section 4.3.2.2)."""
        if self._sessions is not None and finding is not None and finding.fault:
            why = _POLICY_FAULTS.get(finding.fault, ResultType.STS_POLICY_FETCH_ERROR)
            self._say(job, Published(sts=finding.policy), why, "", "", "", policy_type="sts")

    def opened(self, job: Job, route: Route, target: Target, expected: Expectation, session: Session) -> None:
        """A connection that proved what was expected."""
        if self._sessions is None or route.configured:
            return
        result = None
        if not session.secured:
            result = session.tls_failed or ResultType.STARTTLS_NOT_SUPPORTED
        elif expected.published.sts is not None and expected.published.sts.mode == "testing":
            result = self._in_testing(expected, session)
        self._say(job, expected.published, result, target.host, target.address, session.local_address)

    def failed(self, job: Job, route: Route, target: Target, expected: Expectation, fault: HostFault) -> None:
        """A connection that did not. What is not about TLS, or is our own demand alone, is no failure of the policy."""
        if self._sessions is None or route.configured or not isinstance(fault, Unproven):
            return
        published = expected.published
        binding = bool(published.tlsa) or published.tls_only or published.enforced
        if isinstance(fault, NotAsRequired | RequireTlsRefused):
            self._say(job, published, None, target.host, target.address, "")  # its own policy held
        elif binding or fault.why is ResultType.STARTTLS_NOT_SUPPORTED:
            self._say(job, published, fault.why, target.host, target.address, "")

    def refused(self, job: Job, route: Route, host: MailHost, finding: StsFinding | None, fault: Unproven) -> None:
        """A host that was not connected to, by what is published."""
        if self._sessions is None or route.configured:
            return
        policy = finding.policy if finding is not None else None
        self._say(job, Published(sts=policy), fault.why, host.name, "", "")

    def _in_testing(self, expected: Expectation, session: Session) -> ResultType | None:
        """What would have failed, were the policy enforced (RFC 8461 section 5)."""
        policy, handshake = expected.published.sts, session.handshake
        assert policy is not None and handshake is not None and self._anchors is not None
        if not policy.names(expected.host):
            return ResultType.VALIDATION_FAILURE
        fault = chain.problem(handshake.certificates, self._anchors, datetime.now(UTC))
        if fault is not None:
            expired = fault.kind is chain.FaultKind.EXPIRED
            return ResultType.CERTIFICATE_EXPIRED if expired else ResultType.CERTIFICATE_NOT_TRUSTED
        return None if matched_name(handshake.leaf, (expected.host,)) else ResultType.CERTIFICATE_HOST_MISMATCH

    def _say(
        self,
        job: Job,
        published: Published,
        result: ResultType | None,
        host: str,
        address: str,
        ours: str,
        policy_type: PolicyType | None = None,
    ) -> None:
        assert self._sessions is not None
        if not job.requirement.published:
            return  # a report on its way: it is in no report itself (RFC 8460 section 3)
        kind, strings, patterns = _policy(published)
        self._sessions.seen(
            SessionSeen(
                domain=job.domain,
                policy_type=policy_type or kind,
                policy_strings=strings,
                mx_patterns=patterns,
                result=result,
                mx_host=host,
                mx_ip=address,
                sending_ip=ours,
                policy_domain=published.tlsa_base,
            )
        )


def _policy(published: Published) -> tuple[PolicyType, tuple[str, ...], tuple[str, ...]]:
    """Type, strings and MX patterns of the policy that was applied (RFC 8460 section 4.4); of two the DANE one."""
    if published.tlsa or published.tls_only:
        return "tlsa", tuple(record.text for record in published.tlsa), ()
    if published.sts is not None:
        lines = (line.strip() for line in published.sts.text.splitlines())
        return "sts", tuple(line for line in lines if line), published.sts.mx
    return "no-policy-found", (), ()
