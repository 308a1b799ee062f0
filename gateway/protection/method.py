"""What every way of protecting a message is to the rest of the program: one call, one result.

Guarantees: what comes back is protected in full, or an error is raised; there is no third way. A protector may be used
from several threads at once and blocks while it works.
Failures: `ProtectionRefusedError` where no retry helps, `ProtectionUnavailableError` where one may.
"""

from __future__ import annotations

from typing import Protocol

from gateway.model import Order, Protected


class Protector(Protocol):
    """OpenPGP, S/MIME, or a password."""

    def protect(self, content: bytes, order: Order) -> Protected:
        """The protected form of a message (RFC 5322, CRLF line ends). Raises `ProtectionError`."""
