"""docs/guarantees.md names only tests that are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`( \((?:long|`make prove`)\))?")


def test_every_promise_names_tests_that_are_there() -> None:
    """Each line of the table: file, function, and the mark under which it runs."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "proved by" not in line]
    assert rows
    assert not [row for row in rows if not NAMED.search(row)]
    for file, name, stated_marks in NAMED.findall(PAGE):
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        tests = {path.name: path for path in tree.body if isinstance(path, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert any(test.startswith("test_") for test in tests), file
        if name:
            of_module = [ast.unparse(item) for item in tree.body if isinstance(item, ast.Assign)]
            marks = " ".join([*of_module, *map(ast.unparse, tests[name].decorator_list)])
            for mark in ("long", "prove"):
                result = bool(re.search(rf"(?<!marks=)pytest\.mark\.{mark}\b", marks))
                assert result is (mark in stated_marks), f"{file}::{name} {mark}"
