"""Secrets that are kept in AWS, against the embedded stack."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest

from stream_router.aws import secret_store
from tests.ports import ONLY_LOOPBACK, free_port
from tests.receiver_kit import eventually

TEXT = "a secret of some length, and another one"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "GATEWAY_PORT": str(port), **ONLY_LOOPBACK, "LOG_LEVEL": "WARNING"}
    environment["TMPDIR"] = str(tmp_path)
    process = subprocess.Popen([sys.executable, "-m", "ministack"], env=environment, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/_ministack/health").is_success
        return False

    try:
        eventually(answers, 30.0)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def test_each_store_gives_its_secret_as_it_is_now(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets Manager's by its ARN, the Parameter Store's by its name, decrypted; else AWS's code is said."""
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_ENDPOINT_URL": stack}.items():
        monkeypatch.setenv(name, value)
    session = boto3.Session(region_name="us-east-1")
    manager = session.client("secretsmanager")
    arn = manager.create_secret(Name="receiver", SecretString=TEXT)["ARN"]
    assert secret_store.fetch(f"secretsmanager:{arn}", "us-east-1") == TEXT
    manager.put_secret_value(SecretId=arn, SecretString="another text")
    assert secret_store.fetch(f"secretsmanager:{arn}", "us-east-1") == "another text"
    session.client("ssm").put_parameter(Name="/receiver/secrets", Value=TEXT, Type="SecureString")
    assert secret_store.fetch("ssm:/receiver/secrets", "us-east-1") == TEXT
    for reference in ("secretsmanager:nothing", "ssm:/nothing"):
        with pytest.raises(secret_store.SecretUnreadableError, match="NotFound"):
            secret_store.fetch(reference, "us-east-1")
