"""Writes docs/transport-cases.md from the table: `python -m tests.transport.document`.

Guarantees: the document says what the table says, word for word; a test compares them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from gateway.model import Assurance, Outcome
from tests.transport.cases import CASES
from tests.transport.vocabulary import Case, Expected, Host, Policy

FILE = Path(__file__).resolve().parent.parent.parent / "docs" / "transport-cases.md"

_TOP = """\
# What the gateway does in each case of DNS, policy, certificate and STARTTLS

This is the table that `tests/transport` runs: {count} cases, each with a domain and mail servers of its own, against a
validating unbound, NSD with zones signed (and spoilt) for the purpose, an HTTPS policy host, one Postfix that listens
at an address per kind of server, and scripted servers for what Postfix cannot be made to do. What must come of a case
follows from the RFC section in its row; where an RFC leaves a choice, the row says which is taken. Outcome, host,
status, and every field of the evidence are compared; a share that is not delivered may have arrived nowhere.

The same cases are run by Postfix 3.7 in the same world, wherever it has a TLS level that asks for the same:
{beside} of them. The file is written by `python -m tests.transport.document`; a test compares it with the table.

## How the columns are read

- **DNS**: the state of the domain's zone. *secure*: signed, and the chain of trust holds. *insecure*: unsigned, and the
  parent proves it. *bogus*: the signatures do not hold. *expired*: they have lapsed. *servfail*: the name servers say
  so. *silent*: they never answer.
- **hosts**: the MX hosts in order of preference, each by what is wrong with its server (*good*: nothing), then its TLSA
  records as usage, selector, matching type and whose data; then what else is different about it. *leaf* is the server's
  own certificate or key, *next* another one, *issuing* the authority that signed it, *root* the trusted root above,
  *other* an authority that nobody trusts.
- **MTA-STS**: the policy that the domain publishes.
- **asked**: what the gateway was told to prove. What the destination publishes must hold as well.
- **outcome**: of the one attempt. *by dane* and the like: how the peer was authenticated. *host 2*: the second host
  took the mail. *encrypted*: TLS, the peer not authenticated. *clear*: no TLS.
- **Postfix**: its TLS level and whether it does the same. A letter stands for a difference, explained below.

Two choices deserve a word. With insecure MX records the gateway goes on as before DANE, as RFC 7672 section 2.2.1
allows: an attacker who can forge the MX records can name a host whose TLSA records hold. And where a destination has
both TLSA records and an enforced MTA-STS policy, both must hold: RFC 8461 section 2 forbids that the policy override a
failing DANE, and section 5 forbids delivery to a host that fails the policy, without an exception for DANE.

"""


def letters() -> dict[str, str]:
    """Each explanation of a difference, by a letter, in the order of the table."""
    reasons = dict.fromkeys(case.peer.why for case in CASES if case.peer is not None and case.peer.why)
    return {reason: chr(ord("A") + number) for number, reason in enumerate(reasons)}


def document() -> str:
    """The whole file."""
    beside = sum(case.peer is not None for case in CASES)
    parts = [_TOP.format(count=len(CASES), beside=beside), "## Where Postfix does otherwise, and why\n\n"]
    counted = Counter(case.peer.why for case in CASES if case.peer is not None and case.peer.why)
    parts += [f"- **{letter}** ({_cases(counted[reason])}). {reason}.\n" for reason, letter in letters().items()]
    gaps = Counter(case.no_peer for case in CASES if case.peer is None)
    parts += [f"- No counterpart ({_cases(count)}): {reason}.\n" for reason, count in gaps.items()]
    parts.append("\n## The table\n\n")
    parts.append("| case | section | why | DNS | hosts | MTA-STS | asked | outcome | Postfix |\n")
    parts.append("|---|---|---|---|---|---|---|---|---|\n")
    parts += [f"| {' | '.join(_row(case))} |\n" for case in CASES]
    return "".join(parts)


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"


def _row(case: Case) -> tuple[str, ...]:
    hosts = "; ".join(map(_host, case.hosts)) or "none"
    if case.mail != "mx":
        hosts = {"implicit": f"no MX: {hosts}", "null": "null MX", "nothing": "no such domain"}[case.mail]
    policy = _policy(case.policy) if case.policy is not None else ""
    return (case.name, case.section, case.why, case.zone, hosts, policy, _asked(case), _outcome(case), _beside(case))


def _host(host: Host) -> str:
    words = [host.face]
    if host.tlsa:
        words.append(f"({', '.join(host.tlsa)})")
    if host.zone:
        words.append(f"in an {host.zone} zone" if host.zone[0] in "aeiou" else f"in a {host.zone} zone")
    if host.tlsa_zone:
        words.append(f"TLSA {host.tlsa_zone}")
    if host.alias:
        words.append(f"by an alias of a name that is {host.alias}")
    if host.tlsa_at_alias:
        words.append("TLSA at the alias")
    if not host.address:
        words.append("without address")
    if host.deep:
        words.append("one label deeper")
    return " ".join(words)


def _policy(policy: Policy) -> str:
    words = [policy.mode, *(_shown(name) for name in policy.mx)]
    if policy.fetch != "ok":
        words = [f"answers {policy.fetch}"]
    if not policy.record:
        words.append("no TXT record")
    if policy.cached:
        words.append(f"(cached: {policy.cached} {' '.join(map(_shown, policy.cached_mx))})")
    return " ".join(words)


def _shown(name: str) -> str:
    return name.replace("{domain}", "DOMAIN").replace("{mx1}", "mx1").replace("{mx2}", "mx2")


def _asked(case: Case) -> str:
    asked = case.requirement
    words = [str(asked.proof) if asked.proof is not None else asked.assurance.label]
    words += [_shown(name) for name in asked.names]
    words += asked.pins
    words += asked.tls_versions
    if asked.requiretls:
        words.append("REQUIRETLS by the client" if case.asked else "REQUIRETLS by the register")
    return " ".join(words)


def _outcome(case: Case) -> str:
    expected: Expected = case.expected
    if expected.outcome is not Outcome.DELIVERED:
        return f"{expected.outcome} {expected.status}"
    words = ["delivered"]
    words.append({Assurance.NONE: "clear", Assurance.ENCRYPTED: "encrypted"}.get(expected.assurance, "by"))
    if expected.by:
        words.append(" and ".join((expected.by, *expected.also)))
    if expected.tlsa:
        words.append(f"({expected.tlsa})")
    if expected.host > 1:
        words.append(f"host {expected.host}")
    if expected.requiretls:
        words.append("under REQUIRETLS")
    return " ".join(words)


def _beside(case: Case) -> str:
    peer = case.peer
    if peer is None:
        return "none"
    level = _shown(peer.level).replace("|", "\\|")
    return f"`{level}`: same" if not peer.why else f"`{level}`: {peer.does} (**{letters()[peer.why]}**)"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
