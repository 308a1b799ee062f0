"""Invariant: an attachment that is protected is not, once somebody writes readable text into it, wherever that is.

Text is put between the bytes and over them, at both ends, in the middle, and at places that chance gives, for
`FUZZ_SECONDS` (3 by default), from the seed `FUZZ_SEED`.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

from gateway.inspection import inspect_file
from gateway.model import Strength

FILES = Path(__file__).parent.parent / "attachments" / "files"
TEXT = b" Jane Example of 4 High Street is at risk and must be seen by a social worker today. " * 3
PROTECTED = [
    path.with_name(path.name.removesuffix(".label.json"))
    for path in sorted(FILES.glob("*.label.json"))
    if json.loads(path.read_text("utf-8"))["expect"]["strength"] in ("acceptable", "strong")
]


def test_readable_text_anywhere_in_an_attachment_undoes_its_protection() -> None:
    seed = int(os.environ.get("FUZZ_SEED", "1"))
    end = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", "3"))
    chance = random.Random(seed)
    assert len(PROTECTED) > 50
    shown: list[str] = []
    while time.monotonic() < end:
        path = chance.choice(PROTECTED)
        data = path.read_bytes()
        at = chance.choice((0, len(data) // 2, len(data), *(chance.randint(0, len(data)) for _ in range(9))))
        over = chance.choice((0, len(TEXT)))
        part = inspect_file(data[:at] + TEXT + data[at + over :])
        if part.strength > Strength.NONE:
            shown.append(f"{path.name}: {over} octets at {at} replaced by text, {part.strength.label}")
    assert not shown
