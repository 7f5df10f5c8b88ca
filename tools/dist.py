"""`make dist`: what a host without a checkout is installed from, in one folder.

The sdist and the wheel; amazon_kclpy's wheel without jars; `requirements.lock` with a SHA-256 of every file that pip
may take, so that neither a mirror nor a look-alike on the index can slip another in; a bill of materials; the release
notes, which are CHANGELOG.md's part of this version; checksums of it all. Two locks: with `-local`, the embedded stack
for `demo` and `local` comes too. The sdist and the wheels of one commit are the same bytes, wherever and whenever they
are built with the pinned build tools.
Run as `python tools/dist.py [FOLDER]`.
"""

import argparse
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import kclpy_wheel
import sbom

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = "3.11"
LOCKS = {"requirements.lock": "java", "requirements-local.lock": "local"}
"""The locks, and the extra that each of them brings."""


def main() -> None:
    """Build everything into the folder; exit 1 where a program that does it fails, 130 after Ctrl-C.

    The checkout's own folder is made anew; of another nothing is deleted.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="a new or empty one (default: the checkout's dist)")
    named = parser.parse_args().folder
    target = (named or ROOT / "dist").resolve()
    if not named:
        shutil.rmtree(target, ignore_errors=True)
    os.umask(0o022)  # else the modes of the files in the wheels would be this user's
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        parser.error(f"{target} is not empty; name a new folder")
    try:
        build(target)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(
            f"{error.stderr or ''}dist: {Path(error.cmd[0]).name} failed (above); this wants a git checkout, and "
            "PyPI within reach, for pip and for uv (a mirror: PIP_INDEX_URL and UV_DEFAULT_INDEX)\n"
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("dist: broken off; the folder is not whole\n")
        sys.exit(130)
    for path in sorted(target.iterdir()):
        say(f"{path.name}, {path.stat().st_size:,} bytes")
    if not pinned_base():
        say("the base in deploy/Containerfile is named by tag; before a release pin its digest, as that file says")


def build(target: Path) -> None:
    """Write all files into a folder that is empty, their checksums last; say each step as it begins."""
    python = Path(sys.executable)
    say("building the wheel of amazon_kclpy")
    kclpy_wheel.build(python, target)
    say("building our sdist and wheel")
    build_own(python, target)
    for name, extra in LOCKS.items():
        say(f"asking the index for every hash of {name}")
        (target / name).write_text(lock(target, extra), "utf-8")
    say("writing the bill of materials, the release notes and the checksums")
    version = next(target.glob("stream_router-*.whl")).name.split("-")[1]
    sbom.write(target, ROOT, version)
    (target / "RELEASE_NOTES.md").write_text(notes(version), "utf-8")
    checksums = [f"{sha256(path)}  {path.name}\n" for path in sorted(target.iterdir())]
    (target / "SHA256SUMS").write_text("".join(checksums), "utf-8")


def say(step: str) -> None:
    """Print a step at once: some take a minute."""
    sys.stdout.write(f"dist: {step}\n")
    sys.stdout.flush()


def pinned_base() -> bool:
    """Return whether deploy/Containerfile names its base by digest."""
    text = (ROOT / "deploy" / "Containerfile").read_text("utf-8")
    return bool(re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE))


def notes(version: str) -> str:
    """CHANGELOG.md's part of a version, from its heading to the next one. Raises SystemExit where it has none."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    match = re.search(rf"^## \[?{re.escape(version)}\b.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if not match:
        raise SystemExit(f"dist: CHANGELOG.md has no part `## {version}`; write it, it becomes the release notes")
    return match[0].strip() + "\n"


def build_own(python: Path, target: Path) -> None:
    """Our sdist, and the wheel that is built from it: so the sdist is known to be complete."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": kclpy_wheel.SINCE_1980}
    program = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "source"
        tracked = subprocess.run(
            [str(shutil.which("git")), "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        for name in filter(None, tracked.stdout.split("\0")):
            if (ROOT / name).is_file():
                (clean / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, clean / name)
        command = [str(python), "-c", program, str(target)]
        subprocess.run(command, cwd=clean, check=True, capture_output=True, text=True)
    sdist = next(target.glob("stream_router-*.tar.gz"))
    make_steady(sdist)
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", str(target), "-qq")
    subprocess.run([str(python), "-m", "pip", "wheel", *options, str(sdist)], check=True, env=environment)


def make_steady(sdist: Path) -> None:
    """Pack it anew without owners, modes and times of this machine: setuptools takes them into an sdist."""
    with tarfile.open(sdist) as archive:
        files = {
            member.name: archive.extractfile(member).read()  # type: ignore[union-attr] # a file has content
            for member in archive
            if member.isfile()
        }
    with (
        sdist.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(files[name]), int(kclpy_wheel.SINCE_1980)
            archive.addfile(member, io.BytesIO(files[name]))


def lock(target: Path, extra: str) -> str:
    """Every requirement at its pinned version, with the hashes of all files of that version; ours by our own."""
    wheel = next(target.glob("stream_router-*.whl"))
    uv = ["uv", "pip", "compile", "-", "--quiet", "--universal", "--python-version", OLDEST_PYTHON]
    options = ["--generate-hashes", "--no-header", "--no-annotate", "--find-links", str(target)]
    done = subprocess.run(
        [str(Path(sys.executable).parent / uv[0]), *uv[1:], *options, "-c", str(ROOT / "constraints.txt")],
        input=f"stream_router[{extra}] @ {wheel.as_uri()}\n",
        check=True,
        capture_output=True,
        text=True,
    )
    entries = re.split(r"\n(?=\S)", done.stdout.strip())
    ours = re.compile(r"(stream[-_]router|amazon[-_]kclpy)\b")
    kept = [entry for entry in entries if not ours.match(entry)]
    return "\n".join(sorted([*kept, *(own(path) for path in target.glob("*.whl"))])) + "\n"


def own(wheel: Path) -> str:
    """A line for a wheel of this folder: this file and no other."""
    name, version = wheel.name.split("-")[:2]
    return f"{name}=={version} \\\n    --hash=sha256:{sha256(wheel)}"


def sha256(path: Path) -> str:
    """Of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
