"""The rest of the table: PKIX, pins, MTA-STS, REQUIRETLS. See tests.transport.cases."""

from __future__ import annotations

from tests.transport.vocabulary import (
    ENCRYPTED,
    MTA_STS,
    OPPORTUNISTIC,
    P_SECURE,
    REQUIRETLS,
    Case,
    Expected,
    Host,
    Peer,
    Policy,
    by,
    clear,
    dane,
    deferred,
    encrypted,
    failed,
    pinned,
    pkix,
    versions,
)

EE, OTHER = ("3 1 1 leaf",), ("3 1 1 next",)
NAMED = pkix("{mx1}")

_NO_STS = "Postfix 3.7 knows no MTA-STS (RFC 8461)"
_NO_REQUIRETLS = "Postfix 3.7 knows no REQUIRETLS (RFC 8689)"
_CN = (
    "RFC 9525 section 2: the common name identifies nothing any more, where RFC 6125 section 6.4.4 let a client read "
    "it for want of a DNS name; Postfix reads it, the gateway does not"
)
_LEVEL = (
    "RFC 7672 section 2.2: DANE binds whoever takes part; Postfix takes part at its levels dane and dane-only alone, "
    "the gateway at every level that heeds what is published"
)


def _pkix() -> list[Case]:
    """A chain to the trust anchors and a name, which the requirement gives."""
    proven = by("pkix", "insecure")
    rows = [
        ("pkix", "RFC 6125 6.4", "the name is among the certificate's", "good", NAMED, proven, P_SECURE),
        ("pkix-second-name", "RFC 6125 6.2", "any of the names", "good", pkix("mx.elsewhere.test", "{mx1}"), proven,
         Peer("secure match=mx.elsewhere.test:{mx1}")),
        ("pkix-below", "RFC 6125 6.2", "any host below a domain", "good", pkix(".{domain}"), proven,
         Peer("secure match=.{domain}")),
        ("pkix-default", "RFC 6125 6.2", "without names: the domain or a host below it", "good", pkix(), proven,
         Peer("secure match=nexthop:dot-nexthop")),
        ("pkix-wildcard", "RFC 6125 6.4.3", "a wildcard is one label", "wildcard", NAMED, proven, P_SECURE),
        ("pkix-wrong-name", "RFC 6125 6.4", "another name", "wrong-name", NAMED, deferred("4.7.5"), P_SECURE),
        ("pkix-expired", "RFC 5280 6.1.3", "expired", "expired", NAMED, deferred("4.7.5"), P_SECURE),
        ("pkix-self-signed", "RFC 5280 6.1", "no path", "self-signed", NAMED, deferred("4.7.5"), P_SECURE),
        ("pkix-untrusted", "RFC 5280 6.1", "no path to an anchor", "untrusted", NAMED, deferred("4.7.5"), P_SECURE),
        ("pkix-leaf-only", "RFC 5280 6.1", "an authority on the way is missing", "leaf-only", NAMED,
         deferred("4.7.5"), P_SECURE),
        ("pkix-cn-only", "RFC 9525 2", "the common name is no name", "cn-only", NAMED, deferred("4.7.5"),
         Peer("secure match={mx1}", "sent Verified 1", _CN)),
        ("pkix-no-starttls", "RFC 3207 4", "there is no TLS", "no-starttls", NAMED, deferred("4.7.10"), P_SECURE),
        ("pkix-tls13", "RFC 8446 4.1.3", "TLS 1.3 alone is allowed, TLS 1.2 alone is spoken", "tls12",
         versions(NAMED, "TLSv1.3"), deferred("4.7.5"), Peer("secure match={mx1} protocols=TLSv1.3")),
        ("pkix-tls12", "RFC 5246 7.4.1", "TLS 1.2 alone is allowed, and spoken", "good", versions(NAMED, "TLSv1.2"),
         by("pkix", "insecure", tls="TLSv1.2"), Peer("secure match={mx1} protocols=TLSv1.2")),
        ("pkix-tls12-not", "RFC 5246 7.4.1", "TLS 1.2 alone is allowed, TLS 1.3 alone is spoken", "tls13",
         versions(NAMED, "TLSv1.2"), deferred("4.7.5"), Peer("secure match={mx1} protocols=TLSv1.2")),
    ]  # fmt: skip
    found = [
        Case(name, section, why, expected, (Host(face),), requirement, zone="insecure", peer=peer)
        for name, section, why, face, requirement, expected, peer in rows
    ]
    both = "what is published holds as well as what is required"
    return [
        *found,
        Case("pkix-wildcard-deep", "RFC 6125 6.4.3", "a wildcard is one label", deferred("4.7.5"),
             (Host("wildcard", deep=True),), NAMED, zone="insecure", peer=P_SECURE),
        Case("pkix-next", "RFC 5321 5.1", "the next host is tried", by("pkix", "insecure", host=2),
             (Host("expired"), Host("good")), pkix("{mx1}", "{mx2}"), zone="insecure",
             peer=Peer("secure match={mx1}:{mx2}")),
        Case("pkix-dane", "RFC 7672 2.2", both, by("pkix", "secure", also=("dane",), tlsa="3 1 1"),
             (Host("good", EE),), NAMED, peer=P_SECURE),
        Case("pkix-dane-mismatch", "RFC 7672 2.2", both, deferred("4.7.5"), (Host("good", OTHER),), NAMED,
             peer=Peer("secure match={mx1}", "sent Verified 1", _LEVEL)),
        Case("pkix-not-by-dane", "RFC 7672 2.2", "DANE does not stand in for PKIX", deferred("4.7.5"),
             (Host("self-signed", EE),), NAMED, peer=P_SECURE),
    ]  # fmt: skip


