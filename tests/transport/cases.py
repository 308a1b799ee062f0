"""The table: DNS state x TLSA x MTA-STS x certificate x STARTTLS behaviour x requirement, and what must come of it.

Guarantees: every expectation is that of the RFC section named in its row. Where an RFC leaves a choice, the row says
which is taken. `tests.transport.vocabulary` explains the words.
"""

from __future__ import annotations

from tests.transport.cases_policy import POLICY_CASES
from tests.transport.vocabulary import (
    DANE,
    ENCRYPTED,
    OPPORTUNISTIC,
    P_DANE,
    P_ENCRYPT,
    P_ONLY,
    Case,
    Host,
    Peer,
    State,
    clear,
    dane,
    deferred,
    encrypted,
    failed,
)

EE, OTHER = ("3 1 1 leaf",), ("3 1 1 next",)

_INSECURE_MX = (
    "RFC 7672 section 2.2.1: with insecure MX records a client may heed a host's TLSA records or go on as before DANE; "
    "Postfix heeds them (smtp_tls_dane_insecure_mx_policy), the gateway does not"
)
_AT_ONCE = (
    "RFC 7435 section 3: an opportunistic sender falls back to clear text; the gateway does so at once on a new "
    "connection, Postfix once the message is older than minimal_backoff_time"
)
_TLS11 = (
    "RFC 8996 section 5: TLS 1.1 must not be used; Postfix 3.7 speaks TLS 1.0 and 1.1 unless told otherwise, the "
    "gateway never does and falls back to clear text, which says so"
)
_TLS11_MUST = (
    "RFC 8996 section 5: TLS 1.1 must not be used; Postfix 3.7 speaks TLS 1.0 and 1.1 unless told otherwise, the "
    "gateway leaves the host"
)
_REFUSED = (
    "RFC 3207 section 6: what is said before TLS may be the word of a man in the middle; the gateway leaves the host "
    "and defers, Postfix takes the 5yz for final, without a look at the next host (RFC 7672 section 2.2 has it tried)"
)
_INJECTED = (
    "RFC 3207 section 4.2: what was said before TLS is discarded; Postfix discards the bytes and goes on, the gateway "
    "takes them for the attack that they are and leaves the host"
)
_GREETING = (
    "RFC 5321 section 3.1: a 5yz greeting is permanent; the gateway fails the share where every host says so and "
    "nothing had to be proven, Postfix tries again later (smtp_skip_5xx_greeting)"
)
_LEVEL = (
    "RFC 7672 section 2.2: DANE binds whoever takes part; Postfix takes part at its levels dane and dane-only alone, "
    "the gateway at every level that heeds what is published"
)


