"""The examining process: the same facts as here, bounded, and a message that breaks it counts as clear."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from gateway import codec
from gateway.errors import TemporaryError
from gateway.examiner import Examiner
from gateway.inspection import AT_ONCE, Clues, inspect_message
from gateway.model import MessageFacts
from tests.unit.policy.cases import policy

Result = TypeVar("Result")
MAIL = b"From: a@council.example\r\nTo: b@health.example\r\nSubject: Report\r\n\r\nFind Operation Heron here.\r\n"
NO_CLUES = Clues()


def _with(work: Callable[[Examiner], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        examiner = Examiner()
        try:
            return await work(examiner)
        finally:
            await examiner.close()

    return asyncio.run(run())


def _pid(examiner: Examiner) -> int:
    assert examiner._running is not None
    return examiner._running.process.pid


def test_it_finds_what_inspection_here_finds() -> None:
    clues = Clues(("password",), policy(watch_words=["heron"]).watched)
    facts = _with(lambda examiner: examiner.inspect(MAIL, clues))
    assert facts == inspect_message(MAIL, clues=clues)
    assert dict(facts.body_identifiers) == {"watch-word": 1}


def test_facts_survive_the_wire() -> None:
    facts = inspect_message(MAIL)
    assert codec.decode_facts(codec.encode_facts(facts)) == facts
    with pytest.raises(EOFError):
        codec.decode_facts(b'{"root": 1}')


def test_one_process_serves_many_messages_in_turn() -> None:
    async def work(examiner: Examiner) -> tuple[list[MessageFacts], set[int]]:
        pids: set[int] = set()
        found = []
        for _ in range(3):
            found += await asyncio.gather(*(examiner.inspect(MAIL, NO_CLUES) for _ in range(3)))
            pids.add(_pid(examiner))
        return found, pids

    found, pids = _with(work)
    assert set(found) == {inspect_message(MAIL)}
    assert len(pids) == 1


def test_a_process_that_was_killed_is_replaced() -> None:
    async def work(examiner: Examiner) -> tuple[MessageFacts, bool]:
        await examiner.inspect(MAIL, NO_CLUES)
        first = _pid(examiner)
        os.kill(first, signal.SIGKILL)
        facts = await examiner.inspect(MAIL, NO_CLUES)
        return facts, _pid(examiner) != first

    assert _with(work) == (inspect_message(MAIL), True)


def _ended_twice_by(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> MessageFacts:
    async def work(examiner: Examiner) -> MessageFacts:
        await examiner.inspect(MAIL, NO_CLUES)
        ask = examiner._ask

        async def ask_and_kill(content: bytes, clues: Clues) -> MessageFacts:
            await examiner._connected()
            os.kill(_pid(examiner), number)
            return await ask(content, clues)

        monkeypatch.setattr(examiner, "_ask", ask_and_kill)
        return await examiner.inspect(MAIL, NO_CLUES)

    return _with(work)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGXCPU])
def test_a_message_that_breaks_the_process_twice_counts_as_clear(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = _ended_twice_by(number, monkeypatch)
    assert facts.malformed
    assert facts.findings == ("inspection-failed",)


def test_a_process_that_somebody_kills_twice_defers_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TemporaryError, match="killed twice"):
        _ended_twice_by(signal.SIGKILL, monkeypatch)


def test_a_machine_without_descriptors_defers_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_descriptor(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("gateway.examination.os.memfd_create", no_descriptor)
    with pytest.raises(TemporaryError, match="Too many open files"):
        _with(lambda examiner: examiner.inspect(MAIL, NO_CLUES))


def test_a_program_that_does_not_start_defers_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.examiner.sys.executable", "/bin/false")
    with pytest.raises(TemporaryError, match="does not start"):
        _with(lambda examiner: examiner.inspect(MAIL, NO_CLUES))
    monkeypatch.setattr("gateway.examiner.sys.executable", "/nonexistent/python")
    with pytest.raises(TemporaryError, match="cannot be started"):
        _with(lambda examiner: examiner.inspect(MAIL, NO_CLUES))


def test_whoever_is_cancelled_leaves_no_answer_for_the_next() -> None:
    async def work(examiner: Examiner) -> MessageFacts:
        large = MAIL + b"Words and more words. " * 200_000
        task = asyncio.ensure_future(examiner.inspect(large, NO_CLUES))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await examiner.inspect(MAIL, NO_CLUES)

    assert _with(work) == inspect_message(MAIL)


def test_small_limits_say_that_there_is_more_to_find() -> None:
    assert not inspect_message(MAIL, AT_ONCE).unfinished
    assert inspect_message(MAIL + b"Words and more words. " * 10_000, AT_ONCE).unfinished
