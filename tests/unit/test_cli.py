"""The command line as an operator meets it: one line where something is wrong, a true exit status."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stream_router import cli
from stream_router.errors import EX_CONFIG, SettingProblem, SettingsError
from stream_router.operate import config
from stream_router.operate.console import parse_time_ms, print_line, readable, warn, write_line
from stream_router.settings import reading
from tests.environment import CONSUMER, CXONE, RECEIVER, set_environment
from tests.ports import free_port
from tests.raw_server import RawServer, Seen, answer

pytestmark = pytest.mark.usefixtures("empty_environment")

ROOT = Path(__file__).parents[2]
CANARY = "s3cr3t-c4n4ry"
ACCESS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
PROGRAM = """import sys; from stream_router import cli
cli.app = lambda: (_ for _ in ()).throw(cli.SettingsError('A', 'is wrong', 'mend it')); cli.main()"""

TWO_WRONG = SettingsError.of([SettingProblem("A", "is\nbad", "mend it"), SettingProblem("B", "too")])


def main(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the console script's function; its exit status."""
    monkeypatch.setattr(sys, "argv", ["stream-router", *words])
    monkeypatch.setattr(cli, "_debug", False)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


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
    set_environment(monkeypatch, {**ACCESS, "AWS_CONFIG_FILE": str(tmp_path / "config"), **settings})
    assert main(monkeypatch, "shards") == EX_CONFIG
    output = capsys.readouterr()
    assert output.err.startswith(f"stream-router: {line}")
    assert (output.out, output.err.count("\n"), "; " in output.err, CANARY in output.err) == ("", 1, True, False)


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (RuntimeError("something\nbroke"), 1, "stream-router: RuntimeError: something broke (--debug shows where)\n"),
        (TWO_WRONG, 78, "stream-router: A: is bad; mend it\nstream-router: B: too\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_whatever_a_command_raises_is_lines_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, printed: str
) -> None:
    """One for what nobody foresaw; one for each wrong setting; none for Ctrl-C. With --debug the traceback is shown."""

    def broken(*_: Any) -> int:
        raise error

    monkeypatch.setattr("stream_router.operate.audit.run", broken)
    assert main(monkeypatch, "audit", "verify", __file__) == status
    assert capsys.readouterr().err.strip("\n") == printed.strip("\n")
    if isinstance(error, Exception):
        with pytest.raises(type(error)):
            main(monkeypatch, "--debug", "audit", "verify", __file__)


def test_an_installation_that_lacks_a_package_is_one_line_and_exit_78(tmp_path: Path) -> None:
    """As one that lacks a jar: without typer nothing of the command can run."""
    (tmp_path / "typer.py").write_text("raise ImportError('there is no typer')\n")
    command = [sys.executable, "-m", "stream_router", "--version"]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (EX_CONFIG, 1)
    assert done.stderr.startswith("stream-router: this installation is not whole (there is no typer)")


def test_a_line_that_nobody_can_read_changes_no_exit_status() -> None:
    """The disk of the log is full, or its reader gone: what starts the program still learns that settings are wrong."""
    command = ["/bin/sh", "-c", 'exec "$0" -c "$1" 2>/dev/full', sys.executable, PROGRAM]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == EX_CONFIG


# --- `health` and `config`


