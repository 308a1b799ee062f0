"""Rich Text Format as Outlook sends it: decompression (MS-OXRTFCP) and the text that a reader sees.

Guarantees: linear, never more than `most` octets of RTF, groups nest to a fixed depth in account only. Shows too
much rather than too little. Failures: `RtfError` for a compressed stream that does not hold together.
"""

from __future__ import annotations

import re
import struct

_COMPRESSED, _PLAIN = 0x75465A4C, 0x414C454D
_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans Serif"
    rb"SymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)  # MS-OXRTFCP 2.1.2.1
_WINDOW = 4096
_SILENT = frozenset(
    {"fonttbl", "colortbl", "stylesheet", "info", "listtable", "listoverridetable", "rsidtbl", "generator", "filetbl"}
    | {"themedata", "colorschememapping", "latentstyles", "datastore", "xmlnstbl", "mmathPr", "revtbl", "pntext"}
)
_BREAKS = frozenset({"par", "line", "row", "page", "sect"})
_TOKEN = re.compile(
    r"\\(?P<word>[A-Za-z]{1,32})(?P<number>-?[0-9]{1,10})? ?|\\'(?P<hex>[0-9A-Fa-f]{2})"
    r"|\\(?P<sign>[^A-Za-z])|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|[\r\n]+|\\",
    re.DOTALL,
)


class RtfError(ValueError):
    """Not as MS-OXRTFCP says."""


def decompress(data: bytes, most: int) -> bytes:
    """The RTF in PidTagRtfCompressed, as far as `most` octets."""
    if len(data) < 16:
        raise RtfError("header cut short")
    _, size, kind, _ = struct.unpack_from("<4I", data)
    if kind == _PLAIN:
        return data[16 : 16 + min(size, most)]
    if kind != _COMPRESSED:
        raise RtfError("kind of compression")
    out = bytearray(_DICTIONARY)
    start, end = len(out), len(out) + min(size, most)
    at, stop = 16, len(data)
    while at < stop and len(out) < end:
        control, at = data[at], at + 1
        for bit in range(8):
            if at >= stop or len(out) >= end:
                break
            if not control >> bit & 1:
                out.append(data[at])
                at += 1
                continue
            if at + 2 > stop:
                raise RtfError("reference cut short")
            reference = data[at] << 8 | data[at + 1]
            at += 2
            back = (len(out) - (reference >> 4)) % _WINDOW
            if back == 0:
                return bytes(out[start:end])  # the end: a reference to where writing is (2.2.2.1)
            _copy(out, back, (reference & 15) + 2)
    return bytes(out[start:end])


def _copy(out: bytearray, back: int, length: int) -> None:
    """Repeats what was written `back` octets ago; what was never written reads as spaces."""
    for _ in range(length):
        out.append(out[-back] if back <= len(out) else 32)


def visible(source: bytes) -> str:
    """The text of an RTF document, without its tables of fonts and styles and without ignorable groups."""
    shown: list[str] = []
    silent: list[bool] = []  # of the groups around
    quiet, fresh = False, False
    skip = 0  # characters that stand in for a \\u before them
    for match in _TOKEN.finditer(source.decode("latin-1")):
        kind, value = match.lastgroup, match[0]
        word = match["word"]
        if match["brace"] == "{":
            silent.append(quiet)
            fresh = True
            continue
        if match["brace"] == "}":
            quiet = silent.pop() if silent else False
        elif word is not None:
            if word in _SILENT and fresh:
                quiet = True
            elif not quiet:
                skip = _word(word, match["number"], shown, skip)
        elif match["sign"] == "*" and fresh:
            quiet = True
        elif not quiet:
            skip = _characters(kind or "", value, match, shown, skip)
        fresh = False
    return "".join(shown)


def _word(word: str, number: str | None, shown: list[str], skip: int) -> int:
    if word in _BREAKS:
        shown.append("\n")
    elif word == "tab":
        shown.append("\t")
    elif word == "u" and number:
        code = int(number) & 0xFFFF
        shown.append(chr(code) if not 0xD800 <= code < 0xE000 else "?")
        return 1
    return skip


def _characters(kind: str, value: str, match: re.Match[str], shown: list[str], skip: int) -> int:
    """Adds plain characters, without the one that only stands in for a \\u before it."""
    if kind == "hex":
        if not skip:
            shown.append(bytes.fromhex(match["hex"]).decode("cp1252", "replace"))
        return 0
    if kind == "sign":
        if match["sign"] in "{}\\":
            shown.append(match["sign"])
        return skip
    if kind == "text":
        shown.append(value[skip:])
        return 0
    return skip
