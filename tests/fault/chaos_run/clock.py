"""The wall clock of the Python programs of a run: it can be set wrong, while they run, by a small preloaded library.

The library is compiled when it is wanted, with the C compiler that is there; without one a run has no clock steps.
"""

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")
COMPILER = shutil.which("cc") or shutil.which("gcc") or ""


class Clock:
    """`environment` is what a program is started with. The offset is read from a page of memory that all share."""

    def __init__(self, folder: Path) -> None:
        library, self._page = folder / "clock.so", folder / "clock"
        subprocess.run([COMPILER, "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
        self.set(0)
        self.environment = {"LD_PRELOAD": str(library), "CHAOS_RUN_CLOCK": str(self._page)}

    def set(self, offset_s: int) -> None:
        """Move the wall clock so far from the true one, at once."""
        with self._page.open("r+b" if self._page.exists() else "wb") as file:
            file.write(struct.pack("l", offset_s))
