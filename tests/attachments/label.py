"""Writes a made file with its label: what row of the scale it witnesses, who made it, what is expected of it."""

from __future__ import annotations

import json
from pathlib import Path

FILES = Path(__file__).parent / "files"


def keep(
    name: str,
    data: bytes,
    *,
    row: str,
    made_by: str,
    kind: str,
    strength: str,
    scheme: str,
    encrypted: str,
    findings: tuple[str, ...] = (),
    password: str = "",
) -> None:
    """Keeps `data` as files/<name>. `made_by` begins with the program's name: "qpdf 11.3". What is expected is written
    by whoever makes the file, from the standards, never read off the inspection's own answer.
    """
    FILES.mkdir(exist_ok=True)
    (FILES / name).write_bytes(data)
    expect = {"kind": kind, "strength": strength, "scheme": scheme, "encrypted": encrypted, "findings": list(findings)}
    label = {"row": row, "made_by": made_by, "password": password, "expect": expect}
    text = json.dumps(label, indent=2, ensure_ascii=False)
    (FILES / f"{name}.label.json").write_text(text + "\n", "utf-8")
