"""`stream-router …` as a process of its own, forked from one that has already imported the program.

A start of the console script is a second of CPU, nearly all of it imports, and the tests run hundreds of commands. That
the script itself starts is what `tests/unit/test_cli.py` and the tests of the whole are for.
"""

import contextlib
import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    [
        "boto3",
        "stream_router.cli",
        "stream_router.operate.dlq",
    ]
)


def run(environment: Mapping[str, str], *words: str, timeout_s: float) -> "subprocess.CompletedProcess[str]":
    """The command to its end, as `subprocess.run` gives it. Raises TimeoutExpired where it takes longer."""
    with tempfile.TemporaryDirectory() as folder:
        process = _FORKING.Process(target=_be, args=(words, dict(environment), Path.cwd(), Path(folder)))
        with contextlib.chdir(ROOT):  # where a first one starts the server, which imports what lies in its folder
            process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout_s)
        out, err = ((Path(folder) / name).read_text("utf-8") for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(words, process.exitcode, out, err)


def _be(words: tuple[str, ...], environment: dict[str, str], working_folder: Path, folder: Path) -> None:
    """Become the command."""
    from stream_router import cli

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(working_folder)
    importlib.import_module("tests.constants.sitecustomize")  # what Python itself imports where it starts anew
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(folder / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["stream-router", *words]
    cli.main()
