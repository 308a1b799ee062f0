"""Looks for a text in files, in clear and in base64.

Guarantees: every regular file below the folders is read to its end, whatever its name or size; base64 is searched
at all three alignments and with line breaks taken out.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path


def needles(marker: bytes) -> tuple[bytes, ...]:
    """The marker, its UTF-16 and hexadecimal forms, and what is certain of its base64 at each alignment."""
    forms = [marker, marker.decode().encode("utf-16-le"), marker.hex().encode()]
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + marker)
        start = (0, 2, 3)[shift]
        end = len(encoded) - (4 if (shift + len(marker)) % 3 else 0)
        forms.append(encoded[start:end])
    return tuple(forms)


def files_with(marker: bytes, *folders: Path) -> list[str]:
    """Names of the files that hold the marker in any form."""
    wanted = needles(marker)
    found = []
    for top in folders:
        for where, _, names in os.walk(top):
            for name in names:
                path = Path(where, name)
                if not path.is_file():
                    continue
                try:
                    data = path.read_bytes()
                except FileNotFoundError:
                    continue  # a journal that its database removed meanwhile
                joined = data.replace(b"\r\n", b"").replace(b"\n", b"")
                if any(needle in data or needle in joined for needle in wanted):
                    found.append(str(path))
    return found
