"""What the monitoring pages say."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path

import pytest

from gateway import health, metrics
from gateway.errors import StartupError, StoreError
from gateway.health import Pages, QueueFacts
from gateway.model import Assurance, Enforcement, Limb, Outcome, Verdict


def well() -> tuple[str, ...]:
    return ()


def queue() -> QueueFacts:
    return QueueFacts(queued=7, held=2, oldest_due_seconds=1.5)


def test_all_well_is_ok() -> None:
    answer = Pages(well, queue).answer("/healthz")
    assert answer.status == HTTPStatus.OK
    assert json.loads(answer.body) == {"status": "ok", "reasons": []}


def test_a_reason_makes_it_degraded() -> None:
    answer = Pages(lambda: ("the disk is nearly full",), queue).answer("/healthz?verbose=1")
    assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert json.loads(answer.body) == {"status": "degraded", "reasons": ["the disk is nearly full"]}


def test_an_error_of_the_gateway_is_a_reason() -> None:
    def fails() -> tuple[str, ...]:
        raise StoreError("the store does not answer")

    answer = Pages(fails, queue).answer("/healthz")
    assert json.loads(answer.body)["reasons"] == ["the store does not answer"]


def test_other_paths_are_not_found() -> None:
    assert Pages(well, queue).answer("/metrics/../etc").status == HTTPStatus.NOT_FOUND


def test_the_metrics_show_the_queue() -> None:
    body = Pages(well, queue).answer("/metrics").body.decode()
    assert 'gateway_open_shares{state="queued"} 7.0' in body
    assert 'gateway_open_shares{state="held"} 2.0' in body
    assert "gateway_oldest_due_seconds 1.5" in body
    assert "gateway_store_up 1.0" in body


def test_the_metrics_survive_a_store_that_does_not_answer() -> None:
    def fails() -> QueueFacts:
        raise StoreError("the store does not answer")

    body = Pages(well, fails).answer("/metrics").body.decode()
    assert "gateway_store_up 0.0" in body
    assert "gateway_open_shares" not in body


def test_the_metrics_show_what_was_counted() -> None:
    metrics.message_ended("education-office", "accepted")
    metrics.share_decided(Verdict.ALLOW, Limb.SECURE_DOMAINS, Enforcement.OBSERVE)
    metrics.share_decided(Verdict.REFUSE, None, Enforcement.ENFORCE)
    metrics.delivery_attempted(Outcome.DELIVERED, Assurance.AUTHENTICATED)
    metrics.delivery_attempted(Outcome.DEFERRED, None)
    body = Pages(well, queue).answer("/metrics").body.decode()
    assert 'gateway_messages_total{client="education-office",result="accepted"}' in body
    assert 'gateway_shares_total{enforcement="observe",limb="secure-domains",verdict="allow"}' in body
    assert 'gateway_shares_total{enforcement="enforce",limb="none",verdict="refuse"}' in body
    assert 'gateway_deliveries_total{assurance="authenticated",outcome="delivered"}' in body
    assert 'gateway_deliveries_total{assurance="unknown",outcome="deferred"}' in body


def test_the_metrics_folder_is_refused_once_the_metrics_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    with pytest.raises(StartupError):
        health.prepare(tmp_path / "metrics")
