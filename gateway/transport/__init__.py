"""What is known and proven about the way to a mail server: names, DNS with DNSSEC, TLSA, MTA-STS, certificate chains.

Guarantees: a vocabulary that delivery, posture checks and reports share; it knows no message and takes no decision.
What could not be learnt is an error (`LookupFailed`), never an absence.
"""