def _pins() -> list[Case]:
    """Keys, certificates and authorities that the directory names."""
    no_fault = "the pinned key is proof enough (RFC 7672 section 3.1.1 reasons so of usage 3)"
    rows = [
        ("pin-key", "the leaf's key", "good", pinned("spki:good"), "spki:good", "fingerprint match={spki:good}"),
        ("pin-next", "the next key, while keys roll over", "next", pinned("spki:good", "spki:next"), "spki:next",
         "fingerprint match={spki:good}|{spki:next}"),
        ("pin-certificate", "the leaf itself", "good", pinned("cert:good"), "cert:good",
         "fingerprint match={cert:good}"),
        ("pin-expired", no_fault, "expired", pinned("spki:expired"), "spki:expired",
         "fingerprint match={spki:expired}"),
        ("pin-self-signed", no_fault, "self-signed", pinned("spki:self-signed"), "spki:self-signed",
         "fingerprint match={spki:self-signed}"),
        ("pin-authority", "an authority of the chain, and a name", "good", pinned("ca:issuing", names=("{mx1}",)),
         "ca:issuing", "secure match={mx1} tafile={issuing.pem}"),
        ("pin-authority-unknown", "an authority that nobody else trusts", "untrusted",
         pinned("ca:other", names=("{mx1}",)), "ca:other", "secure match={mx1} tafile={other.pem}"),
    ]  # fmt: skip
    bad = [
        ("pin-mismatch", "another key", "good", pinned("spki:next"), "fingerprint match={spki:next}"),
        ("pin-certificate-not", "another certificate", "good", pinned("cert:next"), "fingerprint match={cert:next}"),
        ("pin-authority-not", "another authority", "good", pinned("ca:other", names=("{mx1}",)),
         "secure match={mx1} tafile={other.pem}"),
        ("pin-authority-wrong-name", "the authority, and another name", "wrong-name",
         pinned("ca:issuing", names=("{mx1}",)), "secure match={mx1} tafile={issuing.pem}"),
        ("pin-authority-expired", "the authority, and an expired leaf", "expired",
         pinned("ca:issuing", names=("{mx1}",)), "secure match={mx1} tafile={issuing.pem}"),
    ]  # fmt: skip
    section = "RFC 7469 2.6"
    found = [
        Case(name, section, why, by("pin", "insecure", pin=pin), (Host(face),), requirement, zone="insecure",
             peer=Peer(level))
        for name, why, face, requirement, pin, level in rows
    ]  # fmt: skip
    found += [
        Case(name, section, why, deferred("4.7.5"), (Host(face),), requirement, zone="insecure", peer=Peer(level))
        for name, why, face, requirement, level in bad
    ]
    return [
        *found,
        Case("pin-dane-mismatch", "RFC 7672 2.2", "what is published holds as well as what is required",
             deferred("4.7.5"), (Host("good", OTHER),), pinned("spki:good"),
             peer=Peer("fingerprint match={spki:good}", "sent Verified 1", _LEVEL)),
    ]  # fmt: skip


