"""The contract tests' servers: the fake AWS and ministack, each once a module, and boto3 clients pointed at them."""

import contextlib
import datetime as dt
import functools
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import cbor2
import pytest
from botocore.config import Config

from tests import schema_check
from tests.fakeaws.process import FakeAwsProcess
from tests.ports import ONLY_LOOPBACK, free_port

Client = Callable[[str], Any]
START_S = 30.0
LEFT_OUT = {"Successful", "Failed"}
"""Members that SQS leaves out if they are empty, though its model requires them."""

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "blob": (str,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "timestamp": (int, float, dt.datetime),
}


@pytest.fixture(autouse=True)
def _entries_are_not_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests send what shows the wire, not Details of the product."""
    monkeypatch.setattr(schema_check, "fake_aws_gets_ours", False)


@pytest.fixture(scope="module")
def running_fake_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAwsProcess]:
    with FakeAwsProcess(tmp_path_factory.mktemp("fake_aws") / "ledger.jsonl", None, 7, "--payloads") as fake_aws:
        yield fake_aws


@pytest.fixture
def fake_aws(running_fake_aws: FakeAwsProcess) -> FakeAwsProcess:
    """The module's fake AWS with no plan and counters at zero."""
    running_fake_aws.reset()
    return running_fake_aws


@pytest.fixture(scope="module")
def _client(running_fake_aws: FakeAwsProcess) -> Iterator[Client]:
    with _clients(running_fake_aws.url) as make:
        yield make


@pytest.fixture
def client(fake_aws: FakeAwsProcess, _client: Client) -> Client:
    """Gives boto3 clients of the fake AWS that send every call once, and hold each answer against its model."""
    assert fake_aws
    return _client


@contextlib.contextmanager
def _clients(url: str) -> Iterator[Client]:
    result: list[Any] = []
    session: Any = boto3.session.Session("AKIDEXAMPLE", "secret", region_name="us-east-1")

    @functools.cache
    def make(service: str) -> Any:
        config = Config(retries={"total_max_attempts": 1}, read_timeout=10)
        result.append(session.client(service, endpoint_url=url, config=config))
        result[-1].meta.events.register("before-parse", _conforms)
        return result[-1]

    yield make
    for item in result:
        item.close()


def _conforms(operation_model: Any, response_dict: dict[str, Any], **_: object) -> None:
    """Fails where an answer has what its model has not, lacks what it must have, or has it as another type."""
    kind, body = response_dict["headers"].get("Content-Type", ""), response_dict["body"]
    if operation_model.output_shape and response_dict["status_code"] == 200 and ("json" in kind or "cbor" in kind):
        _fits(operation_model.output_shape, json.loads(body) if "json" in kind else cbor2.loads(body))


def _fits(shape: Any, value: Any) -> None:
    if shape.type_name == "structure":
        required = set(shape.required_members) - LEFT_OUT
        assert required <= value.keys() <= shape.members.keys(), (shape, value)
        for name, item in value.items():
            _fits(shape.members[name], item)
    elif shape.type_name in ("list", "map"):
        for item in value if shape.type_name == "list" else value.values():
            _fits(shape.member if shape.type_name == "list" else shape.value, item)
    else:
        assert isinstance(value, _TYPES[shape.type_name]), (shape, value)


@pytest.fixture(scope="module")
def ministack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    home = tmp_path_factory.mktemp("ministack")
    settings = {"GATEWAY_PORT": str(port), **ONLY_LOOPBACK, "LOG_LEVEL": "ERROR"}
    settings |= {"S3_DATA_DIR": str(home), "TMPDIR": str(home)}
    with (home / "log").open("w") as log:
        command = [sys.executable, "-m", "ministack"]
        process = subprocess.Popen(command, env={**os.environ, **settings}, cwd=home, stdout=log, stderr=log)
        try:
            _wait_for(f"http://127.0.0.1:{port}/_ministack/health", process, home / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"ministack did not start: {log.read_text()[-500:]}")


@pytest.fixture
def ministack_client(ministack_url: str) -> Iterator[Client]:
    with _clients(ministack_url) as make:
        yield make
