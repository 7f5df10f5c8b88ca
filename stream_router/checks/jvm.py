"""A check of the JVM's options: a JVM that cannot start would be started again for ever."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stream_router.checks.finding import Finding, Verdict

SETTING = "STREAM_ROUTER_JVM_OPTIONS"
TIMEOUT_S = 60.0
PREAMBLE = "Error occurred during initialization of VM"
"""What a JVM says before the line that has the reason."""


def starts(java: Path, options: Sequence[str]) -> Finding:
    """SR106: this Java starts with these options."""
    command = [str(java), *options, "-version"]
    try:  # in a folder of its own, where it may leave a report of its crash
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(
            "SR106", SETTING, Verdict.UNKNOWN, f"the JVM was not tried ({type(error).__name__})", "ask again later"
        )
    if done.returncode == 0:
        return Finding("SR106", SETTING, Verdict.WELL, "the JVM starts")
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    said = next((line for line in lines if line and line != PREAMBLE), "it said nothing")
    problem = f"the JVM does not start with these options, and those of the properties file: {said[:200]}"
    return Finding("SR106", SETTING, Verdict.WRONG, problem, "correct them")
