"""Visible text: character sets, HTML, passwords given in clear, files hidden in text.

Guarantees: text is read in every way in which a program could show it (declared character set, and the bytes
as ASCII); hidden text, comments and attribute values of HTML count as text. Linear in the size.
"""

from __future__ import annotations

import html
import re

_ASCII_SUPERSETS = frozenset(
    {"", "us-ascii", "ascii", "utf-8", "utf8", "cp1252"}
    | {f"iso-8859-{n}" for n in range(1, 17)}
    | {f"windows-{n}" for n in range(1250, 1259)}
)
_CODECS = {
    "utf-7": "utf-7",
    "unicode-1-1-utf-7": "utf-7",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "utf-32": "utf-32",
    "utf-32le": "utf-32-le",
    "utf-32be": "utf-32-be",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "big5": "big5",
    "euc-jp": "euc-jp",
    "euc-kr": "euc-kr",
    "ks_c_5601-1987": "cp949",
    "shift_jis": "shift_jis",
    "iso-2022-jp": "iso-2022-jp",
    "iso-2022-kr": "iso-2022-kr",
    "hz-gb-2312": "hz",
    "tis-620": "tis-620",
    "macintosh": "mac-roman",
    "ibm437": "cp437",
    "ibm850": "cp850",
}
_SHIFTING = frozenset({"utf-7", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"} | {"hz"})

_BLOCK_NAMES = r"</?(?:p|br|div|tr|td|th|li|ul|ol|table|h[1-6]|body|head|title|blockquote|pre|hr|section|dd|dt)\b"
_BLOCK = re.compile(_BLOCK_NAMES + "[^<>]*>", re.IGNORECASE)
_BLOCK_NAME = re.compile(_BLOCK_NAMES, re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_STYLE = re.compile(r"</?(style|script)\b", re.IGNORECASE)

_SECRET = r"(?:pass ?(?:word|code|phrase|key)|pwd|(?:access|unlock|security|pin|door|encryption) ?(?:code|key)|pin)"
_SECRET_AT = re.compile(r"pass ?[wcpk]|pwd|access ?[ck]|unlock ?[ck]|security ?[ck]|pin|door ?[ck]|encryption ?[ck]")
_LATER = (
    r"(?:(?:will|to|being|sent|not|on|available|known|as|in|separate\w*|required|needed|protected|coming|going|follow\w*|"
    r"see|by|via|below|n/?a|none|tbc|provided|supplied|shared|agreed|has|have|was|can|may|should|must|is|are|and|or|"
    r"if|for|from|you|we|i|unchanged|reset|policy|manager|hint|of|when|used|obtained|given|please|with|"
    r"emailed|e-mailed|texted|phoned|held|kept|case\s+sensitive|only\s+(?:given|sent|shared|available|known)|same\s+as|"
    r"(?:call|ring|phone|telephone|text|contact|ask|email)\s+(?:me|us|the|our|him|her|them|on)|"
    r"(?:the|your|our|my)\s+(?:[\w'’]{1,30}\s+){0,2}?(?:same|usual|agreed|standard|normal|shared|one|recipient|password|"
    r"attach\w*|file|document))(?!\w)|(?:call|ring|phone|telephone|text)\s+[(+0-9])"
)
_GIVEN = re.compile(
    rf"{_SECRET}s?\b(?: (?:for|to|of|on) (?:[\w.'-]{{1,40}} ){{0,6}}?[\w.'-]{{1,40}})?(?: is\b| ?(?:=|:|->|-|–|→)) ?"
    rf"[\"'“‘(*]?(?!{_LATER})(?=\S{{3}})\S"
)
_BESIDE = re.compile(
    rf"{_SECRET} (?:[\"“‘'](?!{_LATER})\S{{3,60}}|(?!{_LATER})(?=\S{{0,60}}[0-9])(?=\S{{0,60}}[a-z!#$%&*?@])\S{{5}})"
)
_BEFORE_WHOLE = re.compile(rf"{_SECRET}\b")
_NO_PASSWORDS = frozenset(
    {"this", "that", "what", "which", "here", "below", "following", "there", "attached", "where", "who"}
)


def readings(data: bytes, charset: str) -> tuple[list[str], str]:
    """The ways to read a text, and a finding ("" where there is one plain way)."""
    charset = charset.strip().lower()
    if charset in _ASCII_SUPERSETS:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return [data.decode("utf-16", "replace"), data.decode("latin-1")], "charset-odd"
        if b"\0" in data:
            return _with_nuls(data)
        return [_superset(data)], ""
    codec = _CODECS.get(charset)
    if codec is None:
        return [_superset(data)], "charset-unknown"
    text = data.decode(codec, "replace")
    if codec in _SHIFTING or codec.startswith("iso-2022"):
        # A program that does not know the character set shows the bytes as they are.
        return [text, data.translate(None, b"\0").decode("latin-1")], "charset-odd"
    return [text], ""


def _superset(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _with_nuls(data: bytes) -> tuple[list[str], str]:
    """Text with NUL bytes: as it stands without them, and as UTF-16 of either order."""
    even = data[: len(data) & ~1]
    plain = _superset(data.translate(None, b"\0"))
    return [plain, even.decode("utf-16-le", "replace"), even.decode("utf-16-be", "replace")], "nul-byte"


def from_html(source: str) -> tuple[str, str]:
    """(the text that a reader may see, what is inside tags and comments). Shows too much rather than too little."""
    inside = "\n".join(tag[1:-1] for tag in _TAG.findall(source) if " " in tag or "!" in tag)
    shown, hidden = without_styles(source)
    shown = _TAG.sub("", _BLOCK.sub("\n", shown))
    if "&" in source:
        shown, inside = html.unescape(shown), html.unescape(inside)
    return shown, f"{inside}\n{hidden}" if hidden else inside


_STRICT_TAG = re.compile(r"<!--(?:.*?-->|.*\Z)|<[A-Za-z/!?](?:[^<>\"']|\"[^\"]*\"|'[^']*')*>", re.DOTALL)


def from_strict_html(source: str, shown: str) -> str:
    """The text as a program shows it that lets ">" stand in comments and quoted values; "" where that is `shown`."""
    if ">" not in shown:
        return ""
    return html.unescape(_STRICT_TAG.sub(_break, source))


def _break(tag: re.Match[str]) -> str:
    return "\n" if _BLOCK_NAME.match(tag[0]) else ""


def only_tags(source: str, allowed: re.Pattern[str]) -> bool:
    """True if every tag of the source is one that `allowed` matches in full."""
    return all(allowed.fullmatch(tag[1:-1].strip()) for tag in _TAG.findall(source))


def without_styles(source: str) -> tuple[str, str]:
    """Takes the contents of style and script elements out, where they are closed; returns both."""
    if _STYLE.search(source) is None:
        return source, ""
    shown: list[str] = []
    hidden: list[str] = []
    at, opened = 0, -1
    for match in _STYLE.finditer(source):
        closing = source[match.start() + 1] == "/"
        if not closing and opened < 0:
            opened = match.start()
        elif closing and opened >= 0:
            shown.append(source[at:opened])
            hidden.append(source[opened : match.start()])
            at, opened = match.start(), -1
    shown.append(source[at:])
    return "".join(shown), "\n".join(hidden)


_RUN = re.compile(r"(?:[A-Za-z',.;-]{1,30}[ \t\r\n]{1,4}){7,}[A-Za-z]{1,30}")


def hidden_characters(inside: str) -> int:
    """Characters, white space apart, of sentences in what HTML does not show: comments, attributes, styles."""
    return sum(visible_characters(match[0]) for match in _RUN.finditer(inside))


_FETCHES = re.compile(r"url\s*\(|content\s*:|data:|@import", re.IGNORECASE)


def shows_more(inside: str) -> bool:
    """True if styles or attributes can make a program show text or a picture that the text does not hold."""
    return _FETCHES.search(inside) is not None


def visible_characters(text: str) -> int:
    """Characters that are not white space."""
    return len(text) - sum(map(text.count, " \t\r\n\f\v\u00a0\u200b\ufeff"))


def gives_password(text: str) -> bool:
    """True if the text appears to give a password, and not only to speak of one that comes another way."""
    lower = text.lower()
    if not any(word in lower for word in ("pass", "pwd", "pin", "code", "key")):
        return False
    flat = " ".join(lower.split())
    for match in _SECRET_AT.finditer(flat):
        at = match.start()
        if at and (flat[at - 1].isalnum() or flat[at - 1] == "_"):
            continue
        if _GIVEN.match(flat, at) or _BESIDE.match(flat, at) or _told_before(flat, at):
            return True
    return False


def _told_before(flat: str, at: int) -> bool:
    """True for a word before " is the password"."""
    end = max(flat.rfind(" is the ", at - 8, at), flat.rfind(" is your ", at - 9, at)) if at > 9 else -1
    if end < 0 or _BEFORE_WHOLE.match(flat, at) is None:
        return False
    word = flat[flat.rfind(" ", max(0, end - 62), end) + 1 : end]
    return 4 <= len(word) <= 60 and word not in _NO_PASSWORDS


_UUENCODE = re.compile(r"(?:\A|(?<=\n))begin(?:-base64)? [0-7]{3,4} \S")


def hides_file(text: str) -> bool:
    """True if the text holds a file in an encoded form that mail programs show as an attachment or picture."""
    if "begin" in text and _UUENCODE.search(text):
        return True
    if "=ybegin " in text or "BinHex 4.0)" in text:
        return True
    return "data:" in text and re.search(r"data:[a-zA-Z0-9.+/;=-]{0,100},", text) is not None
