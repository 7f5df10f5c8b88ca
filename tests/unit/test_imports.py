"""Who may import whom, as data (docs/architecture.md draws it): the arrows hold because this test holds."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2] / "stream_router"

SHARED = {
    *("model", "event_id", "dead_letter_reasons", "envelope"),
    *("aws_answers", "aws_error_codes", "errors", "leases", "limits", "log", "process"),
}
"""What every part may import; they import nothing but each other."""

MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(SHARED, SHARED),
    "settings": {"aws", "pipeline"},
    "aws": set(),
    "checks": {"aws", "settings"},
    "telemetry": {"aws", "settings"},
    "pipeline": {"settings"},
    "receiver": {"aws", "settings", "telemetry", "pipeline", "checks"},
    "consumer": {"aws", "settings", "telemetry", "pipeline", "checks"},
    "cxone": {"pipeline", "settings"},
    "operate": {
        *("aws", "settings", "telemetry", "pipeline", "receiver", "consumer", "cxone", "checks", "send", "top"),
    },
    "send": {"settings", "receiver"},
    "top": {"settings", "telemetry"},
    "local": {"aws", "settings", "telemetry", "pipeline", "consumer", "operate", "send"},
    "cli": {"settings", "receiver", "consumer", "operate", "cxone", "local", "send", "top"},
    "__main__": {"cli"},
}
"""Which parts of the package each part may import besides; receiver and consumer know nothing of each other."""

NOT_LOADED_BY_PIPELINE = {"boto3", "botocore", "amazon_kclpy", "httpx", "pycurl", "httptools", "urllib3", "requests"}
"""The pipeline gets its clients, its settings, its clock and its chance as arguments."""


def imported(path: Path) -> set[str]:
    """The parts of the package that a module imports, in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {words[1] for name in names if (words := name.split("."))[0] == "stream_router" and len(words) > 1}


def test_a_part_imports_only_what_it_may() -> None:
    """Receiver and consumer know nothing of each other, nobody but the command line knows `local`, and so on."""
    parts: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        part, *_ = path.relative_to(ROOT).with_suffix("").parts
        parts.setdefault(part, set()).update(imported(path))
    assert parts.keys() - {"__init__"} == MAY_IMPORT.keys(), "a new part has to say what it may import"
    for part, result in parts.items():
        assert result - {part} <= MAY_IMPORT.get(part, set()) | SHARED, part


def test_the_pipeline_loads_no_client_and_no_environment() -> None:
    """What importing `pipeline.route` and the transform loads, by whatever way, holds no client and no settings."""
    program = "import sys, stream_router.pipeline.route, stream_router.pipeline.transform; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "stream_router.pipeline.route" in loaded
    assert not {name.split(".")[0] for name in loaded} & NOT_LOADED_BY_PIPELINE
    assert not [name for name in loaded if name.startswith("stream_router.aws.")]
