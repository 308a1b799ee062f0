"""Visible text is read in every way in which it could be shown; passwords and hidden files are noticed."""

from __future__ import annotations

import pytest

from gateway.inspection.mail import text


@pytest.mark.parametrize(
    "line",
    [
        "The password is Tiger2024!",
        "Password: sunflower",
        "password:\nsunflower",
        "PASSWORD = x7!kk",
        "The passcode for the file is 4471",
        "Passphrase - correct horse",
        "the password to open it is “blue house”",
        "PIN: 4471",
        "Use password 'tree house' to open",
        "open it with password Winter2026",
        "Tiger2024 is the password",
        "access code: 99812",
        "pwd: hunter22",
    ],
)
def test_a_password_in_clear_is_noticed(line: str) -> None:
    assert text.gives_password(f"Dear all,\n{line}\nRegards")


@pytest.mark.parametrize(
    "line",
    [
        "The password will follow by phone.",
        "The password will follow by text message.",
        "Password to be sent separately.",
        "Password: to follow",
        "The password is being sent by text",
        "the password is the usual one",
        "The password is not in this mail",
        "The file is password protected",
        "Please ring for the password.",
        "In my opinion: yes",
        "We passed on the details. Code of practice: see attached.",
        "Password - will be given by phone",
        "This is the password policy",
    ],
)
def test_speaking_of_a_password_is_not_giving_it(line: str) -> None:
    assert not text.gives_password(f"Dear all,\n{line}\nRegards")


def test_html_shows_hidden_text_comments_and_attributes() -> None:
    source = '<p style="display:none">one</p><!-- two --><img alt="three">fo<b>ur</b><style>five</style>&#115;ix'
    shown, inside = text.from_html(source)
    assert "one" in shown
    assert "four" in shown
    assert "six" in shown
    assert "five" not in shown
    for word in ("two", "three", "five"):
        assert word in inside


def test_an_open_style_element_hides_nothing() -> None:
    assert "secret" in text.from_html("<style>secret")[0]


@pytest.mark.parametrize("charset", ["utf-16", "utf-16le", "utf-32", "utf-7", "hz-gb-2312", "iso-2022-jp"])
def test_shifting_character_sets_are_also_read_as_bytes(charset: str) -> None:
    readings, finding = text.readings(b"plain to see", charset)
    assert "plain to see" in readings
    assert finding == "charset-odd"


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_undeclared_utf_16_is_read(order: str) -> None:
    readings, _ = text.readings("NHS 943".encode(order), "utf-8")
    assert any("NHS 943" in reading for reading in readings)


@pytest.mark.parametrize("charset", ["", "UTF-8", "us-ascii", "iso-8859-1", "windows-1252"])
def test_common_character_sets_are_read_in_one_way(charset: str) -> None:
    assert text.readings(b"hello", charset) == (["hello"], "")


@pytest.mark.parametrize("charset", ["x-mine", "punycode", "idna", "zlib", "unicode_escape"])
def test_unknown_character_sets_are_said_to_be_unknown(charset: str) -> None:
    assert text.readings(b"hello", charset)[1] == "charset-unknown"


@pytest.mark.parametrize(
    ("content", "hides"),
    [
        ("begin 644 a.doc\n#0V%T\n`\nend", True),
        ("=ybegin line=128 size=3 name=a\n", True),
        ("(This file must be converted with BinHex 4.0)", True),
        ('<img src="data:image/png;base64,iVBOR">', True),
        ("let us begin 644 days from now", False),
        ("the data: as follows", False),
    ],
)
def test_files_inside_text_are_noticed(content: str, hides: bool) -> None:
    assert text.hides_file(content) is hides