def _sts() -> list[Case]:
    """A policy, with nothing required but what is published, and required by the gateway."""
    enforced = by("mta-sts", "insecure", sts="enforce")
    rows: list[tuple[str, str, str, tuple[str, ...], Policy, Expected]] = [
        ("enforce", "8461 4", "named, and the certificate holds", ("good",), Policy(), enforced),
        ("enforce-wildcard-mx", "8461 4.1", "*. stands for one label", ("good",), Policy(mx=("*.{domain}",)), enforced),
        ("enforce-wildcard-leaf", "8461 4.2", "so it does in the certificate", ("wildcard",), Policy(), enforced),
        ("enforce-case", "8461 4.1", "names are compared without case", ("good",), Policy(mx=("MX1.{domain}",)),
         enforced),
        ("enforce-not-named", "8461 4.1", "the policy does not name the host", ("good",), Policy(mx=("mx9.{domain}",)),
         deferred("4.7.5")),
        ("enforce-expired", "8461 4.2", "the certificate has expired", ("expired",), Policy(), deferred("4.7.5")),
        ("enforce-self-signed", "8461 4.2", "no path to an anchor", ("self-signed",), Policy(), deferred("4.7.5")),
        ("enforce-untrusted", "8461 4.2", "no path to an anchor", ("untrusted",), Policy(), deferred("4.7.5")),
        ("enforce-wrong-name", "8461 4.2", "not the MX host's name", ("wrong-name",), Policy(), deferred("4.7.5")),
        ("enforce-domain-name", "8461 4.2", "the domain's name is not the host's", ("by-domain",), Policy(),
         deferred("4.7.5")),
        ("enforce-cn-only", "8461 4.2", "the common name is no name", ("cn-only-2",), Policy(), deferred("4.7.5")),
        ("enforce-no-starttls", "8461 5", "no TLS", ("no-starttls",), Policy(), deferred("4.7.10")),
        ("enforce-454", "8461 5", "no TLS", ("454",), Policy(), deferred("4.7.10")),
        ("enforce-tls11", "8461 7", "TLS 1.2 at least", ("tls11",), Policy(), deferred("4.7.5")),
        ("enforce-second-named", "8461 5", "the first host is not named, the second is", ("good", "good"),
         Policy(mx=("{mx2}",)), by("mta-sts", "insecure", sts="enforce", host=2)),
        ("enforce-second-valid", "8461 5", "the first host's certificate fails, the second's holds",
         ("expired", "good"), Policy(mx=("{mx1}", "{mx2}")), by("mta-sts", "insecure", sts="enforce", host=2)),
        ("testing-expired", "8461 5", "delivered all the same", ("expired",), Policy("testing"),
         encrypted("insecure", sts="testing")),
        ("testing-not-named", "8461 5", "delivered all the same", ("good",), Policy("testing", mx=("mx9.{domain}",)),
         encrypted("insecure", sts="testing")),
        ("testing-no-starttls", "8461 5", "delivered all the same", ("no-starttls",), Policy("testing"),
         clear("insecure", sts="testing")),
        ("none", "8461 5", "as though there were no policy", ("expired",), Policy("none", mx=()),
         encrypted("insecure", sts="none")),
        ("not-fetched", "8461 3.3", "no policy and none cached: as though there were none", ("expired",),
         Policy(fetch="404"), encrypted("insecure")),
        ("no-record", "8461 3.1", "no TXT record: the policy is not asked for", ("expired",), Policy(record=False),
         encrypted("insecure")),
        ("cached", "8461 3.3", "not fetched: the cached one applies", ("good",),
         Policy(fetch="404", cached="enforce"), enforced),
        ("cached-expired", "8461 3.3", "not fetched: the cached one applies", ("expired",),
         Policy(fetch="404", cached="enforce"), deferred("4.7.5")),
        ("cached-no-record", "8461 5.1", "no TXT record: the cached one applies", ("expired",),
         Policy(record=False, cached="enforce"), deferred("4.7.5")),
        ("cached-replaced", "8461 5.1", "another id: the new one applies", ("good",),
         Policy(cached="enforce", cached_mx=("old.{domain}",)), enforced),
    ]  # fmt: skip
    found = [
        Case(f"sts-{name}", f"RFC {section}", why, expected, tuple(map(Host, faces)), OPPORTUNISTIC, zone="insecure",
             policy=policy, no_peer=_NO_STS)
        for name, section, why, faces, policy, expected in rows
    ]  # fmt: skip
    return found + _sts_required() + _sts_beside_dane()


