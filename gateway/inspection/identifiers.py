"""Finds identifiers of people in text: how many of which type, never a value.

Guarantees: linear in the text; text without a digit or "@" costs one scan. Check digits are checked where the
type has them; types without one, and ten-digit numbers, of which one in eleven passes by chance, need a word
or another identifier beside them. Types are those of `findings.PERSONAL` and `findings.CONTACT`: contact types
(postcode, phone, e-mail) are what a signature block holds, so that policy can weigh them apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from stdnum.gb import nhs, upn, utr

from gateway.inspection.findings import UNSCANNED
from gateway.model import Counts

_NEAR = 60  # characters to either side in which a word gives a number its meaning

_DATE_MOST = 24  # longest date: a window begins this far before the end of the one before it
_EXPANSION = 2  # compatibility forms that make a text longer than this are no text that people write

_DIGITS = re.compile(r"[0-9]+")
_TEN = re.compile(r"(?<![0-9])[0-9]{3}[ .-]?[0-9]{3}[ .-]?[0-9]{4}(?![0-9])")
_UTR = re.compile(r"(?<![0-9A-Za-z])[Kk]?[0-9]{5} ?[0-9]{5}[Kk]?(?![0-9A-Za-z])")
_NINO = re.compile(
    r"(?<![A-Za-z0-9])(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
    r"(?:[ -]?[0-9]{2}){3}[ -]?[A-D](?![A-Za-z0-9])",
    re.IGNORECASE,
)
_UPN = re.compile(r"(?<![A-Za-z0-9])[A-HJ-NP-RT-Z][0-9]{11}[0-9A-HJ-NP-RT-Z](?![A-Za-z0-9])", re.IGNORECASE)
_PNC = re.compile(r"(?<![A-Za-z0-9/])([0-9]{4}|[0-9]{2})/([0-9]{1,7})([A-Z])(?![A-Za-z0-9])", re.IGNORECASE)
_CRO = re.compile(r"(?<![A-Za-z0-9/])([0-9]{1,6})/([0-9]{2})([A-Z])(?![A-Za-z0-9])", re.IGNORECASE)
_PRISON = re.compile(r"(?<![A-Za-z0-9])[A-Z][0-9]{4}[A-Z]{2}(?![A-Za-z0-9])")
_CRN = re.compile(r"(?<![A-Za-z0-9])[A-Z][0-9]{6}(?![A-Za-z0-9])", re.IGNORECASE)
_POSTCODE = re.compile(
    r"(?<![A-Za-z0-9])(?:GIR ?0AA|[A-PR-UWYZ](?:[0-9]{1,2}|[A-HK-Y][0-9]{1,2}|[0-9][A-HJKPSTUW]|[A-HK-Y][0-9][A-Z])"
    r" {0,2}[0-9][ABD-HJLNP-UW-Z]{2})(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_PHONE = re.compile(r"(?<![0-9A-Za-z./-])(?:(?:\+44|0044)(?: ?\(0\))?|\(?0)(?:[ ().-]{0,2}[0-9]){9,10}(?![0-9])")
_NUMERIC_DATE = re.compile(
    r"(?<![0-9])(?:(?P<day>[0-9]{1,2})[/. -](?P<month>[0-9]{1,2})[/. -](?P<year>[0-9]{4}|[0-9]{2})"
    r"|(?P<year2>[0-9]{4})[-/.](?P<month2>[0-9]{1,2})[-/.](?P<day2>[0-9]{1,2}))(?![0-9])"
)
_MONTHS = "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
_WORD_DATE = re.compile(
    rf"(?<![0-9])[0-9]{{1,2}}(?:st|nd|rd|th)?(?: of)?[ -](?:{_MONTHS}|nov(?:ember)?|dec(?:ember)?)\.?,?[ -]"
    rf"(?:[0-9]{{4}}|[0-9]{{2}})(?![0-9])"
    rf"|(?<![A-Za-z])(?:{_MONTHS}|nov(?:ember)?|dec(?:ember)?)\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? [0-9]{{4}}(?![0-9])",
    re.IGNORECASE,
)
_HEALTH = re.compile(
    r"\bnhs ?(?:no|num|id)"
    r"|(?<![@.\w-])nhs\b(?!\.[a-z]|[ -]?(?:foundation|trust|england|scotland|wales|digital|net|mail|111\b|board|bsa))"
    r"|\b(?:chi|h&c|h and c|hcn|hscn|health (?:and|&) care|patient|hospital)\b"
)
_TAX = re.compile(r"\b(?:utr|unique tax|tax ?payer|tax ref|self[ -]assessment)")
_BORN = re.compile(r"\bd[./]? ?o[./]? ?b\b|\b(?:date|day|month|year) of birth|\bbirth ?(?:date|day)|\bborn\b|\bdobs\b")
_COMPACT_DATE = re.compile(
    r"(?<![0-9])(?:[0-3][0-9][01][0-9](?:19|20)?[0-9]{2}|(?:19|20)[0-9]{2}[01][0-9][0-3][0-9])(?![0-9])"
)
_AGED = re.compile(
    r"aged?(?: is | of | ?[:-] ?| )[0-9]{1,2}(?: ?(?:years?|yrs?|months?|weeks?)(?: old)?)?\b"
    r"(?! ?(?:[-–+%/:.]|to\b|and\b|or\b|plus\b|upwards|[0-9]|group|range|limit|band))"
)
_AGE_GROUP = re.compile(
    r"(?:\w|(?:^|[^a-z])(?:children|people|those|pupils|anyone|adults|persons|girls|boys|students|any|working|age) )\Z"
)  # before "aged": many, or no age
_OLD = re.compile(r"(?<![0-9])[0-9]{1,2}(?:[ -]?(?:years?|yrs?|months?|weeks?)[ -]olds?\b(?! (?:and|to|or) )| ?y/?o\b)")
_PROBATION = re.compile(r"\b(?:crn|n?delius|probation|case ref)")
_CASE_NUMBER = re.compile(r"\bcrn(?: (?:no|number|is|of))?[ .:#-]{1,3}([0-9]{6,8})\b")
_COMPANY = re.compile(r"compan|registered|charity|vat\b")
_POLICE = re.compile(r"\b(?:pnc|cro|police national|criminal records?|custody|warning|convict|arrest|offender|nominal)")
_CRO_FILE = re.compile(r"\bcro\b[^0-9]{0,12}\bsf ?[0-9]{2}/[0-9]{1,6}[a-z]?\b")
_PRISONS = re.compile(r"\b(?:prison|nomis|hmp|hmyoi|yoi\b|offender|inmate|remand)")
_INSURANCE = re.compile(
    r"\b(?:national insurance|n\.?i\.? ?n?(?:o|um|umber)?|nino)\b[^a-z0-9]{0,3}"
    r"(?:(?:no|num|number|is)\b[^a-z0-9]{0,3}){0,2}"
    r"(?!bg|gb|kn|nk|nt|tn|zz)[a-ceghj-pr-tw-z][a-ceghj-npr-tw-z](?:[ -]?[0-9]{2}){3}(?![ -]?[a-d]\b|[a-z0-9])"
)
_URL = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,15}://|\bwww\.|\bcid:)[^\s<>\"']*"
    r"|\b(?:message-id|references|in-reply-to): ?<[^\s<>]{1,300}>",
    re.IGNORECASE,
)
_TELLING_URL = re.compile(
    r"nhs|patient|dob|birth|nino|upn|pnc|[a-z]{2}[0-9]{6}[a-d](?![a-z0-9])|[a-z][0-9]{11}", re.IGNORECASE
)
_SEPARATORS = str.maketrans("", "", " -.()_/")
_QUOTE = re.compile(r"\n[> ]+")
_GAPS = frozenset(" -")
_NINO_LAST = frozenset("ABCDabcd")
_LOCAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!#$%&'*+/=?^_`{|}~-")
_PNC_LETTERS = "ZABCDEFGHJKLMNPQRTUVWXY"
_DASHES = dict.fromkeys(range(0x2010, 0x2016), "-") | {
    0x2212: "-",
    0x00AD: None,
    0x034F: None,
    0x2044: "/",
    0x2215: "/",
}
_INVISIBLE = dict.fromkeys((*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF, 0))


def merge(first: Counts, second: Counts) -> Counts:
    """The two counts added up, sorted by type."""
    if not first or not second:
        return first or second
    return tuple(sorted((Counter(dict(first)) + Counter(dict(second))).items()))


def normalise(text: str) -> tuple[str, bool]:
    """Compatibility forms, dashes and digits of any script as ASCII, invisible characters removed; True if complete."""
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text, True
    most = len(text) * _EXPANSION + 1000
    text = unicodedata.normalize("NFKC", text.translate(_INVISIBLE))
    complete = len(text) <= most
    text = text[:most].translate(_DASHES)
    other = {c for c in set(text) if ord(c) > 127 and c.isdecimal()}
    return (text.translate({ord(c): str(unicodedata.decimal(c)) for c in other}) if other else text), complete


def count_in_name(text: str, watch_words: re.Pattern[str] | None = None) -> Counts:
    """As `count`, for file names and the like: "_" and "+" part words there, and underscores hide boundaries."""
    return count(text.replace("_", " ").replace("+", " ").replace("%20", " "), watch_words=watch_words)


def count(
    text: str, known_addresses: frozenset[str] = frozenset(), watch_words: re.Pattern[str] | None = None
) -> Counts:
    """The identifiers in `text`. E-mail addresses in `known_addresses` (lower case) are not counted.

    What `watch_words` matches counts as "watch-word".
    """
    if watch_words is None and text.isascii() and "@" not in text and _DIGITS.search(text) is None:
        return ()
    found: Counter[str] = Counter()
    text = _flattened(text, found)
    if watch_words is not None:
        found["watch-word"] = sum(1 for match in watch_words.finditer(text) if match[0])
    text, lower = _without_addresses(text)
    if "@" in text:
        found["email"] = sum(1 for address in set(_addresses(text)) if address not in known_addresses)
    words = _Words(
        lower,
        "crn" in lower or "delius" in lower or "probation" in lower or "case ref" in lower,
        "tax" in lower or "utr" in lower or "assessment" in lower,
    )
    tens: list[tuple[int, int, str]] = []
    first = last = digits = 0  # a stretch of groups of digits with little between them
    for match in _DIGITS.finditer(text):
        start, end = match.span()
        # A short group of digits is part of an identifier only beside a letter or one place after other digits.
        telling = end - start >= 6 or start - last == 1 or text[end : end + 1].isalpha()
        if digits and start - last <= 3 and not text[last:start].strip(" -.()_/"):
            last, digits = end, digits + end - start
        else:
            if digits >= 10:
                _long_numbers(text, first, last, words, found, tens)
            first, last, digits = start, end, end - start
        if telling:
            _around(text, start, end, words, found)
    if digits >= 10:
        _long_numbers(text, first, last, words, found, tens)
    if digits:
        _labelled(text, lower, found)
    _ten_digit_numbers(lower, tens, found)
    return tuple(sorted((kind, number) for kind, number in found.items() if number))


def _flattened(text: str, found: Counter[str]) -> str:
    """The text on one line, in plain characters, without marks of quotation."""
    text, complete = normalise(text)
    if not complete:
        found[UNSCANNED] = 1
    if "\n>" in text:
        text = _QUOTE.sub("\n", text)
    return " ".join(text.split())


@dataclass(frozen=True, slots=True)
class _Words:
    """The text in lower case, and whether it has words at all without which a type is not looked for."""

    lower: str
    probation: bool
    tax: bool


def _around(text: str, start: int, end: int, words: _Words, found: Counter[str]) -> None:
    """Counts identifiers of letters and digits whose last group of digits is text[start:end]."""
    size = end - start
    before, after = text[start - 1 : start], text[end : end + 1]
    if after.isalpha():
        if text[end + 1 : end + 2].isalpha():
            found["postcode"] += _POSTCODE.search(text, max(0, start - 8), end + 4) is not None
            if size == 4 and before.isupper():
                match = _PRISON.search(text, start - 1, end + 4)
                found["prison-number"] += match is not None and (before == "A" or _near(words.lower, match, _PRISONS))
        elif before == "/":
            _police_numbers(text, max(0, start - 8), end + 3, words, found)
    # The digits of a NINO end in a group of six, or in one of two or four with digits before the gap.
    joined = size == 6 or (size in (2, 4) and before in _GAPS and text[max(0, start - 2) : start - 1].isdigit())
    if joined and text[end : end + 2].lstrip(" -")[:1] in _NINO_LAST:
        found["nino"] += _NINO.search(text, max(0, start - 12), end + 4) is not None
    if size in (11, 12) and before.isalpha():
        for match in _UPN.finditer(text, start - 1, end + 3):
            number = match[0].upper()
            found["upn"] += number[0] == upn.calc_check_digit(number[1:])
    if size == 6 and words.probation and before.isalpha():
        for match in _CRN.finditer(text, start - 1, end + 2):
            found["crn"] += _near(words.lower, match, _PROBATION)


def _long_numbers(
    text: str, start: int, end: int, words: _Words, found: Counter[str], tens: list[tuple[int, int, str]]
) -> None:
    """Numbers of ten digits and more in a stretch of groups of digits."""
    whole = text[start:end]
    start, end = max(0, start - 2), end + 2
    single = len(whole.translate(_SEPARATORS)) == 10
    if single:  # however its digits are grouped
        tens.append((start, end, whole))
    for match in _PHONE.finditer(text, start, end):
        found["phone"] += _is_phone(match[0])
    for match in () if single else _TEN.finditer(text, start, end):
        tens.append((match.start(), match.end(), match[0]))
    if words.tax:
        for match in _UTR.finditer(text, start, end):
            if _near(words.lower, match, _TAX):
                found["utr"] += utr.is_valid(match[0].strip("Kk"))


def _labelled(text: str, lower: str, found: Counter[str]) -> None:
    """What only the words around it make an identifier."""
    if "birth" in lower or "born" in lower or "dob" in lower or _SPELT_OUT.search(lower):
        _births(lower, found)
    for match in _AGED.finditer(lower) if "age" in lower else ():
        found["date-of-birth"] += _AGE_GROUP.search(lower[max(0, match.start() - 12) : match.start()]) is None
    if "old" in lower or "yo" in lower or "y/o" in lower:
        found["date-of-birth"] += sum(1 for _ in _OLD.finditer(lower))
    if "crn" in lower:
        for match in _CASE_NUMBER.finditer(lower):
            found["crn"] += not _near(lower, match, _COMPANY)
    if "cro" in lower:
        found["cro"] += sum(1 for _ in _CRO_FILE.finditer(lower))
    if "insurance" in lower or "ni n" in lower or "nino" in lower or "n.i" in lower:
        found["nino"] += sum(1 for _ in _INSURANCE.finditer(lower))


_SPELT_OUT = re.compile(r"d[./ ] ?o[./ ] ?b")


def _births(lower: str, found: Counter[str]) -> None:
    """Dates that stand after a word of birth, or a little before it. A sentence's end parts "born" from them."""
    counted: set[int] = set()
    end = 0
    for word in _BORN.finditer(lower):
        start, end = max(end - _DATE_MOST, word.start() - _DATE_MOST - 4, 0), word.end() + _NEAR
        if word[0] == "born":
            start = word.start()
            stop = lower.find(". ", start, end)
            end = stop + 1 if stop > 0 else end
        for pattern in (_NUMERIC_DATE, _WORD_DATE):
            counted.update(match.start() for match in pattern.finditer(lower, start, end) if _plausible(match))
        counted.update(match.start() for match in _COMPACT_DATE.finditer(lower, word.end(), word.end() + 16))
    found["date-of-birth"] += len(counted)


