"""The passwords that anybody would guess, and the words to watch for, as the policy lists them."""

from __future__ import annotations

from datetime import date

import pytest

from gateway.clues import clues
from gateway.model import Envelope, Recipient
from gateway.policy.guesses import guesses
from tests.unit.policy.cases import ENVELOPE, PARTNER, TODAY, partner, policy, snapshot


def _of(*listed: str, day: date = TODAY) -> tuple[str, ...]:
    return guesses(policy(common_passwords=listed), (PARTNER,), day)


def test_what_is_listed_is_guessed_in_that_order() -> None:
    assert _of("password", "Secret", "password1") == ("password", "Secret", "password1")


def test_a_partner_is_called_by_name_initials_id_and_domain() -> None:
    found = _of("{partner}", "{partner}1")
    assert {"Health Board", "HealthBoard", "healthboard", "Health", "HB", "hb", "health"} <= set(found)
    assert {"HealthBoard1", "hb1"} <= set(found)
    assert len(found) == len(set(found))


def test_the_day_is_written_in_the_usual_ways() -> None:
    found = _of("{date}", "Audit{year}", day=date(2026, 3, 2))
    assert found == (
        *("02032026", "020326", "20260302", "02/03/2026", "02-03-2026", "02.03.2026", "2026-03-02"),
        "Audit2026",
    )


def test_the_number_of_guesses_is_bounded() -> None:
    many = tuple(partner(id=f"p{n}", name=f"Agency {n}") for n in range(300))
    found = guesses(policy(common_passwords=[f"{{partner}}{n}" for n in range(100)]), many, TODAY)
    assert len(found) == 1000


def test_only_the_parties_of_the_envelope_are_named() -> None:
    listed = snapshot(common_passwords=["{partner}"])
    assert "Health" in clues(listed, ENVELOPE, TODAY).passwords
    elsewhere = Envelope("sam@council.example", (Recipient("x@elsewhere.example"),))
    assert clues(listed, elsewhere, TODAY).passwords == ()


@pytest.mark.parametrize(
    ("words", "text", "found"),
    [
        (["Heron"], "about operation HERON today", True),
        (["Heron"], "the Herons", False),
        (["Heron*"], "the Herons", True),
        (["Heron"], "xHeron", False),
        (["Mill Lane"], "at Mill  Lane", True),
        (["A.B"], "AxB", False),
        (["Ashgrove"], "nothing of the kind", False),
    ],
)
def test_watch_words_are_whole_words_of_any_case(words: list[str], text: str, found: bool) -> None:
    pattern = policy(watch_words=words).watched
    assert pattern is not None
    assert bool(pattern.search(text)) is found


def test_without_watch_words_nothing_is_looked_for() -> None:
    assert policy().watched is None
