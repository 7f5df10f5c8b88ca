"""A process of many threads takes its memory from one heap."""

import platform
import subprocess
import sys

import pytest

HEAP_KB = 64 * 1024
"""What glibc reserves for a thread's own heap."""

PROGRAM = """
import re, sys, threading
from pathlib import Path
from stream_router import process

if "one" in sys.argv:
    process.share_one_heap()

def reserved_kb():
    return int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

threading.stack_size(256 * 1024)
all_have, over = threading.Barrier(5), threading.Event()

def take():
    kept = [bytearray(5_000) for _ in range(100)]
    all_have.wait()
    over.wait()

before = reserved_kb()
threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads:
    thread.start()
all_have.wait()
print(reserved_kb() - before)
over.set()
"""


def reserved_kb(*words: str) -> int:
    """What four threads that take memory add to the process's address space."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have one heap, or no such option")
def test_threads_have_no_heaps_of_their_own() -> None:
    """Each would keep what its busiest moment left free; without the option they have some."""
    assert reserved_kb() >= HEAP_KB
    assert reserved_kb("one") < HEAP_KB
