"""The embedded stack: ministack serves Kinesis, DynamoDB, EventBridge, SQS, CloudWatch in one process on loopback."""

import signal
import sys
import threading
import urllib.error
import urllib.request
from importlib.util import find_spec

from stream_router.core.settings_error import SettingsError
from stream_router.local.environment import clean, free_port
from stream_router.local.programs import Program, ProgramError, Programs

START_S = 30.0
_SHOWN = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")


def start(programs: Programs, port: int | None = None) -> tuple[Program, str]:
    """Start ministack, on a free port or the one given, and wait until it answers: the program and its URL.

    Raises SettingsError where it is not installed, ProgramError where it does not start.
    """
    if find_spec("ministack") is None:
        raise SettingsError(
            "ministack: the embedded stack is not installed; install with requirements-local.lock of `make dist`"
        )
    port = port or free_port()
    endpoint = f"http://127.0.0.1:{port}"
    settings = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "LOG_LEVEL": "WARNING",
        "S3_DATA_DIR": str(programs.folder / "s3"),
    }
    program = programs.start("ministack", [sys.executable, "-m", "ministack"], endpoint, settings)
    program.wait_ready(lambda: _answers(f"{endpoint}/_ministack/health"), START_S)
    return program, endpoint


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:  # noqa: S310  # our own loopback URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def run(port: int) -> int:
    """`stream-router local`: serve the stack until SIGTERM or Ctrl-C. 0, or 1 where it does not stay up."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    with Programs() as programs:
        try:
            program, endpoint = start(programs, port)
        except ProgramError as error:
            sys.stderr.write(f"stream-router local: {error}\n")
            return 1
        sys.stdout.write(f"# the embedded stack serves at {endpoint}; to point a shell at it:\n")
        for key, value in clean(endpoint, programs.mark).items():
            if key in _SHOWN:
                sys.stdout.write(f"export {key}={value}\n")
        sys.stdout.flush()
        while not asked.wait(0.5):
            if program.process.poll() is not None:
                sys.stderr.write(f"stream-router local: ministack ended: {program.last_line()}\n")
                return 1
    return 0
