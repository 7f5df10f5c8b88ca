"""`make setup`'s script: repeats a broken download of jars once, and says in one line what to do."""

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


def _proofs(module: Any, monkeypatch: pytest.MonkeyPatch, *results: tuple[int, str]) -> list[tuple[str, ...]]:
    """The proof answers these, one after the other; what pip was asked is returned."""
    answers = [subprocess.CompletedProcess([], code, f"out {text}", text) for code, text in results]
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(module, "proof", lambda _: answers.pop(0))
    monkeypatch.setattr(module, "pip", lambda _, *arguments: asked.append(arguments))
    return asked


def test_broken_jars_are_fetched_once_more(make_env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past pip's cache, which keeps the broken build."""
    asked = _proofs(make_env, monkeypatch, (1, "KCL daemon: x.jar is no whole jar"), (0, "fine"))
    make_env.prove_daemon(Path("python"))
    assert [("--no-cache-dir" in call, "--force-reinstall" in call, call[-1]) for call in asked] == [
        (True, True, "amazon_kclpy")
    ]


def test_a_missing_java_is_not_answered_by_fetching_jars(
    make_env: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its line is shown as it is, and the script ends with 1."""
    asked = _proofs(make_env, monkeypatch, (1, "Java: none found; install Java 17"))
    with pytest.raises(SystemExit) as ended:
        make_env.prove_daemon(Path("python"))
    assert ended.value.code == 1
    assert not asked
    assert capsys.readouterr().err == "setup: Java: none found; install Java 17\n"


def test_jars_that_stay_broken_end_it_with_one_line(
    make_env: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No endless loop."""
    _proofs(make_env, monkeypatch, (1, "KCL daemon: gone"), (1, "KCL daemon: gone; with Maven Central in reach"))
    with pytest.raises(SystemExit):
        make_env.prove_daemon(Path("python"))
    assert capsys.readouterr().err == "setup: KCL daemon: gone; with Maven Central in reach\n"


def test_it_needs_nothing_but_python() -> None:
    """It runs before anything is installed: without site-packages it still says how it is used."""
    done = subprocess.run([sys.executable, "-S", "-I", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "setup: usage: make_env.py VENV\n")
