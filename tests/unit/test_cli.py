"""The command line as an operator meets it: help everywhere, one line where something is wrong, 78 for settings."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from stream_router import cli
from stream_router.errors import EX_CONFIG
from stream_router.operate import setup

ROOT = str(Path(__file__).parents[2])


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in list(os.environ):
        if key.startswith(("AWS_", "STREAM_ROUTER_", "SQS_", "CXONE_")):
            monkeypatch.delenv(key)
    monkeypatch.setattr(cli, "_debug", False)


def _main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the console script's function; its exit status."""
    monkeypatch.setattr(sys, "argv", ["stream-router", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def _redirected(folder: Path, how: str, app: str) -> int:
    """The console script's exit status, where its standard streams are redirected so and `app` is what it does."""
    program = (
        f"import os, sys\nfrom pathlib import Path\nfrom stream_router import cli\ncli.app = lambda: {app}\ncli.main()"
    )
    command = ["/bin/sh", "-c", f'exec "$0" -c "$1" {how}', sys.executable, program]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": ROOT}, check=False).returncode


def test_a_line_that_nobody_can_read_changes_no_exit_status(tmp_path: Path) -> None:
    """The disk of the log is full, or its reader gone: what starts the program still learns that settings are wrong."""
    refuses = "(_ for _ in ()).throw(cli.SettingsError('A: is wrong; mend it'))"
    assert _redirected(tmp_path, "2>/dev/full", refuses) == EX_CONFIG


def _commands(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    """The command and all below it, each as what is typed."""
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, *words, name)


def test_there_is_help_everywhere() -> None:
    """Of the program, each group and each command, and what an option is good for stands there."""
    for words in _commands(typer.main.get_command(cli.app)):
        result = CliRunner().invoke(cli.app, [*words, "--help"])
        assert result.exit_code == 0, words
        assert "--help" in result.output, words


def test_help_loads_nothing_that_only_the_work_needs() -> None:
    """It comes at once, on a host too on which something else of the installation is broken."""
    program = f"""import sys; sys.path.insert(0, {ROOT!r}); sys.argv[1:] = ["--help"]
from stream_router.__main__ import main
try: main()
except SystemExit: print("LOADED", *sys.modules)"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.rpartition("LOADED")[2].split()}
    assert "typer" in loaded
    assert not loaded & {"boto3", "botocore", "httpx", "numpy", "pycurl", "pydantic", "uvloop"}


@pytest.mark.parametrize(
    ("command", "variables", "line"),
    [
        (["setup"], {}, "AWS_REGION: is not set; set AWS_REGION, for example us-east-1"),
        (["consume"], {"AWS_REGION": "us-east-1"}, "SQS_DLQ_URL: is not set; give the dead-letter queue's URL"),
        (["receive"], {"AWS_REGION": "us-east-1"}, "STREAM_ROUTER_WEBHOOK_SCHEME: is not set"),
        (["setup"], {"AWS_REGION": "us-east-1", "STREAM_ROUTER_RULE": "a b"}, "STREAM_ROUTER_RULE: "),
    ],
)
def test_a_wrong_setting_is_one_line_and_78(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    variables: dict[str, str],
    line: str,
) -> None:
    """The variable, what is wrong with it, the cure; no traceback."""
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    assert _main(monkeypatch, *command) == EX_CONFIG
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"stream-router: {line}")
    assert said.err.count("\n") == 1


def _boom(*_: Any, **__: Any) -> int:
    raise RuntimeError("something\nbroke")


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize(
    "words",
    [
        ("dlq", "redrive", "--rate"),
        ("replay", "--since", "2h", "--rate"),
        ("send", "--rate"),
        ("demo", "--rate"),
    ],
    ids=" ".join,
)
def test_what_is_no_number_in_figures_is_refused(words: tuple[str, ...], value: str) -> None:
    """Python reads `nan` and `inf` as numbers, of which no comparison and no wait makes sense; 0 is no bound."""
    result = CliRunner().invoke(cli.app, [*words, value])
    assert result.exit_code == 2
    assert "Input should be " in result.output


def test_an_unforeseen_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And says how to see more."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setattr(setup, "run", _boom)
    assert _main(monkeypatch, "setup") == 1
    assert capsys.readouterr().err == "stream-router: RuntimeError: something broke (--debug shows where)\n"


def test_ctrl_c_is_130_and_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of whatever a command does that does not hear it itself."""

    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setattr(setup, "run", interrupted)
    assert _main(monkeypatch, "setup") == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--version"], ["--debug", "--version"]])
def test_an_installation_that_lacks_a_package_is_one_line_and_exit_78(tmp_path: Path, words: list[str]) -> None:
    """As one that lacks a jar: without typer nothing of the command can run. With --debug the traceback is shown."""
    (tmp_path / "typer.py").write_text("raise ImportError('there is no typer')\n")
    command = [str(Path(sys.executable).parent / "stream-router"), *words]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "--debug" in words:
        assert done.stderr.startswith("Traceback")
    else:
        assert done.returncode == EX_CONFIG
        assert done.stderr.startswith("stream-router: this installation is not whole (there is no typer)")
        assert done.stderr.count("\n") == 1
