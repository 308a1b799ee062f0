"""A password beside what it opens: tries what a reader of the message has at hand on what is encrypted in it.

Guarantees: candidates come in the order of their likelihood, none twice; trials are paid for out of the message's
effort, cheap ones first, and what is left untried is said in a finding. Nothing keeps or reports a candidate.
Failures: none raised; a lock whose reader fails stays shut, because its format has judged it already.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, pairwise

from gateway.inspection.limits import Budget, Clues, Context, Lock
from gateway.model import Encrypted, PartFacts, Strength

OPENED = "password-opens-it"
UNTRIED = "passwords-partly-tried"
_CANDIDATES_MOST = 2000
_TEXT_MOST = 64 * 1024  # characters of one text that are looked through
_TOLD_MOST = 200  # places of one text where a password seems to be told
_LONGEST = 64  # characters of a password that somebody writes into a mail
_SHORTEST_WORD = 4
_NEAR_MOST = 12  # words after a place where a password is spoken of
_SURE = re.compile(
    r"\b(?:pass[ -]?(?:words?|codes?|phrases?|keys?)|pwd|pw|p/w|p\.w\.?|pin(?: (?:no|number|code))?|key ?word"
    r"|(?:access|unlock|security|encryption|decryption|door) (?:code|key))(?![\w-])",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\b(?:the (?:code|key|secret|phrase)|code|key|secret|log ?in|(?:un)?lock(?:s|ed)? with|decrypt(?:s|ed)? with"
    r"|open(?:s|ed)? (?:it |them |this |the (?:file|attachment|document|report|archive) )?with|use|enter|type)\b",
    re.IGNORECASE,
)
_LINK = re.compile(
    r"[^\n]{0,80}?(?:\b(?:is|are|was|be|as follows|as|with|to)\b|=|:|->|=>|→|–|\s-|\|)[ \t]*(?=\S)([^\n]{1,120})",
    re.IGNORECASE,
)
_DIRECT = re.compile(r"[ \t:=\n\"'“‘(|>,*_-]{1,12}([^\n]{1,120})")
_NEXT_LINE = re.compile(r"[^\n]{0,120}\n\s{0,40}([^\n]{1,120})")
_BEFORE = re.compile(r"(\S{1,64})[ \t]+(?:is|as|for)[ \t]+(?:the|your|a|our)[ \t]+(?:\w+[ \t]+)?\Z", re.IGNORECASE)
_STOP = re.compile(r"[,;(]|\.(?:\s|\Z)| [-–—] | (?:and|but|please|with|which|all|in|to|for|without|note|it|when) ")
_QUOTED = re.compile(r"[\"“‘'`«]([^\"”’'`»\n]{3,64})[\"”’'`»]")
_TOKEN = re.compile(r"\S+")
_EDGES = ".,;:!?\"'()[]{}<>*_~`“”‘’«»|-–"
_CLOSING = ".,;:)\"'”’»>|*"
_NAME_PART = re.compile(r"[\s_.+()-]+")
_INVISIBLE = dict.fromkeys((0x00AD, *range(0x200B, 0x2010), 0x2060, 0xFEFF))
_SPACES = dict.fromkeys((0x00A0, *range(0x2000, 0x200B), 0x202F, 0x3000, 0x0D), " ")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NUMBER_DATE = re.compile(r"(?<![0-9])([0-3]?[0-9])[/.\- ]([01]?[0-9])[/.\- ]((?:19|20)?[0-9]{2})(?![0-9])")
_ISO_DATE = re.compile(r"(?<![0-9])((?:19|20)[0-9]{2})[-/.]([01]?[0-9])[-/.]([0-3]?[0-9])(?![0-9])")
_NAMED_DATE = re.compile(
    rf"(?<![0-9])([0-3]?[0-9])(?:st|nd|rd|th)?(?: of)?[ -]({'|'.join(_MONTHS)})[a-z]{{0,6}}\.?,?[ -]"
    r"((?:19|20)?[0-9]{2})(?![0-9])",
    re.IGNORECASE,
)
_POSTCODE = re.compile(r"\b([A-Z]{1,2}[0-9][0-9A-Z]?) ?([0-9][A-Z]{2})\b", re.IGNORECASE)
_NUMBER = re.compile(r"\+?[0-9][0-9 ()./-]{4,20}[0-9]")


def candidates(texts: Iterable[str], clues: Clues) -> tuple[str, ...]:
    """What somebody who has only the message would try: most likely first. "" is always the first."""
    lines = [text[:_TEXT_MOST].translate(_SPACES).translate(_INVISIBLE) for text in dict.fromkeys(texts)]
    ordered: dict[str, None] = {"": None}
    sure = [list(_told(line, _SURE)) for line in lines]
    unsure = [list(_told(line, _UNSURE)) for line in lines]
    _interleave(ordered, sure)
    for told in sure:
        _add(ordered, _cases(told))
    for line in lines:
        _add(ordered, _quoted(line))
    _interleave(ordered, unsure)
    for source in (_odd_tokens, _dates, _numbers):
        for line in lines:
            _add(ordered, source(line))
    _add(ordered, clues.passwords)
    for told in unsure:
        _add(ordered, _cases(told))
    for source in (_words, _pairs, _cased_words):
        for line in lines:
            _add(ordered, source(line))
    return tuple(ordered)[:_CANDIDATES_MOST]


def _interleave(ordered: dict[str, None], told: list[list[str]]) -> None:
    """Takes the likeliest of each text before the second of any."""
    for rank in range(max(map(len, told), default=0)):
        _add(ordered, (one[rank] for one in told if rank < len(one)))


def _add(ordered: dict[str, None], found: Iterable[str]) -> None:
    for candidate in found:
        if len(ordered) >= _CANDIDATES_MOST:
            return
        if candidate and len(candidate) <= _LONGEST:
            ordered.setdefault(candidate)
            if not candidate.isascii():  # programs differ in how they compose letters
                for form in ("NFC", "NFD"):
                    ordered.setdefault(unicodedata.normalize(form, candidate))


def _told(text: str, words: re.Pattern[str]) -> Iterator[str]:
    """What stands where a password is told: likeliest readings of each place first, then what is near."""
    places = list(islice(words.finditer(text), _TOLD_MOST))
    later: list[str] = []
    for place in places:
        end = place.end()
        told = [match[1] for match in (_LINK.match(text, end), _DIRECT.match(text, end)) if match]
        before = _BEFORE.search(text, max(0, place.start() - 100), place.start())
        if before:
            yield from _trimmed(before[1])
        for rest in told:
            first = _TOKEN.match(rest.lstrip("\"'“‘(*_|> "))
            yield from _trimmed(first[0] if first else "")
            later += _phrases(rest)
        following = _NEXT_LINE.match(text, end)
        if following:
            later += _phrases(following[1])
    yield from later
    for place in places:
        for match in islice(_TOKEN.finditer(text, place.end(), place.end() + 200), _NEAR_MOST):
            yield from _trimmed(match[0])


def _phrases(rest: str) -> Iterator[str]:
    """The readings of what follows: a word, the words up to a stop, up to the line's end, with and without spaces."""
    rest = rest.strip()
    words = rest.split()
    stop = _STOP.search(rest)
    cut = rest[: stop.start()].strip() if stop and stop.start() else ""
    yield from _trimmed(words[0] if words else "")
    for phrase in (cut, rest):
        yield from _trimmed(phrase)
        if " " in phrase:
            yield phrase.strip(_EDGES + " ").replace(" ", "")
    for count in (2, 3, 4, 5):
        if len(words) > count:
            phrase = " ".join(words[:count])
            yield from _trimmed(phrase)
            yield phrase.strip(_EDGES).replace(" ", "")


