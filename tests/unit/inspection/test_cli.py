"""`gateway inspect` prints a verdict for every file it can read, and fails only for those it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.inspect import inspect

KEYS = {"file", "kind", "strength", "scheme", "encrypted", "findings", "parts", "identifiers", "size", "sha256"}
KEYS.add("recipients")


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command("inspect")(inspect)
    return made


def test_json_is_one_object_a_line_with_the_file_as_given(app: typer.Typer, tmp_path: Path) -> None:
    message, junk = tmp_path / "a.eml", tmp_path / "b [x].bin"
    message.write_bytes(b"Subject: x\r\n\r\nhello\r\n")
    junk.write_bytes(bytes(range(256)))
    result = CliRunner().invoke(app, [str(message), str(junk), "--json"])
    assert result.exit_code == 0
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert set(first) == KEYS
    assert (first["file"], first["kind"], first["strength"], first["encrypted"]) == (
        str(message),
        "message",
        "none",
        "no",
    )
    assert set(first["parts"][0]) == KEYS - {"file"}
    assert (second["file"], second["kind"]) == (str(junk), "unknown")


def test_a_missing_file_is_one_sentence_and_the_others_are_shown(app: typer.Typer, tmp_path: Path) -> None:
    message = tmp_path / "a.eml"
    message.write_bytes(b"Subject: x\r\n\r\nhello\r\n")
    result = CliRunner().invoke(app, [str(tmp_path / "none"), str(message), "--json"])
    assert result.exit_code == 2
    assert len(result.stdout.splitlines()) == 1
    assert len(result.stderr.splitlines()) == 1
    assert "cannot be read" in result.stderr


def test_people_see_a_tree_and_a_summary(app: typer.Typer, tmp_path: Path) -> None:
    names = []
    for name in ("[red]a.eml", "b.eml"):
        (tmp_path / name).write_bytes(b"Subject: NHS 9434765919\r\n\r\nhello\r\n")
        names.append(str(tmp_path / name))
    result = CliRunner().invoke(app, names)
    assert result.exit_code == 0
    assert "not encrypted" in result.stdout
    assert "nhs-number 1" in result.stdout
    assert "9434765919" not in result.stdout
    assert "2 files" in result.stdout
    assert "[red]a.eml" in result.stdout
