"""The content of DATA, read in blocks: finds its end, and every line end that is not CRLF. No I/O.

Guarantees: only CR LF . CR LF ends the data, wherever the network cut the blocks (RFC 5321 section 4.1.1.4);
a bare CR or LF anywhere is noticed (section 2.3.8: what one server takes for a line end and the next does not
lets a second message be smuggled in), and so is a NUL, which some servers drop (RFC 2045 section 2.8); bytes after
the end are handed back; content over the size is not kept.
"""

from __future__ import annotations

from gateway.lineends import has_bare
from gateway.pieces import joined

_END = b"\r\n.\r\n"
_DOT = b"\r\n."  # the dot of a line's beginning
_OVERLAP = len(_END) - 1
_DOT_LINE = b".\r\n"
_SMALL = 4096  # bytes: a smaller block is joined with the next, so that tiny ones cost no memory of their own


class DataBlocks:
    """Feed it blocks until `feed` returns what lies behind the end."""

    def __init__(self, size_limit: int) -> None:
        self._limit = size_limit
        self._blocks: list[bytes] = []
        self._tail = b"\r\n"  # the line end of the DATA command counts as the one before a lone first dot
        self.size = 0
        self.too_large = False
        self.bare_line_end = False
        self.nul = False
        self._dotted = False  # True where a line may begin with a dot that is to be unstuffed

    def feed(self, block: bytes) -> bytes | None:
        """Takes the next block. None: more to come. Otherwise the bytes behind the end of the data, perhaps none."""
        tail = self._tail
        head = tail + block[:_OVERLAP]
        at = head.find(_END)
        if at >= 0:  # the end began in an earlier block: cut there
            return self._cut(block, at + len(_END) - len(tail))
        self._dotted = self._dotted or _DOT in head
        at = block.find(_END if self._dotted else _DOT)
        if at >= 0 and not block.startswith(_END, at):  # a line that begins with a dot, or an end that is cut in two
            self._dotted = True
            at = block.find(_END, at)
        if at >= 0:
            return self._cut(block, at + len(_END))
        self._keep(block)
        return None

    def _cut(self, block: bytes, end: int) -> bytes:
        self._keep(block[:end])
        return block[end:]

    def _keep(self, block: bytes) -> None:
        self._check_line_ends(block)
        self._tail = (self._tail + block)[-_OVERLAP:] if len(block) < _OVERLAP else block[-_OVERLAP:]
        self.size += len(block)
        if self.size > self._limit + len(_END):
            self.too_large = True
            self._blocks.clear()
        elif self._blocks and len(self._blocks[-1]) < _SMALL:
            self._blocks[-1] += block
        else:
            self._blocks.append(block)

    def _check_line_ends(self, block: bytes) -> None:
        self.nul = self.nul or b"\0" in block
        if self.bare_line_end or not block:
            return
        if self._tail.endswith(b"\r"):  # the network may have cut a pair in two
            self.bare_line_end = not block.startswith(b"\n")
            block = block[1:]
        self.bare_line_end |= has_bare(block.removesuffix(b"\r"))

    def drop(self) -> None:
        """Keeps nothing from here on, as if all were too large; the end is still found."""
        self._limit = -len(_END)
        self._blocks.clear()

    def content(self) -> bytes:
        """The content after `feed` found the end: without the final dot line, dots unstuffed. Can be taken once.

        Call it in a thread where `size` is large.
        """
        last = self._blocks.pop()
        while len(last) < len(_DOT_LINE):
            last = self._blocks.pop() + last
        self._blocks.append(last[: -len(_DOT_LINE)])  # cut here: a copy of the last block, not of the whole
        whole = joined(self._blocks)
        self._blocks.clear()
        if not self._dotted:
            return whole
        if whole.startswith(b"."):
            whole = whole[1:]
        return whole.replace(_DOT, b"\r\n")
