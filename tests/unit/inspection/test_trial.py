"""A password that the message tells, in whatever way people tell it, is tried, and early enough to be worth it."""

from __future__ import annotations

import base64
import io
import time

import pytest
import pyzipper

from gateway.inspection import inspect_message, trial
from gateway.inspection.limits import Clues, Limits, Lock, fresh_budget
from gateway.model import Encrypted, PartFacts, Strength

NO_CLUES = Clues()
NOTE = (
    "Dear colleague,\n\nPlease find attached the report for the review on 12 March 2026. {}\n\nKind regards,\n"
    "Senior Social Worker | Children's Services\nBirmingham B4 7DJ\nT: 0121 303 1888 | M: 07700 900123 | "
    "E: duty@council.example\n\nThis e-mail is confidential. If you received it in error, tell the sender.\n"
)

# (what is written, the password that it tells)
TOLD = (
    ("The password is Tiger2024!", "Tiger2024!"),
    ("The password is Tiger2024!.", "Tiger2024!"),
    ("Password = sunflower", "sunflower"),
    ("password:sunflower", "sunflower"),
    ("pw: hunter22", "hunter22"),
    ("PW - hunter22", "hunter22"),
    ("p/w hunter22", "hunter22"),
    ("Pwd=hunter22;", "hunter22"),
    ("PIN: 4471", "4471"),
    ("PIN number 4471", "4471"),
    ("pass code is 4471", "4471"),
    ("The code is 44 71 93", "44 71 93"),
    ("The code is 44 71 93", "447193"),
    ("the key is blue-house", "blue-house"),
    ("Password:\nsunflower", "sunflower"),
    ("The password is below:\n\nsunflower\n", "sunflower"),
    ("The password for the file is as follows\n   Sunflower Lane 9", "Sunflower Lane 9"),
    ("Password\r\n\r\nsunflower", "sunflower"),
    ("| Password | sunflower |", "sunflower"),
    ("File,Password\nreport.zip,sunflower", "sunflower"),
    ("Password\tsunflower", "sunflower"),
    ("the password is “blue house”", "blue house"),
    ("the password is 'blue house'.", "blue house"),
    ("password is `x7!kk`", "x7!kk"),
    ("password is *x7kk99*", "x7kk99"),
    ("password (x7kk99)", "x7kk99"),
    ("Password: P@ss word 1", "P@ss word 1"),
    ("Password: correct horse battery staple", "correct horse battery staple"),
    ("Password: correct horse battery, as agreed", "correct horse battery"),
    ("Password: Blue House (with the space)", "Blue House"),
    ("Password: Blue House (no space)", "BlueHouse"),
    ("Tiger2024 is the password", "Tiger2024"),
    ("sunflower is your new password", "sunflower"),
    ("Use sunflower to open it", "sunflower"),
    ("It opens with sunflower", "sunflower"),
    ("open the file with sunflower99.", "sunflower99"),
    ("password is Müllerstraße7", "Müllerstraße7"),
    ("password is Mu\u0308ller7", "Müller7"),
    ("password is SUNFLOWER, all lower case", "sunflower"),
    ("password is sunflower with a capital S", "Sunflower"),
    ("password is sunflower, in capitals", "SUNFLOWER"),
    ("password: sun\u200bflower", "sunflower"),
    ("password:\u00a0sunflower", "sunflower"),
    ("passwords: first99 and second88", "second88"),
    ("The password is the date of the review.", "12032026"),
    ("The password is the date of the review.", "12/03/2026"),
    ("The password is the date of the review.", "120326"),
    ("The password is the date of the review.", "2026-03-12"),
    ("The password is our postcode without a space", "B47DJ"),
    ("The password is my mobile number", "07700900123"),
    ("The password is the first word of this mail", "Dear"),
    ("The password is the name of our street, Lancaster", "Lancaster"),
)


@pytest.mark.parametrize(("line", "password"), TOLD)
def test_a_told_password_is_a_candidate(line: str, password: str) -> None:
    assert password in trial.candidates([NOTE.format(line)], NO_CLUES)


PLAINLY_TOLD = TOLD[:43]


@pytest.mark.parametrize(("line", "password"), PLAINLY_TOLD)
def test_a_plainly_told_password_is_among_the_first(line: str, password: str) -> None:
    """A document with a hundred thousand rounds allows only some ten trials a second."""
    first = trial.candidates([NOTE.format(line)], NO_CLUES)
    assert first.index(password) < 60


@pytest.mark.parametrize("line", ["The password is Tiger2024!", "Password = sunflower", "pw: hunter22", "PIN: 4471"])
def test_the_commonest_ways_come_before_anything_else(line: str) -> None:
    assert trial.candidates([NOTE.format(line)], NO_CLUES).index(line.split()[-1]) <= 3


def test_the_empty_password_is_first_and_none_comes_twice() -> None:
    found = trial.candidates([NOTE.format("Password: x7kk99"), "Subject: Password x7kk99"], Clues(("letmein",)))
    assert found[0] == ""
    assert "letmein" in found
    assert len(found) == len(set(found))


