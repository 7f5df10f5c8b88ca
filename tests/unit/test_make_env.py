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


def test_it_needs_nothing_but_python() -> None:
    """It runs before anything is installed: without site-packages it still says how it is used."""
    done = subprocess.run([sys.executable, "-S", "-I", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "setup: usage: make_env.py VENV\n")


def _ended(capsys: pytest.CaptureFixture[str], make_env: Any, target: Path) -> str:
    """What is said where the environment cannot be made."""
    with pytest.raises(SystemExit) as ended:
        make_env.make_venv(target)
    assert ended.value.code == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "ends", [subprocess.CalledProcessError(1, "ensurepip"), SystemExit(1)], ids=["plain Python's", "Debian's"]
)
def test_a_python_without_pip_is_told_the_cure_and_leaves_nothing(
    make_env: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    ends: BaseException,
) -> None:
    """Debian without python3-venv: once that is installed the same command works, for no half environment stays."""

    def half_made(target: Path, **_: Any) -> None:
        target.mkdir()
        (target / "pyvenv.cfg").touch()
        print("The virtual environment was not created successfully because ensurepip is not available.")  # noqa: T201
        raise ends

    monkeypatch.setattr("venv.create", half_made)
    said = _ended(capsys, make_env, tmp_path / "env")
    assert said.count("\n") == 1
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in said
    assert said.endswith("run the same command again\n")
    assert not (tmp_path / "env").exists()


def test_what_another_python_left_is_made_anew(make_env: Any, tmp_path: Path) -> None:
    """Without pip, of a Python that is gone, too old: each is unsound, and what takes its place is sound."""
    target = tmp_path / "env with a space"
    (target / "bin").mkdir(parents=True)
    (target / "pyvenv.cfg").touch()
    python = target / "bin" / "python"
    python.symlink_to(tmp_path / "gone")
    assert not make_env.is_sound(python)
    make_env.make_venv(target)
    assert make_env.is_sound(python)
    assert python.is_symlink(), "a copied program would not find libraries beside the real one"


def test_a_folder_that_is_no_environment_is_left_alone(
    make_env: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A slip in VENV must not cost somebody's files."""
    precious = tmp_path / "precious"
    precious.touch()
    assert "no Python environment" in _ended(capsys, make_env, tmp_path)
    assert precious.exists()


def test_every_target_of_the_makefile_takes_a_path_with_a_space() -> None:
    """What make prints for the shell has each path in quotes."""
    root = SCRIPT.parents[1]
    command = ["make", "-n", "VENV=an environment", "unit", "lint", "demo", "docs", "bench", "fault", "test-pythons"]
    planned = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert f'"{root}/an environment/bin/python" -m pytest' in planned
    assert 'tools/make_env.py "an environment"' in planned
    for line in planned.splitlines():
        assert "an environment" not in line.replace('"an environment', '"').replace(f'"{root}/an environment', '"')
