"""Line numbers of TOML: every key, heading and list entry, in every way that TOML lets them be written."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from gateway.toml_lines import Path, line_index

DOCUMENT = r"""# a comment with [brackets] and "quotes
title = "a # no comment" # a comment
"3.5.1" = 'it""" + r"""'
dotted . "quoted.key".x = 1

[table]
list = [ # opens
  1, [2,
    3], # ]
  { a = 1, b = { c = "}" } },
]
multi = '''
[no.table]
key = 1
''''' # with quotes before its end
after = 1
other = \"\"\"
\\\"\"\" still in \
[[no.table]]\"\"\"\"
last = 1979-05-27 07:32:00

[[array]]
name = "one"
[[array.nested]]
deep = 1
[[array.nested]]
deep = 2
[array.table]
x = 1
[[ array ]]
name = "two"
[[array.nested]]
deep = 3
""".replace('\\"', '"').replace("\\\\", "\\")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("title",), "title ="),
        (("3.5.1",), '"3.5.1"'),
        (("dotted", "quoted.key", "x"), "dotted ."),
        (("table",), "[table]"),
        (("table", "list"), "list ="),
        (("table", "list", 0), "1, [2"),
        (("table", "list", 1, 0), "1, [2"),
        (("table", "list", 1, 1), "3], #"),
        (("table", "list", 2), "{ a = 1"),
        (("table", "list", 2, "b", "c"), "{ a = 1"),
        (("table", "multi"), "multi ="),
        (("table", "after"), "after = 1"),
        (("table", "other"), "other ="),
        (("table", "last"), "last ="),
        (("array",), "[[array]]"),
        (("array", 0, "name"), 'name = "one"'),
        (("array", 0, "nested", 0, "deep"), "deep = 1"),
        (("array", 0, "nested", 1, "deep"), "deep = 2"),
        (("array", 0, "table", "x"), "x = 1"),
        (("array", 1), "[[ array ]]"),
        (("array", 1, "nested", 0, "deep"), "deep = 3"),
    ],
)
def test_a_value_is_found_on_the_line_on_which_it_begins(path: Path, text: str) -> None:
    lines = DOCUMENT.splitlines()
    assert text in lines[line_index(DOCUMENT)[path] - 1]


def test_the_document_of_this_test_is_valid() -> None:
    assert tomllib.loads(DOCUMENT)["array"][1]["nested"] == [{"deep": 3}]
    assert "no" not in tomllib.loads(DOCUMENT)


def test_text_without_a_last_line_end_and_without_anything() -> None:
    assert line_index("") == {}
    assert line_index("# only a comment") == {}
    assert line_index("a = 1") == {("a",): 1}
    assert line_index("\n\n[a]") == {("a",): 3}


_values = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text(max_size=6) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), _values, max_size=4))
def test_every_path_of_a_document_has_a_line_and_there_are_no_others(data: dict[str, Any]) -> None:
    text = tomlkit.dumps(data)
    if tomllib.loads(text) != data:  # what the writer gets wrong is not for the index to judge
        data = tomllib.loads(text)
    found = line_index(text)
    assert set(found) == set(_paths(data))
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())


def _paths(value: Any, path: Path = ()) -> list[Path]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[Path] = []
    for key, child in pairs:
        found += [(*path, key), *_paths(child, (*path, key))]
    return found
