"""A password beside what it opens: tries what a reader of the message has at hand on what is encrypted in it.

Guarantees: candidates come in the order of their likelihood, none twice; trials are paid for out of the message's
effort, cheap ones first, and what is left untried is said in a finding. Nothing keeps or reports a candidate.
Failures: none raised; a lock whose reader fails stays shut, because its format has judged it already.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from gateway.inspection.limits import Budget, Clues, Context, Lock
from gateway.model import Encrypted, PartFacts, Strength

OPENED = "password-opens-it"
UNTRIED = "passwords-partly-tried"
_CANDIDATES_MOST = 2000
_LONGEST = 64  # characters of a password that somebody writes into a mail
_SHORTEST_WORD = 4
_SECRET = (
    r"(?:pass ?(?:word|code|phrase|key)|pwd|pw|p/w|pin|key ?word"
    r"|(?:access|unlock|security|encryption|door) ?(?:code|key))"
)
_AFTER = re.compile(
    rf"\b{_SECRET}s?\b[^\n]{{0,80}}?(?:\bis\b|\bas\b|\bwith\b|=|:|->|→|–|-)[ \t]*([^\n]{{1,120}})", re.IGNORECASE
)
_NEXT = re.compile(rf"\b{_SECRET}s?\b[ \t:=\n\"'“‘(-]{{1,8}}(\S{{1,64}})", re.IGNORECASE)
_BEFORE = re.compile(rf"(\S{{1,64}})\s+(?:is|as|for)\s+(?:the|your|a)\s+{_SECRET}\b", re.IGNORECASE)
_QUOTED = re.compile(r"[\"“‘'`«]([^\"”’'`»\n]{3,64})[\"”’'`»]")
_TOKEN = re.compile(r"\S+")
_EDGES = ".,;:!?\"'()[]{}<>*_~`“”‘’«»|-–"
_NAME_PART = re.compile(r"[\s_.+()-]+")
_INVISIBLE = dict.fromkeys((0x00AD, *range(0x200B, 0x2010), 0x2060, 0xFEFF))


def candidates(texts: Iterable[str], clues: Clues) -> tuple[str, ...]:
    """What somebody who has only the message would try: most likely first. "" is always the first."""
    lines = [text.replace("\u00a0", " ").translate(_INVISIBLE) for text in texts]
    ordered: dict[str, None] = {"": None}
    for source in (_told, _odd_tokens, _quoted):
        for line in lines:
            _add(ordered, source(line))
    _add(ordered, clues.passwords)
    for line in lines:
        _add(ordered, _words(line))
    return tuple(ordered)[:_CANDIDATES_MOST]


def _add(ordered: dict[str, None], found: Iterable[str]) -> None:
    for candidate in found:
        if len(ordered) >= _CANDIDATES_MOST:
            return
        if candidate and len(candidate) <= _LONGEST:
            ordered.setdefault(candidate)


def _told(text: str) -> Iterator[str]:
    """What stands where a password is told: the next word, and the rest of the line as a phrase."""
    for match in _NEXT.finditer(text):
        yield from _trimmed(match[1])
    for match in _AFTER.finditer(text):
        rest = match[1].strip()
        words = rest.split()
        yield from _trimmed(words[0] if words else "")
        yield from _trimmed(rest)
        for count in (2, 3, 4):
            if len(words) > count:
                yield from _trimmed(" ".join(words[:count]))
    for match in _BEFORE.finditer(text):
        yield from _trimmed(match[1])


def _odd_tokens(text: str) -> Iterator[str]:
    """Words with digits, signs or capitals inside: few words of a covering note have them, most passwords do."""
    for match in _TOKEN.finditer(text):
        word = match[0]
        if len(word) >= _SHORTEST_WORD and (not word.isalpha() or not word[1:].islower()):
            yield from _trimmed(word)


def _quoted(text: str) -> Iterator[str]:
    for match in _QUOTED.finditer(text):
        yield match[1]


def _words(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        if len(match[0]) >= _SHORTEST_WORD:
            yield from _trimmed(match[0])


def _trimmed(word: str) -> Iterator[str]:
    """The word without the punctuation around it, with some of it, and as it stands."""
    yield word.strip(_EDGES)
    yield word.rstrip(".,;:)\"'”’")
    yield word.lstrip("(\"'“‘")
    yield word
    for sign in "=:":
        if sign in word:
            yield word.rpartition(sign)[2].strip(_EDGES)


def name_words(name: str) -> str:
    """A file name as text: itself, without its ending, and its pieces. Each may be the password of what it names."""
    base = re.split(r"[/\\]", name)[-1]
    stem = base.rpartition(".")[0] or base
    pieces = [piece for piece in _NAME_PART.split(stem) if len(piece) >= _SHORTEST_WORD]
    return "\n".join(dict.fromkeys((base, stem, *pieces)))


def opens(locks: Iterable[Lock], passwords: tuple[str, ...], budget: Budget) -> tuple[set[int], set[int]]:
    """The positions of the locks that a password opens, and of those not tried with all. Cheap locks come first."""
    order = sorted(enumerate(locks), key=lambda pair: pair[1].cost)
    opened: set[int] = set()
    untried: set[int] = set()
    for done, (position, lock) in enumerate(order):
        share = budget.effort // (len(order) - done)
        for password in passwords:
            if lock.cost > share or not budget.take_effort(lock.cost):
                budget.unfinished = True
                untried.add(position)
                break
            share -= lock.cost
            if _turns(lock, password):
                opened.add(position)
                break
    return opened, untried


def _turns(lock: Lock, password: str) -> bool:
    try:
        return lock.opens(password)
    except Exception:  # noqa: BLE001 - hostile data in a format that has been judged; it only stays shut
        return False


def open_part(part: PartFacts, locks: list[Lock], passwords: tuple[str, ...], context: Context) -> PartFacts:
    """The verdict on a part with these locks in it: `none` where one of the passwords opens one."""
    if not locks:
        return part
    opened, untried = opens(locks, passwords, context.budget)
    return verdict(part, bool(opened), bool(untried))


def verdict(part: PartFacts, opened: bool, untried: bool) -> PartFacts:
    """The part, with what trying its locks has shown."""
    if opened:
        state = Encrypted.NO if part.encrypted is Encrypted.NO else Encrypted.PARTIAL
        return replace(part, strength=Strength.NONE, encrypted=state, findings=(*part.findings, OPENED))
    return replace(part, findings=(*part.findings, UNTRIED)) if untried else part
