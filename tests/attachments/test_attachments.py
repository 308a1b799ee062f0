"""Every labelled attachment gets exactly the verdict beside it, and every row of the strength scale has witnesses."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from gateway.inspection import as_dict, inspect_file
from tests.attachments.rows import ROWS

FILES = Path(__file__).parent / "files"
LABELS = sorted(FILES.glob("*.label.json"))


def _label(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", LABELS, ids=lambda path: path.name.removesuffix(".label.json"))
def test_the_verdict_is_exactly_the_label(path: Path) -> None:
    label = _label(path)
    facts = as_dict(inspect_file(path.with_name(path.name.removesuffix(".label.json")).read_bytes()))
    assert {key: facts[key] for key in label["expect"]} == label["expect"]
    assert {"kind", "strength", "scheme", "encrypted", "findings"} <= set(label["expect"])


def test_every_file_has_a_label_and_every_label_a_file() -> None:
    names = {path.name for path in FILES.iterdir()}
    labels = {name for name in names if name.endswith(".label.json")}
    assert {name.removesuffix(".label.json") for name in labels} == names - labels


def test_every_row_of_the_scale_has_two_files_by_different_programs() -> None:
    programs: dict[str, set[str]] = defaultdict(set)
    for path in LABELS:
        label = _label(path)
        assert label["row"] in ROWS[label["expect"]["strength"]], path.name
        programs[label["row"]].add(label["made_by"].split()[0])
    short = {row: sorted(programs[row]) for rows in ROWS.values() for row in rows if len(programs[row]) < 2}
    assert not short
