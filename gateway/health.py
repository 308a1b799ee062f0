"""The monitoring listener: /healthz for probes, /metrics for Prometheus.

Guarantees: answers GET and HEAD on these two paths and nothing else; the figures come from callables that the
composition root gives; no address, subject or content appears in an answer. One slow reader does not hold up
another. Failures: `StartupError` where the port cannot be had or the metrics folder cannot be made; a callable that
raises a `GatewayError` makes the gateway degraded, with that sentence as the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET
from socketserver import BaseServer
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, StartupError
from gateway.log import get_logger, lost_lines

if TYPE_CHECKING:  # importing the library chooses its mode: see `prepare`
    from prometheus_client.core import Metric

_log = get_logger("monitoring")
_SOCKET_TIMEOUT = 10.0  # seconds a client may take for its request


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """The open shares of the whole store at one moment, and what of the register is suspended."""

    queued: int
    held: int
    oldest_due_seconds: float  # how long the most overdue share has been waiting; 0 where none is overdue
    suspended: int = 0  # domains of the register that do not count as secure now


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: HTTPStatus
    media_type: str
    body: bytes


Reasons = Callable[[], tuple[str, ...]]
Queue = Callable[[], QueueFacts]


def prepare(folder: Path) -> None:
    """Empties `folder` and has every process started later count in it.

    Call it in the supervisor before anything imports `gateway.metrics`: the client library chooses its mode
    when it is first imported. Raises `StartupError` where it is too late or the folder cannot be made.
    """
    if "prometheus_client" in sys.modules and os.environ.get("PROMETHEUS_MULTIPROC_DIR") != str(folder):
        raise StartupError("the metrics folder must be prepared before the metrics are loaded")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise StartupError(f"the metrics folder {folder} cannot be made: {error.strerror}") from error
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


@dataclass(frozen=True, slots=True)
class Pages:
    """What the listener answers. `reasons` gives one sentence per fault, nothing where all is well."""

    reasons: Reasons
    queue: Queue

    def answer(self, path: str) -> Answer:
        """The answer to GET `path` (a query is ignored)."""
        match path.partition("?")[0]:
            case "/healthz":
                return self._health()
            case "/metrics":
                return self._metrics()
            case _:
                return Answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"There is /healthz and /metrics.\n")

    def _health(self) -> Answer:
        try:
            reasons = self.reasons()
        except GatewayError as error:
            reasons = (str(error),)
        body = json.dumps({"status": "degraded" if reasons else "ok", "reasons": list(reasons)}) + "\n"
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return Answer(status, "application/json", body.encode())

    def _metrics(self) -> Answer:
        from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        registry = CollectorRegistry()
        if folder:
            MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
        registry.register(_QueueCollector(self.queue))
        own = generate_latest(registry)
        rest = b"" if folder else generate_latest(REGISTRY)
        return Answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, own + rest)


@dataclass(frozen=True, eq=False, slots=True)
class _QueueCollector:
    """Asks the store when it is scraped, so that the figures hold across restarts and nodes."""

    queue: Queue

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        lost = GaugeMetricFamily("gateway_lost_log_lines", "Log lines that the monitoring process could not write")
        lost.add_metric([], lost_lines())
        yield lost
        reachable = GaugeMetricFamily("gateway_store_up", "1 where the store answered this scrape")
        try:
            facts = self.queue()
        except GatewayError:
            reachable.add_metric([], 0)
            yield reachable
            return
        reachable.add_metric([], 1)
        yield reachable
        shares = GaugeMetricFamily("gateway_open_shares", "Shares not yet in a final state", labels=("state",))
        shares.add_metric(["queued"], facts.queued)
        shares.add_metric(["held"], facts.held)
        yield shares
        overdue = GaugeMetricFamily("gateway_oldest_due_seconds", "Waiting time of the most overdue share")
        overdue.add_metric([], facts.oldest_due_seconds)
        yield overdue
        suspended = GaugeMetricFamily("gateway_register_suspended", "Secure domains that do not count now")
        suspended.add_metric([], facts.suspended)
        yield suspended

    def describe(self) -> Iterable[Metric]:
        return []


class Listener:
    """Serves `Pages` from threads of its own until `close`."""

    def __init__(self, address: str, port: int, pages: Pages) -> None:
        """Binds `address` and `port` (0: any free one). Raises `StartupError` where that fails."""
        try:
            self._server = _Server(address, port, pages)
        except OSError as error:
            raise StartupError(
                f"monitoring cannot listen on {address} port {port}: {error.strerror}. "
                "Choose another monitoring.port or stop what listens there"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="monitoring", daemon=True)

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begins to answer. Threads do not survive a fork: start it in a process that forks no more."""
        self._thread.start()

    def close(self) -> None:
        """Stops answering and frees the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: str, port: int, pages: Pages) -> None:
        self.pages = pages
        self.address_family = AF_INET6 if ":" in address else AF_INET
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        """Binds without the reverse look-up of the standard class: monitoring must not wait for DNS."""
        self.socket.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Logs what the standard class would print with its text."""
        _log.warning("a request failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _SOCKET_TIMEOUT
    server_version = "gateway"
    sys_version = ""

    def __init__(self, request: object, client_address: object, server: BaseServer) -> None:
        assert isinstance(server, _Server)
        self._pages = server.pages
        super().__init__(request, client_address, server)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._reply(with_body=True)

    def do_HEAD(self) -> None:
        self._reply(with_body=False)

    def _reply(self, *, with_body: bool) -> None:
        answer = self._pages.answer(self.path)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.media_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing: a probe every few seconds is not an event."""
