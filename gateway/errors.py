"""One family of errors; whether a fault may pass later is its type, never a flag.

Guarantees: every error raised on purpose by the gateway derives from `GatewayError`. `TemporaryError` is
answered with 4yz and tried again, `PermanentError` with 5yz and not tried again (RFC 5321 section 4.2.1).
`ConfigurationError` and `StartupError` stop the program before any mail is accepted.
The text of an error is one sentence fit for an administrator; it never holds message text, a key or a password.
"""

from __future__ import annotations

from dataclasses import dataclass


class GatewayError(Exception):
    """Anything the gateway itself found wrong."""


class TemporaryError(GatewayError):
    """May pass later: answer 4yz, keep the mail, try again."""


class PermanentError(GatewayError):
    """Will not pass by itself: answer 5yz or bounce."""


class StoreError(TemporaryError):
    """The store could not commit; nothing of the unit of work is in it."""


class StoreFullError(StoreError):
    """No room on the disk: answered 452 4.3.1."""


class ProtectionError(GatewayError):
    """A share that must be protected could not be; clear text must not be sent instead."""


class ProtectionUnavailableError(ProtectionError, TemporaryError):
    """The program or its disk failed (gpg hung, crashed, no room): may pass later."""


class ProtectionRefusedError(ProtectionError, PermanentError):
    """No usable key, or the result did not come out protected: will not pass by itself."""


class StartupError(GatewayError):
    """The gateway cannot start: missing gpg, wrong seal key, corrupt database, port in use."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a configuration file: where, what, and what to write instead."""

    file: str
    line: int  # 1-based; 0 where the fault has no line (a missing file)
    problem: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.problem}. {self.remedy}"


class ConfigurationError(GatewayError):
    """Everything that is wrong with the configuration, at once."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))
