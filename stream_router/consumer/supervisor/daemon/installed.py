"""Where pip puts what this package brings beside its code: properties, and in time the daemon's jars."""

import os
import site
import sysconfig
from collections.abc import Iterator
from pathlib import Path


def shares() -> Iterator[Path]:
    """Each place there may be: that of a --target, the environment's, the user's (`pip install --user`).

    The one that this package itself was installed with comes first: another version may lie in the others.
    `sysconfig` knows that Debian's own Python installs under /usr/local, where its prefix is /usr.
    """
    here = Path(__file__).resolve()
    beside = here.parents[4] / "share" / "stream_router"
    if os.path.isdir(beside):  # noqa: PTH112 - `Path.is_dir` raises where the user may not look, but for 3.14
        yield beside
    bases = [Path(sysconfig.get_path("data")), Path(site.getuserbase())]
    for base in sorted(bases, key=lambda base: not here.is_relative_to(base.resolve())):
        yield base / "share" / "stream_router"
