"""The KCL daemon's jars: which ones (`jars.txt`, by SHA-256), where they are, and whether they are whole.

amazon_kclpy's installer is not asked: it takes what a repository serves, can leave jars out, and ends well all the
same. `stream-router jars` (operate/jars.py) brings ours.
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
        """The file's name."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Where a Maven repository has it."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"

    def is_content(self, content: bytes) -> bool:
        """Return whether these bytes are the jar, all of it and nothing else."""
        return len(content) == self.size_bytes and hashlib.sha256(content).hexdigest() == self.sha256


@cache
def listed() -> tuple[Jar, ...]:
    """Return every jar of `jars.txt`, in its order."""
    lines = files("stream_router.consumer.supervisor").joinpath("jars.txt").read_text("utf-8").splitlines()
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return tuple(Jar(sha256, int(size), *coordinates.split(":")) for sha256, size, coordinates in rows)


def version_of(artifact: str) -> str:
    """Return the version of one of our jars."""
    return next(jar.version for jar in listed() if jar.artifact == artifact)


def shares() -> Iterator[Path]:
    """Yield each possible place: that of a --target, the environment's, the user's (`pip install --user`).

    The place of this package itself comes first: another version may be in the others. `sysconfig` knows that Debian's
    own Python installs under /usr/local, although its prefix is /usr.
    """
    here = Path(__file__).resolve()
    beside = here.parents[3] / "share" / "stream_router"
    if os.path.isdir(beside):  # noqa: PTH112 - `Path.is_dir` raises where the user may not look, but for 3.14
        yield beside
    bases = [Path(sysconfig.get_path("data")), Path(site.getuserbase())]
    for base in sorted(bases, key=lambda base: not here.is_relative_to(base.resolve())):
        yield base / "share" / "stream_router"


def folders() -> Iterator[Path]:
    """Yield the folders that may hold jars, this package's own first."""
    return (share / "jars" for share in shares())


def folder() -> Path:
    """Return the jars' folder: the first one that this user may read. Raise SettingsError if there is none."""
    for candidate in folders():
        if os.path.isdir(candidate):  # noqa: PTH112 - `Path.is_dir` raises where the user may not look, but for 3.14
            return candidate
    raise SettingsError(
        f"KCL daemon: its jars are not installed where this user may read them ({next(iter(folders()))}); {CURE}"
    )


def prove_whole() -> int:
    """Return the number of jars, each present and whole. Raise SettingsError, with the cure, for the first that is not.

    It reads 33 MB, which is nothing beside the start of a JVM.
    """
    where = folder()
    for jar in listed():
        try:
            content = (where / jar.name).read_bytes()
        except OSError as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            raise SettingsError(f"KCL daemon: {jar.name} {reason}; {CURE}") from None
        if not jar.is_content(content):
            reason = "cut short" if len(content) < jar.size_bytes else "changed"
            raise SettingsError(f"KCL daemon: {jar.name} was {reason}; {CURE}")
    return len(listed())


def class_path() -> str:
    """Our jars and no others, for `java -cp`: what an older list left in the folder must not be loaded."""
    where = folder()
    return ":".join(str(where / jar.name) for jar in listed())