def _matching() -> list[Case]:
    """A secure domain, a secure host, TLSA records of every kind."""
    rows = [
        ("ee-key", "7672 3.1.1", "SHA-256 of the leaf's key", "good", EE, dane()),
        ("ee-certificate", "7672 3.1.1", "SHA-256 of the leaf", "good", ("3 0 1 leaf",), dane("3 0 1")),
        ("ee-sha512", "6698 2.1.3", "SHA-512 of the leaf's key", "good", ("3 1 2 leaf",), dane("3 1 2")),
        ("ee-full-key", "6698 2.1.3", "the leaf's key itself", "good", ("3 1 0 leaf",), dane("3 1 0")),
        ("ee-mismatch", "7672 2.2", "no record matches: the host is left", "good", OTHER, deferred("4.7.5")),
        ("ee-expired", "7672 3.1.1", "expiry does not matter to usage 3", "expired", EE, dane()),
        ("ee-wrong-name", "7672 3.1.1", "names do not matter to usage 3", "wrong-name", EE, dane()),
        ("ee-self-signed", "7672 3.1.1", "issuers do not matter to usage 3", "self-signed", EE, dane()),
        ("ee-untrusted", "7672 3.1.1", "nor does an unknown authority", "untrusted", EE, dane()),
        ("ee-no-name", "7672 3.1.1", "nor the lack of a subjectAltName", "cn-only-2", EE, dane()),
        ("ta-root", "7672 3.1.2", "the root, presented", "rooted", ("2 0 1 root",), dane("2 0 1")),
        ("ta-issuing", "7672 3.1.2", "the issuing authority's key", "good", ("2 1 1 issuing",), dane("2 1 1")),
        ("ta-not-presented", "7672 3.1.2", "a digest of what is not presented", "good", ("2 0 1 root",),
         deferred("4.7.5")),
        ("ta-in-dns", "7671 5.2", "the authority itself is in the record", "good", ("2 0 0 root",), dane("2 0 0")),
        ("ta-key-in-dns", "7671 5.2", "the authority's key is in the record", "good", ("2 1 0 root",), dane("2 1 0")),
        ("ta-untrusted-root", "7672 3.1.2", "the public list of authorities is not asked", "untrusted",
         ("2 1 1 other",), dane("2 1 1")),
        ("ta-wrong-name", "7672 3.2.2", "names matter to usage 2", "wrong-name", ("2 1 1 issuing",),
         deferred("4.7.5")),
        ("ta-next-hop-name", "7672 3.2.2", "the domain's own name does too", "by-domain", ("2 1 1 issuing",),
         dane("2 1 1")),
        ("ta-expired", "7672 3.1.2", "expiry matters to usage 2", "expired", ("2 1 1 issuing",), deferred("4.7.5")),
        ("ta-mismatch", "7672 3.1.2", "another authority", "good", ("2 0 1 other",), deferred("4.7.5")),
        ("mixed-one-matches", "7671 8.1", "old and new key while keys roll over", "good", OTHER + EE, dane()),
        ("mixed-ta-matches", "7672 2.2", "one record of any usage suffices", "good", (*OTHER, "2 1 1 issuing"),
         dane("2 1 1")),
        ("mixed-unusable", "7672 2.2", "the usable one must match", "good", ("1 1 1 leaf", *OTHER),
         deferred("4.7.5")),
        ("agility", "7672 5", "of two digests the stronger alone counts", "good", ("3 1 2 next", *EE),
         deferred("4.7.5")),
        ("usages-0-and-1", "7672 3.1.3", "unusable: TLS must, not authenticated", "good", ("1 1 1 leaf", "0 0 1 root"),
         encrypted("secure")),
        ("unknown-digest", "7672 2.2", "unusable: TLS must, not authenticated", "expired", ("3 1 9 leaf",),
         encrypted("secure")),
        ("unusable-no-starttls", "7672 2.2", "TLS must", "no-starttls", ("1 1 1 leaf",), deferred("4.7.10")),
        ("absent", "7672 2.2", "NSEC proves that there is none", "self-signed", (), encrypted("secure")),
        ("absent-no-starttls", "7672 2.2", "clear text is allowed", "no-starttls", (), clear("secure")),
    ]  # fmt: skip
    return [
        Case(name, f"RFC {section}", why, expected, (Host(face, tlsa),), peer=P_DANE)
        for name, section, why, face, tlsa, expected in rows
    ]