def test_one_text_full_of_telling_does_not_keep_another_from_its_turn() -> None:
    noise = "\n".join(f"password: word{number}" for number in range(500))
    assert trial.candidates([noise, "password: sunflower"], NO_CLUES).index("sunflower") < 20


@pytest.mark.parametrize(
    "unit",
    ["password ", "password is ", "use ", "a", "\n", "1/1/20 ", "'", "code:", "password:" + "x" * 200 + " ", "0 "],
)
def test_candidates_cost_little_whatever_the_text(unit: str) -> None:
    started = time.process_time()
    found = trial.candidates([unit * (1_000_000 // len(unit))] * 3, NO_CLUES)
    assert time.process_time() - started < 2
    assert len(found) <= 2000
    assert all(len(one) <= 64 for one in found)


def test_file_names_give_their_pieces() -> None:
    assert {"Tiger2024.zip", "Tiger2024", "report-Tiger2024"} & set(
        trial.name_words("report-Tiger2024.zip").split("\n")
    )


# ---------------------------------------------------------------- with locks


def lock(password: str, cost: int = 1000) -> Lock:
    return Lock(cost, lambda tried: tried == password)


def test_cheap_locks_come_first_and_each_has_its_share() -> None:
    budget = fresh_budget(Limits(effort=10_000))
    words = ("", "one", "two", "three")
    opened, untried = trial.opens([lock("three", 2500), lock("two", 1)], words, budget)
    assert opened == {1}
    assert untried == {0}
    assert budget.unfinished


def test_a_lock_that_fails_stays_shut() -> None:
    def broken(password: str) -> bool:
        raise ValueError(password)

    opened, untried = trial.opens([Lock(1, broken)], ("", "a"), fresh_budget(Limits()))
    assert (opened, untried) == (set(), set())


def test_a_lock_too_costly_to_try_is_said_to_be_untried() -> None:
    opened, untried = trial.opens([lock("", 2**63)], ("",), fresh_budget(Limits()))
    assert (opened, untried) == (set(), {0})


def test_the_verdict_on_a_part_that_opens() -> None:
    part = PartFacts("zip", Strength.ACCEPTABLE, "AES", Encrypted.YES)
    opened = trial.verdict(part, True, False)
    assert (opened.strength, opened.encrypted, opened.findings) == (Strength.NONE, Encrypted.PARTIAL, (trial.OPENED,))
    untried = trial.verdict(part, False, True)
    assert (untried.strength, untried.findings) == (Strength.ACCEPTABLE, (trial.UNTRIED,))


# ---------------------------------------------------------------- with a real archive


def archive(password: str) -> bytes:
    out = io.BytesIO()
    with pyzipper.AESZipFile(out, "w", compression=pyzipper.ZIP_DEFLATED) as made:
        made.setencryption(pyzipper.WZ_AES, nbits=256)
        made.setpassword(password.encode())
        made.writestr("report.txt", b"Meeting notes about a family.\n" * 20)
    return out.getvalue()


def sent(
    data: bytes,
    note: str,
    kind: str = "text/plain",
    subject: str = "Report",
    name: str = "report.zip",
    more: bytes = b"",
) -> bytes:
    attached = f'Content-Type: application/zip\r\nContent-Disposition: attachment; filename="{name}"\r\n'
    parts = (
        f"Content-Type: {kind}; charset=utf-8\r\n\r\n{note}\r\n".encode(),
        attached.encode()
        + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(data).replace(b"\n", b"\r\n"),
    )
    head = f"From: a@council.example\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
    body = b"".join(b"--q\r\n" + part for part in parts) + more + b"--q--\r\n"
    return head.encode() + b"Content-Type: multipart/mixed; boundary=q\r\n\r\n" + body


INSIDE = b"--q\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nIt is called Tiger2024\r\n"
WAYS = {
    "body": sent(archive("Tiger2024"), "It opens with Tiger2024."),
    "html": sent(archive("Tiger2024"), "<p>It is <b>Ti</b>ger<i>20</i>24</p>", "text/html"),
    "html table": sent(
        archive("Tiger2024"), "<table><tr><td>Password</td><td>Tiger2024</td></tr></table>", "text/html"
    ),
    "subject": sent(archive("Tiger2024"), "See the report.", subject="Report (Tiger2024)"),
    "file name": sent(archive("Tiger2024"), "See the report.", name="report-Tiger2024.zip"),
    "attached message": sent(archive("Tiger2024"), "See the report.", more=INSIDE),
    "case": sent(archive("tiger"), "The password is Tiger in lower case"),
    "date": sent(archive("03052026"), "As to the meeting on 3 May 2026, see the report."),
}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_an_archive_opens_with_what_the_message_tells(way: str) -> None:
    facts = inspect_message(WAYS[way])
    assert facts.password_in_clear
    assert facts.attachments[0].strength is Strength.NONE
    assert trial.OPENED in facts.attachments[0].findings


def test_an_archive_whose_password_is_not_told_stays_shut() -> None:
    facts = inspect_message(sent(archive("Tiger2024"), NOTE.format("The password will follow by phone.")))
    assert not facts.password_in_clear
    assert facts.attachments[0].strength is Strength.ACCEPTABLE
