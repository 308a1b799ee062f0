"""The snippets of docs/postfix.md, run with a real Postfix: right destination, verified TLS, no loop."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ca import Authority, Leaf
from tests.support.client import Mail, send
from tests.support.ports import free_port, listening, wait_for
from tests.support.postfix import Postfix, postfix
from tests.support.sink import Sink

PAGE = (Path(__file__).parents[1] / "docs" / "postfix.md").read_text()
CONTENT = b"From: jo@agency.example\r\nTo: duty@police.example\r\nSubject: x\r\n\r\nhello\r\n"
MAIL = Mail("one", "jo@agency.example", ("duty@police.example",), CONTENT)


def snippet(way: str, file: str) -> str:
    found = re.search(rf"<!-- snippet: {way} {re.escape(file)} -->\n```ini\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"docs/postfix.md has no snippet {way} {file}"
    return found[1]


def adapted(text: str, authority: Authority, gateway_port: int, **more: str) -> str:
    """The snippet with the example's names and files replaced by the test's."""
    text = text.replace("[mail-gateway.agency.example]:25", f"[localhost]:{gateway_port}")
    text = text.replace("/etc/ssl/certs/ca-certificates.crt", str(authority.root))
    for old, new in more.items():
        text = text.replace(old, new)
    return text


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def certificate(authority: Authority) -> Leaf:
    return authority.issue(["localhost"])


def configure(instance: Postfix, main: str, master: str = "") -> None:
    """Adds snippets to a running instance and has it read them."""
    etc = instance.home / "etc"
    settings = {line.split("=")[0].strip(): line for line in main.splitlines() if line}
    kept = [line for line in (etc / "main.cf").read_text().splitlines() if line.split("=")[0].strip() not in settings]
    (etc / "main.cf").write_text("\n".join([*kept, *settings.values()]) + "\n")
    with (etc / "master.cf").open("a") as file:
        file.write(master)
    done = subprocess.run(["postfix", "-c", str(etc), "reload"], capture_output=True, text=True, timeout=60, check=True)
    assert "warning" not in done.stderr


@contextmanager
def behind_transport_map(authority: Authority, gateway_port: int, elsewhere: int | None = None) -> Iterator[Postfix]:
    with postfix("mail.agency.example", relay_port=elsewhere) as agency:
        table = agency.home / "etc" / "transport"
        table.write_text(adapted(snippet("transport", "transport"), authority, gateway_port))
        main = adapted(snippet("transport", "main.cf"), authority, gateway_port).replace(
            "/etc/postfix/transport", str(table)
        )
        configure(agency, main, adapted(snippet("transport", "master.cf"), authority, gateway_port))
        yield agency


@pytest.mark.parametrize("way", ["transport", "relayhost", "login", "filter", "smuggling"])
def test_postfix_knows_every_parameter_of_the_snippets(way: str, tmp_path: Path) -> None:
    master = Path("/etc/postfix/master.cf.proto").read_text()
    extra = snippet(way, "master.cf") if f"snippet: {way} master.cf" in PAGE else ""
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n" + snippet(way, "main.cf"))
    (tmp_path / "master.cf").write_text(master + extra)
    transports = snippet("transport", "master.cf")
    if way == "transport":
        assert extra == transports
    for command in (["-n"], ["-M"], ["-P"]):
        done = subprocess.run(
            ["postconf", "-c", str(tmp_path), *command], capture_output=True, text=True, timeout=30, check=True
        )
        assert done.stderr == ""


def test_the_transport_map_sends_partners_mail_to_the_gateway_over_verified_tls(
    authority: Authority, certificate: Leaf
) -> None:
    with Sink(tls=certificate) as gateway, behind_transport_map(authority, gateway.port) as agency:
        assert send(agency.port, MAIL).code == 250
        gateway.wait(1)
        assert gateway.transactions[0].recipients == ("duty@police.example",)
        assert gateway.transactions[0].tls.startswith("TLSv1.")


def test_the_transport_map_includes_names_below_a_domain_and_leaves_other_mail_alone(
    authority: Authority, certificate: Leaf
) -> None:
    with (
        Sink(tls=certificate) as gateway,
        Sink() as elsewhere,
        behind_transport_map(authority, gateway.port, elsewhere.port) as agency,
    ):
        everyone = ("head@st-anne.school.example", "shop@elsewhere.example")
        assert send(agency.port, Mail("two", "jo@agency.example", everyone, CONTENT)).code == 250
        gateway.wait(1)
        elsewhere.wait(1)
        assert gateway.transactions[0].recipients == ("head@st-anne.school.example",)
        assert elsewhere.transactions[0].recipients == ("shop@elsewhere.example",)


@pytest.mark.parametrize("fault", ["self_signed", "wrong_name", "no_tls"])
def test_a_gateway_that_cannot_be_verified_gets_no_mail(authority: Authority, fault: str) -> None:
    leaf = {
        "self_signed": lambda: authority.issue(["localhost"], self_signed=True),
        "wrong_name": lambda: authority.issue(["elsewhere.example"]),
        "no_tls": lambda: None,
    }[fault]()
    with Sink(tls=leaf) as gateway, behind_transport_map(authority, gateway.port) as agency:
        assert send(agency.port, MAIL).code == 250
        wait_for(lambda: "status=deferred" in agency.log, 20, "the mail is deferred")
        assert gateway.transactions == []
        assert gateway.counters["MAIL"] == 0


def test_the_relayhost_sends_everything_to_the_gateway(authority: Authority, certificate: Leaf) -> None:
    with Sink(tls=certificate) as gateway, postfix("mail.agency.example", relay_port=gateway.port) as agency:
        configure(agency, adapted(snippet("relayhost", "main.cf"), authority, gateway.port))
        assert send(agency.port, MAIL).code == 250
        gateway.wait(1)
        assert gateway.transactions[0].tls.startswith("TLSv1.")


def test_mail_given_back_by_the_gateway_goes_out_once_and_not_round(
    authority: Authority, certificate: Leaf, tmp_path: Path
) -> None:
    back, chain = free_port(), tmp_path / "chain.pem"
    chain.write_bytes(certificate.key.read_bytes() + certificate.certificate.read_bytes())
    relay_only = {"smtp_tls_security_level": "encrypt"}
    with (
        Sink(tls=certificate) as partner,
        postfix("gateway.agency.example", relay_port=back, tls=certificate, **relay_only) as gateway,
        postfix("mail.agency.example", relay_port=partner.port) as agency,
    ):
        master = adapted(snippet("filter", "master.cf"), authority, gateway.port)
        master = master.replace("10026 inet", f"127.0.0.1:{back} inet").replace("192.0.2.20/32", "127.0.0.1/32")
        master = master.replace("/etc/postfix/tls/chain.pem", str(chain))
        configure(agency, adapted(snippet("filter", "main.cf"), authority, gateway.port), master)
        wait_for(lambda: listening(back), 20, "the second listener")
        assert send(agency.port, MAIL).code == 250
        partner.wait(1)
        time.sleep(2)
        assert len(partner.transactions) == 1
        assert len(re.findall(r"postfix/partnermail/smtp.*status=sent", agency.log)) == 1
        assert len(re.findall(r"postfix/from-gateway/smtpd.*: client=", agency.log)) == 1


def test_the_second_listener_is_for_the_gateway_alone(
    authority: Authority, certificate: Leaf, tmp_path: Path
) -> None:
    back, chain = free_port(), tmp_path / "chain.pem"
    chain.write_bytes(certificate.key.read_bytes() + certificate.certificate.read_bytes())
    with postfix("mail.agency.example") as agency:
        master = adapted(snippet("filter", "master.cf"), authority, 1)  # mynetworks stays the example's
        master = master.replace("10026 inet", f"127.0.0.1:{back} inet")
        master = master.replace("/etc/postfix/tls/chain.pem", str(chain)).replace("level=encrypt", "level=may")
        configure(agency, "", master)
        wait_for(lambda: listening(back), 20, "the second listener")
        assert send(back, MAIL).code in (454, 554)
