"""MTA-STS as RFC 8461 writes it: records, policies, and which hosts a policy names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import TemporaryError
from gateway.transport.sts import MOST_AGE, StsPolicy, StsPolicyError, parse_policy, parse_record

# ---------------------------------------------------------------- the record (section 3.1)


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ('"v=STSv1; id=20160831085700Z;"', "20160831085700Z"),
        ('"v=STSv1; id=20160831085700Z"', "20160831085700Z"),
        ('"v=STSv1;id=1"', "1"),
        ('"v=STSv1;id=1; "', "1"),
        ('"v=STSv1; \t id=1\t ;\t"', "1"),
        ('"v=STSv1; id=' + "a" * 32 + '"', "a" * 32),
        ('"v=STSv1; id=1; later=x-_.:/+~!"', "1"),
        ('"v=STSv1; later=x; id=1"', "1"),
        ('"v=STSv1; id=first; id=second"', "first"),
        ('"v=STSv1; id=first; id=not,one"', "first"),
        ('"v=STSv1; ID=2; id=1"', "1"),
        ('"v=STS" "v1; i" "d=1"', "1"),  # strings are joined without space
        ('"v=STSv1;" " id=1;"', "1"),
        ('"\\118=STSv1; id=1"', "1"),  # \\118 is "v"
        ('"v=STSv1; note=a\\"b\\\\c; id=1"', "1"),
    ],
)
def test_a_record_gives_its_id(text: str, id: str) -> None:
    assert parse_record([text]) == id


@pytest.mark.parametrize(
    "text",
    [
        "",
        '""',
        '"v=STSv1"',
        '"v=STSv1;"',
        '"v=STSv1 ; id=1"',  # erratum 6285
        '" v=STSv1; id=1"',
        '"V=STSv1; id=1"',
        '"v=stsv1; id=1"',
        '"v=STSv2; id=1"',
        '"id=1; v=STSv1;"',
        '"v=STSv1; id="',
        '"v=STSv1; id=' + "a" * 33 + '"',
        '"v=STSv1; id=2016-08-31"',
        '"v=STSv1; id=1 2"',
        '"v=STSv1; id=1" " 2"',
        '"v=STSv1; id=1 "',  # space surrounds semicolons; it does not end a record
        '"v=STSv1; id =1"',
        '"v=STSv1; id= 1"',
        '"v=STSv1;; id=1"',
        '"v=STSv1; id=1;;"',
        '"v=STSv1; id=1; word"',
        '"v=STSv1; id=1; a=b=c"',
        '"v=STSv1; id=1; a="',
        '"v=STSv1; id=1; =a"',
        '"v=STSv1; id=1; -a=b"',
        '"v=STSv1; id=1; ' + "a" * 33 + '=b"',
        '"v=STSv1; id=1; a=caf\\195\\169"',
        '"v=STSv1; id=\\1941"',
        '"v=STSv1; id=\\217\\161"',  # a digit, but not one of ASCII
        '"v=STSv1; id=1\\010"',
        '"v=STSv1; id=1',  # no presentation form
        "v=STSv1; id=1",
    ],
)
def test_what_is_malformed_is_no_record(text: str) -> None:
    assert parse_record([text]) is None


def test_there_must_be_exactly_one_record() -> None:
    record, other = '"v=STSv1; id=1"', '"v=spf1 -all"'
    assert parse_record([]) is None
    assert parse_record([other]) is None
    assert parse_record([other, record, '"v=STSv1"', '"v=STSv1 ; id=3"']) == "1"
    assert parse_record([record, record]) is None
    assert parse_record([record, '"v=STSv1; broken"']) is None


# ---------------------------------------------------------------- the policy (section 3.2)

SOUND = b"version: STSv1\r\nmode: enforce\r\nmx: mail.school.test\r\nmx: *.school.test\r\nmax_age: 604800\r\n"


def policy(*lines: str, end: str = "\n") -> StsPolicy:
    return parse_policy("".join(f"{line}{end}" for line in lines).encode(), "1")


def test_a_policy_is_read_whole() -> None:
    assert parse_policy(SOUND, "2026x") == StsPolicy(
        "enforce", ("mail.school.test", "*.school.test"), 604800, "2026x", SOUND.decode()
    )


@pytest.mark.parametrize(
    "content",
    [
        SOUND.replace(b"\r\n", b"\n"),
        SOUND.rstrip(),
        SOUND.replace(b"\r\n", b"\n", 2),  # mixed
        SOUND.replace(b": ", b":"),
        SOUND.replace(b": ", b":\t  "),
        SOUND.replace(b"\r\n", b" \t\r\n"),
        SOUND + b"\r\n\n  \n",
        b"\n" + SOUND,
        b"max_age: 604800\nmx: MAIL.School.test\nmx: *.school.test.\nmode: enforce\nversion: STSv1",
        SOUND + b"mode: none\r\nversion: STSv9\r\nmax_age: never\r\n",  # repeated: the first wins
        SOUND + b"mx: mail.school.test\r\n",
        SOUND + "note: caf\u00e9 = 1; 2 : 3\r\nMode: none\r\n1.2-3_4:\r\n".encode(),
    ],
)
def test_what_may_differ_changes_nothing(content: bytes) -> None:
    read = parse_policy(content, "1")
    assert (read.mode, read.mx, read.max_age) == ("enforce", ("mail.school.test", "*.school.test"), 604800)
    assert read.text == content.decode()


def test_mode_none_needs_no_mx() -> None:
    assert policy("version: STSv1", "mode: none", "max_age: 86400").mx == ()
    assert policy("version: STSv1", "mode: testing", "mx: a.test", "max_age: 0").mode == "testing"


@pytest.mark.parametrize(("age", "seconds"), [("0", 0), ("1", 1), ("31557600", MOST_AGE), ("0031557600", MOST_AGE)])
def test_max_age_at_its_limits(age: str, seconds: int) -> None:
    assert policy("version: STSv1", "mode: none", f"max_age: {age}").max_age == seconds


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ((), "no line with version"),
        (("mode: enforce", "mx: a.test", "max_age: 1"), "no line with version"),
        (("version: STSv1", "mx: a.test", "max_age: 1"), "no line with mode"),
        (("version: STSv1", "mode: enforce", "mx: a.test"), "no line with max_age"),
        (("version: STSv1", "mode: enforce", "max_age: 1"), "mode enforce and no line with mx"),
        (("version: STSv1", "mode: testing", "max_age: 1"), "mode testing and no line with mx"),
        (("version: STSv2", "mode: none", "max_age: 1"), "version"),
        (("version: stsv1", "mode: none", "max_age: 1"), "version"),
        (("version: STSv1 x", "mode: none", "max_age: 1"), "version"),
        (("Version: STSv1", "mode: none", "max_age: 1"), "no line with version"),
        (("version: STSv1", "mode: Enforce", "mx: a.test", "max_age: 1"), "mode of the policy"),
        (("version: STSv1", "mode: report", "mx: a.test", "max_age: 1"), "mode of the policy"),
        (("version: STSv1", "mode:", "mx: a.test", "max_age: 1"), "mode of the policy"),
        (("version: STSv1", "mode: report", "mode: enforce", "mx: a.test", "max_age: 1"), "mode of the policy"),
        (("version: STSv1", "mode: none", "max_age:"), "max_age"),
        (("version: STSv1", "mode: none", "max_age: -1"), "max_age"),
        (("version: STSv1", "mode: none", "max_age: +1"), "max_age"),
        (("version: STSv1", "mode: none", "max_age: 1.5"), "max_age"),
        (("version: STSv1", "mode: none", "max_age: 1d"), "max_age"),
        (("version: STSv1", "mode: none", "max_age: 1_0"), "max_age"),
        (("version: STSv1", "mode: none", "max_age: \u0661"), "max_age"),
        (("version: STSv1", "mode: none", "max_age: 31557601"), "max_age"),
        (("version: STSv1", "mode: none", "max_age: 99999999999"), "max_age"),
        (("version: STSv1", "mode: none", "max_age: " + "9" * 5000), "max_age"),
        (("version: STSv1", "mode: enforce", "mx:", "max_age: 1"), "line 3"),
        (("version: STSv1", "mode: enforce", "mx: *", "max_age: 1"), "line 3"),
        (("version: STSv1", "mode: enforce", "mx: *.", "max_age: 1"), "line 3"),
        (("version: STSv1", "mode: enforce", "mx: .a.test", "max_age: 1"), "line 3"),
        (("version: STSv1", "mode: enforce", "mx: *.*.a.test", "max_age: 1"), "line 3"),
        (("version: STSv1", "mode: enforce", "mx: a.*.test", "max_age: 1"), "line 3"),
        (("version: STSv1", "mode: enforce", "mx: m*.a.test", "max_age: 1"), "line 3"),
        (("version: STSv1", "mode: enforce", "mx: *. a.test", "max_age: 1"), "line 3"),
        (("version: STSv1", "mode: enforce", "mx: a.test b.test", "max_age: 1"), "line 3"),
        (("version: STSv1", "mode: enforce", "mx: a..test", "max_age: 1"), "line 3"),
        (("version: STSv1", "mode: enforce", "mx: caf\u00e9.test", "max_age: 1"), "line 3"),
        (("version: STSv1", "mode: enforce", "mx: a.test", "mx: !", "max_age: 1"), "line 4"),
        (("version: STSv1", "mode none", "max_age: 1"), "line 2"),
        (("version: STSv1", "mode : none", "max_age: 1"), "line 2"),
        (("version: STSv1", " mode: none", "max_age: 1"), "line 2"),
        (("version: STSv1", "mode: none", "max_age: 1", ": x"), "line 4"),
        (("version: STSv1", "mode: none", "max_age: 1", "a" * 33 + ": x"), "line 4"),
        (("version: STSv1", "mode: none", "max_age: 1", "note: a\0b"), "line 4 of the policy has a control"),
        (("version: STSv1\rmode: none", "max_age: 1"), "line 1 of the policy has a control"),
        (("version: STSv1\r", "mode: none", "max_age: 1\r\r"), "line 3 of the policy has a control"),
        (("<!DOCTYPE html>", "<title>Not found</title>"), "line 1"),
    ],
)
def test_what_is_malformed_is_no_policy(lines: tuple[str, ...], says: str) -> None:
    with pytest.raises(StsPolicyError, match=says) as caught:
        policy(*lines)
    assert isinstance(caught.value, TemporaryError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", SOUND.decode().encode("utf-16"), b"\xef\xbb\xbf" + SOUND])
def test_a_policy_is_text_in_utf_8_without_a_mark(content: bytes) -> None:
    with pytest.raises(StsPolicyError):
        parse_policy(content)


@given(st.binary(max_size=300) | st.lists(st.sampled_from([*SOUND.split(b"\r\n"), b"x", b":", b"\0"])).map(b"\n".join))
def test_any_bytes_are_a_policy_or_an_error(content: bytes) -> None:
    try:
        read = parse_policy(content, "1")
    except StsPolicyError:
        return
    assert read.mode == "none" or read.mx
    assert 0 <= read.max_age <= MOST_AGE
    assert parse_policy(read.text.encode(), "1") == read


# ---------------------------------------------------------------- which hosts it names (section 4.1)


@pytest.mark.parametrize(
    ("pattern", "host", "named"),
    [
        ("mail.school.test", "mail.school.test", True),
        ("mail.school.test", "MAIL.School.TEST.", True),
        ("Mail.School.Test.", "mail.school.test", True),
        ("mail.school.test", "a.mail.school.test", False),
        ("mail.school.test", "school.test", False),
        ("mail.school.test", "xmail.school.test", False),
        ("mail.school.test", "", False),
        ("mail.school.test", ".", False),
        ("mail.school.test", ".mail.school.test", False),
        ("*.school.test", "mail.school.test", True),
        ("*.school.test", "MAIL.SCHOOL.test.", True),
        ("*.school.test", "a.mail.school.test", False),
        ("*.school.test", "school.test", False),
        ("*.school.test", ".school.test", False),
        ("*.school.test", "mailschool.test", False),
        ("*.school.test", "*.school.test", False),
        ("*.test", "school.test", True),
        ("*.test", "test", False),
        ("xn--caf-dma.test", "caf\u00e9.test", True),
        ("localhost", "localhost", True),
    ],
)
def test_names(pattern: str, host: str, named: bool) -> None:
    assert policy("version: STSv1", "mode: enforce", f"mx: {pattern}", "max_age: 1").names(host) is named


def test_a_policy_without_mx_names_nobody() -> None:
    assert not policy("version: STSv1", "mode: none", "max_age: 1").names("mail.school.test")
