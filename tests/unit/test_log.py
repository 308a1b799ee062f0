"""What a log line holds, what it must never hold, and what it costs."""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from gateway import log
from gateway.errors import PermanentError

SECRET = "4857773456"
Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    """Logs into a file and reads it back; restores the process's logging afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, warnings.showwarning)
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    log.configure("info", descriptor)
    yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
    os.close(descriptor)
    structlog.reset_defaults()
    root.handlers[:], warnings.showwarning = before[0], before[2]
    root.setLevel(before[1])


def test_an_event_is_one_json_line_with_stage_level_and_time(lines: Lines) -> None:
    log.get_logger("intake").info("accepted", message="01ABC", shares=2)
    (line,) = lines()
    assert line["event"] == "accepted"
    assert (line["stage"], line["level"], line["message"], line["shares"]) == ("intake", "info", "01ABC", 2)
    assert str(line["at"]).endswith("Z")
    assert len(str(line["at"])) == len("2026-01-02T03:04:05.678Z")


@pytest.mark.parametrize("name", sorted(log.FORBIDDEN_KEYS))
def test_a_forbidden_key_is_dropped_and_named(lines: Lines, name: str) -> None:
    log.get_logger("policy").info("decided", **{name: SECRET})
    (line,) = lines()
    assert line["dropped_keys"] == [name]
    assert SECRET not in json.dumps(line)


def test_a_line_break_in_a_value_cannot_forge_a_second_line(lines: Lines) -> None:
    log.get_logger("intake").info("refused", helo='x\n{"event": "forged"}')
    assert len(lines()) == 1


def test_bytes_and_objects_are_logged_as_their_type_only(lines: Lines) -> None:
    log.get_logger("intake").info("odd", raw=SECRET.encode(), several=frozenset({SECRET}), undecodable="\udcff")
    (line,) = lines()
    assert line["raw"] == "<bytes>"
    assert line["several"] == "<1 items>"
    assert SECRET not in json.dumps(line)


def test_a_foreign_exception_is_logged_without_its_text(lines: Lines) -> None:
    try:
        raise ValueError(f"cannot parse {SECRET}")
    except ValueError:
        log.get_logger("inspection").exception("unexpected")
    (line,) = lines()
    assert (line["error"], line["level"]) == ("ValueError", "error")
    assert "test_log.py:" in str(line["error_at"])
    assert SECRET not in json.dumps(line)


def test_the_gateways_own_error_is_logged_with_its_sentence(lines: Lines) -> None:
    try:
        raise PermanentError("the partner has no usable key")
    except PermanentError as error:
        log.get_logger("protection").error("refused", exc_info=error)
    assert lines()[0]["error_says"] == "the partner has no usable key"


def test_an_event_below_the_level_is_not_written(lines: Lines) -> None:
    log.get_logger("intake").debug("noise")
    assert lines() == []


def test_aiosmtpd_prints_no_envelope(lines: Lines) -> None:
    logging.getLogger("mail.log").info("%r >> %b", "peer", b"MAIL FROM:<jo@agency.example>")
    logging.getLogger("mail.log").debug("data: %r", SECRET)
    assert lines() == []


def test_a_librarys_warning_comes_without_its_arguments(lines: Lines) -> None:
    logging.getLogger("mail.log").warning("odd command %r", SECRET)
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: " + SECRET)
    first, second = lines()
    assert (first["event"], first["library"], first["template"]) == ("library said", "mail.log", "odd command %r")
    assert second["template"] == "Task exception was never retrieved"
    assert SECRET not in json.dumps([first, second])


def test_a_python_warning_comes_as_category_and_place(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = log._show_warning
        warnings.warn(f"{SECRET} is odd", RuntimeWarning, stacklevel=1)
    (line,) = lines()
    assert line["category"] == "RuntimeWarning"
    assert SECRET not in json.dumps(line)


def test_a_line_that_cannot_be_written_is_counted_and_not_raised() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    before = log.lost_lines()
    log.configure("info", writer)
    try:
        log.get_logger("intake").info("accepted")
    finally:
        os.close(writer)
        structlog.reset_defaults()
    assert log.lost_lines() == before + 1


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(KeyError):
        log.configure("loud")


def test_an_event_is_cheap(lines: Lines) -> None:
    logger = log.get_logger("delivery")
    logger.info("warm")
    best = 1.0
    for _ in range(5):
        start = time.process_time()
        for number in range(400):
            logger.info("attempted", message="01ABC", share="01ABC-1", outcome="delivered", number=number)
        best = min(best, (time.process_time() - start) / 400)
    assert best < 100e-6, f"{best * 1e6:.0f} microseconds per event"
