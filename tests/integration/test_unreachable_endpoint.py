"""Each command against an endpoint where nothing listens: one line that names the host and the cure."""

import pytest

from tests import command
from tests.ports import free_port


@pytest.mark.parametrize(
    "words",
    ["dlq list", "dlq redrive", "replay --since 1h", "shards", "setup --plan", "teardown", f"find {'0' * 32}"],
)
def test_the_host_and_the_cure_are_named(words: str) -> None:
    """A setting that is left from a trial is the commonest cause, so the cure names it."""
    port = free_port()
    variables = {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_MAX_ATTEMPTS": "1",
        "SQS_DLQ_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/cxone-events-dead-letters",
    }
    ended = command.run(variables, *words.split(), timeout_s=120)
    output = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert f"127.0.0.1:{port}" in output
    assert "unset AWS_ENDPOINT_URL" in output
    assert "Traceback" not in output
