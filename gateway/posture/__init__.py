"""What can be seen of a domain's mail servers from here and now, and which proofs a delivery would succeed with.

Guarantees: each check ends as one of found, absent, failed or bogus, and the four never blur. Whether a proof is
possible is found out with the functions that delivery itself uses; there is no second judgement.
Failures: none that concern a domain are raised: they are outcomes.
"""
