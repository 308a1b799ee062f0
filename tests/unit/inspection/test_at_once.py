"""Facts found under the small limits are those of the full ones, or they say that there is more to find."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gateway.inspection import AT_ONCE, Limits, inspect_file, inspect_message
from tests.attachments import compound_writer, outlook_writer

TESTS = Path(__file__).parents[2]
MESSAGES = sorted((TESTS / "messages").glob("*.eml"))
FILES = [path for path in sorted((TESTS / "attachments" / "files").iterdir()) if path.suffix != ".json"]
TOP = b"From: a@council.example\r\nSubject: Report\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"


def content_of(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".eml" and path.parent.name == "messages":
        return data
    lines = base64.encodebytes(data).replace(b"\n", b"\r\n")
    return TOP + b"Content-Transfer-Encoding: base64\r\n\r\n" + lines


@pytest.mark.parametrize("path", [*MESSAGES, *FILES], ids=lambda path: path.name)
def test_small_limits_find_the_same_or_say_that_they_did_not(path: Path) -> None:
    content = content_of(path)
    facts = inspect_message(content, AT_ONCE)
    assert facts.unfinished or facts == inspect_message(content)


@pytest.mark.parametrize("limits", [AT_ONCE, Limits()])
def test_a_rich_text_body_that_is_cut_counts_as_not_searched(limits: Limits) -> None:
    words = "Words about a visit. " * (limits.text // 20)
    part = inspect_file(compound_writer.write(outlook_writer.msg(rtf=outlook_writer.plain_rtf(words))), limits)
    assert dict(part.identifiers)["unscanned"] == 1
