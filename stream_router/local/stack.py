"""The embedded stack: ministack serves Kinesis, DynamoDB, EventBridge, SQS, CloudWatch in one process on loopback."""

import socket
import urllib.error
import urllib.request
from importlib.util import find_spec

from stream_router.errors import SettingsError
from stream_router.local.environment import free_port
from stream_router.local.programs import Program, Programs, module

START_S = 30.0
SERVER = "stream_router.local.steady_ministack"


def start(programs: Programs, port: int | None = None) -> tuple[Program, str]:
    """Start ministack, on a free port or the one given, and wait until it answers: the program and its URL.

    Raises SettingsError where it is not installed, ProgramError where it does not start.
    """
    if find_spec("ministack") is None:
        raise SettingsError(
            "ministack: the embedded stack is not installed; install with requirements-local.lock of `make dist`"
        )
    if port and _is_taken(port):
        raise SettingsError(f"--port: {port} is in use on 127.0.0.1; choose another, or 0 for any that is free")
    port = port or free_port()
    endpoint = f"http://127.0.0.1:{port}"
    settings = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",  # its MQTT broker would listen on every address of the host
        "LOG_LEVEL": "WARNING",
        "S3_DATA_DIR": str(programs.folder / "s3"),
        "TMPDIR": str(programs.folder),  # for the file with its process id, which it leaves where it is killed
    }
    program = programs.start("ministack", module(SERVER), endpoint, settings)
    program.wait_ready(lambda: _answers(f"{endpoint}/_ministack/health"), START_S)
    return program, endpoint


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:  # noqa: S310  # our own loopback URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
