"""Which names of the environment are settings: one that no program knows is refused, since a typo would be ignored.

Known to one program is known to all: they share environments.
"""

import difflib
import re
from collections.abc import Iterator, Mapping

from stream_router.errors import SettingsError
from stream_router.process import FAILPOINTS_VARIABLE
from stream_router.settings import renamed
from stream_router.settings.common import PREFIX, variable
from stream_router.settings.consumer import Consumer, Mask
from stream_router.settings.jars import Jars
from stream_router.settings.receiver import Receiver
from stream_router.settings.setup import Setup

UNKNOWN = "STREAM_ROUTER_UNKNOWN"

CODE = "SR004"
"""Of doctor's check of names, and of the line at start (docs/doctor.md)."""

OURS = frozenset({"STREAM_ROUTER_CHILD", "STREAM_ROUTER_DEMO", FAILPOINTS_VARIABLE})
"""Names that our own programs hand to those that they start (supervisor/daemon/properties.py, local/environment.py),
and the one that is for tests alone (docs/failpoints.md).
"""

OF_KUBERNETES = re.compile(r"STREAM_ROUTER_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_.*)?)")
"""Kubernetes puts such names into every container beside a Service called stream-router, or stream-router-anything."""

OF_CXONE = frozenset(
    {
        *("CXONE_CLIENT_ID", "CXONE_CLIENT_SECRET", "CXONE_ACCESS_KEY_ID", "CXONE_ACCESS_KEY_SECRET"),
        *("CXONE_AUTH_URL", "CXONE_ISSUER", "CXONE_SCOPE"),
    }
)
"""Read by `cxone` (cxone/settings.py; a test holds the two together)."""


def settings() -> frozenset[str]:
    """Every setting, of whichever program, but those of `cxone`."""
    kinds = (Receiver, Consumer, Mask, Setup, Jars)
    return frozenset(variable(kind, name) for kind in kinds for name in kind.model_fields)


def refuse_unknown(environment: Mapping[str, str]) -> None:
    """Raises SettingsError for the first name that no program knows, unless STREAM_ROUTER_UNKNOWN says `warn`."""
    if environment.get(UNKNOWN) == "warn":
        return
    for name in _unknown(environment):
        raise SettingsError(f"{name}: {_not_known(name, settings())} ({UNKNOWN}=warn passes over such names)")


def refuse_twice(environment: Mapping[str, str]) -> None:
    """Raises SettingsError where a setting is there in two spellings: which of them held would be chance."""
    seen: dict[str, str] = {}
    known = settings() | OF_CXONE
    for name in sorted(name for name, value in environment.items() if value and name.upper() in known):
        if (first := seen.setdefault(name.upper(), name)) != name:
            raise SettingsError(f"{first}: is set as {name} too; unset one of them")


def warnings(environment: Mapping[str, str]) -> list[str]:
    """A line for each name that nobody knows and that was not refused."""
    ours = [f"{name}: {_not_known(name, settings())}" for name in _unknown(environment)]
    given = sorted(name for name, value in environment.items() if value and name.startswith("CXONE_"))
    cxone = [name for name in given if name not in OF_CXONE]
    return ours + [f"{name}: {_not_known(name, OF_CXONE)}" for name in cxone]


def _unknown(environment: Mapping[str, str]) -> Iterator[str]:
    """Names are settings in whatever case they are written, as for the settings themselves; what is empty is none."""
    known = settings() | OURS | {row.old for row in renamed.RENAMED}
    for name in sorted(name for name, value in environment.items() if value):
        upper = name.upper()
        if upper.startswith(PREFIX) and upper not in known and not OF_KUBERNETES.fullmatch(upper):
            yield name


def _not_known(name: str, known: frozenset[str]) -> str:
    """The problem and the cure: the nearest known name, compared without the beginning that many names share."""
    ends = {_end(setting): setting for setting in sorted(known)}
    near = difflib.get_close_matches(_end(name.upper()), ends, n=1, cutoff=0.5)
    cure = f"did you mean {ends[near[0]]}?" if near else "unset it; `stream-router config` lists those that are known"
    return f"is no setting that this version knows, so it would do nothing; {cure}"


def _end(name: str) -> str:
    return re.sub("^(?:STREAM_ROUTER|EVENTBRIDGE|CXONE)_", "", name)
