"""Jars of the KCL daemon: their list (`jars.txt`, with SHA-256), their folder, and the check that they are whole.

amazon_kclpy's own installer is not used: it accepts whatever a repository serves, can omit jars, and exits with 0 all
the same. `stream-router jars` (operate/jars.py) downloads ours.
"""

import hashlib
import os
import site
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from stream_router.errors import SettingsError

CURE = "run `stream-router jars`"


class Jar(NamedTuple):
    """One jar, by its Maven coordinates and its content."""

    sha256: str
    size_bytes: int
    group: str
    artifact: str
    version: str

    @property
    def name(self) -> str:
        """Name of the jar's file."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Path of the jar in a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"

    def is_content(self, content: bytes) -> bool:
        """Return whether these bytes are the jar, all of it and nothing else."""
        return len(content) == self.size_bytes and hashlib.sha256(content).hexdigest() == self.sha256


@cache
def list_jars() -> tuple[Jar, ...]:
    """Return every jar of `jars.txt`, in its order."""
    lines = files("stream_router.consumer.supervisor").joinpath("jars.txt").read_text("utf-8").splitlines()
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return tuple(Jar(sha256, int(size), *coordinates.split(":")) for sha256, size, coordinates in rows)


def version_of(artifact: str) -> str:
    """Return the version of one of our jars."""
    return next(jar.version for jar in list_jars() if jar.artifact == artifact)


def shares() -> Iterator[Path]:
    """Yield each folder `share/stream_router` in which pip may have put the data files of this package.

    There is one for `pip install --target`, one for the environment, and one for `pip install --user`. The folder that
    belongs to this package comes first, since the others may hold another version. `sysconfig` knows that Debian's own
    Python installs under /usr/local, although its prefix is /usr.
    """
    here = Path(__file__).resolve()
    beside = here.parents[3] / "share" / "stream_router"
    if os.path.isdir(beside):  # noqa: PTH112 - `Path.is_dir` raises before 3.14 if the user has no permission
        yield beside
    bases = [Path(sysconfig.get_path("data")), Path(site.getuserbase())]
    # The key is False, which sorts first, for the folder in which this package is installed.
    for base in sorted(bases, key=lambda base: not here.is_relative_to(base.resolve())):
        yield base / "share" / "stream_router"


def folders() -> Iterator[Path]:
    """Yield the folders that may hold jars, this package's own first."""
    return (share / "jars" for share in shares())


def folder() -> Path:
    """Return the jars' folder, the first that this user may read. Raise SettingsError if there is none."""
    for candidate in folders():
        if os.path.isdir(candidate):  # noqa: PTH112 - `Path.is_dir` raises before 3.14 if the user has no permission
            return candidate
    raise SettingsError(
        "KCL daemon", f"its jars are not installed where this user may read them ({next(iter(folders()))})", CURE
    )


def check_jars_are_whole() -> int:
    """Check that every jar is present and whole, and return their number. Raise SettingsError if one is not.

    It reads 33 MB, which costs little compared with the start of a JVM.
    """
    where = folder()
    for jar in list_jars():
        try:
            content = (where / jar.name).read_bytes()
        except OSError as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            raise SettingsError("KCL daemon", f"{jar.name} {reason}", CURE) from None
        if not jar.is_content(content):
            reason = "cut short" if len(content) < jar.size_bytes else "changed"
            raise SettingsError("KCL daemon", f"{jar.name} was {reason}", CURE)
    return len(list_jars())


def class_path() -> str:
    """Return the class path of the jars in `jars.txt`, so that jars of an older version are not loaded."""
    where = folder()
    return ":".join(str(where / jar.name) for jar in list_jars())
