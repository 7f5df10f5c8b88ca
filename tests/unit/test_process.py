"""What a process does with its host: waits, stops, core files, whole files."""

import os
import subprocess
import sys

import pytest

from stream_router.process import backoff_s

pytestmark = pytest.mark.usefixtures("empty_environment")


def ended(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python that ran `program` to its end."""
    command = [sys.executable, "-c", program]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(("failures", "longest_s"), [(0, 0.5), (1, 1.0), (3, 4.0), (6, 30.0), (100_000, 30.0)])
def test_a_wait_doubles_up_to_its_bound_and_chance_takes_a_share(failures: int, longest_s: float) -> None:
    """A failure that lasts for days overflows nothing."""
    assert [backoff_s(failures, 0.5, 30.0, share) for share in (1.0, 0.5, 0.0)] == [longest_s, longest_s / 2, 0.0]


ARMED = """
import os, signal
from stream_router.process import end_on_early_signal
end_on_early_signal()
def stop():
    print("a line")
    os.kill(os.getpid(), signal.{name})
"""
PLACES = {
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
}


@pytest.mark.parametrize(("place", "name"), list(zip(PLACES, ("SIGTERM", "SIGINT"), strict=True)))
def test_a_stop_during_the_start_ends_it_wherever_it_comes(place: str, name: str) -> None:
    """Nothing that runs at that moment can swallow it, or make another error of it; what was written is not lost."""
    done = ended(f"{ARMED.format(name=name)}\n{PLACES[place]}\nraise SystemExit(3)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a line\n", "")


@pytest.mark.parametrize(
    ("command", "module", "name"),
    [("consume", "consumer.supervisor.java", "find_java"), ("receive", "checks", "check_stream_writable")],
)
def test_both_programs_hear_a_stop_while_they_start_and_leave_no_core_file(
    command: str, module: str, name: str
) -> None:
    """As process 1 they are given no signal that they have not asked for; secrets and payload would be in the file."""
    program = f"""
import os, resource, signal, sys
from stream_router.cli import main
import stream_router.{module} as module
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
def reached(*_):
    if resource.getrlimit(resource.RLIMIT_CORE)[0] == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    os._exit(3)
module.{name} = reached
sys.argv = ["stream-router", "{command}"]
main()
"""
    done = ended(
        program,
        AWS_REGION="us-east-1",
        AWS_ACCESS_KEY_ID="a",
        AWS_SECRET_ACCESS_KEY="b",
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
        SQS_DLQ_URL="http://127.0.0.1:9/0/q",
        STREAM_ROUTER_ADMIN_LISTEN="127.0.0.1:0",
        STREAM_ROUTER_RECEIVER_ADMIN_LISTEN="127.0.0.1:0",
        STREAM_ROUTER_LISTEN="127.0.0.1:0",
        STREAM_ROUTER_WEBHOOK_SCHEME="none",
    )
    assert done.returncode == 0, done.stderr
