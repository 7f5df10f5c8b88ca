"""The command line as an operator meets it: help that explains, one line where something is wrong, 78 for settings."""

import configparser
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from stream_router import cli
from stream_router.control.setup import setup
from stream_router.errors import EX_CONFIG

COMMANDS = (
    "receive",
    "consume",
    "setup",
    "doctor",
    "teardown",
    "config",
    "jars",
    "top",
    "send",
    "mask",
    "local",
    "demo",
    "cxone",
    "audit",
    "dlq",
    "find",
    "replay",
    "shards",
)

runner = CliRunner()
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


def test_a_character_that_the_terminal_lacks_is_written_as_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """`dlq show --payload` where the locale is Latin-1: an emoji of a customer's is no error."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "latin-1"))
    monkeypatch.setattr(cli, "app", lambda: typer.echo("Zoë \N{GRINNING FACE}"))
    monkeypatch.setattr(sys, "argv", ["stream-router"])
    cli.main()
    assert written.getvalue() == b"Zo\xeb \\U0001f600\n"


def _redirected(folder: Path, how: str, app: str) -> int:
    """The console script's exit status, where its standard streams are redirected so and `app` is what it does."""
    program = (
        f"import os, sys\nfrom pathlib import Path\nfrom stream_router import cli\ncli.app = lambda: {app}\ncli.main()"
    )
    command = ["/bin/sh", "-c", f'exec "$0" -c "$1" {how}', sys.executable, program]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": ROOT}, check=False).returncode


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_standard_stream_that_was_closed_is_open_onto_nothing(tmp_path: Path, closed: str) -> None:
    """Else a socket has its number, into which whatever is said on stderr is written, and a log breaks on none."""
    tells = "Path('told').write_text(' '.join(os.readlink(f'/proc/self/fd/{n}') for n in range(3)))"
    assert _redirected(tmp_path, closed, f"(sys.stderr.write('said\\n'), sys.stdin.read(), {tells})") == 0
    told = (tmp_path / "told").read_text().split()
    assert told.count(os.devnull) >= 1 + closed.count(" ")


def test_a_line_that_nobody_can_read_changes_no_exit_status(tmp_path: Path) -> None:
    """The disk of the log is full, or its reader gone: what starts the program still learns that settings are wrong."""
    refuses = "(_ for _ in ()).throw(cli.SettingsError('A: is wrong; mend it'))"
    assert _redirected(tmp_path, "2>/dev/full", refuses) == EX_CONFIG


def test_help_says_what_the_product_is_and_where_to_start() -> None:
    """Someone who has never seen the project learns what it does, and which command to try first."""
    text = " ".join(runner.invoke(cli.app, ["--help"]).output.split())
    assert "NICE CXone webhooks to Amazon EventBridge" in text
    assert "Start with `stream-router demo`" in text
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize(
    "words",
    [[c] for c in COMMANDS]
    + [["cxone", "token"], ["cxone", "sources"], ["audit", "verify"]]
    + [["dlq", one] for one in ("list", "show", "redrive", "export", "import")],
    ids=" ".join,
)
def test_every_command_has_help(words: list[str]) -> None:
    """More than its name."""
    result = runner.invoke(cli.app, [*words, "--help"])
    assert result.exit_code == 0
    assert len(result.output) > 200
    if words not in (["cxone"], ["audit"], ["dlq"]):
        assert "Example: " in result.output


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


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the one who mends it."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setattr(setup, "run", _boom)
    monkeypatch.setattr(sys, "argv", ["stream-router", "--debug", "setup"])
    with pytest.raises(RuntimeError, match="broke"):
        cli.main()


def test_the_status_is_what_the_command_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """0 or 1 of the part that did the work."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setattr(setup, "run", lambda *_, **__: 1)
    assert _main(monkeypatch, "setup", "--plan") == 1


def test_the_console_scripts_are_installed() -> None:
    """Both of setup.cfg: the operator's and the daemon's."""
    folder = Path(sys.executable).parent
    assert (folder / "stream-router-shard").exists()
    done = subprocess.run([folder / "stream-router", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("stream-router ")


@pytest.mark.parametrize("words", [["--version"], ["--debug", "--version"]])
def test_an_installation_that_lacks_a_package_is_one_line_and_exit_78(words: list[str]) -> None:
    """As one that lacks a jar: without typer nothing of the command can run. With --debug the traceback is shown."""
    program = "import sys; sys.modules['typer'] = None; from stream_router.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    if "--debug" in words:
        assert done.stderr.startswith("Traceback")
    else:
        assert done.returncode == 78
        assert done.stderr.startswith("stream-router: this installation is not whole (import of typer halted")
        assert done.stderr.count("\n") == 1


def test_the_console_script_is_what_says_so() -> None:
    """The same that `python -m stream_router` runs."""
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg", "utf-8")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    assert "stream-router = stream_router.__main__:main" in scripts


def test_mask_of_a_file_that_is_not_there_is_one_line_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No usage box: the file, what is wrong with it, what to give."""
    monkeypatch.chdir(tmp_path)
    assert _main(monkeypatch, "mask", "--policy", "default", "nope.json") == 1
    told = " ".join("".join(capsys.readouterr()).split())
    assert "nope.json: cannot be read" in told
    assert "Usage" not in told
