"""A child whose daemon is dead leaves, whatever else goes wrong."""

import subprocess
import sys

SCRIPT = """
import os, subprocess, sys, threading
from stream_router.consumer.child import __main__ as child

def full():
    raise OSError(28, "No space left on device")

parent = subprocess.Popen([sys.executable, "-c", ""])
threading.Thread(target=child._die_with, args=(parent.pid, full), daemon=True).start()
threading.Event().wait(20)
"""


def test_a_full_disk_keeps_no_orphan_alive() -> None:
    """The shard's marker cannot be written: the orphan ends all the same, with 75."""
    ended = subprocess.run([sys.executable, "-c", SCRIPT], timeout=30, capture_output=True, check=False)
    assert ended.returncode == 75
