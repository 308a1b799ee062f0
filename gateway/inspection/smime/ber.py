"""A bounded reader of BER elements (ITU-T X.690), definite and indefinite lengths.

Guarantees: reads only within the given span, recurses to a small fixed depth, looks at an element of indefinite
length once however deep it lies, stops at a limit of elements. What readers of BER could take for different
elements is refused: an end-of-contents that is out of place, a tag in several octets, a length that does not fit.
Failures: `BerError` for anything that is not well-formed or too much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OID = 0x06
SEQUENCE = 0x30
SET = 0x31
_CONSTRUCTED = 0x20
_LENGTH_OCTETS_MOST = 4  # four gigabytes; of more, some programs keep the low four and others all
_PIECES_DEPTH = 4  # octet strings made of octet strings
_INTEGER_MOST = 64  # octets of a number that is computed with


class BerError(ValueError):
    """Not well-formed BER, or more of it than is read."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element: where it begins, identifier octet, span of the contents, and where the next element begins."""

    at: int
    tag: int
    start: int
    end: int
    next: int

    @property
    def constructed(self) -> bool:
        return bool(self.tag & _CONSTRUCTED)

    @property
    def size(self) -> int:
        """Octets of the contents."""
        return self.end - self.start


class Reader:
    """Reads elements of `data`; counts them against `most`."""

    __slots__ = ("_data", "_ends", "_left")

    def __init__(self, data: bytes, most: int) -> None:
        self._data = data
        self._left = most
        self._ends: dict[int, int] = {}  # of indefinite elements: where contents begin, and where they end

    def read(self, at: int, end: int) -> Element:
        """The element at `at`, which must end at or before `end`."""
        tag, start, length = self._head(at, end)
        if length >= 0:
            if start + length > end:
                raise BerError("element runs over its container")
            return Element(at, tag, start, start + length, start + length)
        if start not in self._ends:
            self._find_ends(start, end)
        stop = self._ends[start]
        if stop + 2 > end:
            raise BerError("element runs over its container")
        return Element(at, tag, start, stop, stop + 2)

    def begins(self) -> tuple[int, int]:
        """Identifier octet of the first element, and where its contents begin; its length is not looked at."""
        tag, start, _ = self._head(0, len(self._data))
        return tag, start

    def children(self, element: Element) -> Iterator[Element]:
        """The elements inside a constructed one, in order; they fill it exactly."""
        if not element.constructed:
            raise BerError("primitive where elements should be")
        at = element.start
        while at < element.end:
            child = self.read(at, element.end)
            yield child
            at = child.next

    def only(self, element: Element) -> Element:
        """The one element inside a constructed one."""
        inner = list(self.children(element))
        if len(inner) != 1:
            raise BerError("not exactly one element")
        return inner[0]

    def contents(self, element: Element) -> bytes:
        return self._data[element.start : element.end]

    def whole(self, element: Element) -> bytes:
        """The element with its identifier and length octets."""
        return self._data[element.at : element.next]

    def octets(self, element: Element) -> bytes:
        """The value of an OCTET STRING of any tag, joined where it came in pieces."""
        if not element.constructed:
            return self.contents(element)
        pieces: list[bytes] = []
        self._gather(element, pieces, _PIECES_DEPTH)
        return b"".join(pieces)

    def number(self, element: Element) -> int:
        """The value of an INTEGER."""
        if element.tag != INTEGER or not 0 < element.size <= _INTEGER_MOST:
            raise BerError("not a number")
        return int.from_bytes(self.contents(element), "big", signed=True)

    def _gather(self, element: Element, pieces: list[bytes], depth: int) -> None:
        for child in self.children(element):
            if child.tag == OCTET_STRING:
                pieces.append(self.contents(child))
            elif child.tag == OCTET_STRING | _CONSTRUCTED and depth:
                self._gather(child, pieces, depth - 1)
            else:
                raise BerError("not a piece of an octet string")

    def _head(self, at: int, end: int) -> tuple[int, int, int]:
        """Identifier octet, beginning of the contents, and their length; -1 where it is indefinite."""
        self._left -= 1
        if self._left < 0:
            raise BerError("too many elements")
        if at + 2 > end:
            raise BerError("cut short")
        tag = self._data[at]
        if tag & 0x1F == 0x1F or not tag:
            raise BerError("long tag, or end-of-contents out of place")
        first = self._data[at + 1]
        if first < 0x80:
            return tag, at + 2, first
        if first == 0x80:
            if not tag & _CONSTRUCTED:
                raise BerError("indefinite length of a primitive")
            return tag, at + 2, -1
        count = first & 0x7F
        if count > _LENGTH_OCTETS_MOST or at + 2 + count > end:
            raise BerError("odd length")
        return tag, at + 2 + count, int.from_bytes(self._data[at + 2 : at + 2 + count], "big")

    def _find_ends(self, at: int, end: int) -> None:
        """Notes where the contents that begin at `at` end, and those of every indefinite element among them."""
        data, ends = self._data, self._ends
        opened = [at]
        while opened:
            if at + 2 > end:
                raise BerError("cut short")
            if not data[at]:
                if data[at + 1]:
                    raise BerError("odd end-of-contents")
                ends[opened.pop()] = at
                at += 2
                continue
            _, start, length = self._head(at, end)
            if length < 0:
                opened.append(start)
                at = start
            else:
                at = start + length
