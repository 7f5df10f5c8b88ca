"""Where pip puts what this package brings beside its code: properties, and in time the daemon's jars."""

import site
import sysconfig
from collections.abc import Iterator
from pathlib import Path


def shares() -> Iterator[Path]:
    """Each place there may be: the environment's, the user's (`pip install --user`), that of a --target.

    The one of the base that this package itself was installed under comes first: another version may lie in the other.
    `sysconfig` knows that Debian's own Python installs under /usr/local, where its prefix is /usr.
    """
    here = Path(__file__).resolve()
    bases = [Path(sysconfig.get_path("data")), Path(site.getuserbase())]
    for base in [*sorted(bases, key=lambda base: not here.is_relative_to(base.resolve())), here.parents[4]]:
        yield base / "share" / "stream_router"
