"""`config`: what is in force and where it came from, secrets hidden, 78 only for the program that is named."""

import pytest

from stream_router.errors import SettingsError
from stream_router.operate import config as config_report
from stream_router.settings import reading
from tests.environment import CONSUMER, CXONE, RECEIVER, given

pytestmark = pytest.mark.usefixtures("empty_environment")

ALL = {**CONSUMER, **RECEIVER, **CXONE}


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_every_setting_is_told_once_with_its_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Environment, default, or not set."""
    given(
        monkeypatch, {**ALL, "STREAM_ROUTER_STREAM": "other", "STREAM_ROUTER_HMAC_PREFIX": "a b", "CXONE_CLIENT": "x"}
    )
    assert config_report.run(None) == 0
    told = lines(capsys)
    assert "STREAM_ROUTER_STREAM=other  # environment" in told
    assert "STREAM_ROUTER_APPLICATION=cxone-event-router  # default" in told
    assert "#STREAM_ROUTER_SPILL_DIR=  # not set" in told
    assert "STREAM_ROUTER_HMAC_PREFIX='a b'  # environment" in told
    variables = [line.lstrip("#").partition("=")[0] for line in told if "=" in line]
    assert len(variables) == len(set(variables))
    assert not [line for line in told if "would not start" in line]
    assert [line for line in told if line.startswith("# unknown: CXONE_CLIENT: ")]


def test_secrets_are_hidden_and_their_places_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a secret is read from is no secret."""
    given(monkeypatch, {**ALL, "STREAM_ROUTER_WEBHOOK_SECRETS": "c4n4ry, and some more"})
    given(monkeypatch, {"STREAM_ROUTER_AUDIT_KEY": "c4n4ry, and some more", "STREAM_ROUTER_AUDIT_DIR": "/tmp"})
    given(monkeypatch, {"CXONE_CLIENT_SECRET": "c4n4ry", "STREAM_ROUTER_MASKING_KEY": "file:/run/key"})
    config_report.run(None)
    told = lines(capsys)
    assert "c4n4ry" not in "".join(told)
    assert "STREAM_ROUTER_WEBHOOK_SECRETS='(hidden)'  # environment" in told
    assert "STREAM_ROUTER_MASKING_KEY=file:/run/key  # environment" in told
    given(monkeypatch, {"STREAM_ROUTER_WEBHOOK_SECRETS": "file:/run/secrets,c4n4ry, and some more"})
    config_report.run(None)
    assert "STREAM_ROUTER_WEBHOOK_SECRETS='file:/run/secrets,(hidden)'  # environment" in lines(capsys)


def test_a_password_in_a_url_is_hidden(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of ours uses it, but who pastes such an endpoint has it shown neither here nor in the first log line."""
    given(monkeypatch, {**ALL, "SQS_DLQ_URL": "https://me:c4n4ry@sqs.us-east-1.amazonaws.com/1/q"})
    given(monkeypatch, {"AWS_ENDPOINT_URL_SQS": "http://me:c4n4ry@127.0.0.1:9/a@b", "AWS_CA_BUNDLE": "/ca.pem"})
    config_report.run(None)
    told = "\n".join(lines(capsys))
    assert "c4n4ry@" not in told
    assert "AWS_ENDPOINT_URL_SQS='http://(hidden)@127.0.0.1:9/a@b'" in told
    assert {row.variable: row.value for row in reading.of_aws()} == {
        "AWS_CA_BUNDLE": "/ca.pem",
        "AWS_ENDPOINT_URL_SQS": "http://(hidden)@127.0.0.1:9/a@b",
    }


@pytest.mark.parametrize("program", ["receive", "consume", "setup"])
def test_only_the_program_that_is_named_can_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    """Its list comes first, then the line that the program itself would end with."""
    given(monkeypatch, {**RECEIVER, "STREAM_ROUTER_SHARDS": "0"})
    wrong = {"receive": "", "consume": "SQS_DLQ_URL: is not set", "setup": "STREAM_ROUTER_SHARDS: "}[program]
    if not wrong:
        assert config_report.run(program) == 0
        return
    with pytest.raises(SettingsError, match=f"^{wrong}"):
        config_report.run(program)
    assert "STREAM_ROUTER_STREAM=cxone-events  # default" in lines(capsys)
    assert config_report.run(None) == 0
    assert [line for line in lines(capsys) if line.startswith(f"# `{program}` would not start: {wrong}")]


def test_a_program_that_is_none_is_refused() -> None:
    """With the names of those that there are."""
    with pytest.raises(SettingsError, match=r"^PROGRAM: there is no sell; name receive, consume, setup"):
        config_report.run("sell")
