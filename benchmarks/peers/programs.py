"""Builds the peers that are no Python: `python -m benchmarks.peers.programs [NAME…]` (all without a name).

Each comes from its own registry by its own tool: Go modules, crates. Nothing of it is kept in the repository: it is
built in the folder of BENCHMARK_PEERS (else one of the temporary folder). Where a toolchain is missing the peer is
skipped with a word.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
BUILD_WITHIN_S = 480.0
"""A peer whose build takes longer is skipped."""


class SkippedError(Exception):
    """The peer cannot be had here; says why."""


def folder() -> Path:
    """Where the peers are built."""
    path = Path(os.environ.get("BENCHMARK_PEERS") or Path(tempfile.gettempdir()) / "stream_router_peers")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _tool(name: str, *places: str) -> str:
    result = shutil.which(name) or next((place for place in places if Path(place).is_file()), None)
    if not result:
        raise SkippedError(f"{name} is not installed")
    return result


def _build(command: list[str], source: Path, **environment: str) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=source,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        raise SkippedError(f"its build took longer than {BUILD_WITHIN_S:.0f} s") from None
    if done.returncode:
        raise SkippedError(f"{command[0]} failed: {done.stderr.strip().splitlines()[-1:]}")


def _copied(name: str) -> Path:
    """The peer's source, copied to where its tool may write beside it."""
    source = folder() / f"{name}.source"
    shutil.copytree(HERE / name, source, dirs_exist_ok=True)
    return source


def _newer(program: Path, name: str) -> bool:
    sources = [path.stat().st_mtime for path in (HERE / name).rglob("*") if path.is_file()]
    return program.is_file() and program.stat().st_mtime > max(sources)


def go(name: str) -> Path:
    """A program in Go, built from `benchmarks/peers/NAME`. Raises SkippedError."""
    program = folder() / name
    if not _newer(program, name):
        _build(
            [_tool("go", "/usr/local/go/bin/go"), "build", "-o", str(program), "."], _copied(name), GOFLAGS="-mod=mod"
        )
    return program


def rust(name: str) -> Path:
    """A program in Rust, built from `benchmarks/peers/NAME`. Raises SkippedError."""
    program = folder() / f"{name}.target" / "release" / name
    if not _newer(program, name):
        cargo = _tool("cargo", str(Path.home() / ".cargo/bin/cargo"))
        _build([cargo, "build", "--release"], _copied(name), CARGO_TARGET_DIR=str(folder() / f"{name}.target"))
    return program


def built(name: str) -> Path:
    """The peer's program, built before: nothing is built while something is measured. Raises SkippedError."""
    places = (folder() / name, folder() / f"{name}.target" / "release" / name)
    if result := next((place for place in places if place.is_file()), None):
        return result
    raise SkippedError(f"not built yet: python -m benchmarks.peers.programs {name}")


PROGRAMS: dict[str, Callable[[str], Path]] = {
    "consumer_go": go,
    "receiver_go": go,
    "bento": go,
    "consumer_rust": rust,
}


def program(name: str) -> Path:
    """The peer's program, built where it is not there yet. Raises SkippedError."""
    return PROGRAMS[name](name)


def main() -> None:
    """Build those that are named, or all."""
    for name in sys.argv[1:] or PROGRAMS:
        try:
            print(f"{name}: {program(name)}", flush=True)
        except SkippedError as error:
            print(f"{name}: skipped: {error}", flush=True)


if __name__ == "__main__":
    main()
