"""Who may import whom, as data (docs/architecture.md draws it): the arrows hold because this test holds."""

import ast
import graphlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "stream_router"

MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "settings": {"core", "aws"},
    "aws": {"core"},
    "checks": {"core", "aws", "settings"},
    "telemetry": {"core", "aws", "settings"},
    "pipeline": {"core", "settings"},
    "receiver": {"core", "aws", "settings", "telemetry", "checks"},
    "consumer": {"core", "aws", "settings", "telemetry", "pipeline", "checks"},
    "cxone": {"core", "settings"},
    "control": {
        *("core", "aws", "settings", "telemetry", "pipeline", "consumer", "cxone", "checks"),
        *("receiver", "send"),
    },
    "send": {"core", "settings"},
    "top": {"core", "settings"},
    "fakeaws": set(),
    "local": {"core", "aws", "settings", "telemetry", "pipeline", "consumer", "control", "send"},
    "__main__": {"cli"},
    "cli_local": {"settings", "local", "send", "top"},
    "cli_dlq": {"control"},
    "cli_checks": {"control", "cxone"},
    "cli_stream": {"control", "settings"},
    "cli": {
        "core",
        "settings",
        "receiver",
        "consumer",
        "control",
        "cxone",
        "cli_local",
        "cli_dlq",
        "cli_stream",
        "cli_checks",
    },
}
"""Which parts of the package each part may import; what is not here may not be."""

ROOMS: dict[str, set[str]] = {
    "pipeline/mapping": {"pipeline/rejection", "pipeline/exact_number"},
    "pipeline/masking": {"pipeline/rejection", "pipeline/deep_json", "pipeline/exact_number", "pipeline/mapping"},
    "pipeline/delivery": set(),
    "pipeline/sinks": {"pipeline/rejection", "pipeline/deep_json", "pipeline/delivery", "pipeline/mapping"},
    "consumer/supervisor": {"consumer/state_dir", "consumer/bus_proof", "consumer/transform_config"},
    "consumer/child": {
        "consumer/state_dir",
        "consumer/bus_proof",
        "consumer/transform_config",
        "consumer/destinations",
        "consumer/targets",
    },
}
"""The same for the rooms of two parts: what of its own part each room may import."""

SETTINGS_OF_THE_PIPELINE = {"toml_file"}
"""The pipeline reads files that settings name, but no environment."""

NOT_LOADED_BY_PIPELINE = {
    *("boto3", "botocore", "amazon_kclpy", "httpx", "pycurl", "httptools", "urllib3", "requests"),
    "pydantic_settings",
}
"""The pipeline gets its clients, its settings, its clock and its chance as arguments."""


def _modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def _part(path: Path) -> str:
    inside = path.relative_to(ROOT)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


