"""The monitoring listener on loopback, and counters of several processes added up."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import StartupError
from gateway.health import Listener, Pages, QueueFacts


@pytest.fixture
def listener() -> Iterator[Listener]:
    served = Listener("127.0.0.1", 0, Pages(lambda: (), lambda: QueueFacts(1, 0, 0.0)))
    served.start()
    yield served
    served.close()


def ask(listener: Listener, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=5)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def test_health_and_metrics_are_served(listener: Listener) -> None:
    status, body = ask(listener, "GET", "/healthz")
    assert (status, json.loads(body)["status"]) == (200, "ok")
    status, body = ask(listener, "GET", "/metrics")
    assert status == 200
    assert b"gateway_open_shares" in body


def test_head_has_no_body_and_other_methods_are_refused(listener: Listener) -> None:
    assert ask(listener, "HEAD", "/healthz") == (200, b"")
    assert ask(listener, "POST", "/healthz")[0] == 501


def test_a_client_that_says_nothing_holds_up_nobody(listener: Listener) -> None:
    with socket.create_connection(("127.0.0.1", listener.port)):
        assert ask(listener, "GET", "/healthz")[0] == 200


def test_a_port_in_use_is_one_sentence_with_a_way_out(listener: Listener) -> None:
    with pytest.raises(StartupError, match=r"monitoring\.port"):
        Listener("127.0.0.1", listener.port, Pages(lambda: (), lambda: QueueFacts(0, 0, 0.0)))


SUPERVISOR = """
import os, sys
from pathlib import Path
from gateway import health

health.prepare(Path(sys.argv[1]))
from gateway import metrics

metrics.allocate()
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        metrics.allocate()
        for _ in range(5):
            metrics.message_ended("office", "accepted")
        metrics.accept_seconds.observe(0.004)
        os._exit(0)
    os.waitpid(pid, 0)
pages = health.Pages(lambda: (), lambda: health.QueueFacts(0, 0, 0.0))
sys.stdout.buffer.write(pages.answer("/metrics").body)
"""


def test_counters_of_worker_processes_add_up_even_after_they_ended(tmp_path: Path) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path / "metrics")],
        capture_output=True,
        check=True,
        timeout=60,
        env=environment,
    )
    text = done.stdout.decode()
    assert 'gateway_messages_total{client="office",result="accepted"} 10.0' in text
    assert "gateway_accept_seconds_count 2.0" in text


def test_metric_files_have_their_blocks_before_they_are_mapped(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    environment = {name: text for name, text in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    subprocess.run([sys.executable, "-c", SUPERVISOR, str(folder)], capture_output=True, check=True, env=environment)
    files = list(folder.glob("*.db"))
    assert len(files) == 6
    assert all(path.stat().st_blocks * 512 >= path.stat().st_size for path in files)
