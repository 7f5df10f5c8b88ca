"""A large buffer goes back to the kernel once it is freed, whatever lies behind it."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import re, sys
from pathlib import Path
from stream_router import process

if "back" in sys.argv:
    process.give_back_large_blocks()

def resident_kb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

largest = bytearray(12 * 1024 * 1024)
del largest
before = resident_kb()
large = bytearray(8 * 1024 * 1024)
behind = [bytes([1]) * 50_000 for _ in range(20)]
del large
print(resident_kb() - before)
"""
KEPT_KB = 8 * 1024


def kept_kb(*words: str) -> int:
    """What a process keeps that freed a large buffer, and has a megabyte that came after it."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such option")
def test_a_large_buffer_leaves_no_hole() -> None:
    """Without the option it does, once a larger one was freed."""
    assert kept_kb() >= KEPT_KB
    assert kept_kb("back") < KEPT_KB // 2
