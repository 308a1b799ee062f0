"""One worker process: takes mail in, decides, stores, delivers. The supervisor starts it and watches over it.

Guarantees: SIGTERM, or the supervisor's death, ends it gracefully within the grace period; a killed worker loses
nothing that was answered with 250. It beats on its pipe while its event loop runs; silence means it hangs.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvloop

from gateway import app, log, metrics
from gateway.configuration import load_settings
from gateway.errors import GatewayError
from gateway.settings import Settings

GRACE = 25.0  # seconds for transactions and deliveries under way
_LEAST_GRACE = 3.0  # what is left for deliveries where transactions took it all: the supervisor kills after 35
_ORPHAN_GRACE = 4.0  # where the supervisor is gone: its successor waits for us
BEAT = 2.0
_RENEW_EVERY = 3600.0  # seconds between two looks for MTA-STS policies older than a day
READY = b"R"
ALIVE = b"."
FAILED = b"F"

_log = log.get_logger("worker")


@dataclass(frozen=True, slots=True)
class Orders:
    """What the supervisor hands to a worker on its command line."""

    config: Path
    owner: str
    sockets: tuple[int, ...]  # file descriptors, in the order of settings.listeners
    beat: int  # pipe to write to
    lifeline: int  # pipe that ends when the supervisor does


def run(orders: Orders) -> None:
    """Runs the worker until it is told to stop. Errors at start-up are raised."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the supervisor blocks signals, and children inherit that
    settings = load_settings(orders.config)
    log.configure(settings.logging.level)
    metrics.allocate()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, orders))


async def _serve(settings: Settings, orders: Orders) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    grace = GRACE

    def orphaned() -> None:
        nonlocal grace
        grace = _ORPHAN_GRACE
        loop.remove_reader(orders.lifeline)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(orders.lifeline, orphaned)
    parts = app.worker(settings, orders.owner)
    loop.add_signal_handler(signal.SIGHUP, _reload, parts)
    for listener, descriptor in zip(settings.listeners, orders.sockets, strict=True):
        await parts.listeners.start(listener, socket.socket(fileno=descriptor))
    tasks = [
        asyncio.create_task(parts.dispatcher.run()),
        asyncio.create_task(_keep_fresh(parts)),
        asyncio.create_task(_renew_policies(parts)),
        asyncio.create_task(_beat(orders.beat)),
        asyncio.create_task(parts.checks.run()),
    ]
    if parts.reports is not None:
        tasks += [asyncio.create_task(parts.sessions.run()), asyncio.create_task(parts.reports.run())]
    _log.info("worker ready", owner=orders.owner)
    ended = asyncio.ensure_future(stop.wait())
    await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
    deadline = loop.time() + grace
    await parts.listeners.stop(grace)
    await parts.dispatcher.stop(max(_LEAST_GRACE, deadline - loop.time()))
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await parts.examiner.close()
    await parts.deliverer.close()
    await parts.policies.close()
    await parts.sessions.flush()
    await asyncio.to_thread(parts.writer.close)
    parts.store.close()
    for result in results:
        if isinstance(result, Exception):
            raise result
    _log.info("worker stopped", owner=orders.owner)


def _reload(parts: app.Worker) -> None:
    try:
        parts.certificates.reload()
    except GatewayError as error:
        _log.error("certificate not reloaded", reason=str(error))


async def _keep_fresh(parts: app.Worker) -> None:
    """Notices within a second or so that another snapshot was put in force."""
    while True:
        await asyncio.sleep(1.0)
        try:
            if await asyncio.to_thread(parts.in_force.refresh):
                _log.info("snapshot in force", snapshot=parts.in_force().id[:12])
        except GatewayError as error:
            _log.error("snapshot not read", reason=str(error))


async def _renew_policies(parts: app.Worker) -> None:
    """Renews MTA-STS policies before they run out (RFC 8461 section 3.3). What one worker renewed, no other does."""
    while True:
        await asyncio.sleep(random.uniform(0.5, 1.5) * _RENEW_EVERY)
        try:
            renewed = await parts.policies.refresh()
            if renewed:
                _log.info("policies renewed", policies=renewed)
        except GatewayError as error:
            _log.error("policies not renewed", reason=str(error))


async def _beat(descriptor: int) -> None:
    os.set_blocking(descriptor, False)
    with suppress(BrokenPipeError):
        os.write(descriptor, READY)
        while True:
            await asyncio.sleep(BEAT)
            with suppress(BlockingIOError):
                os.write(descriptor, ALIVE)
