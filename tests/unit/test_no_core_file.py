"""A crash of a program that handles events leaves none of its memory on a disk."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from types import SimpleNamespace
import importlib
program = importlib.import_module('stream_router.{module}')

hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

def started(*_):
    raise SystemExit(resource.getrlimit(resource.RLIMIT_CORE)[0] != 0)

program.start_logging = started
program.run(SimpleNamespace(log_level="INFO", log_format="json"), *{more})
"""


@pytest.mark.parametrize(("module", "more"), [("receiver.__main__", "[1]"), ("consumer.supervisor.assembly", "[]")])
def test_neither_program_leaves_a_core_file(module: str, more: str) -> None:
    """From before its first line in the log on, whatever limit it was started with; its children inherit that."""
    program = PROGRAM.format(module=module, more=more)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
