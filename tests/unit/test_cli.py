"""The command line as an operator meets it: help everywhere, one line where something is wrong, a true exit status."""

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
from stream_router.errors import EX_CONFIG, SettingsError
from tests.environment import given

pytestmark = pytest.mark.usefixtures("empty_environment")

ROOT = Path(__file__).parents[2]
CANARY = "s3cr3t-c4n4ry"
ACCESS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
PROGRAM = """import sys; from stream_router import cli
cli.app = lambda: (_ for _ in ()).throw(cli.SettingsError('A: is wrong; mend it')); cli.main()"""


def main(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the console script's function; its exit status."""
    monkeypatch.setattr(sys, "argv", ["stream-router", *words])
    monkeypatch.setattr(cli, "_debug", False)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def commands(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    """The command and all below it, each as what is typed."""
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *words, name)


def test_there_is_help_everywhere() -> None:
    """Of the program, each group and each command."""
    for words in commands(typer.main.get_command(cli.app)):
        result = CliRunner().invoke(cli.app, [*words, "--help"])
        assert (result.exit_code, "--help" in result.output) == (0, True), words


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("words", ["dlq redrive", "replay --since 2h", "send", "demo"])
def test_what_is_no_number_in_figures_is_refused(words: str, value: str) -> None:
    """Python reads `nan` and `inf` as numbers, of which no comparison and no wait makes sense; 0 is no bound."""
    assert CliRunner().invoke(cli.app, [*words.split(), "--rate", value]).exit_code == 2


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        *(({"AWS_ENDPOINT_URL": url}, "AWS_ENDPOINT_URL") for url in (CANARY, "http://", f"ftp://{CANARY}")),
        ({"AWS_ENDPOINT_URL_KINESIS": f"http://{CANARY}@[bad"}, "AWS_ENDPOINT_URL_KINESIS"),
        ({"AWS_ENDPOINT_URL_KINESIS": f"http://127.0.0.1:{CANARY}"}, "AWS_ENDPOINT_URL_KINESIS"),
        ({"AWS_PROFILE": "nope"}, "AWS_PROFILE: there is no profile 'nope'"),
        ({"AWS_REGION": "x y"}, "AWS_REGION: "),
        ({"AWS_ACCESS_KEY_ID": ""}, "AWS credentials: they cannot be had ("),
    ],
    ids=str,
)
def test_what_is_wrong_with_aws_s_variables_is_one_line_and_78(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    settings: dict[str, str],
    line: str,
) -> None:
    """Not botocore's own error; with the cure; what may hold a password is not quoted."""
    (tmp_path / "config").write_text("[default]\ncredential_process = echo trouble\n")
    given(monkeypatch, {**ACCESS, "AWS_CONFIG_FILE": str(tmp_path / "config"), **settings})
    assert main(monkeypatch, "shards") == EX_CONFIG
    said = capsys.readouterr()
    assert said.err.startswith(f"stream-router: {line}")
    assert (said.out, said.err.count("\n"), "; " in said.err, CANARY in said.err) == ("", 1, True, False)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (RuntimeError("something\nbroke"), 1, "stream-router: RuntimeError: something broke (--debug shows where)\n"),
        (SettingsError("A: is bad; mend it\nB: too"), 78, "stream-router: A: is bad; mend it\nstream-router: B: too\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_whatever_a_command_raises_is_lines_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, said: str
) -> None:
    """One for what nobody foresaw, which says how to see more; one for each wrong setting; none for Ctrl-C."""

    def broken(*_: Any) -> int:
        raise error

    monkeypatch.setattr("stream_router.operate.audit.run", broken)
    assert main(monkeypatch, "audit", "verify", __file__) == status
    assert capsys.readouterr().err.strip("\n") == said.strip("\n")


def test_chaos_needs_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Too few events for the demo's faults are refused with the number that is needed."""
    assert main(monkeypatch, "demo", "--chaos", "--events", "100") == EX_CONFIG
    assert "--events 9000" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--version"], ["--debug", "--version"]])
def test_an_installation_that_lacks_a_package_is_one_line_and_exit_78(tmp_path: Path, words: list[str]) -> None:
    """As one that lacks a jar: without typer nothing of the command can run. With --debug the traceback is shown."""
    (tmp_path / "typer.py").write_text("raise ImportError('there is no typer')\n")
    command = [sys.executable, "-m", "stream_router", *words]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "--debug" in words:
        assert done.stderr.startswith("Traceback")
    else:
        assert (done.returncode, done.stderr.count("\n")) == (EX_CONFIG, 1)
        assert done.stderr.startswith("stream-router: this installation is not whole (there is no typer)")


def test_a_line_that_nobody_can_read_changes_no_exit_status() -> None:
    """The disk of the log is full, or its reader gone: what starts the program still learns that settings are wrong."""
    command = ["/bin/sh", "-c", 'exec "$0" -c "$1" 2>/dev/full', sys.executable, PROGRAM]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == EX_CONFIG
