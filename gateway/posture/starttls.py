"""Whether a mail server offers STARTTLS and completes it, and which versions of TLS it speaks.

Guarantees: not offering it (absent) and not being reached (failed) are two things. Pure.
"""

from __future__ import annotations

from gateway.delivery.proof import VERSIONS
from gateway.posture.lines import Line
from gateway.posture.model import Check, Outcome

NAME = "starttls"
TLS_VERSIONS = "tls-versions"


def judge(line: Line) -> Check:
    """The conversation at one address."""
    talk, host = line.talk, line.peer.host
    facts = {
        "address": line.peer.address,
        "port": line.peer.port,
        "reached": talk.reached,
        "offered": talk.offered,
        "requiretls": talk.requiretls,
    }
    if talk.handshake is not None and talk.reached:
        version, cipher = talk.handshake.version, talk.handshake.cipher
        detail = f"TLS is up at {line.peer.address}: {version}, {cipher}."
        return Check(NAME, Outcome.FOUND, detail, host, facts | {"version": version, "cipher": cipher})
    if talk.reached and not talk.offered:
        return Check(NAME, Outcome.ABSENT, f"{talk.problem}.", host, facts, (talk.problem,))
    return Check(NAME, Outcome.FAILED, f"{talk.problem}.", host, facts, (talk.problem,))


def versions(line: Line) -> Check:
    """Which versions the server accepts."""
    host, accepts = line.peer.host, dict(line.accepts)
    if not accepts:
        return Check(TLS_VERSIONS, Outcome.FAILED, "No version could be tried.", host)
    spoken = [version for version, accepted in accepts.items() if accepted]
    old = [version for version in spoken if version not in VERSIONS]
    wrong = [f"{host} still accepts {' and '.join(old)}"] if old else []
    if not any(version in VERSIONS for version in spoken):
        wrong.append(f"{host} speaks neither TLS 1.2 nor TLS 1.3")
    facts = {"address": line.peer.address, "accepts": accepts}
    if not spoken:
        return Check(TLS_VERSIONS, Outcome.ABSENT, f"{host} accepted no version.", host, facts, tuple(wrong))
    return Check(TLS_VERSIONS, Outcome.FOUND, f"{host} accepts {', '.join(spoken)}.", host, facts, tuple(wrong))
