"""MAIL and RCPT take plain mailboxes and known parameters; everything else is refused with the right code."""

import pytest

from gateway.intake.command import CommandError, read_mail, read_rcpt
from gateway.model import Notify

LIMIT = 1000


@pytest.mark.parametrize(
    ("argument", "sender"),
    [
        ("FROM:<jo@Council.Example>", "jo@council.example"),
        ("from: <jo+tag@council.example>", "jo+tag@council.example"),
        ("FROM:<>", ""),
        ("FROM:<j.o'neil@council.example.> SIZE=10 BODY=8BITMIME", "j.o'neil@council.example"),
    ],
)
def test_plain_reverse_paths(argument: str, sender: str) -> None:
    assert read_mail(argument, size_limit=LIMIT).sender == sender


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("<@relay.example:jo@police.example>", "553"),
        ("<jo%police.example@council.example>", "553"),
        ("<police.example!jo@council.example>", "553"),
        ('<"jo"@police.example>', "553"),
        ('<"jo@police.example"@council.example>', "553"),
        ("<jo@[192.0.2.1]>", "553"),
        ("<jo@[IPv6:::1]>", "553"),
        ("<jo@police.example@council.example>", "553"),
        ("<jo>", "553"),
        ("<@police.example>", "553"),
        ("<jo@>", "553"),
        ("<>", "553"),
        ("<jo@-bad-.example>", "553"),
        ("<j..o@police.example>", "553"),
        ("<.jo@police.example>", "553"),
        ("<jo@police.example", "501"),
        ("jo@police.example", "501"),
        ("<jö@police.example>", "553"),
        ("<jo\\@police.example>", "553"),
        ("<jo @police.example>", "553"),
        ("<" + "j" * 65 + "@police.example>", "553"),
    ],
)
def test_paths_that_could_make_a_relay_of_us_are_refused(path: str, code: str) -> None:
    with pytest.raises(CommandError) as refused:
        read_rcpt(f"TO:{path}", smtputf8=False)
    assert refused.value.reply.startswith(code)


def test_international_addresses_need_smtputf8() -> None:
    assert read_rcpt("TO:<jö@schüle.example>", smtputf8=True).address == "jö@xn--schle-mva.example"


def test_dsn_parameters_are_kept() -> None:
    mail = read_mail("FROM:<jo@council.example> RET=HDRS ENVID=QQ+2B1", size_limit=LIMIT)
    assert (mail.ret, mail.envid) == ("HDRS", "QQ+2B1")
    recipient = read_rcpt("TO:<a@police.example> NOTIFY=success,DELAY ORCPT=rfc822;a@police.example", smtputf8=False)
    assert recipient.notify == {Notify.SUCCESS, Notify.DELAY}
    assert recipient.orcpt == "rfc822;a@police.example"


def test_requiretls_is_kept_where_it_was_offered() -> None:
    assert read_mail("FROM:<jo@council.example> REQUIRETLS", size_limit=LIMIT, secure=True).requiretls
    assert not read_mail("FROM:<jo@council.example>", size_limit=LIMIT, secure=True).requiretls


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("SIZE=1001", "552"),
        ("SIZE=x", "501"),
        ("SIZE=-1", "501"),
        ("SIZE=1 SIZE=1", "501"),
        ("BODY=BINARYMIME", "501"),
        ("RET=ALL", "501"),
        ("ENVID=a=b", "501"),
        ("ENVID=" + "a" * 101, "501"),
        ("SMTPUTF8=yes", "501"),
        ("REQUIRETLS=yes", "501"),
        ("REQUIRETLS", "530"),
        ("AUTH=<>", "555"),
        ("XEVIL", "555"),
    ],
)
def test_bad_mail_parameters(parameters: str, code: str) -> None:
    with pytest.raises(CommandError) as refused:
        read_mail(f"FROM:<jo@council.example> {parameters}", size_limit=LIMIT)
    assert refused.value.reply.startswith(code)


@pytest.mark.parametrize(
    "parameters",
    ["NOTIFY=NEVER,SUCCESS", "NOTIFY=ALWAYS", "NOTIFY=SUCCESS,SUCCESS", "NOTIFY=", "ORCPT=nosemicolon",
     "ORCPT=rfc822;" + "a" * 500, "NOTIFY=NEVER NOTIFY=NEVER"],
)  # fmt: skip
def test_bad_rcpt_parameters(parameters: str) -> None:
    with pytest.raises(CommandError) as refused:
        read_rcpt(f"TO:<a@police.example> {parameters}", smtputf8=False)
    assert refused.value.reply.startswith("501")
