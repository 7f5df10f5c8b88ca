"""A small disk of its own for a program: a tmpfs in a user namespace, and what fills it to the last byte."""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

UNSHARE = ("unshare", "-Urm", "sh", "-c")


def around(disk: Path, size: str = "2m") -> tuple[str, ...]:
    """The words before a command for which `disk` is to be a small one.

    Skips where no namespace can be had, but fails in CI: full disks have a line in docs/guarantees.md.
    """
    mount = f"mount -t tmpfs -o size={size} tmpfs {shlex.quote(str(disk))}"
    if subprocess.run([*UNSHARE, mount], capture_output=True, check=False).returncode:
        why = "this machine gives no user namespace in which a small disk could be mounted"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return (*UNSHARE, f'{mount} && exec "$0" "$@"')


def run_on(disk: Path, module: str, size: str = "2m") -> tuple[str, str]:
    """`python -m module DISK` where `disk` is a small one: its output and its errors. Fails where the module does."""
    return run((*around(disk, size), sys.executable, "-m", module, str(disk)))


def run(command: Sequence[str]) -> tuple[str, str]:
    """A command's output and errors. Fails where it does."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout, ended.stderr


def fill(disk: Path) -> Path:
    """Write until nothing more goes in: the file that took it all."""
    hog = disk / "hog"
    with hog.open("wb", buffering=0) as file:
        for piece in (b"x" * 65_536, b"x"):
            try:
                while file.write(piece):
                    pass
            except OSError:
                continue
    assert os.statvfs(disk).f_bavail == 0
    return hog