def _sts_required() -> list[Case]:
    missing = "required: the lack of a policy in force proves nothing"
    rows: list[tuple[str, str, str, Policy | None, Expected]] = [
        ("", "positive proof", "good", Policy(), by("mta-sts", "insecure", sts="enforce")),
        ("-testing", missing, "good", Policy("testing"), deferred("4.7.5")),
        ("-none", missing, "good", Policy("none", mx=()), deferred("4.7.5")),
        ("-absent", missing, "good", None, deferred("4.7.5")),
        ("-not-fetched", missing, "good", Policy(fetch="404"), deferred("4.7.5")),
        ("-expired", "the certificate has expired", "expired", Policy(), deferred("4.7.5")),
        ("-not-named", "the policy does not name the host", "good", Policy(mx=("mx9.{domain}",)), deferred("4.7.5")),
    ]
    return [
        Case(f"sts-required{name}", "RFC 8461 5", why, expected, (Host(face),), MTA_STS, zone="insecure",
             policy=policy, no_peer=_NO_STS)
        for name, why, face, policy, expected in rows
    ]  # fmt: skip


def _sts_beside_dane() -> list[Case]:
    both = "an enforced policy says MUST NOT, whatever DANE says: both must hold"
    rows: list[tuple[str, str, str, Host, Policy | None, Expected]] = [
        ("dane-fails", "RFC 8461 2", "MTA-STS never overrides a failing DANE", Host("good", OTHER), Policy(),
         deferred("4.7.5")),
        ("dane-bogus", "RFC 8461 2", "MTA-STS never overrides a failing DANE", Host("good", EE, tlsa_zone="bogus"),
         Policy(), deferred("4.7.5")),
        ("dane-holds", "RFC 8461 5", both, Host("good", EE), Policy(),
         dane(sts="enforce", also=("mta-sts",))),
        ("dane-holds-self-signed", "RFC 8461 5", both, Host("self-signed", EE), Policy(), deferred("4.7.5")),
        ("dane-holds-not-named", "RFC 8461 5", both, Host("good", EE), Policy(mx=("mx9.{domain}",)),
         deferred("4.7.5")),
        ("dane-holds-testing", "RFC 8461 5", "a policy in testing asks for nothing", Host("self-signed", EE),
         Policy("testing"), dane(sts="testing")),
        ("dane-absent", "RFC 8461 4", "without TLSA records the policy binds", Host("good"), Policy(),
         by("mta-sts", "secure", sts="enforce")),
        ("dane-absent-expired", "RFC 8461 4", "without TLSA records the policy binds", Host("expired"), Policy(),
         deferred("4.7.5")),
    ]  # fmt: skip
    found = [
        Case(f"sts-{name}", section, why, expected, (host,), OPPORTUNISTIC, policy=policy, no_peer=_NO_STS)
        for name, section, why, host, policy, expected in rows
    ]
    return [
        *found,
        Case("sts-required-dane", "RFC 8461 4", "required, beside DANE: both are proven",
             by("mta-sts", "secure", also=("dane",), tlsa="3 1 1", sts="enforce"), (Host("good", EE),), MTA_STS,
             policy=Policy(), no_peer=_NO_STS),
        Case("sts-required-dane-only", "RFC 8461 4", "required: DANE does not stand in for it", deferred("4.7.5"),
             (Host("good", EE),), MTA_STS, no_peer=_NO_STS),
        Case("sts-required-dane-fails", "RFC 8461 2", "required and held, but DANE fails", deferred("4.7.5"),
             (Host("good", OTHER),), MTA_STS, policy=Policy(), no_peer=_NO_STS),
    ]  # fmt: skip


