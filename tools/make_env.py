"""Makes the project's environment: a venv, every pinned package, and the proof that the KCL daemon can start.

Standard library only: it runs before anything is installed. Says in one line what to do where something is missing.
Run as `python tools/make_env.py VENV`; repeatable.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
BUILD_TOOLS = ("pip", "setuptools", "wheel")


def main() -> None:
    """Build or complete the environment named on the command line; exit 1 with the cure where it cannot be."""
    if len(sys.argv) != 2:
        fail("usage: make_env.py VENV")
    target = Path(sys.argv[1]).absolute()
    python = target / "bin" / "python"
    if not python.exists():
        make_venv(target)
    say(f"installing the pinned packages into {target} (a few minutes the first time)")
    pip(python, "install", "--upgrade", *BUILD_TOOLS)
    pip(python, "install", "--no-build-isolation", "-e", f"{ROOT}[local,dev,bench]")
    prove_daemon(python)
    say("the environment is ready")


def make_venv(target: Path) -> None:
    """Create the venv; a Debian Python without `venv` is told what to install."""
    try:
        venv.create(target, with_pip=True)
    except (subprocess.CalledProcessError, OSError) as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        fail(
            f"cannot make {target} ({type(error).__name__}); on Debian or Ubuntu: apt-get install python{version}-venv"
        )


def pip(python: Path, *arguments: str) -> None:
    """Run pip with every version pinned."""
    command = [str(python), "-m", "pip", arguments[0], "-qq", "--disable-pip-version-check", "-c", str(CONSTRAINTS)]
    if subprocess.run([*command, *arguments[1:]], check=False).returncode:
        fail("pip failed (above); PyPI and Maven Central must be within reach, then run the same command again")


def prove_daemon(python: Path) -> None:
    """See that Java loads the KCL daemon's class from whole jars; a broken download is repeated once.

    amazon_kclpy's installer ends well although jars are missing or empty, and pip keeps what it built.
    """
    found = proof(python)
    if found.returncode and "KCL daemon" in found.stderr:
        say("some jars of the KCL did not arrive whole; fetching them once more")
        pip(
            python,
            "install",
            "--no-build-isolation",
            "--no-cache-dir",
            "--force-reinstall",
            "--no-deps",
            "amazon_kclpy",
        )
        found = proof(python)
    if found.returncode:
        fail(found.stderr.strip().splitlines()[-1] if found.stderr.strip() else "the proof of the KCL daemon failed")
    say(found.stdout.strip())


def proof(python: Path) -> subprocess.CompletedProcess[str]:
    """The consumer's own check of Java and jars."""
    command = [str(python), "-m", "stream_router.consumer.supervisor.java"]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)


def say(text: str) -> None:
    """One line of progress."""
    sys.stdout.write(f"setup: {text}\n")
    sys.stdout.flush()


def fail(text: str) -> None:
    """One line, then exit 1."""
    sys.stderr.write(f"setup: {text}\n")
    sys.exit(1)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
