"""A stop while a program starts, wherever in it: the process ends at once, with 0."""

import os
import subprocess
import sys

import pytest

ARMED = """
import os, signal
from stream_router.process import end_at_early_stop
end_at_early_stop()
def stop():
    os.kill(os.getpid(), signal.{name})
"""
PLACES = {
    "between two lines": "stop()",
    # Of type(), which makes every exception there a RuntimeError: pydantic and botocore name hundreds of fields so.
    "while a class names its members": """
class Named:
    def __set_name__(self, owner, name): stop()
class Owner: member = Named()
""",
    # What is raised there is told on stderr, and lost.
    "while an object is deleted": """
class Deleted:
    def __del__(self): stop()
Deleted()
""",
    "in a library that takes everything for its own failure": """
try: stop()
except BaseException: pass
""",
    "while something is closed that fails then": """
try: stop()
finally: raise RuntimeError
""",
}


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("place", PLACES)
def test_a_stop_during_the_start_ends_it_wherever_it_comes(place: str, name: str) -> None:
    """Nothing that runs at that moment can swallow it, or make another error of it."""
    program = f"{ARMED.format(name=name)}\n{PLACES[place]}\nraise SystemExit(3)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


BEFORE = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


def test_what_the_starter_did_with_signals_is_undone() -> None:
    """A starter that blocks SIGTERM hands that on, and no stop was heard; of one that ignores SIGCHLD the kernel told
    nobody how a worker ended, and the first that died took the receiver with it."""
    program = f"{ARMED.format(name='SIGTERM')}\nassert os.waitpid(os.fork() or os._exit(7), 0)[1]\nstop()\nsys.exit(3)"
    command = [sys.executable, "-c", BEFORE, program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_is_written_before_a_stop_is_not_lost() -> None:
    """Also what waits in the buffer of a stream that is no terminal."""
    program = f"{ARMED.format(name='SIGTERM')}\nprint('a line')\nstop()"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (0, "a line\n")


@pytest.mark.parametrize(
    ("command", "within"),
    [
        ("consume", "consumer.supervisor.daemon.java.find_java"),
        ("receive", "checks.aws_checks.stream_writable"),
    ],
)
def test_both_programs_hear_a_stop_while_they_start(command: str, within: str) -> None:
    """They are process 1 of their image, to which the kernel gives no signal that it has not asked for."""
    module, _, name = within.rpartition(".")
    program = f"""
import os, signal, sys
from stream_router.cli import main
import stream_router.{module} as module
module.{name} = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
sys.argv = ["stream-router", "{command}"]
main()
"""
    nowhere = "http://127.0.0.1:9"
    settings = {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_ENDPOINT_URL": nowhere,
        "SQS_DLQ_URL": f"{nowhere}/0/q",
        "STREAM_ROUTER_ADMIN_LISTEN": "127.0.0.1:0",
        "STREAM_ROUTER_RECEIVER_ADMIN_LISTEN": "127.0.0.1:0",
        "STREAM_ROUTER_LISTEN": "127.0.0.1:0",
        "STREAM_ROUTER_WEBHOOK_SCHEME": "hmac",
        "STREAM_ROUTER_WEBHOOK_SECRETS": "a webhook secret of some length",
    }
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