def _cases(told: Iterable[str]) -> Iterator[str]:
    """As somebody types who is told "all lower case" or "capital S"."""
    for word in told:
        yield from dict.fromkeys(
            (word.lower(), word.upper(), word.capitalize(), word.title(), word[:1].upper() + word[1:])
        )


def _odd_tokens(text: str) -> Iterator[str]:
    """Words with digits and letters, signs or capitals inside: few words of a note have them, most passwords do."""
    plain: list[str] = []
    for match in _TOKEN.finditer(text):
        word = match[0].strip(_EDGES)
        if len(match[0]) < _SHORTEST_WORD or (word.isalpha() and (word[1:].islower() or not word)):
            continue
        mixed = any(c.isdigit() for c in word) and any(c.isalpha() for c in word)
        if mixed and "@" not in word and "://" not in word:
            yield from _trimmed(match[0])
        else:
            plain.append(match[0])
    for word in plain:
        yield from _trimmed(word)


def _quoted(text: str) -> Iterator[str]:
    for match in _QUOTED.finditer(text):
        yield match[1]


def _dates(text: str) -> Iterator[str]:
    """The dates of the text in the forms in which people use one as a password."""
    found: list[tuple[int, int, str]] = [(int(m[1]), int(m[2]), m[3]) for m in _NUMBER_DATE.finditer(text)]
    found += [(int(m[3]), int(m[2]), m[1]) for m in _ISO_DATE.finditer(text)]
    found += [(int(m[1]), _MONTHS.index(m[2].lower()) + 1, m[3]) for m in _NAMED_DATE.finditer(text)]
    for day, month, year in dict.fromkeys(found):
        if not (1 <= day <= 31 and 1 <= month <= 12):
            continue
        short = year[-2:]
        long = year if len(year) == 4 else ("19" if int(short) > 50 else "20") + short
        d, m = f"{day:02}", f"{month:02}"
        yield from (f"{d}{m}{long}", f"{d}/{m}/{long}", f"{d}{m}{short}", f"{d}/{m}/{short}", f"{d}-{m}-{long}")
        yield from (f"{d}.{m}.{long}", f"{long}-{m}-{d}", f"{long}{m}{d}", f"{day}/{month}/{long}", f"{m}{d}{long}")
        yield from (
            f"{d}-{m}-{short}",
            f"{d}.{m}.{short}",
            f"{day}/{month}/{short}",
            f"{short}{m}{d}",
            f"{d} {m} {long}",
        )


