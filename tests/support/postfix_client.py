"""Postfix as the sending peer: the same mail to the same servers through the same resolver, to be set side by side.

Guarantees: it runs in a mount namespace of its own, in which /etc/resolv.conf names the resolver given; the machine's
file is not touched. Each destination has the TLS policy given to it, and what became of each recipient is read from
Postfix's own log. Every recipient is tried once. Needs root. Failures: RuntimeError with Postfix's words;
AssertionError where a recipient is not tried in time.
"""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import folder, wait_for
from tests.support.postfix import Postfix, postfix

_BODY = "From: <dpo@council.test>\r\nSubject: side by side\r\n\r\nthe same mail\r\n"
_WITHIN = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one recipient at the first attempt."""

    status: str  # "sent", "deferred", "bounced"
    dsn: str  # RFC 3463 status
    host: str  # MX name that took or turned down the mail; "" where there was none
    address: str
    tls: str  # "Verified", "Trusted", "Untrusted", "Anonymous" as Postfix says; "" in the clear
    text: str


class PostfixClient:
    """The running instance."""

    def __init__(self, instance: Postfix) -> None:
        self._postfix = instance

    @property
    def log(self) -> str:
        """What it logged so far."""
        return self._postfix.log

    def send(self, recipients: list[str], seconds: float) -> dict[str, Sent]:
        """One message to all; returns what became of each once every one was tried, or AssertionError."""
        with smtplib.SMTP("127.0.0.1", self._postfix.port, timeout=30) as connection:
            refused = connection.sendmail("dpo@council.test", recipients, _BODY)
        assert not refused, refused
        wait_for(lambda: set(recipients) <= self.outcomes().keys(), seconds, "every recipient was tried", every=0.1)
        return self.outcomes()

    def outcomes(self) -> dict[str, Sent]:
        """What the log tells, by recipient; the first attempt counts."""
        found: dict[str, Sent] = {}
        tls: dict[tuple[str, str], str] = {}
        for line in self.log.splitlines():
            if seen := re.search(r"/smtp\[(\d+)\]: (\w+) TLS connection established to [^\[]*\[([^\]]+)\]", line):
                tls[seen[1], seen[3]] = seen[2]
            elif seen := re.search(
                r"/(?:smtp|error|bounce)\[(\d+)\]: \w+: to=<([^>]+)>.*relay=([^,]*),.* dsn=([\d.]+), "
                r"status=(\w+) \((.*)\)$", line,
            ):  # fmt: skip
                process, recipient, relay, dsn, status, text = seen.groups()
                host, _, rest = relay.partition("[")
                address = rest.partition("]")[0]
                used = tls.get((process, address), "") if status == "sent" else ""
                found.setdefault(recipient, Sent(status, dsn, "" if host == "none" else host, address, used, text))
        return found


@contextmanager
def postfix_client(
    resolver: str, anchors: Path, policies: Mapping[str, str], **parameters: str
) -> Iterator[PostfixClient]:
    """An instance that asks `resolver` (an address, port 53), trusts `anchors` and treats domains by `policies`.

    A policy is the right side of smtp_tls_policy_maps: "dane", "dane-only", "secure match=mx.example.test".
    """
    with folder("gw-postfix-client") as home:
        resolv = home / "resolv.conf"
        resolv.write_text(f"nameserver {resolver}\noptions edns0 trust-ad timeout:8 attempts:1\n")
        table = home / "tls_policy"
        table.write_text("".join(f"{domain} {policy}\n" for domain, policy in policies.items()))
        table.chmod(0o644)
        given = {
            "default_transport": "smtp",
            "relay_transport": "smtp",
            "smtp_host_lookup": "dns",
            "smtp_dns_support_level": "dnssec",
            "smtp_tls_security_level": "dane",  # with it, smtp_tls_dane_insecure_mx_policy is "dane" as well
            "smtp_tls_policy_maps": f"texthash:{table}",
            "smtp_tls_CAfile": str(anchors),
            "smtp_tls_loglevel": "1",
            "smtp_connect_timeout": "4s",
            "smtp_helo_timeout": "4s",
            "smtp_starttls_timeout": "4s",
            "smtp_connection_cache_on_demand": "no",
            "smtp_destination_recipient_limit": "1",
            "smtp_tls_session_cache_database": "",
            "default_process_limit": "100",
            "queue_run_delay": "600s",
            "minimal_backoff_time": "600s",
            "maximal_backoff_time": "600s",
        }
        within = ("unshare", "--mount", "sh", "-c", _WITHIN, str(resolv))
        with postfix("sender.test", within=within, **(given | parameters)) as instance:
            yield PostfixClient(instance)