def _requiretls() -> list[Case]:
    """RFC 8689 section 4.2.1: MX name, certificate, and the keyword after TLS."""
    taken = by("pkix", "secure", requiretls=True)
    rows: list[tuple[str, str, tuple[Host, ...], Expected]] = [
        ("", "all of it holds", (Host("requiretls"),), taken),
        ("-dane", "the certificate by DANE", (Host("requiretls-self-signed", EE),),
         by("dane", "secure", tlsa="3 1 1", requiretls=True)),
        ("-untrusted", "neither PKIX nor DANE", (Host("requiretls-self-signed"),), deferred("4.7.5")),
        ("-not-offered", "no host supports it", (Host("good"),), failed("5.7.30")),
        ("-in-the-clear", "offered before TLS alone", (Host("requiretls-in-the-clear"),), failed("5.7.30")),
        ("-next", "the next host supports it", (Host("good"), Host("requiretls")),
         by("pkix", "secure", requiretls=True, host=2)),
        ("-not-offered-twice", "no host supports it", (Host("good"), Host("good")), failed("5.7.30")),
        ("-or-closed", "one does not support it, the other may: later", (Host("good"), Host("closed")),
         deferred("4.7.30")),
        ("-no-starttls", "no TLS", (Host("no-starttls"),), deferred("4.7.10")),
        ("-tlsa-bogus", "whether DANE holds is unknown", (Host("requiretls", EE, tlsa_zone="bogus"),),
         deferred("4.7.5")),
    ]  # fmt: skip
    found = [
        Case(f"requiretls{name}", "RFC 8689 4.2.1", why, expected, hosts, REQUIRETLS, no_peer=_NO_REQUIRETLS,
             asked=True)
        for name, why, hosts, expected in rows
    ]  # fmt: skip
    insecure: list[tuple[str, str, Policy | None, Expected]] = [
        ("-insecure-mx", "nothing proves the MX name", None, deferred("4.7.5")),
        ("-sts", "MTA-STS proves the MX name", Policy(), by("mta-sts", "insecure", sts="enforce", requiretls=True)),
        ("-sts-testing", "a policy that is not enforced proves nothing", Policy("testing"), deferred("4.7.5")),
    ]
    found += [
        Case(f"requiretls{name}", "RFC 8689 4.2.1", why, expected, (Host("requiretls"),), REQUIRETLS,
             zone="insecure", policy=policy, no_peer=_NO_REQUIRETLS, asked=True)
        for name, why, policy, expected in insecure
    ]  # fmt: skip
    return [
        *found,
        Case("requiretls-entry", "RFC 8689 4.2.1", "the register asks for it: taken under it",
             by("pkix", "secure", requiretls=True), (Host("requiretls"),), REQUIRETLS, no_peer=_NO_REQUIRETLS),
        Case("requiretls-entry-not-offered", "RFC 8689 4.2.1", "the register asks for it, not the client: later, and "
             "decided again after the deadline", deferred("4.7.30"), (Host("good"),), REQUIRETLS,
             no_peer=_NO_REQUIRETLS),
        Case("not-requiretls", "RFC 8689 3", "offered, not asked for: the parameter stays away",
             encrypted("secure"), (Host("requiretls"),), ENCRYPTED, no_peer=_NO_REQUIRETLS),
    ]  # fmt: skip


POLICY_CASES: tuple[Case, ...] = (*_pkix(), *_pins(), *_sts(), *_requiretls())