@cache
def _imports(path: Path) -> list[tuple[str, bool]]:
    """Every import of a module, as its dotted name and whether it stands at the module's top level."""
    tree = ast.parse(path.read_text("utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node in tree.body) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(f"{node.module}.{alias.name}", node in tree.body) for alias in node.names]
    return found


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


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_of_its_part_only_what_it_may(room: str) -> None:
    """Arrows inside a part go one way too: sinks know delivery, delivery knows no sink, nobody knows route."""
    part = room.split("/", maxsplit=1)[0]
    found = set()
    for path in sorted((ROOT / room).rglob("*.py")):
        for name, _ in _imports(path):
            words = name.split(".")
            if words[:2] == ["stream_router", part] and len(words) > 2:
                found.add(f"{part}/{words[2]}")
    assert found - {room} <= ROOMS[room]


def test_no_modules_import_each_other() -> None:
    """Nor in a circle of several, nor inside a function or for types only: each can be read without the other."""
    names = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in _modules()}
    graph = {
        name: {
            found for one, _ in _imports(path) if (found := one if one in names else one.rpartition(".")[0]) in names
        }
        for name, path in names.items()
    }
    tuple(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("part", sorted({part for part in MAY_IMPORT if (ROOT / part).is_dir()}))
def test_the_folders_of_a_part_import_one_way(part: str) -> None:
    """A folder, or a module beside it, that imports another is not imported by it, nor in a circle of several."""
    graph: dict[str, set[str]] = {}
    for path in sorted((ROOT / part).rglob("*.py")):
        room = path.relative_to(ROOT / part).with_suffix("").parts[0]
        names = [name.split(".") for name, _ in _imports(path)]
        found = {words[2] for words in names if words[:2] == ["stream_router", part] and len(words) > 2}
        graph.setdefault(room, set()).update(found - {room})
    tuple(graphlib.TopologicalSorter(graph).static_order())


def test_the_pipeline_loads_no_client_and_no_environment() -> None:
    """What importing `pipeline.route` and the transform loads, by whatever way, holds no client and no settings."""
    program = "import sys, stream_router.pipeline.route, stream_router.pipeline.transform; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "stream_router.pipeline.route" in loaded
    assert not {name.split(".")[0] for name in loaded} & NOT_LOADED_BY_PIPELINE
    assert not [name for name in loaded if name.startswith("stream_router.aws")]


def test_a_child_loads_no_detectors_before_a_policy_asks_for_them() -> None:
    """Each child would hold 9 MB of words and patterns, and take a tenth of a second for them, with masking off."""
    program = "import stream_router.consumer.child.assembly, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "stream_router.pipeline.transform" in loaded
    assert not [name for name in loaded if name.startswith("stream_router.pipeline.masking.detectors")]


def test_the_pipeline_reads_no_environment() -> None:
    """Of the settings it knows the reader of TOML files, nothing else."""
    names = [name for path in sorted((ROOT / "pipeline").rglob("*.py")) for name, _ in _imports(path)]
    of_settings = {name.split(".")[2] for name in names if name.startswith("stream_router.settings.")}
    assert of_settings <= SETTINGS_OF_THE_PIPELINE


def test_the_command_line_imports_its_parts_only_where_it_uses_them() -> None:
    """`--help` loads nothing but the command line itself and what is said of bad settings."""
    at_top = {own for name, top in _imports(ROOT / "cli.py") if top and (own := _own(name))}
    assert at_top <= {"core", "cli_local", "cli_dlq", "cli_stream", "cli_checks"}


def test_the_table_names_every_part_and_no_other() -> None:
    """A new part has to say what it may import; a part that is gone leaves the table."""
    parts = {_part(path) for path in _modules()} - {"__init__"}
    assert parts == MAY_IMPORT.keys()
    assert MAY_IMPORT.keys() >= set().union(*MAY_IMPORT.values())


READS_ENVIRONMENT = {
    "core/logs.py": "NO_COLOR",
    "settings/region.py": "the region, where no setting of ours names it",
    "settings/environment/reading.py": "the settings themselves",
    "settings/environment/in_force.py": "says where each setting came from",
    "control/fetch_jars.py": "XDG_CACHE_HOME",
    "consumer/supervisor/daemon/jvm_command.py": "hands it to the JVM",
    "consumer/supervisor/daemon/java.py": "JAVA_HOME",
    "consumer/child/__main__.py": "where to tell the supervisor of bad settings",
    "local/environment.py": "takes the operator's settings out of it",
    "local/programs.py": "hands it to the programs",
}
"""Who touches the environment, and why."""


def test_no_module_reads_the_environment_but_those_that_must() -> None:
    """Settings are read in one place; what else touches the environment hands it on to child processes."""
    touching = {str(path.relative_to(ROOT)) for path in _modules() if _gets(path)}
    assert touching == READS_ENVIRONMENT.keys()


def _gets(path: Path) -> bool:
    text = path.read_text("utf-8")
    return "os.environ" in text or "getenv" in text


def test_dependencies_are_declared() -> None:
    """Whatever the package imports from outside stands in setup.cfg."""
    declared = (ROOT.parent / "setup.cfg").read_text("utf-8").replace("-", "_")
    known = set(sys.stdlib_module_names) | {"stream_router"}
    outside = {name.split(".")[0] for path in _modules() for name, _ in _imports(path)} - known
    missing = {name for name in outside if name not in declared and not name.startswith("mypy_boto3")}
    assert missing <= {"botocore", "urllib3"}, "boto3 brings botocore, and that urllib3; the rest must be declared"
