"""Builds amazon_kclpy's wheel without jars: its Python side is all that we take (the jars are ours, `jars.txt`).

Its own installer fetches jars whenever pip builds it, and fails or leaves some out where a repository lacks them.
Standard library only. Run as `python tools/kclpy_wheel.py FOLDER` with the Python of an environment that has pip,
setuptools and wheel; prints the wheel's path.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE_SHA256 = "146bf4a85c79eb6d3c842075d7fe2a1ffad3f2944c24db202add5e2a875259c9"
"""Of PyPI's source of the pinned version, and changed with it: our locks have that of what we build of it alone."""

NO_JARS = """<project xmlns="http://maven.apache.org/POM/4.0.0"><properties/><dependencies/></project>\n"""
"""What its installer reads the jars from."""

SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Early releases of 3.11 know no filter."""

SINCE_1980 = "315532800"
"""The oldest time that a zip file can hold: the wheel is the same bytes, whenever and by whomever it is built."""


def pinned() -> str:
    """The version of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith("amazon_kclpy=="))


def build(python: Path, target: Path) -> Path:
    """Build it with the pip of `python` into `target`; the wheel. Raises CalledProcessError where pip fails."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        wanted = source / "wanted.txt"
        wanted.write_text(f"amazon_kclpy=={pinned()} --hash=sha256:{SOURCE_SHA256}\n", "utf-8")
        pip(python, "download", "--no-deps", "--no-binary", "amazon_kclpy", "--dest", folder, "-r", str(wanted))
        with tarfile.open(next(source.glob("amazon_kclpy-*.tar.gz"))) as archive:
            archive.extractall(source, **SAFELY)  # noqa: S202 - filtered, and proved by its SHA-256
        unpacked = next(path for path in source.iterdir() if path.is_dir())
        (unpacked / "pom.xml").write_text(NO_JARS, "utf-8")
        pip(python, "wheel", "--no-deps", "--wheel-dir", str(target), str(unpacked))
    return max(target.glob("amazon_kclpy-*.whl"), key=lambda path: path.stat().st_mtime)


def pip(python: Path, command: str, *arguments: str) -> None:
    """Run pip without isolation: the environment's own build tools are pinned."""
    options = ["-qq", "--disable-pip-version-check", "--no-build-isolation"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": SINCE_1980}
    subprocess.run([str(python), "-m", "pip", command, *options, *arguments], check=True, env=environment, umask=0o022)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: kclpy_wheel.py FOLDER")
    sys.stdout.write(f"{build(Path(sys.executable), Path(sys.argv[1]))}\n")
