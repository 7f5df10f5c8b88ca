"""A cheap first look at texts: whether searching them could find anything at all."""

import re
from collections.abc import Sequence
from typing import Any

_SUSPICIOUS = re.compile(
    r"[@\uff20]|%40|&[#\w]|::|:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:|[\u200b-\u200d]|\d\.\d{1,3}\.\d{1,3}\.\d"
    r"|\d(?:\W{0,3}\d){6}"
)


def suspicious(values: Sequence[Any]) -> bool:
    """Whether one of the texts or numbers might hold an address, or enough digits for a number of a person."""
    return bool(values) and any(_SUSPICIOUS.search(value if type(value) is str else str(value)) for value in values)
