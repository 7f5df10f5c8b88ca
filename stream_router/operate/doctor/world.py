"""What every check of `doctor` uses: the valid settings of each program, and clients that try each call once.

Checks of one subject (the stream, the bus …) are together in a `Subject`: a table of checks by code, and a generator
that yields their findings in the table's order. The generator ends early if its other checks depend on a failed one.
A check may have several findings.
"""

import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from botocore.session import Session

from stream_router.aws import endpoints
from stream_router.aws.clients import Clients
from stream_router.checks import NO_RETRIES_CONFIG, Finding
from stream_router.errors import SettingsError
from stream_router.settings.common import Common, Settings
from stream_router.settings.consumer import Consumer
from stream_router.settings.operators import QueueSettings
from stream_router.settings.reading import read
from stream_router.settings.receiver import Receiver

S = TypeVar("S", bound=Settings)

RECEIVE, CONSUME = frozenset({"receive"}), frozenset({"consume"})
BOTH = RECEIVE | CONSUME
SETUP = "run `stream-router setup`"
GRANT = "grant what `stream-router setup --policy operate` prints"


class Check(NamedTuple):
    """Description of one check: its subject, the programs that it concerns, and its page in docs/runbooks ("": none).

    Its code, for example SR101, is its key in a table of checks. The code never changes its meaning.
    """

    about: str
    programs: frozenset[str] = BOTH
    runbook: str = ""


class World:
    """Settings, clients and clock of the checks.

    `common`, `receive`, `consume` and `queue` are settings; None if they are not valid. `programs` are the programs
    to check, and `named` is whether the operator named one. `offline`: no call to AWS or to a running program is made.
    `now_s` is the wall clock (epoch seconds); `wait` pauses for some seconds.
    """

    def __init__(
        self,
        program: str | None = None,
        *,
        offline: bool = False,
        now_s: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.programs = frozenset({program}) if program else BOTH
        self.named = program is not None
        self.offline, self.now_s, self.wait = offline, now_s, wait
        self.common, self.queue = _read(Common), _read(QueueSettings)
        self.receive, self.consume = _read(Receiver), _read(Consumer)
        self.session = Session()
        if self.common:
            self.session.set_config_variable("region", self.common.aws_region)

    @property
    def settings(self) -> Common:
        """Settings that all programs share, for subjects that call AWS.

        These subjects run only if the settings are valid, so there is no None to handle.
        """
        assert self.common is not None
        return self.common

    @cached_property
    def clients(self) -> Clients:
        """Clients in the form in which the code of `setup` takes them. Their calls are tried once as well."""
        return Clients(self.settings.aws_region, session=self.session, config=NO_RETRIES_CONFIG)

    def client(self, service: str) -> Any:
        """Return a boto client whose calls are tried once."""
        return endpoints.create_client(self.session, service, NO_RETRIES_CONFIG)


class Subject(NamedTuple):
    """Checks of one subject by code, and the generator that makes them in order. `aws`: they call AWS."""

    checks: dict[str, Check]
    check: Callable[[World], Iterator[Finding]]
    aws: bool = True


def _read(kind: type[S]) -> S | None:
    """Return the settings of class `kind`; None if they are wrong, which the checks of the settings report."""
    try:
        return read(kind)
    except SettingsError:
        return None
