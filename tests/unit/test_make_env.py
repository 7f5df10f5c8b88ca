"""`make setup`'s script: brings what is missing, and says in one line what to do."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "make_env.py"


@pytest.fixture
def make_env() -> Any:
    spec = importlib.util.spec_from_file_location("make_env", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "line", ["Java: none found; install Java 17", "KCL daemon: its class does not load with java; set JAVA_HOME"]
)
def test_a_daemon_that_does_not_load_ends_it_with_its_line(
    make_env: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    """Shown as it is; the script ends with 1."""
    monkeypatch.setattr(make_env, "proof", lambda _: subprocess.CompletedProcess([], 1, "", f"{line}\n"))
    with pytest.raises(SystemExit) as ended:
        make_env.prove_daemon(Path("python"))
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"setup: {line}\n"


def test_jars_that_cannot_be_had_end_it(make_env: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`stream-router jars` has said why and what to do."""
    program = tmp_path / "bin" / "stream-router"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(SystemExit):
        make_env.bring_jars(tmp_path)
    assert capsys.readouterr().err == "setup: the KCL daemon's jars are not whole (above)\n"


def test_kclpy_is_built_only_where_it_is_not_there(make_env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """This environment has the pinned version."""
    monkeypatch.setattr(make_env.kclpy_wheel, "build", lambda *_: pytest.fail("it was built"))
    make_env.install_kclpy(Path(sys.executable))


def test_it_needs_nothing_but_python() -> None:
    """It runs before anything is installed: without site-packages it still says how it is used."""
    done = subprocess.run([sys.executable, "-S", "-I", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "setup: usage: make_env.py VENV\n")
