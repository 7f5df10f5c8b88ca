"""`consume` with an environment that cannot work: one line that names the variable, 78, and nothing was started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from stream_router import cli
from stream_router.consumer.supervisor import java

def started(*_):
    raise AssertionError("Java was looked for")

java.find_java = started
cli.main()
"""


def consume(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """`consume` to its end, on a machine of AWS where Java must not be needed; "" unsets a variable."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "STREAM_ROUTER_"))}
    environment |= {
        "HOME": str(folder),
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SQS_DLQ_URL": "http://127.0.0.1/0/q",
        **changes,
    }
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "consume"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STREAM_ROUTER_MASKING", "/nonexistent/policy.toml"),
        ("STREAM_ROUTER_CONFIG", "/nonexistent/config.toml"),
        ("STREAM_ROUTER_JVM_OPTIONS", '"'),
        ("STREAM_ROUTER_AUDIT_DIR", "/proc/none"),
        ("STREAM_ROUTER_OFFLOAD_BUCKET", "/"),
        ("AWS_ENDPOINT_URL", "foo"),
        ("AWS_ENDPOINT_URL_KINESIS", "http://[::1"),
        ("AWS_ENDPOINT_URL_EVENTBRIDGE", "foo"),
        ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:123456"),
        ("AWS_ENDPOINT_URL_CLOUDWATCH", "foo"),
        ("AWS_REGION", "bad region"),
        ("AWS_PROFILE", "nope"),
        ("AWS_CA_BUNDLE", "/nonexistent/ca.pem"),
        ("AWS_CA_BUNDLE", "/etc"),
    ],
)
def test_a_bad_environment_is_one_line_and_78(tmp_path: Path, variable: str, value: str) -> None:
    """Whatever reads the variable, its line comes before Java does, and never as a crash."""
    if variable == "AWS_PROFILE":
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "config").write_text("[default]\nregion=us-east-1\n")
    ended = consume(tmp_path, **{variable: value})
    assert ended.returncode == 78, ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("stream-router: ")
    assert variable in ended.stderr.removeprefix("stream-router: ").partition(": ")[0].split(" or ")
