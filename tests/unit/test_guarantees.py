"""docs/guarantees.md names only tests that are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guarantees.md"
_NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`( \((?:long|`make prove`)\))?")


def functions(path: Path) -> dict[str, set[str]]:
    """The tests of a file, each with the marks of its own and of its module."""
    tree = ast.parse(path.read_text("utf-8"))
    marks = {mark for node in tree.body if isinstance(node, ast.Assign) for mark in _marks(node)}
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {one.name: marks | {mark for at in one.decorator_list for mark in _marks(at)} for one in found}


def _marks(node: ast.AST) -> set[str]:
    text = ast.unparse(node)
    return set(re.findall(r"(?<!marks=)pytest\.mark\.(long|prove)\b", text))


def test_every_test_that_is_named_is_there() -> None:
    """Its file, its function, and the lane in which it runs."""
    named = _NAMED.findall(PAGE.read_text("utf-8"))
    assert named
    for file, name, lane in named:
        tests = functions(ROOT / file)
        assert tests, file
        if name:
            assert name in tests, f"{file}::{name}"
            assert ("long" in tests[name]) is ("long" in lane), f"{file}::{name}: {tests[name]}"
            assert ("prove" in tests[name]) is ("prove" in lane), f"{file}::{name}: {tests[name]}"


def test_every_promise_names_a_test() -> None:
    """No line of the table stands without."""
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ") and "proved by" not in line]
    assert rows
    assert not [row for row in rows if not _NAMED.search(row)]
