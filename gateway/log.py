"""Structured logs: one JSON object per line on standard output, one event per stage, with message and share ids.

Guarantees: a key that may carry message content, a credential or an identifier's value is dropped before
rendering and named in `dropped_keys`; values that JSON cannot hold are replaced by their type, never by their text;
an exception is logged as its type and the places it passed through, its text only where it is a `GatewayError`.
Libraries that use the standard `logging` are heard from WARNING upwards, by their message template alone, so that
the arguments (addresses, command lines) stay out. Failures: a line that cannot be written is counted in
`lost_lines()`, never raised: mail does not stop because nobody reads the log.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger

from gateway.errors import GatewayError

FORBIDDEN_KEYS = frozenset(
    {
        "body",
        "content",
        "data",
        "identifier",
        "identifiers",
        "key",
        "passphrase",
        "password",
        "payload",
        "plaintext",
        "private_key",
        "seal_key",
        "secret",
        "subject",
        "text",
        "token",
        "value",
    }
)

_EXCEPTION_PLACES = 8
_TEMPLATE_CHARACTERS = 200

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str = "info", descriptor: int = 1) -> None:
    """Sends every later event at `level` ("debug", "info", "warning", "error") or above to the file descriptor.

    Call it once per process, before the first event. Raises KeyError for another level.
    """
    structlog.configure(
        processors=[_level, _stamp, _exception, _drop_forbidden, _render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_LineLoggerFactory(descriptor),
        cache_logger_on_first_use=True,
    )
    _adopt_standard_logging()


def get_logger(stage: str) -> FilteringBoundLogger:
    """The logger of a stage ("intake", "delivery", ...). Safe at import time: it takes its settings at first use."""
    return cast(FilteringBoundLogger, structlog.get_logger(stage=stage))


def lost_lines() -> int:
    """How many lines this process could not write since it started."""
    return _LineLogger.lost


# ---------------------------------------------------------------- processors

EventDict = MutableMapping[str, Any]


def _level(_logger: object, method: str, event: EventDict) -> EventDict:
    event["level"] = "error" if method == "exception" else method
    return event


class _Second:
    """The last second that was formatted: strftime costs more than the rest of the line."""

    number = -1
    text = ""


def _stamp(_logger: object, _method: str, event: EventDict) -> EventDict:
    now = time.time_ns() // 1_000_000
    second, millisecond = divmod(now, 1000)
    if second != _Second.number:
        _Second.text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _Second.number = second
    event["at"] = f"{_Second.text}.{millisecond:03d}Z"
    return event


def _exception(_logger: object, _method: str, event: EventDict) -> EventDict:
    given = event.pop("exc_info", None)
    if not given:
        return event
    error = given if isinstance(given, BaseException) else sys.exc_info()[1]
    if isinstance(given, tuple):
        error = given[1]
    if error is not None:
        event.update(describe(error))
    return event


def describe(error: BaseException) -> dict[str, str]:
    """What may be logged of an exception: its type, where it passed, and a `GatewayError`'s own sentence."""
    frames = traceback.extract_tb(error.__traceback__)[-_EXCEPTION_PLACES:]
    facts = {
        "error": type(error).__name__,
        "error_at": " < ".join(f"{_module_path(frame.filename)}:{frame.lineno}" for frame in reversed(frames)),
    }
    if isinstance(error, GatewayError):
        facts["error_says"] = str(error)
    return facts


def _module_path(filename: str) -> str:
    parts = Path(filename).parts
    return "/".join(parts[-2:])


def _drop_forbidden(_logger: object, _method: str, event: EventDict) -> EventDict:
    if FORBIDDEN_KEYS.isdisjoint(event):
        return event
    dropped = sorted(FORBIDDEN_KEYS.intersection(event))
    for name in dropped:
        del event[name]
    event["dropped_keys"] = dropped
    return event


def _type_only(value: object) -> str:
    if isinstance(value, frozenset | set):
        return f"<{len(value)} items>"
    return f"<{type(value).__name__}>"


_encode = json.JSONEncoder(separators=(",", ":"), default=_type_only, check_circular=False, skipkeys=True).encode


def _render(_logger: object, _method: str, event: EventDict) -> bytes:
    return _encode(event).encode("ascii")


# ---------------------------------------------------------------- output


class _LineLogger:
    """Writes each line with one system call, so that lines of several processes do not mix (below PIPE_BUF)."""

    lost = 0

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def msg(self, line: bytes) -> None:
        """Writes one line; counts it as lost where the descriptor refuses it."""
        rest = line + b"\n"
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            _LineLogger.lost += 1

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


class _LineLoggerFactory:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, *_arguments: object) -> _LineLogger:
        return _LineLogger(self._descriptor)


# ---------------------------------------------------------------- libraries


class _LibraryHandler(logging.Handler):
    """Turns a library's warning into one event: its name, its template's first line, no arguments."""

    def emit(self, record: logging.LogRecord) -> None:
        lines = str(record.msg).splitlines() or [""]
        facts: dict[str, str] = describe(record.exc_info[1]) if record.exc_info and record.exc_info[1] else {}
        log = get_logger("library")
        report = log.error if record.levelno >= logging.ERROR else log.warning
        report("library said", library=record.name, template=lines[0][:_TEMPLATE_CHARACTERS], **facts)


def _adopt_standard_logging() -> None:
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler()]
    root.setLevel(logging.WARNING)
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd prints envelopes and commands below this
    warnings.showwarning = _show_warning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Stands in for warnings.showwarning: the category and the place; the wording could quote data."""
    get_logger("library").warning("warning", category=category.__name__, place=f"{_module_path(filename)}:{lineno}")
