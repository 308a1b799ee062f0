"""`gateway domains check` for people: the table, the words below it, the exit codes; nothing of it uses the network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from gateway import log
from gateway.cli import posture_table
from gateway.cli.domains_check import check
from gateway.model import Proof
from gateway.posture.model import Assured, Check, Outcome, Posture, Provable, as_json
from gateway.posture.subject import Subject

CONFIG = Path(__file__).parents[3] / "config" / "gateway.toml"
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LONG = f"{'very-' * 10}long.north-division.school.example"

app = typer.Typer()
app.command()(check)


def posture(domain: str, provable: str, *checks: Check, why: str = "") -> Posture:
    assured = tuple(Assured(proof, Provable(provable), why) for proof in Proof)
    return Posture(domain, NOW, checks, assured, Provable(provable), why, domain, Proof.MTA_STS)


GOOD = posture(
    "good.example",
    "yes",
    Check("mx-dnssec", Outcome.FOUND, "yes"),
    Check("addresses", Outcome.FOUND, "there", "mx.good.example"),
    Check("starttls", Outcome.FOUND, "up", "mx.good.example"),
    Check("certificate", Outcome.FOUND, "fine", "mx.good.example", {"days": 42}),
    Check("spf", Outcome.FOUND, "-all"),
    Check("dmarc", Outcome.ABSENT, "none", wrong=("there is no DMARC record",)),
    Check("tls-rpt", Outcome.FAILED, "Looking up TXT of _smtp._tls.good.example failed."),
)
BAD = posture(
    LONG,
    "no",
    Check("mx-dnssec", Outcome.BOGUS, "forged"),
    Check("starttls", Outcome.FAILED, "refused", "mx.bad.example", wrong=("it says \x1b[2J\nno",)),
    why=f"the certificate of {LONG} carries mx.elsewhere.example, not {LONG}",
)


class PlayedSurvey:
    """Stands for the network."""

    answers: dict[str, Posture] = {}

    def __init__(self, *_: object) -> None:
        self.closed = False

    async def postures(self, subjects: Iterable[Subject]) -> AsyncIterator[tuple[Subject, Posture]]:
        for subject in subjects:
            await asyncio.sleep(0)
            yield subject, self.answers.get(subject.domain, posture(subject.domain, "unknown", why="no answer"))

    async def close(self) -> None:
        self.closed = True


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(posture_table, "Survey", PlayedSurvey)
    monkeypatch.setattr(PlayedSurvey, "answers", {each.domain: each for each in (GOOD, BAD)})
    monkeypatch.setattr(log, "configure", lambda *_: None)  # the log is everybody's
    result = CliRunner().invoke(app, [*arguments, "--config", str(CONFIG)])
    return result.exit_code, result.output


def shown(*found: Posture, suspended: dict[str, str] | None = None) -> str:
    console = Console(width=80, record=True, markup=False, highlight=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(posture_table, "out", console)
        posture_table.show(list(found), suspended or {})
    return console.export_text()


def test_eighty_columns_are_enough_whatever_the_names() -> None:
    lines = shown(GOOD, BAD).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "2 domains: 1 proven, 1 not proven, 0 unknown." in lines


def test_a_row_holds_symbols_and_the_words_stand_below() -> None:
    text = shown(GOOD)
    row = next(line for line in text.splitlines() if line.startswith("good.example"))
    assert row.split() == ["good.example", "mta-sts", "yes", "1/1", "42", "+", "+", "+", "+-?"]
    assert "  - there is no DMARC record." in text
    assert "  - looking up TXT of _smtp._tls.good.example failed." in text


def test_what_a_server_said_cannot_steer_the_terminal() -> None:
    text = shown(BAD, suspended={LONG: "its certificate\x07 is another"})
    assert "\x1b" not in text and "\x07" not in text
    assert "it says ?[2J?no." in text and "suspended: its certificate? is another." in text


def test_an_empty_register_is_said() -> None:
    assert shown() == "The register has no domain in force.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("good.example",), 0, "1 domain: 1 proven"),
        (("GOOD.example.", "good.example"), 0, "1 domain: 1 proven"),
        (("good.example", "silent.example"), 1, "1 unknown"),
        (("good.example", LONG), 1, "1 not proven"),
        (("not a domain",), 2, "is not a domain name"),
        (("good.example", "--all"), 2, "not both"),
        ((), 1, "unknown"),
    ],
)
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, says: str) -> None:
    found, output = run(monkeypatch, *arguments)
    assert found == code, output
    assert says in " ".join(output.split())


def test_json_has_one_object_a_line_with_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = run(monkeypatch, "good.example", LONG, "--json")
    objects: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    assert code == 1 and [each["domain"] for each in objects] == ["good.example", LONG]
    good = objects[0]
    assert good == as_json(GOOD) | {"suspended": None}
    assert good["required"] == "mta-sts" and good["assurances"]["dane"] == {"provable": "yes", "why": ""}
    assert {each["outcome"] for each in good["checks"]} == {"found", "absent", "failed"}