def test_a_dead_consumer_beside_a_living_receiver_ends_it_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does one that is ill. Without a token, past a proxy of the environment; the probe names a program."""
    nobody = f"127.0.0.1:{free_port()}"

    def well(seen: Seen) -> bytes:
        return answer(200 if " /healthz " in seen.line else 404)

    with RawServer(well) as receiver, RawServer(lambda _: answer(503)) as ill:
        for consumer in (nobody, f"127.0.0.1:{ill.port}"):
            set_environment(monkeypatch, {"STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": f"127.0.0.1:{receiver.port}"})
            set_environment(monkeypatch, {"STREAM_ROUTER_ADMIN_LISTEN": consumer, "http_proxy": f"http://{nobody}"})
            for words, status in ((["receive"], 0), (["consume"], 1), ([], 2)):
                assert CliRunner().invoke(cli.app, ["health", *words]).exit_code == status


SECRET = "c4n4ry, and some more"
SET = {
    **CONSUMER,
    **RECEIVER,
    **CXONE,
    "STREAM_ROUTER_STREAM": "other",
    "STREAM_ROUTER_HMAC_PREFIX": "a b",
    "STREAM_ROUTER_WEBHOOK_SECRETS": f"file:/run/secrets,{SECRET}",
    "STREAM_ROUTER_MASKING_KEY": "file:/run/key",
    "STREAM_ROUTER_AUDIT_KEY": SECRET,
    "STREAM_ROUTER_AUDIT_DIR": "/tmp",
    "CXONE_CLIENT_SECRET": SECRET,
    "CXONE_CLIENT": "x",
    "SQS_DLQ_URL": "https://me:c4n4ry@sqs.us-east-1.amazonaws.com/1/q",
    "AWS_ENDPOINT_URL_SQS": "http://me:c4n4ry@127.0.0.1:9/a@b",
}


def test_every_setting_is_told_once_with_its_source_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Environment, default, or not set. Where a secret is read from is none; a password in a URL is one."""
    set_environment(monkeypatch, SET)
    assert config.run(None) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "c4n4ry" not in "".join(lines)
    assert {
        "STREAM_ROUTER_STREAM=other  # environment",
        "STREAM_ROUTER_APPLICATION=cxone-event-router  # default",
        "#STREAM_ROUTER_SPILL_DIR=  # not set",
        "STREAM_ROUTER_HMAC_PREFIX='a b'  # environment",
        "STREAM_ROUTER_WEBHOOK_SECRETS='file:/run/secrets,(hidden)'  # environment",
        "STREAM_ROUTER_MASKING_KEY=file:/run/key  # environment",
        "AWS_ENDPOINT_URL_SQS='http://(hidden)@127.0.0.1:9/a@b'  # environment",
    } <= {*lines}
    variables = [line.lstrip("#").partition("=")[0] for line in lines if not line.startswith("# ")]
    assert len(variables) == len(set(variables))
    assert [line for line in lines if line.startswith("# unknown: CXONE_CLIENT: ")]
    assert [row.value for row in reading.list_aws_settings()] == ["http://(hidden)@127.0.0.1:9/a@b"], (
        "the first log line has them"
    )


@pytest.mark.parametrize(
    ("program", "wrong"),
    [("receive", ""), ("consume", "SQS_DLQ_URL: is not set"), ("setup", "STREAM_ROUTER_SHARDS: ")],
)
def test_only_the_program_that_is_named_can_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str, wrong: str
) -> None:
    """Its list comes first, then the line that the program itself would end with."""
    set_environment(monkeypatch, {**RECEIVER, "STREAM_ROUTER_SHARDS": "0"})
    if not wrong:
        assert config.run(program) == 0
        return
    with pytest.raises(SettingsError, match=f"^{wrong}"):
        config.run(program)
    assert "STREAM_ROUTER_STREAM=cxone-events  # default" in capsys.readouterr().out
    assert config.run(None) == 0
    assert f"# `{program}` would not start: {wrong}" in capsys.readouterr().out


# --- what the operators' commands have in common

NOW_MS = 1_764_000_000_500


def test_a_search_whose_reader_went_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """`find ID 2>&1 | head -1` does not end with 1: that says that the event was never received."""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as nobody:
        monkeypatch.setattr(sys, "stderr", nobody)
        warn("reading")
        warn("reading more")
        write_line(nobody, "found")


def test_nothing_that_others_wrote_drives_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """No escape sequence of somebody's message in a queue is written, and no line of its own; numbers as they stand."""
    print_line("x\nredriven 99 \x1b[2J \x9b31m \u202eë")
    assert capsys.readouterr().out == "x�redriven 99 �[2J �31m �ë\n"
    assert readable(b'{"n":1.50,"n":1e-400, "a":"\x1b[2J\xff"}') == '{"n":1.50,"n":1e-400, "a":"�[2J�"}'


@pytest.mark.parametrize(
    ("text", "epoch_ms"),
    [
        ("2025-11-24T16:00:00Z", 1_764_000_000_000),
        ("2025-11-24T16:00:00", 1_764_000_000_000),
        ("2025-11-24T17:00:00.250+01:00", 1_764_000_000_250),
        ("90m", NOW_MS - 5_400_000),
        ("3d", NOW_MS - 259_200_000),
        *((text, None) for text in ("", "yesterday", "2h30m", "-1h", "2025-13-01T00:00:00Z")),
        *((text, None) for text in ("999999d", "1960-01-01", "0001-01-01", "9999-12-31T23:59:59.9999")),
    ],
)
def test_a_moment_is_a_time_or_so_long_ago(text: str, epoch_ms: int | None) -> None:
    """UTC where no zone is given. What is none is one line that names the option."""
    if epoch_ms is not None:
        assert parse_time_ms(text, "--since", NOW_MS) == epoch_ms
        return
    with pytest.raises(SettingsError, match=r"^--since: "):
        parse_time_ms(text, "--since", NOW_MS)
