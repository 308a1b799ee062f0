"""The text of secure-domains.toml with some of its entries changed, removed or added, and all else as it was.

Guarantees: pure; comments, order and spelling of everything else stay, and what comes out is read again and compared
before it is given: it holds exactly the entries that it should. Failures: `RegisterFileError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Table

from gateway import toml_lines
from gateway.configuration import Findings
from gateway.directory.load import read_register
from gateway.directory.model import RegisterEntry
from gateway.errors import PermanentError

_ORDER = ("domain", "partner", "basis", "evidence", "owner", "valid_from", "valid_until", "review", "assurance")
_BOM = "\ufeff"

Change = tuple[RegisterEntry | None, RegisterEntry | None]  # before and after


class RegisterFileError(PermanentError):
    """The file cannot be changed without a person."""


def rewritten(content: bytes, entries: Sequence[RegisterEntry], changes: Iterable[Change]) -> bytes:
    """The new content of the file that holds `entries`, in their order. Raises RegisterFileError."""
    text = content.decode("utf-8")
    mark, text = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    newline = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    changed = {before.domain: after for before, after in changes if before is not None}
    added = [after for before, after in changes if before is None and after is not None]
    text = _with_changes(text, entries, {name: entry for name, entry in changed.items() if entry is not None})
    text = _without(text, [place for place, entry in enumerate(entries) if changed.get(entry.domain, entry) is None])
    text = _with_more(text if text.endswith("\n") or not text else f"{text}\n", added)
    result = (mark + text.replace("\n", newline)).encode()
    kept = [changed.get(entry.domain, entry) for entry in entries]
    _compare(result, [*(entry for entry in kept if entry is not None), *added])
    return result


def _with_changes(text: str, entries: Sequence[RegisterEntry], changed: dict[str, RegisterEntry]) -> str:
    if not changed:
        return text
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        problem = f"the register's file cannot be changed by program ({error}): make these changes by hand"
        raise RegisterFileError(problem) from error
    tables = document.get("domain")
    if not isinstance(tables, AoT):
        raise RegisterFileError("the register's file has no [[domain]] tables: write it so, then import again")
    for place, entry in enumerate(entries):
        if entry.domain in changed:
            _update(tables[place], entry, changed[entry.domain])
    return _with_reviews(tomlkit.dumps(document), entries, changed)


def _update(table: Table, before: RegisterEntry, after: RegisterEntry) -> None:
    old, new = before.model_dump(), after.model_dump()
    for name in _ORDER:
        if old[name] == new[name]:
            continue
        if new[name] is None:
            table.remove(name)
        elif name in table:
            table[name] = new[name]


def _with_reviews(text: str, entries: Sequence[RegisterEntry], changed: dict[str, RegisterEntry]) -> str:
    """Adds the review where there was none: the one key that may be missing, below the last day, which has a line."""
    lines, starts = text.split("\n"), toml_lines.line_index(text)
    for place, entry in reversed(list(enumerate(entries))):
        after = changed.get(entry.domain)
        if after is not None and entry.review is None and after.review is not None:
            lines.insert(starts[("domain", place, "valid_until")], f"review = {after.review.isoformat()}")
    return "\n".join(lines)


def _without(text: str, places: Sequence[int]) -> str:
    """Takes out the tables at `places`, each with the comment that stands directly above it."""
    if not places:
        return text
    lines, starts = text.split("\n"), toml_lines.line_index(text)
    headers = sorted(line - 1 for path, line in starts.items() if len(path) == 2 and path[0] == "domain")
    spent: set[int] = set()
    for place in places:
        first = starts[("domain", place)] - 1
        spent.update(_block(lines, first, next((line for line in headers if line > first), len(lines))))
    return "\n".join(line for number, line in enumerate(lines) if number not in spent)


def _block(lines: Sequence[str], first: int, end: int) -> range:
    """The lines of the table whose header is line `first`, where the next one's is `end` (both from 0)."""
    last = end
    while last - 1 > first and (not lines[last - 1].strip() or lines[last - 1].lstrip().startswith("#")):
        last -= 1  # these lines belong to what follows
    above = first
    while above > 0 and lines[above - 1].lstrip().startswith("#"):
        above -= 1
    first = above if above > 0 else first  # a comment that begins the file is about all of it
    if last < len(lines) and lines[last].strip():
        return range(first, last)
    while first > 0 and not lines[first - 1].strip():
        first -= 1
    return range(first, last)


def _with_more(text: str, added: Sequence[RegisterEntry]) -> str:
    for entry in added:
        table = tomlkit.document()
        for name, value in entry.model_dump(exclude_defaults=True).items():
            table.append(name, _plain(value))
        gap = "" if not text.strip() else "\n" if text.endswith("\n") else "\n\n"
        text += f"{gap}[[domain]]\n{tomlkit.dumps(table)}"
    return text


def _plain(value: Any) -> Any:
    return value if isinstance(value, date | bool) else list(value) if isinstance(value, tuple) else str(value)


def _compare(content: bytes, wanted: Sequence[RegisterEntry]) -> None:
    findings = Findings()
    found = read_register(Path("secure-domains.toml"), content, findings)
    if findings.faults or list(found) != list(wanted):
        raise RegisterFileError("the register's file cannot be changed by program: make these changes by hand")
