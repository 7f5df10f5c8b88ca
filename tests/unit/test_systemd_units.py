"""The systemd units: hardened, named settings known, time enough to drain."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stream_router.settings.reading import names

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))


def _values(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def test_the_environment_file_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting of both programs stands in it, as the code has it. Write it anew with `make docs`."""
    monkeypatch.syspath_prepend(str(FOLDER.parents[1] / "tools"))
    import environment_file

    assert environment_file.FILE.read_text() == environment_file.text()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_sets_only_what_is_a_setting(unit: Path) -> None:
    """What a unit sets by itself is a setting's name: a mistyped one would end the program with 78."""
    given = {value.partition("=")[0] for value in _values(unit, "Environment")}
    assert given
    assert given <= names()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_restarts_what_died_and_not_what_is_misconfigured(unit: Path) -> None:
    """A crash is started again, exit 78 is not; a stop has longer than the drain takes (20 s at most)."""
    assert _values(unit, "Restart") == ["on-failure"]
    assert _values(unit, "RestartPreventExitStatus") == ["78"]
    assert int(_values(unit, "TimeoutStopSec")[0]) >= 40


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_a_unit_is_hardened(unit: Path) -> None:
    """`systemd-analyze security` finds an exposure of 2.0 at most."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if "Unknown" in done.stderr or "unrecognized option" in done.stderr:
        pytest.skip("this systemd cannot look at a file that is not installed")
    assert done.returncode == 0, done.stdout[-500:]
