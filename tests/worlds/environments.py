"""Installs the emulators under one folder, every version pinned. A world installs only those that it uses.

LocalStack and moto each get a virtual environment, made by uv from the list beside this file. kinesis-local comes from
npm, once alone and once in the folder where LocalStack expects it. What is installed already stays.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".worlds"
UV = str(Path(sys.executable).parent / "uv")
PYTHONS = ("3.13", "3.12")
"""The pinned emulators run on these. LocalStack 2026.3.0 has syntax that Python 3.11 does not know."""

KINESIS_LOCAL = "0.6.2"
LOCALSTACKS_KINESIS_LOCAL = "0.5.2"
"""The version that LocalStack 2026.3.0 requests from npm."""


class NotInstalledError(Exception):
    """An emulator cannot be installed here; the text says what is missing."""


class Environments(NamedTuple):
    """The emulators below one folder."""

    folder: Path

    @property
    def localstack(self) -> Path:
        """Python of LocalStack's environment."""
        return self.folder / "localstack" / "bin" / "python"

    @property
    def localstack_root(self) -> Path:
        """The folder that LocalStack uses as the root of its file system."""
        return self.folder / "localstack-root"

    @property
    def moto(self) -> Path:
        """Python of moto's environment."""
        return self.folder / "moto" / "bin" / "python"

    @property
    def kinesis_local(self) -> Path:
        """The folder in which `node main.js` serves Kinesis."""
        return self.folder / "kinesis-local" / "node_modules" / "kinesis-local"

    def install_kinesis_local(self) -> None:
        """Install kinesis-local unless it is there. Raises NotInstalledError if npm is missing."""
        with self._part("kinesis-local", KINESIS_LOCAL) as missing:
            if missing:
                _install_from_npm(self.folder / "kinesis-local", KINESIS_LOCAL)

    def install_localstack(self) -> None:
        """Install LocalStack and its kinesis-local unless both are there. Raises NotInstalledError."""
        pins = HERE / "localstack.txt"
        with self._part("localstack", _digest(pins) + LOCALSTACKS_KINESIS_LOCAL) as missing:
            if missing:
                _make_environment(self.folder / "localstack", pins)
                inside = f"var/lib/localstack/lib/kinesis-local/{LOCALSTACKS_KINESIS_LOCAL}"
                _install_from_npm(self.localstack_root / inside, LOCALSTACKS_KINESIS_LOCAL)

    def install_moto(self) -> None:
        """Install moto unless it is there. Raises NotInstalledError."""
        pins = HERE / "moto.txt"
        with self._part("moto", _digest(pins)) as missing:
            if missing:
                _make_environment(self.folder / "moto", pins)

    @contextlib.contextmanager
    def _part(self, name: str, version: str) -> Iterator[bool]:
        """Yield whether the part must be installed; note its version once the block has ended without an error."""
        self.folder.mkdir(parents=True, exist_ok=True)
        stamp = self.folder / f"{name}.installed"
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two that install at once would remove each other's files
            missing = not stamp.is_file() or stamp.read_text("utf-8") != version
            yield missing
            stamp.write_text(version, "utf-8")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _make_environment(target: Path, pins: Path) -> None:
    python = str(_find_python())
    _run(UV, "venv", "-q", "--clear", "--python", python, str(target))
    _run(UV, "pip", "install", "-q", "--no-deps", "--python", str(target / "bin" / "python"), "-r", str(pins))


def _find_python() -> Path:
    """Return a Python of pyenv or on PATH, else one that uv installs. Raises NotInstalledError if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in PYTHONS:
        for python in (*pyenv.glob(f"{version}.*/bin/python"), shutil.which(f"python{version}")):
            # pyenv's own `python3.13` on PATH is a shim. It fails unless pyenv has selected that version.
            if python and not subprocess.run([python, "--version"], capture_output=True, check=False).returncode:
                return Path(python)
    installed = subprocess.run([UV, "python", "install", "-q", PYTHONS[0]], capture_output=True, check=False)
    if installed.returncode == 0:
        command = [UV, "python", "find", "--managed-python", PYTHONS[0]]
        return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    wanted = " or ".join(PYTHONS)
    message = f"Python {wanted} is missing: neither in pyenv nor on PATH, and `uv python install` could not fetch it"
    raise NotInstalledError(message)


def _install_from_npm(target: Path, version: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalledError("npm is missing: kinesis-local needs Node.js with npm")
    target.mkdir(parents=True, exist_ok=True)
    quiet = ["--no-audit", "--no-fund", "--silent"]
    _run(npm, "install", *quiet, "--prefix", str(target), f"kinesis-local@{version}")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise NotInstalledError(f"`{' '.join(command[:3])} ...` ended with {done.returncode}: {last}")
