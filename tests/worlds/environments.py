"""Installs the emulators under one folder, every version pinned: `python -m tests.worlds.environments [FOLDER]`.

LocalStack and moto each get a virtual environment, made by uv from the list beside this file. kinesis-local comes from
npm, once alone and once where LocalStack looks for it. What is installed already stays.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tools.test_pythons import find

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".worlds"
PYTHONS = ("3.13", "3.12")
"""LocalStack 2026.3.0 has syntax that Python 3.11 does not know."""

KINESIS_LOCAL = "0.6.2"
LOCALSTACKS_KINESIS_LOCAL = "0.5.2"
"""The version that LocalStack 2026.3.0 asks npm for."""


class Environments(NamedTuple):
    """What is installed, below one folder."""

    folder: Path

    @property
    def localstack(self) -> Path:
        """Python of LocalStack's environment."""
        return self.folder / "localstack" / "bin" / "python"

    @property
    def localstack_root(self) -> Path:
        """The folder that LocalStack takes for the root of its file system."""
        return self.folder / "localstack-root"

    @property
    def moto(self) -> Path:
        """Python of moto's environment."""
        return self.folder / "moto" / "bin" / "python"

    @property
    def kinesis_local(self) -> Path:
        """The folder in which `node main.js` serves Kinesis."""
        return self.folder / "kinesis-local" / "node_modules" / "kinesis-local"


def install(folder: Path = FOLDER) -> Environments:
    """Install what is missing. Raises SystemExit with the cure if a program that it needs is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that install at once would remove each other's files
        return _install(folder)


def _install(folder: Path) -> Environments:
    made = Environments(folder)
    lists = sorted(HERE.glob("*.txt"))
    pins = hashlib.sha256(b"".join(file.read_bytes() for file in lists) + Path(__file__).read_bytes()).hexdigest()
    stamp = folder / "installed"
    if stamp.is_file() and stamp.read_text("utf-8") == pins:
        return made
    python = next((path for path in map(find, PYTHONS) if path), None)
    npm = shutil.which("npm")
    if python is None or npm is None:
        sys.exit(f"worlds: LocalStack needs Python {' or '.join(PYTHONS)}, and kinesis-local needs Node.js with npm")
    for file in lists:
        _make_environment(python, folder / file.stem, file)
    _npm_install(npm, folder / "kinesis-local", KINESIS_LOCAL)
    inside = f"var/lib/localstack/lib/kinesis-local/{LOCALSTACKS_KINESIS_LOCAL}"
    _npm_install(npm, made.localstack_root / inside, LOCALSTACKS_KINESIS_LOCAL)
    stamp.write_text(pins, "utf-8")
    return made


def _make_environment(python: Path, target: Path, pins: Path) -> None:
    uv = str(Path(sys.executable).parent / "uv")
    subprocess.run([uv, "venv", "-q", "--clear", "--python", str(python), str(target)], check=True)
    where = ["--python", str(target / "bin" / "python")]
    subprocess.run([uv, "pip", "install", "-q", "--no-deps", *where, "-r", str(pins)], check=True)


def _npm_install(npm: str, target: Path, version: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    quiet = ["--no-audit", "--no-fund", "--silent"]
    subprocess.run([npm, "install", *quiet, "--prefix", str(target), f"kinesis-local@{version}"], check=True)


if __name__ == "__main__":
    install(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