def _lookups() -> list[Case]:
    """What DNS does wrong, and what may follow."""
    broken: list[State] = ["bogus", "expired", "servfail", "silent"]
    found = [
        Case(f"tlsa-{state}", "RFC 7672 2.1.1", "an error is no absence: the host counts as unreachable",
             deferred("4.7.5"), (Host("good", EE, tlsa_zone=state),), peer=P_DANE)
        for state in broken
    ]  # fmt: skip
    found += [
        Case(f"mx-{state}", "RFC 7672 2.1.1", "which hosts take the mail is unknown: later", deferred("4.4.3"),
             (Host("good", EE),), zone=state, peer=P_DANE)
        for state in broken
    ]  # fmt: skip
    found += [
        Case(f"address-{state}", "RFC 7672 2.1.1", "the host's address is unknown: later", deferred("4.4.3"),
             (Host("good", EE, zone=state),), peer=P_DANE)
        for state in ("bogus", "servfail")
    ]  # fmt: skip
    good = Host("good", EE)
    return [
        *found,
        Case("tlsa-bogus-next", "RFC 7672 2.2", "the next host is tried", dane(host=2),
             (Host("good", EE, tlsa_zone="bogus"), good), peer=P_DANE),
        Case("ee-mismatch-next", "RFC 7672 2.2", "the next host is tried", dane(host=2), (Host("good", OTHER), good),
             peer=P_DANE),
        Case("address-servfail-next", "RFC 5321 5.1", "the next host is tried", dane(host=2),
             (Host("good", EE, zone="servfail"), good), peer=P_DANE),
        Case("address-none-next", "RFC 5321 5.1", "the next host is tried", dane(host=2),
             (Host("good", address=False), good), peer=P_DANE),
        Case("address-none", "RFC 5321 5.1", "no host has an address", failed("5.4.4"),
             (Host("good", address=False),), peer=P_DANE),
        Case("closed-next", "RFC 5321 5.1", "no connection: the next host is tried", dane(host=2),
             (Host("closed"), good), peer=P_DANE),
        Case("closed", "RFC 5321 4.5.4.1", "no connection: later", deferred("4.4.1"), (Host("closed", EE),),
             peer=P_DANE),
    ]  # fmt: skip


def _secured_or_not() -> list[Case]:
    """What DNSSEC secures and what it does not, aliases, and domains without MX records."""
    good = Host("good", EE)
    return [
        Case("tlsa-insecure", "RFC 7672 2.2", "records that nothing secures count as none", encrypted("secure"),
             (Host("good", OTHER, tlsa_zone="insecure"),), peer=P_DANE),
        Case("insecure-host", "RFC 7672 2.2.2", "an insecure address: TLSA is not asked for", encrypted("secure"),
             (Host("good", OTHER, zone="insecure"),), peer=P_DANE),
        Case("insecure-host-tlsa-silent", "RFC 7672 2.2.2", "an insecure address: name servers that know no TLSA "
             "harm nobody", encrypted("secure"), (Host("good", OTHER, zone="insecure", tlsa_zone="silent"),),
             peer=P_DANE),
        Case("insecure-mx", "RFC 7672 2.2.1", "insecure MX records: opportunistic, and nothing is authenticated",
             encrypted("insecure"), (Host("good", EE, zone="secure"),), zone="insecure", peer=P_DANE),
        Case("insecure-mx-mismatch", "RFC 7672 2.2.1", "insecure MX records: opportunistic",
             encrypted("insecure"), (Host("good", OTHER, zone="secure"),), zone="insecure",
             peer=Peer("dane", "deferred", _INSECURE_MX)),
        Case("alias", "RFC 7672 2.2.2", "the records are where the aliases end", dane(), (Host("good", EE,
             alias="secure"),), peer=P_DANE),
        Case("alias-mismatch", "RFC 7672 2.2.2", "the records are where the aliases end", deferred("4.7.5"),
             (Host("good", OTHER, alias="secure"),), peer=P_DANE),
        Case("alias-own-records", "RFC 7672 2.2.2", "else they are at the alias", dane(),
             (Host("good", EE, alias="secure", tlsa_at_alias=True),), peer=P_DANE),
        Case("alias-to-insecure", "RFC 7672 2.2.2", "a secure alias of an insecure name: its own records bind", dane(),
             (Host("good", EE, alias="insecure", tlsa_at_alias=True),), peer=P_DANE),
        Case("alias-to-insecure-bad", "RFC 7672 2.2.2", "a secure alias of an insecure name: its own records bind",
             deferred("4.7.5"), (Host("good", OTHER, alias="insecure", tlsa_at_alias=True),), peer=P_DANE),
        Case("implicit", "RFC 7672 2.2.1", "no MX: the domain is the host", dane(), (good,), mail="implicit",
             peer=P_DANE),
        Case("implicit-mismatch", "RFC 7672 2.2.1", "no MX: the domain is the host", deferred("4.7.5"),
             (Host("good", OTHER),), mail="implicit", peer=P_DANE),
        Case("null-mx", "RFC 7505 3", "the domain takes no mail", failed("5.1.10"), mail="null", peer=P_DANE),
        Case("no-domain", "RFC 5321 5.1", "NSEC proves that the domain does not exist", failed("5.1.2"),
             mail="nothing", peer=P_DANE),
    ]  # fmt: skip


