"""The differences that stay, each with its reason, and the calls of the fake AWS that were mended."""

from typing import NamedTuple


class Listed(NamedTuple):
    """Differences that are known. `place` is a list of words; `request` and `path` may have wildcards."""

    place: str
    request: str
    path: str
    reason: str


LISTED: tuple[Listed, ...] = ()

MENDED: dict[str, str] = {}
"""By call: what the fake AWS answered wrongly before."""
