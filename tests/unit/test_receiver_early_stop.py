"""A stop while the receiver starts, wherever in it: the process ends at once, with 0."""

import subprocess
import sys

import pytest

ARMED = """
import os, signal
from stream_router.receiver import early_stop
early_stop.arm()
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


def test_what_is_written_before_a_stop_is_not_lost() -> None:
    """Also what waits in the buffer of a stream that is no terminal."""
    program = f"{ARMED.format(name='SIGTERM')}\nprint('a line')\nstop()"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (0, "a line\n")
