"""`gateway explain` against the shipped configuration: the JSON contract, the exit codes, the client that is meant."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.explain import explain
from gateway.model import Enforcement

CONFIG = Path(__file__).parents[3] / "config" / "gateway.toml"
SENDER = "worker@solihull.example"
SECURE = "jo@bsol.icb.nhs.example"
CLEAR_ONLY = "jo@families-charity.example"
TEXT = b"From: worker@solihull.example\r\nTo: jo@x.example\r\nSubject: A note [purpose: 3.5.1]\r\n\r\nHello.\r\n"

app = typer.Typer()
app.command()(explain)


def run(tmp_path: Path, *arguments: str, content: bytes = TEXT) -> tuple[int, str]:
    file = tmp_path / "message.eml"
    file.write_bytes(content)
    result = CliRunner().invoke(app, [str(file), "--config", str(CONFIG), *arguments])
    return result.exit_code, result.output


def shares(tmp_path: Path, *arguments: str, content: bytes = TEXT) -> tuple[int, list[dict[str, Any]]]:
    code, output = run(tmp_path, *arguments, "--json", content=content)
    return code, json.loads(output)["shares"]


def test_the_json_has_the_fields_of_the_contract(tmp_path: Path) -> None:
    code, output = run(tmp_path, "--from", SENDER, "--to", CLEAR_ONLY, "--json")
    answer = json.loads(output)
    assert code == 1
    assert list(answer) == ["snapshot", "shares"]
    assert re.fullmatch("[0-9a-f]{64}", answer["snapshot"])
    (share,) = answer["shares"]
    assert list(share) == [
        "recipient",
        "partner",
        "decision",
        "limb",
        "method",
        "requirement",
        "reasons",
        "advice",
    ]
    assert (share["recipient"], share["partner"], share["decision"]) == (CLEAR_ONLY, "third-sector", "refuse")
    assert [reason["step"] for reason in share["reasons"]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert "ring" in share["advice"]


def test_secure_domains_at_both_ends_are_allowed(tmp_path: Path) -> None:
    code, (share,) = shares(tmp_path, "--from", SENDER, "--to", SECURE)
    assert code == 0
    assert (share["decision"], share["limb"]) == ("allow", "secure-domains")
    assert share["requirement"]["assurance"] == "authenticated"


def test_one_refusal_among_several_recipients_is_exit_code_1(tmp_path: Path) -> None:
    code, found = shares(tmp_path, "--from", SENDER, "--to", SECURE, "--to", "jo@stranger.example")
    assert code == 1
    assert [share["decision"] for share in found] == ["allow", "refuse"]


def test_a_message_without_purpose_is_held(tmp_path: Path) -> None:
    untagged = TEXT.replace(b" [purpose: 3.5.1]", b"")
    code, (share,) = shares(tmp_path, "--from", SENDER, "--to", CLEAR_ONLY, content=untagged)
    assert (code, share["decision"], share["reasons"][-1]["clause"]) == (1, "hold", "5.3.10")


def test_a_key_that_is_not_in_any_key_ring_is_not_usable(tmp_path: Path) -> None:
    code, (share,) = shares(tmp_path, "--from", SENDER, "--to", "jo@cafcass.example")
    assert code == 1
    assert any(reason["code"] in ("no-key", "no-usable-key") for reason in share["reasons"])


def test_a_foreign_sender_is_refused_by_step_1(tmp_path: Path) -> None:
    code, (share,) = shares(tmp_path, "--from", "x@stranger.example", "--to", SECURE)
    assert (code, share["reasons"][-1]["code"]) == (1, "sender-domain")


def test_a_file_with_unix_line_ends_is_judged_as_it_would_arrive(tmp_path: Path) -> None:
    unix = TEXT.replace(b"\r\n", b"\n")
    assert shares(tmp_path, "--from", SENDER, "--to", SECURE, content=unix)[1] == shares(
        tmp_path, "--from", SENDER, "--to", SECURE
    )[1]  # fmt: skip


def test_recipients_are_normalised(tmp_path: Path) -> None:
    _, (share,) = shares(tmp_path, "--from", SENDER, "--to", "<Jo@BSOL.icb.nhs.example>")
    assert share["recipient"] == "Jo@bsol.icb.nhs.example"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--to", SECURE),
        ("--from", SENDER),
        ("--from", SENDER, "--to", "nobody"),
        ("--from", "not an address", "--to", SECURE),
        ("--from", SENDER, "--to", SECURE, "--client", "nobody"),
        ("--from", "", "--to", SECURE),
    ],
)
def test_a_wrong_call_is_exit_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run(tmp_path, *arguments)[0] == 2


def test_a_bounce_is_explained_for_the_client_named(tmp_path: Path) -> None:
    code, (share,) = shares(tmp_path, "--from", "", "--to", SECURE, "--client", "solihull-mbc-mail")
    assert (code, share["reasons"][1]["code"]) == (0, "purpose-exempt")


def test_the_human_output_says_what_to_do_and_shows_the_path(tmp_path: Path) -> None:
    code, output = run(tmp_path, "--from", SENDER, "--to", CLEAR_ONLY)
    assert code == 1
    assert "Not sent (clause 5.3.4)" in output and "no-limb" in output
    assert Enforcement.OBSERVE not in output
