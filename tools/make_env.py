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
JARS_MIN = 60
"""The daemon's class path has 79 jars in amazon_kclpy 3.1.3; far fewer means that a download failed."""


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
    pip(python, "install", "--no-build-isolation", "-e", f"{ROOT}[local,dev]")
    prove_jars(python)
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
    command = [str(python), "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", "-c", str(CONSTRAINTS)]
    if subprocess.run([*command, *arguments[1:]], check=False).returncode:
        fail("pip failed (above); PyPI and Maven Central must be within reach, then run the same command again")


def prove_jars(python: Path) -> None:
    """See that every jar came and that Java loads the daemon's class; a broken download is repeated once.

    amazon_kclpy's installer ends well although jars are missing or empty, and pip caches what it built.
    """
    if missing(python):
        say("some jars of the KCL did not arrive; fetching them once more")
        pip(
            python,
            "install",
            "--no-build-isolation",
            "--no-cache-dir",
            "--force-reinstall",
            "--no-deps",
            "amazon_kclpy",
        )
    if problem := missing(python):
        fail(
            f"{problem}; is Maven Central within reach? KCL_MVN_REPO_SEARCH_URL names another mirror; then run it again"
        )
    loaded = subprocess.run([python, "-m", "stream_router.consumer.java"], check=False, capture_output=True, text=True)
    if loaded.returncode:
        last = (loaded.stderr.strip() or loaded.stdout.strip()).splitlines()[-1:]
        fail(
            f"the KCL daemon's class does not load: {' '.join(last)}; set JAVA_HOME to a Java 17 or newer, or unset it"
        )
    say(loaded.stdout.strip())


def missing(python: Path) -> str:
    """What is wrong with the jars, or nothing."""
    find = "import amazon_kclpy, pathlib; print(pathlib.Path(amazon_kclpy.__file__).parent / 'jars')"
    found = subprocess.run([python, "-c", find], check=False, capture_output=True, text=True)
    if found.returncode:
        return "amazon_kclpy is not installed"
    jars = list(Path(found.stdout.strip()).glob("*.jar"))
    empty = [jar.name for jar in jars if not jar.stat().st_size]
    if empty:
        return f"{len(empty)} jars are empty ({empty[0]}, …)"
    return "" if len(jars) >= JARS_MIN else f"only {len(jars)} of the KCL's jars are there"


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
