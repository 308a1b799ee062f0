"""Prometheus metrics: counters of what happened and a few histograms. Never a personal datum in a label.

Guarantees: labels take values from the configuration or from enums only, so their number is bounded; the hot
path finds its label child in a dictionary. With PROMETHEUS_MULTIPROC_DIR set (see `gateway.health.prepare`) each
process counts in its own file and /metrics adds them up; a worker calls `allocate` first, because the client
library maps sparse files and a full disk would kill a process that touches a hole (SIGBUS).
Failures: `allocate` raises `StoreFullError` where there is no room.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Literal

from prometheus_client import Counter, Histogram

from gateway.errors import StoreFullError
from gateway.model import Assurance, Enforcement, Limb, Outcome, Verdict

MessageResult = Literal["accepted", "refused", "deferred"]
ReportWay = Literal["mail", "https", "dns"]
_FILE_BYTES = 1 << 20  # room for some 5,000 label combinations

_messages = Counter("gateway_messages", "Messages at the end of DATA", ("client", "result"))
_shares = Counter("gateway_shares", "Shares decided", ("verdict", "limb", "enforcement"))
_deliveries = Counter("gateway_deliveries", "Delivery attempts, one per share", ("outcome", "assurance"))
_refused_commands = Counter("gateway_refused_commands", "SMTP commands refused before DATA", ("reply",))
_notifications = Counter("gateway_notifications", "Delivery status notifications queued", ("action",))
_tls_reports = Counter("gateway_tls_reports", "Attempts to send a TLS report (RFC 8460)", ("way", "result"))
_worker_exits = Counter("gateway_worker_exits", "Worker processes that ended unasked", ())
_examinations_failed = Counter("gateway_examinations_failed", "Examining processes that a message ended", ())

accept_seconds = Histogram(
    "gateway_accept_seconds",
    "From the end of DATA to the reply",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
)
inspect_seconds = Histogram(
    "gateway_inspect_seconds",
    "Inspection of one message, waiting for its turn included",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0),
)
gpg_seconds = Histogram(
    "gateway_gpg_seconds", "One run of gpg", buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
)
commit_messages = Histogram(
    "gateway_commit_messages", "Messages in one commit of the store", buckets=(1, 2, 4, 8, 16, 32, 64)
)


@cache
def _message(client: str, result: MessageResult) -> Counter:
    return _messages.labels(client, result)


@cache
def _share(verdict: Verdict, limb: Limb | None, enforcement: Enforcement) -> Counter:
    return _shares.labels(verdict.value, limb.value if limb else "none", enforcement.value)


@cache
def _delivery(outcome: Outcome, assurance: Assurance | None) -> Counter:
    return _deliveries.labels(outcome.value, assurance.label if assurance is not None else "unknown")


def message_ended(client: str, result: MessageResult) -> None:
    """Counts one message at the end of DATA. `client` is a name of the configuration."""
    _message(client, result).inc()


def share_decided(verdict: Verdict, limb: Limb | None, enforcement: Enforcement) -> None:
    """Counts one decision; `enforcement` tells whether it bit."""
    _share(verdict, limb, enforcement).inc()


def delivery_attempted(outcome: Outcome, assurance: Assurance | None) -> None:
    """Counts one attempt for one share; `assurance` is what the connection proved, None where none was made."""
    _delivery(outcome, assurance).inc()


def command_refused(reply: int) -> None:
    """Counts one SMTP command refused before DATA, by its reply code."""
    _refused_commands.labels(str(reply)).inc()


def notification_queued(action: Literal["failed", "delayed", "delivered", "relayed", "expanded"]) -> None:
    """Counts one delivery status notification, by its Action field (RFC 3464 section 2.3.3)."""
    _notifications.labels(action).inc()


def tls_report_ended(way: ReportWay, result: Literal["sent", "deferred", "given-up"]) -> None:
    """Counts one attempt to send a TLS report; `dns` is the look for the domain's record."""
    _tls_reports.labels(way, result).inc()


def worker_ended() -> None:
    """Counts one worker that ended unasked."""
    _worker_exits.inc()


def examination_failed() -> None:
    """Counts one examining process that a message ended."""
    _examinations_failed.inc()


def allocate() -> None:
    """Gives this process its metric files with their blocks; call it in every process before the first count.

    Does nothing without PROMETHEUS_MULTIPROC_DIR. Raises `StoreFullError` where the disk has no room.
    """
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return
    for kind in ("counter", "histogram"):
        path = Path(folder) / f"{kind}_{os.getpid()}.db"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, _FILE_BYTES)
        except OSError as error:
            raise StoreFullError(f"no room for the metric files in {folder}: {error.strerror}") from error
        finally:
            os.close(descriptor)
