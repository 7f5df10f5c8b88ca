"""A test's environment: its settings alone, the smallest that each program starts with, and required programs."""

import os
import shutil

import pytest

from stream_router.settings.common import Settings
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import Cxone, Setup
from stream_router.settings.receiver import Receiver

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/dead"
CONSUMER = {"AWS_REGION": "us-east-1", "SQS_DLQ_URL": QUEUE}
RECEIVER = {"AWS_REGION": "us-east-1", "STREAM_ROUTER_WEBHOOK_SCHEME": "none"}
SETUP = {"AWS_REGION": "us-east-1"}
CXONE = {"CXONE_CLIENT_ID": "id", "CXONE_CLIENT_SECRET": "secret"}
GOOD: dict[type[Settings], dict[str, str]] = {Consumer: CONSUMER, Receiver: RECEIVER, Setup: SETUP, Cxone: CXONE}


def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every setting of this machine away."""
    for name in os.environ:
        if name.upper().startswith(("STREAM_ROUTER_", "AWS_", "CXONE_", "SQS_", "EVENTBRIDGE_", "SSL_CERT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


def set_environment(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def needs_programs(*names: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test if a program is not on PATH. In CI the test runs, and fails, instead."""
    missing = [name for name in names if not shutil.which(name)]
    return pytest.mark.skipif(bool(missing) and not os.environ.get("CI"), reason=f"needs {', '.join(missing)} on PATH")