def _numbers(text: str) -> Iterator[str]:
    """Postcodes and numbers of several groups, with and without what parts them."""
    for match in _POSTCODE.finditer(text):
        near, far = match[1].upper(), match[2].upper()
        yield from (near + far, f"{near} {far}", (near + far).lower(), f"{near} {far}".lower())
    for match in _NUMBER.finditer(text):
        yield from (match[0], "".join(c for c in match[0] if c.isdigit()))


def _words(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        if len(match[0]) >= _SHORTEST_WORD:
            yield from _trimmed(match[0])


def _cased_words(text: str) -> Iterator[str]:
    return _cases(word.strip(_EDGES) for word in text.split() if len(word) >= _SHORTEST_WORD)


def _pairs(text: str) -> Iterator[str]:
    """Two words that stand side by side, with and without the space."""
    words = [word.strip(_EDGES) for word in text.split()]
    for first, second in pairwise(words):
        if first and second and len(first) + len(second) >= 6:
            yield from (f"{first} {second}", first + second)


def _trimmed(word: str) -> Iterator[str]:
    """The word without the punctuation that ends a sentence, without any around it, and as it stands."""
    word = word.strip()
    yield word.rstrip(_CLOSING).lstrip("(\"'“‘«<|*")
    yield word.strip(_EDGES)
    yield word.rstrip(_CLOSING)
    yield word
    for sign in "=:,|":
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
    context.budget.pool(context.limits.effort_most)
    opened, untried = opens(locks, passwords, context.budget)
    return verdict(part, bool(opened), bool(untried))


def verdict(part: PartFacts, opened: bool, untried: bool) -> PartFacts:
    """The part, with what trying its locks has shown."""
    if opened:
        state = Encrypted.NO if part.encrypted is Encrypted.NO else Encrypted.PARTIAL
        return replace(part, strength=Strength.NONE, encrypted=state, findings=(*part.findings, OPENED))
    return replace(part, findings=(*part.findings, UNTRIED)) if untried else part
