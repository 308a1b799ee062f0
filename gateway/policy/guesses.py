"""The passwords that anybody would guess: the policy's list, with the parties and the day filled in.

Guarantees: pure; the same policy, partners and day give the same list, in the order of the policy, none twice.
Failures: none; what stands in braces and is no placeholder is taken as it is (`gateway check` finds it).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache

from gateway.directory.model import Partner, Policy

_MOST = 1000


@lru_cache(maxsize=256)
def _guesses(listed: tuple[str, ...], partners: tuple[tuple[str, ...], ...], day: date) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for password in listed:
        for filled in _fill(password, partners, day):
            found.setdefault(filled)
            if len(found) >= _MOST:
                return tuple(found)
    return tuple(found)


def guesses(policy: Policy, partners: tuple[Partner, ...], day: date) -> tuple[str, ...]:
    """`common_passwords` with "{partner}" as the names of each party, "{date}" and "{year}" as the day's."""
    names = tuple(_names(partner) for partner in partners)
    return _guesses(policy.common_passwords, names, day)


def _names(partner: Partner) -> tuple[str, ...]:
    """The ways in which a partner is called: name, first word, initials, id, first label of each domain."""
    words = partner.name.split()
    initials = "".join(word[0] for word in words if word[0].isalnum())
    forms = [partner.name, partner.name.replace(" ", ""), words[0], initials, partner.id]
    forms += [domain.partition(".")[0] for domain in partner.domains]
    return tuple(dict.fromkeys(each for form in forms if len(form) > 1 for each in (form, form.lower())))


def _fill(password: str, partners: tuple[tuple[str, ...], ...], day: date) -> Iterator[str]:
    with_year = password.replace("{year}", str(day.year))
    dates = ("%d%m%Y", "%d%m%y", "%Y%m%d", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%Y-%m-%d")
    with_date = [with_year]
    if "{date}" in with_year:
        with_date = [with_year.replace("{date}", day.strftime(form)) for form in dates]
    for each in with_date:
        if "{partner}" in each:
            yield from (each.replace("{partner}", name) for names in partners for name in names)
        else:
            yield each