def _police_numbers(text: str, start: int, end: int, words: _Words, found: Counter[str]) -> None:
    """Short ones, which other references resemble, need a word beside them."""
    for match in _PNC.finditer(text, start, end):
        told = len(match[2]) >= 5 or _near(words.lower, match, _POLICE)
        found["pnc"] += told and match[3].upper() == _police_letter(match[1][-2:], match[2].rjust(7, "0"))
    for match in _CRO.finditer(text, start, end):
        told = len(match[1]) >= 5 or _near(words.lower, match, _POLICE)
        found["cro"] += told and match[3].upper() == _police_letter(match[2], match[1].rjust(6, "0"))


def _ten_digit_numbers(lower: str, tens: list[tuple[int, int, str]], found: Counter[str]) -> None:
    """NHS, CHI and H&C numbers: the check digit, and a word or another personal identifier beside it."""
    if not tens:
        return
    others = any(found[kind] for kind in ("nino", "upn", "pnc", "cro", "prison-number", "date-of-birth"))
    for start, end, value in tens:
        digits = value.translate(_SEPARATORS)
        if len(set(digits)) == 1 or not nhs.is_valid(digits):
            continue
        if others or _HEALTH.search(lower, max(0, start - _NEAR), end + _NEAR):
            found["nhs-number"] += 1