def _starttls() -> list[Case]:
    """What servers do wrong with STARTTLS, with nothing asked, TLS asked, and DANE published."""
    faults = (
        ("no-starttls", "RFC 3207 4", "it is not offered", "4.7.10"),
        ("454", "RFC 3207 4", "it is turned down for now", "4.7.10"),
        ("501", "RFC 3207 4", "it is turned down", "4.7.10"),
        ("inject", "RFC 3207 4.2", "bytes follow the 220 in the clear: an attack", "4.7.5"),
        ("reset", "RFC 3207 4.1", "the connection ends in the handshake", "4.7.5"),
        ("garbage", "RFC 3207 4.1", "the handshake fails", "4.7.5"),
        ("tls11", "RFC 8996 5", "TLS 1.1 is too old", "4.7.5"),
    )
    differs = {
        "reset-opportunistic": Peer("dane", "deferred", _AT_ONCE),
        "garbage-opportunistic": Peer("dane", "deferred", _AT_ONCE),
        "tls11-opportunistic": Peer("dane", "sent Anonymous 1", _TLS11),
        "tls11-encrypted": Peer("encrypt", "sent Anonymous 1", _TLS11_MUST),
        "501-encrypted": Peer("encrypt", "bounced", _REFUSED),
        "501-dane": Peer("dane", "bounced", _REFUSED),
        "501-next": Peer("dane", "bounced", _REFUSED),
        "inject-opportunistic": Peer("dane", "sent Trusted 1", _INJECTED),
        "inject-encrypted": Peer("encrypt", "sent Trusted 1", _INJECTED),
        "inject-dane": Peer("dane", "sent Verified 1", _INJECTED),
        "inject-next": Peer("dane", "sent Verified 1", _INJECTED),
    }
    found = []
    for face, section, why, status in faults:
        clear_text = deferred(status) if face == "inject" else clear("secure")
        found += [
            Case(f"{face}-opportunistic", section, f"{why}; nothing is asked", clear_text, (Host(face),),
                 peer=differs.get(f"{face}-opportunistic", P_DANE)),
            Case(f"{face}-encrypted", section, f"{why}; TLS is asked for", deferred(status), (Host(face),),
                 ENCRYPTED, peer=differs.get(f"{face}-encrypted", P_ENCRYPT)),
            Case(f"{face}-dane", "RFC 7672 2.2", f"{why}; DANE is published", deferred(status), (Host(face, EE),),
                 peer=differs.get(f"{face}-dane", P_DANE)),
            Case(f"{face}-next", "RFC 7672 2.2", f"{why}; the next host is tried", dane(host=2),
                 (Host(face, EE), Host("good", EE)), peer=differs.get(f"{face}-next", P_DANE)),
        ]  # fmt: skip
    return found


