"""Who may import whom, as data (docs/architecture.md draws it): the arrows hold because this test holds."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "stream_router"

SHARED = {"model", "envelope", "errors", "limits", "log", "process"}
"""What every part may import; they import nothing but each other."""

MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(SHARED, SHARED),
    "settings": {"aws", "pipeline"},
    "aws": set(),
    "checks": {"aws", "settings"},
    "telemetry": {"aws", "settings"},
    "pipeline": {"settings"},
    "receiver": {"aws", "settings", "telemetry", "checks"},
    "consumer": {"aws", "settings", "telemetry", "pipeline", "checks"},
    "cxone": {"pipeline", "settings"},
    "operate": {
        *("aws", "settings", "telemetry", "pipeline", "receiver", "consumer", "cxone", "checks", "send", "top"),
    },
    "send": {"settings", "receiver"},
    "top": {"settings"},
    "local": {"aws", "settings", "telemetry", "pipeline", "consumer", "operate", "send"},
    "cli": {"settings", "receiver", "consumer", "operate", "cxone", "local", "send", "top"},
    "__main__": {"cli"},
}
"""Which parts of the package each part may import besides; receiver and consumer know nothing of each other."""

NOT_LOADED_BY_PIPELINE = {
    *("boto3", "botocore", "amazon_kclpy", "httpx", "pycurl", "httptools", "urllib3", "requests"),
}
"""The pipeline gets its clients, its settings, its clock and its chance as arguments."""


def _part(path: Path) -> str:
    inside = path.relative_to(ROOT)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def _imported(path: Path) -> set[str]:
    """The parts of the package that a module imports, in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {words[1] for name in names if (words := name.split("."))[0] == "stream_router" and len(words) > 1}


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_a_part_imports_only_what_it_may(part: str) -> None:
    """Receiver and consumer know nothing of each other, nobody but the command line knows `local`, and so on."""
    paths = sorted((ROOT / part).rglob("*.py")) if (ROOT / part).is_dir() else [ROOT / f"{part}.py"]
    found = {own for path in paths for own in _imported(path)} - {part}
    assert found <= MAY_IMPORT[part] | SHARED


def test_the_table_names_every_part_and_no_other() -> None:
    """A new part has to say what it may import; a part that is gone leaves the table."""
    assert {_part(path) for path in ROOT.rglob("*.py")} - {"__init__"} == MAY_IMPORT.keys()


def test_the_pipeline_loads_no_client_and_no_environment() -> None:
    """What importing `pipeline.route` and the transform loads, by whatever way, holds no client and no settings."""
    program = "import sys, stream_router.pipeline.route, stream_router.pipeline.transform; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "stream_router.pipeline.route" in loaded
    assert not {name.split(".")[0] for name in loaded} & NOT_LOADED_BY_PIPELINE
    assert not [name for name in loaded if name.startswith("stream_router.aws")]
