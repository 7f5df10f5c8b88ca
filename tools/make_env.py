"""Makes the project's environment: a venv, every pinned package, and the proof that the KCL daemon can start.

Standard library only: it runs before anything is installed. Says in one line what to do where something is missing.
Run as `python tools/make_env.py VENV`; repeatable.
"""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import kclpy_wheel  # noqa: E402 - beside this script

CONSTRAINTS = ROOT / "constraints.txt"
BUILD_TOOLS = ("pip", "setuptools", "wheel")


def main() -> None:
    """Build or complete the environment named on the command line; exit 1 with the cure, or 130 after Ctrl-C."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        fail("usage: make_env.py VENV")
    try:
        complete(Path(sys.argv[1]).absolute())
    except KeyboardInterrupt:
        fail("broken off; run the same command again", 130)


def complete(target: Path) -> None:
    """All of it, in its order; what is there is left as it is."""
    python = target / "bin" / "python"
    if not is_sound(python):
        make_venv(target)
    say(f"installing the pinned packages into {target} (a few minutes the first time)")
    pip(python, "install", "--upgrade", *BUILD_TOOLS)
    install_kclpy(python)
    pip(python, "install", "--no-build-isolation", "-e", f"{ROOT}[local,dev,bench,dist]")
    bring_jars(target)
    prove_daemon(python)
    say("the environment is ready")


def is_sound(python: Path) -> bool:
    """Whether an environment's Python runs, is new enough and has pip: what another Python left behind may not."""
    asked = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([str(python), "-c", asked], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def make_venv(target: Path) -> None:
    """Create the venv anew. What cannot be made whole is removed, so that the next run begins anew too."""
    if target.is_dir() and any(target.iterdir()) and not (target / "pyvenv.cfg").exists():
        fail(f"{target} is a folder, but no Python environment; move it away, or name another: make VENV=dir")
    shutil.rmtree(target, ignore_errors=True)
    try:
        import venv

        # By symbolic links, as `python -m venv` does: a copied program does not find libraries beside the real one.
        # Debian's Python without python3-venv says so in eight lines of its own, and exits.
        with contextlib.redirect_stdout(io.StringIO()):
            venv.create(target, with_pip=True, symlinks=True)
    except (ImportError, subprocess.CalledProcessError, SystemExit):
        shutil.rmtree(target, ignore_errors=True)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        fail(
            f"Python {version} ({sys.executable}) has no pip to put into an environment; on Debian or Ubuntu run "
            f"`apt-get install python{version}-venv`, elsewhere name another Python (make PYTHON=/path/to/python3); "
            "then run the same command again"
        )
    except OSError as error:
        fail(f"cannot make {target} ({error.strerror}); name a folder that can be written: make VENV=dir")


def pip(python: Path, *arguments: str) -> None:
    """Run pip with every version pinned."""
    command = [str(python), "-m", "pip", arguments[0], "-qq", "--disable-pip-version-check", "-c", str(CONSTRAINTS)]
    if subprocess.run([*command, *arguments[1:]], check=False).returncode:
        fail("pip failed (above); PyPI must be within reach, then run the same command again")


def install_kclpy(python: Path) -> None:
    """amazon_kclpy without jars; its own installer, which pip would run, brings others, or fails."""
    program = "from importlib.metadata import version as v; import sys; sys.exit(v('amazon_kclpy') != sys.argv[1])"
    command = [str(python), "-c", program, kclpy_wheel.pinned()]
    if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0:
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            wheel = kclpy_wheel.build(python, Path(folder))
        except subprocess.CalledProcessError:
            fail("pip failed (above); PyPI must be within reach, then run the same command again")
        pip(python, "install", "--no-deps", str(wheel))


def bring_jars(target: Path) -> None:
    """The KCL daemon's jars, each proved by its SHA-256; what is there, or in the user's cache, is not fetched."""
    if subprocess.run(
        [str(target / "bin" / "stream-router"), "jars"], check=False, stdout=subprocess.DEVNULL
    ).returncode:
        fail("the KCL daemon's jars are not whole (above)")


def prove_daemon(python: Path) -> None:
    """See that Java loads the KCL daemon's class from whole jars."""
    process = proof(python)
    if process.returncode:
        fail(
            process.stderr.strip().splitlines()[-1] if process.stderr.strip() else "the proof of the KCL daemon failed"
        )
    say(process.stdout.strip())


def proof(python: Path) -> subprocess.CompletedProcess[str]:
    """The consumer's own check of Java and jars."""
    command = [str(python), "-m", "stream_router.consumer.supervisor.java"]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)


def say(text: str) -> None:
    """One line of progress."""
    sys.stdout.write(f"setup: {text}\n")
    sys.stdout.flush()


def fail(text: str, status: int = 1) -> None:
    """One line, then the end."""
    sys.stderr.write(f"setup: {text}\n")
    sys.exit(status)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