_URL_SIGNS = ("://", "www.", "cid:", "id: <", "references: <", "reply-to: <")


def _without_addresses(text: str) -> tuple[str, str]:
    """The text without addresses of the web and of messages, and the same in lower case."""
    lower = _lower(text)
    if not any(sign in lower for sign in _URL_SIGNS):
        return text, lower
    text = _URL.sub(_without_numbers, text)
    return text, _lower(text)


def _lower(text: str) -> str:
    """In lower case, each character in its place."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _without_numbers(url: re.Match[str]) -> str:
    """An address of the web or of a message is full of digits that mean nobody, unless it says what they are."""
    return url[0] if _TELLING_URL.search(url[0]) else " "


def _near(text: str, match: re.Match[str], words: re.Pattern[str]) -> bool:
    return words.search(text, max(0, match.start() - _NEAR), match.end() + _NEAR) is not None


def _police_letter(year: str, serial: str) -> str:
    return _PNC_LETTERS[int(year + serial) % 23]


def _is_phone(candidate: str) -> bool:
    """True for ten or eleven digits of a United Kingdom number in national form (Ofcom numbering plan)."""
    digits = candidate.translate(_SEPARATORS).lstrip("+")
    if candidate.startswith("+44"):
        digits = "0" + digits[2:].lstrip("0")
    elif digits.startswith("0044"):
        digits = "0" + digits[4:].lstrip("0")
    return len(digits) in (10, 11) and digits[1] in "1235789" and _DATE_AND_TIME.match(candidate) is None


_DATE_AND_TIME = re.compile(r"[0-9]{2}[./-][0-9]{2}[./-][0-9]{4}")


def _plausible(match: re.Match[str]) -> bool:
    """True unless day, month or year cannot be those of a birth."""
    groups = match.groupdict()
    if not groups:
        return True
    day, month = groups["day"] or groups["day2"], groups["month"] or groups["month2"]
    year = groups["year"] or groups["year2"]
    low, high = sorted((int(day), int(month)))  # either order: some write the month first
    return 1 <= low <= 12 and 1 <= high <= 31 and (len(year) == 2 or 1900 <= int(year) <= 2099)


def _addresses(text: str) -> Iterator[str]:
    """E-mail addresses around each "@", in lower case; bounded work for each."""
    at = text.find("@")
    while at >= 0:
        start = at
        while start > 0 and at - start < 64 and text[start - 1] in _LOCAL:
            start -= 1
        end = at + 1
        while end < len(text) and end - at < 255 and (text[end].isalnum() or text[end] in ".-"):
            end += 1
        domain = text[at + 1 : end].strip(".-")
        local = text[start:at].strip("'.*_`|")
        if local and "." in domain:
            yield f"{local}@{domain}".lower()
        at = text.find("@", at + 1)


def addresses(text: str) -> frozenset[str]:
    """The e-mail addresses in a text, in lower case."""
    return frozenset(_addresses(text)) if "@" in text else frozenset()
