"""What the KCL daemon is started with: its command line and its environment; and how it ended, in words."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from stream_router.consumer.supervisor.daemon import jars, java, properties
from stream_router.process import tied_to_us
from stream_router.settings.common import variable
from stream_router.settings.consumer import Consumer

FULL_HEAP = 3
"""The exit status of -XX:+ExitOnOutOfMemoryError."""

_HALF_OF_MEMORY = "-XX:MaxRAMPercentage=50.0"
"""Of the container's, where there is one, else of the host's: Java knows which."""

_HEAP_OPTIONS = ("-Xmx", "-XX:MaxHeapSize", "-XX:MaxRAM")


def command(jvm: Path, rendered: properties.Rendered, daemon_properties: Path) -> list[str]:
    """What starts the JVM: it dies with this process, logs by our logback.xml, reads the rendered properties."""
    of_the_daemon = [
        *("--log-configuration", str(properties.shipped("logback.xml"))),
        *("--properties-file", str(daemon_properties)),
    ]
    options = [*rendered.jvm_options, f"-Dstream_router.state={daemon_properties.parent}"]
    return tied_to_us([str(jvm), *options, "-cp", jars.class_path(), java.DAEMON_CLASS, *of_the_daemon])


def environment(settings: Consumer, state: Path) -> dict[str, str]:
    """The environment of the JVM, which hands it down: ours, the state folder, the region, how Python runs.

    A key that stands elsewhere is read here, once, for all children: they need not be let into AWS's stores, and all
    of them hash with the same one. Raises SettingsError where it cannot be had.
    """
    keys = {variable(Consumer, name): settings.key(name) for name in ("masking_key", "audit_key")}
    ours = {
        "AWS_REGION": settings.aws_region,
        "STREAM_ROUTER_STATE_DIR": str(state),
        properties.CHILD_VARIABLE: sys.executable,
        **java.LOCALE,
        "PYTHONUTF8": "1",
        "PYTHONSAFEPATH": "1",  # a child's code is what is installed, not what lies in the working folder
        **{name: key for name, key in keys.items() if key},
    }
    return {**os.environ, **ours}


def roomier(settings: Consumer, command: list[str]) -> list[str]:
    """The same command with a heap of up to half of the memory; empty where the operator has chosen the heap.

    For a daemon whose heap was full: the next would meet the same backlog, and end before it delivers anything of it.
    """
    if settings.properties is not None or any(option in settings.jvm_options for option in _HEAP_OPTIONS):
        return []
    return [_HALF_OF_MEMORY if word.startswith("-Xmx") else word for word in command]


class Exited(NamedTuple):
    """The JVM ended, with this status (negative: the signal that killed it)."""

    status: int
    by_us: bool = False
    """Whether the supervisor killed it: the same signal of the kernel's means that memory ran out."""


def ended(how: Exited, *, gets_more: bool) -> str:
    """How a daemon ended, in words."""
    status = how.status
    if how.by_us:
        return "killed by the supervisor, for the reason said before"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    if status == FULL_HEAP:
        cure = "give it a larger one (STREAM_ROUTER_JVM_OPTIONS=-Xmx1g), or the host fewer shards"
        if gets_more:
            cure = f"from now on it may take half of the memory; {cure}"
        return f"its heap is full (exit status {status}): {cure}"
    return f"exit status {status}"


def start(words: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """A daemon that was just started, its output one pipe. Raises OSError."""
    return subprocess.Popen(
        words,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that Ctrl-C reaches the supervisor alone, which knows how to drain
    )
