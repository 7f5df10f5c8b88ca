"""Modules stay short enough to read in one go, and functions too."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "stream_router"
MODULE_LINES = 250
FUNCTION_LINES = 40
FOLDER_MODULES = 16

_MODULES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", _MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_at_most_250_lines_and_a_function_40(path: Path) -> None:
    """The ceiling (CONTRIBUTING.md, "Code"); who reaches it splits."""
    text = path.read_text("utf-8")
    assert text.count("\n") <= MODULE_LINES
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {f.name: lines for f in functions if (lines := (f.end_lineno or 0) - f.lineno + 1) > FUNCTION_LINES}
    assert not long


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in _MODULES}), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_folder_has_at_most_16_modules_side_by_side(folder: Path) -> None:
    """More than a reader takes in at a glance are more than one idea: they get rooms."""
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= FOLDER_MODULES
