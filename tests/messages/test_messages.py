"""Every message of this folder is judged as the expectation beside it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.inspection import as_dict, inspect_file, inspect_message
from gateway.inspection.findings import FINDINGS

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.eml"))


def test_the_folder_holds_messages() -> None:
    assert len(NAMES) > 80


@pytest.mark.parametrize("name", NAMES)
def test_message_is_judged_as_expected(name: str) -> None:
    content = (HERE / f"{name}.eml").read_bytes()
    expected: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
    facts = inspect_message(content)
    shape = as_dict(inspect_file(content))
    found = {
        "strength": facts.root.strength.label,
        "encrypted": str(facts.root.encrypted),
        "whole": facts.whole.label,
        "malformed": facts.malformed,
        "password_in_clear": facts.password_in_clear,
        "attachments": [part.strength.label for part in facts.attachments],
        "subject_identifiers": dict(facts.subject_identifiers),
        "body_identifiers": dict(facts.body_identifiers),
        "body_characters": facts.body_characters,
    }
    assert found == {**found, **{key: value for key, value in expected.items() if key in found}}
    assert not (facts.malformed and found["encrypted"] == "yes")
    assert shape["kind"] == expected.get("kind", "message")
    assert shape["strength"] == expected["strength"]
    codes = _codes(as_dict(facts.root))
    assert set(expected.get("findings", ())) <= codes
    assert codes <= set(FINDINGS)
    if "tree" in expected:
        assert _tree(shape["parts"]) == expected["tree"]
    for key, value in expected.get("headers", {}).items():
        assert getattr(facts.headers, key) == value


def _tree(parts: list[dict[str, Any]]) -> list[Any]:
    """The kinds of the parts in their places: each followed by those in it."""
    tree: list[Any] = []
    for part in parts:
        tree += [part["kind"], _tree(part["parts"])] if part["parts"] else [part["kind"]]
    return tree


def _codes(shape: dict[str, Any]) -> set[str]:
    return set(shape["findings"]).union(*map(_codes, shape["parts"]))
