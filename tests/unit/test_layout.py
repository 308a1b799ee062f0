"""The shape of the code: short functions, and modules that say what they are for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway

ROOT = Path(gateway.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
LONGEST = 60  # lines


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_there_is_something_to_look_at() -> None:
    assert len(MODULES) > 60
    assert max(length for path in MODULES for _, length in functions(ast.parse(path.read_text()))) > 20


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {name} has {length} lines"
        for path in MODULES
        if "migrations/versions" not in path.as_posix()  # one long list of columns, never to be changed again
        for name, length in functions(ast.parse(path.read_text()))
        if length > LONGEST
    ]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a module without a docstring"


def test_no_function_passes_over_an_error_in_silence() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
        and all(isinstance(statement, ast.Pass) for statement in node.body)
    ]
    assert not found, found
