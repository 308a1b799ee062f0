"""The subject tag `[purpose: 3.5.1; basis: 4.1.2; condition: h; ref: AB-12]`: its grammar, in one place.

For inspection (which reads the declaration) and policy (which strips the tag): the two stages do not import one
another, so both import this. Works on decoded, unfolded text. Guarantees: pure, linear time, never raises;
what does not follow the grammar is no tag. A tag starts with "[", "purpose", ":" (any case, white space allowed
between them), ends at the first "]", holds no "[" and at most 200 characters; fields are separated by ";" and may be
purpose, basis, condition, ref or reference; unknown fields are ignored; of repeated fields the first wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TAG = re.compile(r"\[[ \t]{0,9}purpose[ \t]{0,9}:([^\[\]\r\n]{0,200})\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag, and where it stands in the text: text[start:end] is the tag with its brackets."""

    purpose: str
    basis: str = ""
    condition: str = ""
    reference: str = ""
    start: int = 0
    end: int = 0


def find(subject: str) -> Tag | None:
    """The first tag in a decoded, unfolded subject, or None. Values are stripped, otherwise as written."""
    match = TAG.search(subject)
    if match is None:
        return None
    first, *rest = match[1].split(";")
    fields: dict[str, str] = {"purpose": first.strip()}
    for item in rest:
        name, colon, value = item.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return Tag(
        purpose=fields["purpose"],
        basis=fields.get("basis", ""),
        condition=fields.get("condition", ""),
        reference=fields.get("ref", "") or fields.get("reference", ""),
        start=match.start(),
        end=match.end(),
    )


def remove(subject: str) -> str:
    """The subject without any tag; where one stood between words, a single space remains. Linear in the length."""
    pieces: list[str] = []
    start = 0
    for match in TAG.finditer(subject):
        pieces.append(subject[start : match.start()])
        start = match.end()
    if not pieces:
        return subject
    pieces.append(subject[start:])
    last = len(pieces) - 1
    kept = (
        piece.lstrip(" \t") if index == last else piece.rstrip(" \t") if index == 0 else piece.strip(" \t")
        for index, piece in enumerate(pieces)
    )
    return " ".join(piece for piece in kept if piece)