def _required() -> list[Case]:
    """The gateway's own requirement: TLS, and DANE."""
    return [
        Case("encrypted", "RFC 3207 4.1", "TLS is asked for, not who the peer is", encrypted("secure"),
             (Host("good"),), ENCRYPTED, peer=P_ENCRYPT),
        Case("encrypted-expired", "RFC 3207 4.1", "TLS is asked for, not who the peer is", encrypted("insecure"),
             (Host("expired"),), ENCRYPTED, zone="insecure", peer=P_ENCRYPT),
        Case("encrypted-dane", "RFC 7672 2.2", "what is published holds as well", dane(), (Host("self-signed", EE),),
             ENCRYPTED, peer=Peer("encrypt", "sent Untrusted 1", _LEVEL)),
        Case("encrypted-dane-mismatch", "RFC 7672 2.2", "what is published holds as well", deferred("4.7.5"),
             (Host("good", OTHER),), ENCRYPTED, peer=Peer("encrypt", "sent Trusted 1", _LEVEL)),
        Case("encrypted-next", "RFC 3207 4.1", "the next host is tried", encrypted("secure", host=2),
             (Host("no-starttls"), Host("good")), ENCRYPTED, peer=P_ENCRYPT),
        Case("dane", "RFC 7672 6", "required and proven", dane(), (Host("good", EE),), DANE, peer=P_ONLY),
        Case("dane-ta", "RFC 7672 6", "required and proven", dane("2 1 1"), (Host("good", ("2 1 1 issuing",)),), DANE,
             peer=P_ONLY),
        Case("dane-mismatch", "RFC 7672 6", "required, not proven", deferred("4.7.5"), (Host("good", OTHER),), DANE,
             peer=P_ONLY),
        Case("dane-absent", "RFC 7672 6", "required, and there are no records", deferred("4.7.5"), (Host("good"),),
             DANE, peer=P_ONLY),
        Case("dane-unusable", "RFC 7672 6", "required, and no record is usable", deferred("4.7.5"),
             (Host("good", ("1 1 1 leaf",)),), DANE, peer=P_ONLY),
        Case("dane-insecure-mx", "RFC 7672 2.2.1", "a host found by insecure MX records proves nothing of the domain",
             deferred("4.7.5"), (Host("good", EE, zone="secure"),), DANE, zone="insecure", peer=P_ONLY),
        Case("dane-insecure-host", "RFC 7672 2.2.2", "required, and the address is insecure", deferred("4.7.5"),
             (Host("good", EE, zone="insecure"),), DANE, peer=P_ONLY),
        Case("dane-insecure-tlsa", "RFC 7672 2.2", "required, and nothing secures the records", deferred("4.7.5"),
             (Host("good", EE, tlsa_zone="insecure"),), DANE, peer=P_ONLY),
        Case("dane-bogus", "RFC 7672 2.1.1", "required, and the records are forged", deferred("4.7.5"),
             (Host("good", EE, tlsa_zone="bogus"),), DANE, peer=P_ONLY),
        Case("dane-second", "RFC 7672 6", "the first host has no records, the second is proven", dane(host=2),
             (Host("good"), Host("good", EE)), DANE, peer=P_ONLY),
        Case("dane-no-starttls", "RFC 7672 6", "required, and there is no TLS", deferred("4.7.10"),
             (Host("no-starttls", EE),), DANE, peer=P_ONLY),
        Case("dane-implicit", "RFC 7672 2.2.1", "no MX: the domain is the host", dane(), (Host("good", EE),), DANE,
             mail="implicit", peer=P_ONLY),
        Case("greeting-550", "RFC 5321 3.1", "every host turns the gateway away", failed("5.7.1"),
             (Host("550-greeting"),), OPPORTUNISTIC, peer=Peer("dane", "deferred", _GREETING)),
        Case("greeting-550-required", "RFC 5321 3.1", "in the clear anybody may have said it: later",
             deferred("4.7.1"), (Host("550-greeting", EE),), DANE, peer=P_ONLY),
        Case("drop-next", "RFC 5321 5.1", "closed without a greeting: the next host is tried", dane(host=2),
             (Host("drop-at-connect"), Host("good", EE)), peer=P_DANE),
    ]  # fmt: skip


CASES: tuple[Case, ...] = (*_matching(), *_lookups(), *_secured_or_not(), *_starttls(), *_required(), *POLICY_CASES)
