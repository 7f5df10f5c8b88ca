"""Installs the emulators under one folder, every version pinned: `python -m tests.worlds.environments [FOLDER]`.

kinesis-local comes from npm. An emulator that is installed is not installed again.
"""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".worlds"
KINESIS_LOCAL = "0.6.2"


class Environments(NamedTuple):
    """The installed emulators, below one folder."""

    folder: Path

    @property
    def kinesis_local(self) -> Path:
        """The folder in which `node main.js` serves Kinesis."""
        return self.folder / "kinesis-local" / "node_modules" / "kinesis-local"


def install(folder: Path = FOLDER) -> Environments:
    """Install what is missing. Raises SystemExit with the cure if npm is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    environments, stamp = Environments(folder), folder / "installed"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that install at once would remove each other's files
        if stamp.is_file() and stamp.read_text("utf-8") == KINESIS_LOCAL:
            return environments
        npm = shutil.which("npm")
        if npm is None:
            sys.exit("worlds: kinesis-local needs Node.js with npm")
        _npm_install(npm, folder / "kinesis-local", KINESIS_LOCAL)
        stamp.write_text(KINESIS_LOCAL, "utf-8")
    return environments


def _npm_install(npm: str, target: Path, version: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    quiet = ["--no-audit", "--no-fund", "--silent"]
    subprocess.run([npm, "install", *quiet, "--prefix", str(target), f"kinesis-local@{version}"], check=True)


if __name__ == "__main__":
    install(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
