"""Which domain names a reader takes for one another: homoglyphs of Unicode, look-alikes of ASCII, slips of a finger.

Guarantees: pure; works on domains in their normal form (lower-case A-labels) and compares what a person would see. Two
labels are alike where their skeletons are equal (UTS 39 section 4, with hyphens and accents left out), or where one
becomes the other by one slip: a letter left out, put in, doubled or exchanged with its neighbour, or the key beside the
right one hit. Short labels, and numbers at the same place, are told apart by their readers: slips count from
`LONG_ENOUGH` characters on. Failures: none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache

import idna

LONG_ENOUGH = 6  # characters of the shorter label: "wmp" and "wmas" are agencies, not slips

_ROWS = ("1234567890-", "qwertyuiop", "asdfghjkl", "zxcvbnm")
# What looks alike in the fonts of mail programs, beside what Unicode's table has.
_ALIKE = (("vv", "w"), ("cl", "d"), ("rn", "m"), ("1", "l"), ("i", "l"), ("0", "o"), ("5", "s"))
# Scripts that are written together: UTS 39 section 5.1.
_TOGETHER = (
    {"LATIN", "HAN", "HIRAGANA", "KATAKANA"},
    {"LATIN", "HAN", "HANGUL"},
    {"LATIN", "HAN", "BOPOMOFO"},
)


def readable(label: str) -> str:
    """The label as a person sees it: a U-label, as it is where it has none."""
    if not label.startswith("xn--"):
        return label
    try:
        return idna.decode(label)
    except (idna.IDNAError, UnicodeError):
        return label


@lru_cache(maxsize=16384)
def skeleton(label: str) -> str:
    """What is left of a label when everything that looks alike is one and the same."""
    text = _plain(readable(label)).replace("-", "")
    for seen, meant in _ALIKE:
        text = text.replace(seen, meant)
    return text


def _plain(text: str) -> str:
    """Homoglyphs as the letters that they look like, without accents."""
    if text.isascii():
        return text
    glyphs = _glyphs()
    letters = (glyphs.get(character, character) for character in _without_marks(text))
    return _without_marks("".join(letters).lower())


def _without_marks(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))


@cache
def _glyphs() -> dict[str, str]:
    """Character -> ASCII text that looks like it, of Unicode's table of confusables."""
    from confusable_homoglyphs import confusables  # a megabyte of JSON, for names beyond ASCII only

    found = {}
    for character, alike in confusables.confusables_data.items():
        if len(character) == 1 and not character.isascii():
            plain = [each["c"] for each in alike if each["c"].isascii()]
            if plain:
                found[character] = min(plain, key=lambda text: (len(text), text)).lower()
    return found


# ---------------------------------------------------------------- scripts


def doubt(label: str) -> str:
    """What is wrong with a label by itself, as the end of a sentence that begins with it; "" where nothing is."""
    from confusable_homoglyphs import categories

    text = readable(label)
    if text.isascii():
        return ""
    scripts = set(categories.unique_aliases(text)) - {"COMMON", "INHERITED"}
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        return f"mixes letters of {_listed(scripts)}"
    if "LATIN" not in scripts and _plain(text).isascii():
        return f"is written in {_listed(scripts)} letters, but reads as `{_plain(text)}`"
    return ""


def _listed(scripts: set[str]) -> str:
    names = sorted(script.replace("_", " ").title() for script in scripts)
    return " and ".join(names) if names else "other"


# ---------------------------------------------------------------- likeness


def likeness(one: str, other: str) -> str:
    """How two different labels are alike, as a clause; "" where nobody would take one for the other."""
    if skeleton(one) == skeleton(other):
        return "they differ in a hyphen only" if one.replace("-", "") == other.replace("-", "") else "they look alike"
    shorter, longer = sorted((readable(one), readable(other)), key=len)
    if len(shorter) < LONG_ENOUGH or len(longer) - len(shorter) > 1:
        return ""
    if len(shorter) < len(longer):
        return _one_more(shorter, longer)
    return _one_other(shorter, longer)


def _one_more(shorter: str, longer: str) -> str:
    place = next((i for i, (a, b) in enumerate(zip(shorter, longer, strict=False)) if a != b), len(shorter))
    if shorter[place:] != longer[place + 1 :] or longer[place].isdigit():
        return ""
    if longer[place] in (longer[place - 1 : place], longer[place + 1 : place + 2]):
        return "they differ in a doubled letter only"
    return "they differ in one letter only"


def _one_other(one: str, other: str) -> str:
    places = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    first = places[0]
    if len(places) == 2 and places[1] == first + 1 and one[first : first + 2] == other[first : first + 2][::-1]:
        return "" if one[first : first + 2].isdigit() else "two letters have changed places"
    if len(places) == 1 and first > 0 and other[first] in _neighbours().get(one[first], ""):
        return "they differ in one letter only, by the key beside it"
    return ""


@cache
def _neighbours() -> dict[str, str]:
    """Letter -> the letters on the keys that touch its key. Digits have none: they are counted with."""
    found: dict[str, str] = {}
    for number, row in enumerate(_ROWS):
        for place, key in enumerate(row):
            beside = row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
            for other in (number - 1, number + 1):
                if 0 <= other < len(_ROWS):
                    start = place if other < number else max(place - 1, 0)
                    beside += _ROWS[other][start : start + 2]
            found[key] = "".join(each for each in beside if each.isalpha()) if key.isalpha() else ""
    return found


def nearby(label: str) -> Iterator[str]:
    """Keys of which two labels that are alike share at least one: for finding pairs without comparing all."""
    yield skeleton(label)
    text = readable(label)
    if len(text) >= LONG_ENOUGH:
        yield f"={text}"
        for place in range(len(text)):
            yield f"={text[:place]}{text[place + 1 :]}"
