"""SMTP replies, read with limits (RFC 5321 section 4.2, RFC 2034).

Guarantees: memory for one reply is bounded by `LONGEST_LINE` * `MOST_LINES`; a stored text is printable and at most
`LONGEST_TEXT` characters. Failures: `MalformedReply`, after which the connection is of no further use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.errors import TemporaryError

LONGEST_LINE = 2048  # RFC 5321 section 4.5.3.1.5 says 512; more is borne
MOST_LINES = 200
LONGEST_TEXT = 500


class MalformedReply(TemporaryError):
    """What the peer sent is not an SMTP reply, or passes a limit. `replies` came before it and are sound."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.replies: list[Reply] = []


def clean(text: str) -> str:
    """`text` fit to be stored and shown: printable characters only, white space runs as one space, cut to 500."""
    text = text[: LONGEST_TEXT * 4]
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(text.split())[:LONGEST_TEXT]


# What a content filter quotes of the message it refuses: between quotation marks, behind "subject", long numbers.
_QUOTED = re.compile(r"[\"“”„«][^\"“”»]*[\"“”»]|(?<=\bsubject\b).+|(?<!\d)(?<!\d\.)\d(?:[ -]?\d){5,}", re.IGNORECASE)


def unquoted(text: str) -> str:
    """`text` without what a peer that has read the message may quote of it: replies are recorded and reported."""
    return _QUOTED.sub("[...]", text)


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply: its code and the text of each line after code and separator."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def completed(self) -> bool:
        """2yz: done as asked, whatever the other digits (RFC 5321 section 4.2.1)."""
        return self.code < 300

    @property
    def positive(self) -> bool:
        return self.code < 400

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    @property
    def text(self) -> str:
        """Code and text as one printable line."""
        return clean(f"{self.code} {b' '.join(self.lines[:40]).decode('utf-8', 'replace')}")

    @property
    def status(self) -> str:
        """The enhanced status code of the first line, where its class fits the code; else "<class>.0.0"."""
        default = f"{self.code // 100}.0.0"
        word = self.lines[0].partition(b" ")[0]
        if not 5 <= len(word) <= 9 or not word.isascii():
            return default
        parts = word.split(b".")
        if len(parts) != 3 or not all(part.isdigit() and len(part) <= 3 for part in parts):
            return default
        return word.decode() if word[0] == default.encode()[0] and len(parts[0]) == 1 else default


class ReplyReader:
    """Turns received bytes into replies."""

    __slots__ = ("_code", "_lines", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._code = 0
        self._lines: list[bytes] = []

    @property
    def partial(self) -> bool:
        """True where bytes of an unfinished reply are held."""
        return bool(self._rest or self._lines)

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes. Raises `MalformedReply`."""
        replies: list[Reply] = []
        try:
            self._split(self._rest + data if self._rest else data, replies)
        except MalformedReply as error:
            error.replies = replies
            raise
        return replies

    def _split(self, buffer: bytes, replies: list[Reply]) -> None:
        start = 0
        while (end := buffer.find(b"\n", start)) >= 0:
            if end - start > LONGEST_LINE:
                raise MalformedReply("a reply line is too long")
            line = buffer[start : end - 1] if end > start and buffer[end - 1] == 13 else buffer[start:end]
            start = end + 1
            reply = self._line(line)
            if reply is not None:
                replies.append(reply)
        self._rest = buffer[start:]
        if len(self._rest) > LONGEST_LINE:
            raise MalformedReply("a reply line is too long")

    def _line(self, line: bytes) -> Reply | None:
        digits, separator = line[:3], line[3:4]
        if len(digits) < 3 or not digits.isdigit() or separator not in (b" ", b"-", b"") or b"\r" in line:
            raise MalformedReply("a line is not an SMTP reply")
        code = int(digits)
        if not 200 <= code <= 599:
            raise MalformedReply("a reply code is out of range")
        if self._lines and code != self._code:
            raise MalformedReply("the lines of a reply bear different codes")
        self._code = code
        self._lines.append(line[4:])
        if separator == b"-":
            if len(self._lines) >= MOST_LINES:
                raise MalformedReply("a reply has too many lines")
            return None
        reply = Reply(code, tuple(self._lines))
        self._lines = []
        return reply
