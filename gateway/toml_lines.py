"""Where each key, table and list entry of a TOML document stands: the line numbers that tomllib does not keep.

Guarantees: for text that tomllib accepts, every key, table and list entry gets the 1-based line on which it
begins. Failures: none for such text; text that tomllib refuses must not be given here.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]

_SPACE = " \t"
_BETWEEN = " \t\r\n"
_BARE_ENDS = " \t\r\n.=]"
_SCALAR_ENDS = ",]}#\r\n"


def line_index(text: str) -> dict[Path, int]:
    """The line of every path of the document `text`, which tomllib has accepted.

    A path is what one would index the parsed document with: ("partner", 0, "spoc", "email"). An array of tables
    stands at its first header, entry N of it at header N.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """One walk over valid TOML (version 1.0), without building values."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self._starts = [0, *(index + 1 for index, character in enumerate(text) if character == "\n")]
        self._counts: dict[Path, int] = {}  # of arrays of tables: entries so far

    def document(self) -> None:
        table: Path = ()
        while self._skip_between():
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _mark(self, path: Path, start: int) -> None:
        self.lines.setdefault(path, bisect_right(self._starts, start))

    def _skip(self, characters: str) -> None:
        while self.at < len(self.text) and self.text[self.at] in characters:
            self.at += 1

    def _skip_between(self) -> bool:
        """Passes white space, line ends and comments; False at the end of the text."""
        while True:
            self._skip(_BETWEEN)
            if self.at >= len(self.text):
                return False
            if self.text[self.at] != "#":
                return True
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end

    def _header(self) -> Path:
        start = self.at
        array = self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        path: Path = ()
        for key in self._keys():
            if path in self._counts:
                path += (self._counts[path] - 1,)
            path += (key,)
            self._mark(path, start)
        self.at += 2 if array else 1
        if array:
            number = self._counts.get(path, 0)
            self._counts[path] = number + 1
            path += (number,)
            self._mark(path, start)
        return path

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            keys.append(self._key())
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _key(self) -> str:
        start = self.at
        if self.text[self.at] in "\"'":
            self._string()
            key: str = tomllib.loads("key = " + self.text[start : self.at])["key"]
            return key
        while self.text[self.at] not in _BARE_ENDS:
            self.at += 1
        return self.text[start : self.at]

    def _pair(self, table: Path) -> None:
        start = self.at
        path = table
        for key in self._keys():
            path += (key,)
            self._mark(path, start)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            while self.at < len(self.text) and self.text[self.at] not in _SCALAR_ENDS:
                self.at += 1

    def _array(self, path: Path) -> None:
        self.at += 1
        number = 0
        while self._skip_between() and self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._mark((*path, number), self.at)
            self._value((*path, number))
            number += 1
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self._skip_between() and self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._pair(path)
        self.at += 1

    def _string(self) -> None:
        quote = self.text[self.at]
        mark = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(mark)
        while not self.text.startswith(mark, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(mark)
        if len(mark) == 3:  # up to two quotation marks may stand directly before the closing three
            extra = 0
            while extra < 2 and self.text.startswith(quote, self.at):
                self.at += 1
                extra += 1
