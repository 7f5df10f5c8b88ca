"""The contract tests' servers: the sink and ministack, each once a module, and boto3 clients pointed at them."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from stream_router.local.sink.process import SinkProcess

Client = Callable[[str], Any]
START_S = 30.0


@pytest.fixture(scope="module")
def running_sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SinkProcess]:
    with SinkProcess(tmp_path_factory.mktemp("sink") / "ledger.jsonl", None, 7, "--payloads") as sink:
        yield sink


@pytest.fixture
def sink(running_sink: SinkProcess) -> SinkProcess:
    """The module's sink with no plan and counters at zero."""
    running_sink.reset()
    return running_sink


@pytest.fixture
def client(sink: SinkProcess) -> Iterator[Client]:
    """Makes boto3 clients of the sink that send every call once."""
    with _clients(sink.url) as make:
        yield make


@contextlib.contextmanager
def _clients(url: str) -> Iterator[Client]:
    made: list[Any] = []

    def make(service: str) -> Any:
        config = Config(retries={"total_max_attempts": 1}, read_timeout=10)
        session: Any = boto3.session.Session("AKIDEXAMPLE", "secret", region_name="us-east-1")
        made.append(session.client(service, endpoint_url=url, config=config))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def ministack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path_factory.mktemp("ministack")
    settings = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR", "S3_DATA_DIR": str(home)}
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
