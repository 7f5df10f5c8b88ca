"""Who may import whom (DESIGN, "The layout"), as data: the arrows of the architecture hold because this test holds."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "stream_router"

CORE = {"errors", "records", "limits", "envelope", "outcomes"}
"""Pure data and functions: no part of the product stands below them."""

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "limits": set(),
    "addresses": set(),
    "forms": {"limits"},
    "logs": set(),
    "records": {"errors"},
    "outcomes": {"errors"},
    "envelope": {"errors", "records"},
    "settings": {"limits", "addresses", "forms"},
    "toml_file": {"settings"},
    "aws": CORE | {"settings"},
    "metrics": CORE | {"aws", "settings", "logs"},
    "pipeline": CORE | {"settings", "toml_file"},
    "receiver": CORE | {"aws", "metrics", "settings", "addresses", "forms", "logs"},
    "consumer": CORE | {"aws", "metrics", "pipeline", "settings", "logs"},
    "cxone": CORE | {"settings", "forms", "toml_file", "logs"},
    "control": CORE | {"aws", "metrics", "pipeline", "cxone", "consumer", "settings", "logs"},
    "local": CORE | {"aws", "control", "consumer", "metrics", "pipeline", "settings", "logs"},
    "cli": {"settings", "receiver", "consumer", "control", "cxone", "local"},
}
"""Which parts of the package each part may import; what is not here may not be."""

NOT_IN_PIPELINE = {"boto3", "botocore", "amazon_kclpy", "httpx", "pycurl", "granian", "urllib3", "requests", "http"}
"""The pipeline gets its clients, its clock and its chance as arguments."""


def _modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def _part(path: Path) -> str:
    inside = path.relative_to(ROOT)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every import of a module, as its dotted name and whether it stands at the module's top level."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((name, top) for name in names)


def _own(name: str) -> str | None:
    words = name.split(".")
    return words[1] if words[0] == "stream_router" and len(words) > 1 else None


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_part_may(path: Path) -> None:
    """Receiver and consumer know nothing of each other, nobody but the command line knows `local`, and so on."""
    part = _part(path)
    if part == "__init__":
        return
    wrong = {own for name, _ in _imports(path) if (own := _own(name)) and own != part} - MAY_IMPORT[part]
    assert not wrong, f"{path.name} may not import {wrong}"


@pytest.mark.parametrize("path", sorted((ROOT / "pipeline").rglob("*.py")), ids=lambda path: str(path.name))
def test_the_pipeline_knows_no_network(path: Path) -> None:
    """The functional core imports no client, no KCL, no HTTP."""
    assert not {name.split(".")[0] for name, _ in _imports(path)} & NOT_IN_PIPELINE


def test_the_command_line_imports_its_parts_only_where_it_uses_them() -> None:
    """`--help` loads nothing but the command line itself and the settings' errors."""
    at_top = {own for name, top in _imports(ROOT / "cli.py") if top and (own := _own(name))}
    assert at_top <= {"settings"}


def test_the_table_names_every_part_and_no_other() -> None:
    """A new part has to say what it may import."""
    parts = {_part(path) for path in _modules()} - {"__init__"}
    assert parts <= MAY_IMPORT.keys()


def test_no_module_reads_the_environment_but_those_that_must() -> None:
    """Settings are read in one place; what else touches the environment hands it on to child processes."""
    allowed = {"settings.py", "local/environment.py", "local/demo.py", "local/programs.py"}
    touching = {
        str(path.relative_to(ROOT))
        for path in _modules()
        if "STREAM_ROUTER_" in path.read_text("utf-8") and _gets(path)
    }
    assert {name for name in touching if not name.startswith("consumer/")} <= allowed


def _gets(path: Path) -> bool:
    text = path.read_text("utf-8")
    return "os.environ" in text or "getenv" in text


def test_dependencies_are_declared() -> None:
    """Whatever the package imports from outside stands in setup.cfg."""
    declared = (ROOT.parent / "setup.cfg").read_text("utf-8").replace("-", "_")
    known = set(sys.stdlib_module_names) | {"stream_router"}
    outside = {name.split(".")[0] for path in _modules() for name, _ in _imports(path)} - known
    missing = {name for name in outside if name not in declared and not name.startswith("mypy_boto3")}
    assert missing <= {"botocore"}, "boto3 brings botocore; the rest must be declared"
