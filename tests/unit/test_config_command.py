"""`config`: what is in force and where it came from, secrets hidden, 78 only for the program that is named."""

import pytest

from stream_router.errors import SettingsError
from stream_router.operate import config
from stream_router.settings import reading
from tests.environment import CONSUMER, CXONE, RECEIVER, given

pytestmark = pytest.mark.usefixtures("empty_environment")

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
    given(monkeypatch, SET)
    assert config.run(None) == 0
    told = capsys.readouterr().out.splitlines()
    assert "c4n4ry" not in "".join(told)
    assert {
        "STREAM_ROUTER_STREAM=other  # environment",
        "STREAM_ROUTER_APPLICATION=cxone-event-router  # default",
        "#STREAM_ROUTER_SPILL_DIR=  # not set",
        "STREAM_ROUTER_HMAC_PREFIX='a b'  # environment",
        "STREAM_ROUTER_WEBHOOK_SECRETS='file:/run/secrets,(hidden)'  # environment",
        "STREAM_ROUTER_MASKING_KEY=file:/run/key  # environment",
        "AWS_ENDPOINT_URL_SQS='http://(hidden)@127.0.0.1:9/a@b'  # environment",
    } <= {*told}
    variables = [line.lstrip("#").partition("=")[0] for line in told if not line.startswith("# ")]
    assert len(variables) == len(set(variables))
    assert [line for line in told if line.startswith("# unknown: CXONE_CLIENT: ")]
    assert [row.value for row in reading.of_aws()] == ["http://(hidden)@127.0.0.1:9/a@b"], "the first log line has them"


@pytest.mark.parametrize(
    ("program", "wrong"),
    [("receive", ""), ("consume", "SQS_DLQ_URL: is not set"), ("setup", "STREAM_ROUTER_SHARDS: ")],
)
def test_only_the_program_that_is_named_can_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str, wrong: str
) -> None:
    """Its list comes first, then the line that the program itself would end with."""
    given(monkeypatch, {**RECEIVER, "STREAM_ROUTER_SHARDS": "0"})
    if not wrong:
        assert config.run(program) == 0
        return
    with pytest.raises(SettingsError, match=f"^{wrong}"):
        config.run(program)
    assert "STREAM_ROUTER_STREAM=cxone-events  # default" in capsys.readouterr().out
    assert config.run(None) == 0
    assert f"# `{program}` would not start: {wrong}" in capsys.readouterr().out
