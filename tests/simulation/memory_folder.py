"""A folder that lives in memory: what the child keeps of a shard outlives the child there, and no disk is asked."""

from pathlib import Path
from typing import cast

from stream_router.process import Rewritten


class MemoryPath:
    """As much of `pathlib.Path` as the child uses for the few files of a shard. Folders are there without being made.

    The paths under one folder share its files. A write is whole or not at all, as the child's is: nothing kills it
    while it writes.
    """

    __slots__ = ("_files", "_name")

    def __init__(self, name: str = "", files: dict[str, bytes] | None = None) -> None:
        self._name = name
        self._files: dict[str, bytes] = {} if files is None else files

    def __truediv__(self, name: str) -> "MemoryPath":
        return MemoryPath(f"{self._name}/{name}", self._files)

    @property
    def name(self) -> str:
        return self._name.rpartition("/")[2]

    @property
    def parent(self) -> "MemoryPath":
        return MemoryPath(self._name.rpartition("/")[0], self._files)

    def with_name(self, name: str) -> "MemoryPath":
        return self.parent / name

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        assert parents
        assert exist_ok

    def read_bytes(self) -> bytes:
        if self._name not in self._files:
            raise FileNotFoundError(self._name)
        return self._files[self._name]

    def write_bytes(self, content: bytes) -> int:
        self._files[self._name] = content
        return len(content)

    def replace(self, target: "MemoryPath") -> "MemoryPath":
        self._files[target._name] = self._files.pop(self._name)
        return target

    def unlink(self, *, missing_ok: bool = False) -> None:
        assert missing_ok
        self._files.pop(self._name, None)


class MemoryFile(Rewritten):
    """One of its files that is written over and over."""

    def write(self, content: str) -> None:
        self._path.write_bytes(content.encode())


def rewritten(path: Path) -> Rewritten:
    """A file that is written over and over, in memory or on the disk as its path is."""
    return MemoryFile(path) if isinstance(path, MemoryPath) else Rewritten(path)


def memory_folder() -> Path:
    """A new one, empty."""
    return cast("Path", MemoryPath())
